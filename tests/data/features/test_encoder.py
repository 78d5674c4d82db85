import math
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from cgm.data import CIFAR10, MNIST
from cgm.data.features import Encoder, encoder
from cgm.data.features.encoder import contrastive_loss
from cgm.networks import training
from cgm.networks import weights as pretrained

IMAGES = torch.rand(30, 3, 5, 4, generator=torch.Generator().manual_seed(0))
X = torch.from_numpy(load_digits().images[:, None] / 16).float()  # (1797, 1, 8, 8)
Y = torch.from_numpy(load_digits().target).long()
SMALL = Encoder(components=3, width=2, pretrained=False, epochs=2, batch=10)


def test_bad_images():
    for features, x, message in [
        (SMALL, torch.ones(30, 1, 8, 8), "all 30 are equal"),
        (SMALL, torch.zeros(60, 5), r"expected images of shape \(N, C, H, W\), got \(60, 5\)"),
        (SMALL, X * 16, "pixels range from 0 to 16, expected 0 to 1"),
        (replace(SMALL, pretrained=True), X, r"no trained encoder for images of shape \(1, 8, 8\)"),
        (
            replace(SMALL, components=9, epochs=1),
            X[:8],
            "features.components=9: the features vary in [1-8] directions only",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(features).fit(x, seed=0)


def test_bad_settings():
    for settings, message in [
        ({"components": 9, "width": 1}, "features.components=9: at most 8 with features.width=1"),
        ({"pretrained": "no"}, "features.pretrained=no: expected true, false, auto, or the path of a .safetensors"),
    ]:
        with pytest.raises(ValueError, match=message):
            Encoder(**settings)


def test_loss_is_that_of_the_paper():
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(4, 3, generator=random, dtype=torch.float64) for _ in range(2))
    views = [z / z.norm() for z in (*a, *b)]
    expected = 0.0
    for i in range(8):
        others = [math.exp(float(views[i] @ views[j]) / 0.3) for j in range(8) if j != i]
        expected -= math.log(math.exp(float(views[i] @ views[(i + 4) % 8]) / 0.3) / sum(others)) / 8

    assert float(contrastive_loss(a, b, 0.3)) == pytest.approx(expected, rel=1e-12)
    assert float(contrastive_loss(5 * a, b, 0.3)) == pytest.approx(expected, rel=1e-12)  # norms do not matter


def test_learns_classes_without_labels():
    random = Encoder(width=4, pretrained=False, epochs=1, rate=1e-9).fit(X[:1300], seed=0)
    trained = Encoder(width=4, pretrained=False, epochs=30, batch=128, smallest=0.6).fit(X[:1300], seed=0)

    def accuracy(features):
        vote = KNeighborsClassifier(10).fit(features(X[:1300]), Y[:1300])
        return vote.score(features(X[1300:]), Y[1300:])

    assert accuracy(trained.features) > accuracy(random.features) + 0.02
    assert accuracy(trained.features) > 0.87


def test_code_is_the_principal_components_of_features_of_norm_1():
    features = replace(SMALL).fit(IMAGES, seed=0)
    h, z = features.features(IMAGES).double(), features.transform(IMAGES)

    assert h.shape == (30, 16)
    torch.testing.assert_close(h.norm(dim=1), torch.ones(30).double(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(z.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-5)
    variances = torch.linalg.svdvals(h - h.mean(0))[:3] ** 2
    torch.testing.assert_close(z.T @ z, torch.diag(variances), rtol=1e-3, atol=1e-5)


def test_views_are_mirrored_and_recoloured_only_if_asked_for():
    features = replace(SMALL, smallest=1.0)  # the whole image, but for its aspect ratio
    gradient = torch.linspace(0, 1, 8).expand(50, 1, 8, 8).contiguous()
    rising = features.view(gradient, torch.Generator().manual_seed(0)).diff(dim=3) >= -1e-6
    assert rising.all()
    mirrored = replace(features, mirror=True).view(gradient, torch.Generator().manual_seed(0))
    share = (mirrored[:, 0, 0, 0] > mirrored[:, 0, 0, -1]).float().mean()
    assert 0.2 < share < 0.8
    grey = torch.full((50, 1, 8, 8), 0.5)
    torch.testing.assert_close(features.view(grey, torch.Generator().manual_seed(0)), grey)
    coloured = features.view(grey.expand(-1, 3, -1, -1), torch.Generator().manual_seed(0))
    assert not torch.allclose(coloured, torch.tensor(0.5), atol=0.01)


def test_arithmetic_in_half_precision_gives_about_the_same_features():
    exact = replace(SMALL, rate=1e-4).fit(X[:100], seed=0)
    half = replace(SMALL, rate=1e-4, arithmetic="bfloat16").fit(X[:100], seed=0)

    assert half.report["steps"] == exact.report["steps"]
    difference = (half.features(X[:100]) - exact.features(X[:100])).norm(dim=1)
    assert 0 < float(difference.mean()) < 0.05


def test_auto_takes_pretrained_weights_where_there_are_some(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    fitted = replace(SMALL, epochs=5).fit(X[:300], seed=0)
    variance = float(fitted.transform(X[:300]).var(0, correction=0).sum())
    info = {"settings": {"components": 3, "width": 2}, "figures": {"variance_of_the_code": variance}}
    path = pretrained.keep(fitted, "encoder", "digits", (1, 8, 8), info)

    for setting in ("auto", True, str(path)):
        features = replace(SMALL, pretrained=setting).fit(X[300:500], seed=1)
        assert torch.equal(features.transform(X), fitted.transform(X))
    features = replace(SMALL, pretrained="auto", components=2).fit(X[300:340], seed=1)  # none of this size
    assert features.transform(X).shape == (len(X), 2)

    assert not caplog.records
    monkeypatch.setattr(encoder, "MAX_SHIFT", 0.1)
    inverted = 1 - X[:50]
    features = replace(SMALL, pretrained="auto").fit(inverted, seed=1)
    assert "the encoder trained on digits is for images of another kind" in caplog.text
    assert torch.equal(features.transform(inverted), replace(SMALL).fit(inverted, seed=1).transform(inverted))


def test_a_file_needs_only_the_sizes_of_the_network(tmp_path):
    path = tmp_path / "features"
    fitted = replace(SMALL).fit(IMAGES, seed=0)
    fitted.save(path)

    other = Encoder(components=3, width=2, epochs=7, mirror=True).load(path)  # another training does not matter
    assert torch.equal(other.transform(IMAGES), fitted.transform(IMAGES))
    assert torch.equal(other.features(IMAGES), fitted.features(IMAGES))
    with pytest.raises(ValueError, match="points to transform: has 1 columns where 3 are expected"):
        other.transform(X)
    with pytest.raises(ValueError, match=f"^{path}: saved with the settings"):
        replace(SMALL, width=3).load(path)


def test_resumed_training_is_the_same_as_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)  # a checkpoint after each step
    features = replace(SMALL, checkpoint=str(tmp_path / "checkpoint"))  # 3 steps an epoch
    loss, calls = encoder.contrastive_loss, iter(range(100))

    def stopped(*args):
        if next(calls) == 2:
            raise InterruptedError
        return loss(*args)

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "contrastive_loss", stopped)
        with pytest.raises(InterruptedError):
            features.fit(IMAGES, seed=0)
    whole = replace(SMALL).fit(IMAGES, seed=0)
    features.fit(IMAGES, seed=0)

    assert torch.equal(features.transform(IMAGES), whole.transform(IMAGES))
    assert features.report["steps"] == whole.report["steps"] == 6
    with pytest.raises(ValueError, match=r"another training \(temperature=0.2, here 0.5\)"):
        replace(features, temperature=0.5).fit(IMAGES, seed=0)


@pytest.mark.parametrize(("loader", "least"), [(MNIST, 0.95), (CIFAR10, 0.5)])
def test_shipped_weights_tell_classes_apart(data_dir, loader, least):
    data = loader().load(data_dir, seed=0)
    features = Encoder(pretrained="auto").fit(data.x[:2000], seed=0)
    assert features.report is None  # nothing was trained

    vote = KNeighborsClassifier(10).fit(features.features(data.x[:20000]), data.y[:20000])
    assert vote.score(features.features(data.x_test[:1000]), data.y_test[:1000]) > least
