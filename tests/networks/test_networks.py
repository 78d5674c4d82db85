import re

import pytest
import torch
from threadpoolctl import threadpool_info
from torch import nn

from cgm.networks.architectures import check_images, in_batches, weights_of, with_weights
from cgm.networks.training import recalibrate
from cgm.utils.run import limited

IMAGES = torch.rand(6, 2, 4, 5, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3))


def test_images_are_returned_in_float32_and_contiguous():
    x = check_images(IMAGES.double().to(memory_format=torch.channels_last), "images", shape=(2, 4, 5), min=6)

    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert torch.equal(x, IMAGES)


def test_bad_images():
    for x, options, message in [
        (IMAGES.flatten(1), {}, "some: expected images of shape (N, C, H, W), got (6, 40)"),
        (IMAGES[:, :, :0], {}, "some: expected images of shape (N, C, H, W), got (6, 2, 0, 5)"),
        (IMAGES, {"shape": (2, 5, 4)}, "some: images of shape (2, 4, 5) where (2, 5, 4) are expected"),
        (IMAGES, {"shape": (3, 4, 5)}, "some: has 2 columns where 3 are expected"),
        (IMAGES, {"min": 7}, "some: has 6 points, at least 7 are needed"),
        (IMAGES - 1, {}, "some: pixels range from -"),
        (IMAGES.where(IMAGES > 0.5, torch.nan), {}, "some: row 0 holds NaN or infinity"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            check_images(x, "some", **options)


def test_batches_are_those_of_all_entries(monkeypatch):
    monkeypatch.setattr("cgm.networks.architectures.BATCH", 4)
    sizes = []

    def double(part):
        sizes.append(len(part))
        return 2 * part

    assert torch.equal(in_batches(double, IMAGES, "test"), 2 * IMAGES)
    assert sizes == [4, 2]


def test_each_batch_has_one_thread_in_all_libraries():
    def threads(part):
        return torch.full((len(part),), max(library["num_threads"] for library in threadpool_info()))

    with limited(2):
        assert (in_batches(threads, IMAGES, "test") == 1).all()


def test_a_network_is_constructed_again_from_its_weights():
    first = network().eval()
    first[1].running_mean.fill_(0.5)
    state = torch.get_rng_state()
    second = with_weights(network, {name: x.half() for name, x in weights_of(first).items()})

    assert torch.equal(torch.get_rng_state(), state)
    assert not second.training
    assert all(x.dtype == torch.float32 and not x.requires_grad for x in second.parameters())
    torch.testing.assert_close(second(IMAGES), first(IMAGES), atol=1e-2, rtol=1e-2)
    assert set(weights_of(first)) == {"0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"}


def test_batch_norm_is_recalibrated_with_all_images():
    layers = network()
    recalibrate(layers, layers, IMAGES, seed=0)
    outputs = layers[0](IMAGES).detach()

    assert not layers.training
    torch.testing.assert_close(layers[1].running_mean, outputs.mean((0, 2, 3)))
    torch.testing.assert_close(layers[1].running_var, outputs.var((0, 2, 3)))
