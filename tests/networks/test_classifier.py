import os
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from cgm.data import CIFAR10, MNIST
from cgm.networks import training
from cgm.networks import weights as pretrained
from cgm.networks.classifier import Classifier, augment

X = torch.from_numpy(load_digits().images[:, None] / 16).float()  # (1797, 1, 8, 8)
Y = torch.from_numpy(load_digits().target).long()
SMALL = Classifier(width=2, epochs=2, batch=20)


def test_learns_digits():
    classifier = Classifier(width=4, shift=1, epochs=5, batch=32).fit(X[:1300], Y[:1300], seed=0)

    assert float((classifier.predict(X[1300:]) == Y[1300:]).double().mean()) > 0.85


def test_keeps_to_the_contract(tmp_path):
    x, y = X[:60].clone(), Y[:60]
    state = torch.get_rng_state()
    classifier = replace(SMALL)

    with pytest.raises(ValueError, match="Classifier is not fitted"):
        classifier.predict(x)
    assert classifier.fit(x, y, seed=0) is classifier
    p = classifier.probabilities(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, X[:60])
    assert p.shape == (60, 10)
    torch.testing.assert_close(p.sum(1), torch.ones(60))
    assert torch.equal(classifier.predict(x), p.argmax(1))
    assert classifier.features(x).shape == (60, 16)
    torch.testing.assert_close(classifier.probabilities(x[7:8]), p[7:8], atol=1e-5, rtol=1e-4)
    assert torch.equal(replace(SMALL).fit(x.double(), y.int(), seed=0).probabilities(x), p)
    assert not torch.allclose(replace(SMALL).fit(x, y, seed=1).probabilities(x), p)

    classifier.save(tmp_path / "classifier")
    loaded = Classifier(width=2, epochs=9).load(tmp_path / "classifier")  # another training does not matter
    assert torch.equal(loaded.probabilities(x), p)
    with pytest.raises(ValueError, match="saved with the settings"):
        Classifier(width=3).load(tmp_path / "classifier")


def test_bad_images_and_classes():
    for x, y, message in [
        (X[:9], Y[:8], "classes to fit a classifier to: 8 for 9 images"),
        (X[:9], Y[:9] + 2, "classes to fit a classifier to: run from"),
        (X[:9].flatten(1), Y[:9], r"expected images of shape \(N, C, H, W\)"),
        (X[:9] * 2, Y[:9], "pixels range from 0 to 2"),
        (X[:9], Y[:9].double(), "expected integers"),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(SMALL).fit(x, y, seed=0)


def test_another_number_of_colours():
    classifier = replace(SMALL, epochs=1).fit(X[:40], Y[:40], seed=0)

    with pytest.raises(ValueError, match="images to classify: 3 colours where 1 are expected"):
        classifier.predict(torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shift", [0, 2])
def test_augmentation_gives_each_shift_and_mirror_image(mirror, shift):
    x = torch.rand(600, 2, 5, 7, generator=torch.Generator().manual_seed(0))
    y = augment(x, mirror, shift, torch.Generator().manual_seed(0))

    seen = set()
    for before, after in zip(x, y, strict=True):
        for flipped in (False, True):
            padded = functional.pad(before.flip(2) if flipped else before, [shift] * 4)
            for i in range(2 * shift + 1):
                for j in range(2 * shift + 1):
                    if torch.equal(padded[:, i : i + 5, j : j + 7], after):
                        seen.add((flipped, i, j))
                        break
    assert len(seen) == (1 + mirror) * (2 * shift + 1) ** 2
    assert all(mirror or not flipped for flipped, _, _ in seen)


@pytest.mark.parametrize("stop", [2, 5])
def test_resumed_training_is_the_same_as_an_uninterrupted_one(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)  # a checkpoint after each step
    interrupted = replace(SMALL, checkpoint=str(tmp_path / "checkpoint"))  # 3 steps an epoch
    cross_entropy, calls = functional.cross_entropy, iter(range(100))

    def stopped(*args, **options):
        if next(calls) == stop:
            raise InterruptedError
        return cross_entropy(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(functional, "cross_entropy", stopped)
        with pytest.raises(InterruptedError):
            interrupted.fit(X[:60], Y[:60], seed=0)
    whole = replace(SMALL).fit(X[:60], Y[:60], seed=0)

    interrupted.fit(X[:60], Y[:60], seed=0)
    assert all(torch.equal(interrupted.state[name], x) for name, x in whole.state.items())
    assert interrupted.report["steps"] == whole.report["steps"] == 6
    with pytest.raises(ValueError, match=r"another training \(mirror=False, here True\); use another classifier.ch"):
        replace(interrupted, mirror=True).fit(X[:60], Y[:60], seed=0)


def test_shipped_classifier_is_found_by_dataset_and_shape(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    fitted = replace(SMALL).fit(X[:40], Y[:40], seed=0)
    pretrained.keep(fitted, "classifier", "digits", (1, 8, 8), {"settings": {"classes": 10, "width": 2}})

    for classifier in (Classifier.shipped(dataset="digits"), Classifier.shipped(shape=(1, 8, 8))):
        assert torch.equal(classifier.predict(X), fitted.predict(X))
    with pytest.raises(ValueError, match="no trained classifier for dataset=mnist"):
        Classifier.shipped(dataset="mnist")


MIN_ACCURACY = {"mnist": (MNIST(), 0.99), "cifar10": (CIFAR10(), 0.7)}
SHIPPED = [name for name in MIN_ACCURACY if pretrained.find("classifier", dataset=name)]


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("CGM_DATA"), reason="CGM_DATA names no folder with the real files")
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_classifier_labels_real_test_images(name):
    dataset, accuracy = MIN_ACCURACY[name]
    loaded = dataset.load(None, seed=0)
    x, y = loaded.x_test[:2000], loaded.y_test[:2000]

    assert float((Classifier.shipped(dataset=name).predict(x) == y).double().mean()) >= accuracy
