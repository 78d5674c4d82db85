from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from cgm.data.features import Autoencoder
from cgm.networks import training
from cgm.networks import weights as pretrained

IMAGES = torch.rand(30, 2, 3, 4, generator=torch.Generator().manual_seed(0))
DIGITS = torch.from_numpy(load_digits().images[:, None] / 16).float()  # (1797, 1, 8, 8)
SMALL = Autoencoder(components=3, width=2, pretrained=False, epochs=2, batch=10)


def test_bad_images():
    for features, x, message in [
        (SMALL, torch.ones(30, 1, 8, 8), "all 30 are equal"),
        (SMALL, torch.zeros(60, 5), r"expected images of shape \(N, C, H, W\), got \(60, 5\)"),
        (SMALL, DIGITS * 16, "pixels range from 0 to 16, expected 0 to 1"),
        (replace(SMALL, pretrained=True), DIGITS, r"no trained autoencoder for images of shape \(1, 8, 8\)"),
        (
            replace(SMALL, components=9, epochs=1),
            DIGITS[:8],
            "features.components=9: the features vary in [1-8] directions",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(features).fit(x, seed=0)


def test_learns_and_its_code_is_white():
    train, test = DIGITS[:1000], DIGITS[1000:1500]
    features = Autoencoder(width=4, pretrained=False, epochs=12, rate=1e-2).fit(train, seed=0)

    def error(images):
        return float((images - test).square().mean())

    z = features.transform(train)
    torch.testing.assert_close(z.mean(0), torch.zeros(8).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(8).double(), atol=1e-3, rtol=0)
    images = features.decode(features.transform(test))
    assert images.shape == test.shape
    assert (images.min() >= 0) & (images.max() <= 1)
    assert error(images) < 0.6 * error(train.mean(0))  # better than the mean image


def test_depends_on_its_seed_only():
    zero, again, one = (replace(SMALL).fit(IMAGES, seed=seed).transform(IMAGES) for seed in (0, 0, 1))

    assert torch.equal(zero, again)
    assert not torch.allclose(zero, one, atol=1e-2)


def test_a_file_needs_only_the_shape_of_the_code(tmp_path):
    path = tmp_path / "features"
    fitted = replace(SMALL).fit(IMAGES, seed=0)
    fitted.save(path)

    other = Autoencoder(components=3, width=2, epochs=7).load(path)  # another training does not matter
    assert torch.equal(other.transform(IMAGES), fitted.transform(IMAGES))
    with pytest.raises(ValueError, match=r"images of shape \(2, 4, 3\) where \(2, 3, 4\) are expected"):
        other.transform(IMAGES.transpose(2, 3))
    with pytest.raises(ValueError, match=f"^{path}: saved with the settings"):
        replace(SMALL, width=3).load(path)
    with pytest.raises(ValueError, match="features to decode: has 2 columns where 3 are expected"):
        other.decode(torch.zeros(4, 2))

    for image, message in (
        ([2, 40, 40], r"code.weight has shape \(3, 16\) where \(3, 144\) is expected"),
        ([1, 3, 4], r"encoder.0.0.weight has shape \(2, 2, 5, 5\) where \(2, 1, 5, 5\) is expected"),
        ([2, 3], r"size image=\[2, 3\]: expected a shape \(C, H, W\)"),
        ([2, 2**62, 2**62], "a network of impossible sizes"),
    ):
        fitted.sizes = {"image": image}
        fitted.save(path)
        with pytest.raises(ValueError, match=f"^{path}: .*{message}"):
            replace(SMALL).load(path)


def test_auto_takes_pretrained_weights_where_there_are_some(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    fitted = replace(SMALL).fit(DIGITS[:50], seed=0)
    error = float((fitted.decode(fitted.transform(DIGITS)) - DIGITS).square().mean())
    info = {"settings": {"components": 3, "width": 2}, "figures": {"test_mean_squared_error": error}}
    path = pretrained.keep(fitted, "autoencoder", "digits", (1, 8, 8), info)

    for setting in ("auto", True, str(path)):
        features = replace(SMALL, pretrained=setting).fit(DIGITS[50:60], seed=1)
        assert torch.equal(features.transform(DIGITS), fitted.transform(DIGITS))
    features = replace(SMALL, pretrained="auto", components=2).fit(DIGITS[50:90], seed=1)  # none of this size
    assert features.transform(DIGITS).shape == (len(DIGITS), 2)
    features = replace(SMALL, pretrained="auto").fit(IMAGES, seed=0)  # none for this shape
    assert torch.equal(features.transform(IMAGES), replace(SMALL).fit(IMAGES, seed=0).transform(IMAGES))
    features = replace(SMALL, pretrained=False).fit(DIGITS[50:90], seed=1)
    assert not torch.allclose(features.transform(DIGITS), fitted.transform(DIGITS))


def test_auto_takes_no_weights_of_other_images_of_the_same_size(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    trained = Autoencoder(components=3, width=4, pretrained=False, epochs=12, rate=1e-2)
    fitted = replace(trained).fit(DIGITS, seed=0)
    error = float((fitted.decode(fitted.transform(DIGITS)) - DIGITS).square().mean())
    info = {"settings": {"components": 3, "width": 4}, "figures": {"test_mean_squared_error": error}}
    pretrained.keep(fitted, "autoencoder", "digits", (1, 8, 8), info)
    inverted = 1 - DIGITS[:50]

    features = replace(trained, pretrained="auto", epochs=1).fit(inverted, seed=1)
    assert "digits reconstructs these images with a mean squared error of" in caplog.text
    own = replace(trained, epochs=1).fit(inverted, seed=1)
    assert torch.equal(features.transform(inverted), own.transform(inverted))
    features = replace(trained, pretrained=True).fit(inverted, seed=1)
    assert torch.equal(features.transform(inverted), fitted.transform(inverted))


@pytest.mark.parametrize("stop", [1, 3])
def test_resumed_training_is_the_same_as_an_uninterrupted_one(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)  # a checkpoint after each step
    features = replace(SMALL, checkpoint=str(tmp_path / "checkpoint"))  # 3 steps an epoch
    entropy, calls = functional.binary_cross_entropy_with_logits, iter(range(100))

    def stopped(*args):
        if next(calls) == stop:
            raise InterruptedError
        return entropy(*args)

    with monkeypatch.context() as patch:
        patch.setattr(functional, "binary_cross_entropy_with_logits", stopped)
        with pytest.raises(InterruptedError):
            features.fit(IMAGES, seed=0)
    whole = replace(SMALL).fit(IMAGES, seed=0)
    features.fit(IMAGES, seed=0)

    assert torch.equal(features.transform(IMAGES), whole.transform(IMAGES))
    assert features.report["steps"] == whole.report["steps"] == 6
    with pytest.raises(ValueError, match=r"another training \(width=2, here 3\); use another features.checkpoint"):
        replace(features, width=3).fit(IMAGES, seed=0)
