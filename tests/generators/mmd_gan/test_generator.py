import re

import pytest
import torch

from cgm.generators import MMDGAN, check_generator
from tests.generators.mmd_gan.bars import bars, tiny


@pytest.mark.parametrize("normalisation", ["none", "spectral"])
def test_follows_the_rules(normalisation):
    check_generator(tiny(normalisation=normalisation), bars())


def test_the_dtype_of_the_images_does_not_matter():
    x = bars()
    a, b = tiny().fit(x, seed=0).sample(9, seed=1), tiny().fit(x.double(), seed=0).sample(9, seed=1)

    assert b.dtype == torch.float64
    assert torch.equal(a.double(), b)


def test_another_seed_trains_another_generator():
    x = bars()

    assert not torch.equal(tiny().fit(x, seed=0).sample(2, seed=0), tiny().fit(x, seed=1).sample(2, seed=0))


def test_the_sizes_of_the_network_come_from_the_file(tmp_path):
    gan = tiny().fit(bars(), seed=0)
    gan.save(tmp_path / "gan")
    other = MMDGAN().load(tmp_path / "gan")
    with pytest.raises(ValueError, match="saved with latent=5, but here it is 7"):
        MMDGAN(latent=7).load(tmp_path / "gan")

    assert gan.sizes == {"image": [1, 8, 8], "dtype": "float32", "latent": 5, "channels": 3, "acceptance": 1.0}
    assert torch.equal(other.sample(3, seed=0), gan.sample(3, seed=0))


def test_bad_settings():
    for settings, message in [
        ({"momentum": [0.5]}, "generator.momentum=[0.5]: expected two numbers, like [0.5,0.9]"),
        ({"momentum": 0.5}, "generator.momentum=0.5: expected a list of entries, each a number in [0, 1)"),
        ({"pretrained": "no"}, "generator.pretrained=no: expected true, false, auto, or the path of a .safetensors"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            MMDGAN(**settings)


def test_states_that_no_training_leaves(tmp_path):
    for changes, sizes, message in [
        ({"layers.0.bias": torch.zeros(3)}, {}, r"layers.0.bias has shape \(3,\) where \([0-9]+\) is expected"),
        ({"weights": torch.zeros(3)}, {}, r"has tensors \[.*'weights'\] where \[.*\] are expected"),
        ({}, {"channels": 4}, "layers.0.weight has shape .* is expected"),
        ({}, {"channels": 10**7}, "a network of impossible sizes"),  # a petabyte, if it were allocated
        ({}, {"channels": 2**31, "latent": 2**62}, "a network of impossible sizes"),
        ({}, {"latent": 0}, r"layers.0.weight has shape \(24, 5\) where \(24, 0\) is expected"),
        ({}, {"image": [1, 8]}, r"size image=\[1, 8\]: expected a shape \(C, H, W\)"),
        ({}, {"image": [1, 0, 8]}, "size image=0: expected an integer >= 1"),
    ]:
        gan = tiny().fit(bars(), seed=0)
        gan.state |= changes
        gan.sizes = {**gan.sizes, **sizes}
        gan.save(tmp_path / "gan")

        with pytest.raises(ValueError, match=f"^{tmp_path / 'gan'}: .*{message}"):
            MMDGAN().load(tmp_path / "gan")
