import logging

import pytest
import torch

from cgm.data.features.base import transform_parts
from cgm.data.features.linear import PCA
from cgm.data.features.umap import UMAP
from cgm.evaluation.labellers import classify_pool
from cgm.generators import KDE, MMDGAN
from cgm.generators.pool import draw_pool
from cgm.networks.classifier import Classifier

IMAGES = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 3


@pytest.fixture(scope="module")
def fitted() -> tuple:
    gan = MMDGAN(pretrained=False, channels=2, latent=4, steps=1, batch_size=4).fit(IMAGES, seed=0)
    classifier = Classifier(classes=3, width=2, epochs=1, batch=20).fit(IMAGES, Y, seed=0)
    return gan, PCA(3).fit(IMAGES, seed=0), classifier


def test_images_are_reduced_labelled_and_kept(fitted, monkeypatch) -> None:
    gan, features, classifier = fitted
    monkeypatch.setattr("cgm.generators.pool.MAX_IMAGES", 7)
    pool = draw_pool(gan, features, 20, 5, width=3)
    x = gan.sample(20, 5)

    assert torch.equal(pool.points, features.transform(x))
    assert torch.equal(classify_pool(classifier, gan, 20, 5), classifier.predict(x))
    assert pool.images.shape == (7, 1, 8, 8)
    torch.testing.assert_close(pool.images / 255, x[:7], atol=0.5 / 255 + 1e-6, rtol=0)


def test_points_are_taken_as_they_are(tmp_path) -> None:
    kde = KDE().fit(IMAGES.flatten(1)[:, :2].double(), seed=0)
    pool = draw_pool(kde, PCA(1), 10, 1, width=2, cache=tmp_path)
    assert torch.equal(pool.points, kde.sample(10, 1))
    assert len(pool.images) == 0
    assert not list(tmp_path.iterdir())  # quicker drawn than read


def test_a_pool_is_drawn_once(fitted, tmp_path, monkeypatch, caplog) -> None:
    gan, features, classifier = fitted
    first = draw_pool(gan, features, 20, 5, 3, tmp_path)
    labels = classify_pool(classifier, gan, 20, 5, tmp_path)
    monkeypatch.setattr(MMDGAN, "sample", lambda *_: pytest.fail("drawn again"))
    with caplog.at_level(logging.INFO, "cgm"):
        again = draw_pool(gan, features, 20, 5, 3, tmp_path)
        assert torch.equal(classify_pool(classifier, gan, 20, 5, tmp_path), labels)
    assert all(torch.equal(getattr(first, name), getattr(again, name)) for name in ("points", "images"))
    files = [str(path) for path in tmp_path.iterdir()]
    assert len(files) == 2
    assert all(path in caplog.text for path in files)


def test_nothing_of_a_class_from_outside_of_cgm_is_kept(fitted, tmp_path) -> None:
    gan, features, classifier = fitted

    class OwnGAN(MMDGAN):
        """An own generator, whose code changes between runs, as after an edit."""

    class OwnPCA(PCA):
        """Features of one's own."""

    class OwnUMAP(UMAP):
        """Features that cgm keeps the fits of."""

    own = OwnGAN(pretrained=False, channels=2, latent=4)
    own.state, own.sizes = gan.state, gan.sizes
    first = draw_pool(own, features, 20, 5, 3, tmp_path)
    labels = classify_pool(classifier, own, 20, 5, tmp_path)
    OwnGAN.draw = lambda self, network, n, random: 0.5 * MMDGAN.draw(self, network, n, random)
    again = draw_pool(own, features, 20, 5, 3, tmp_path)

    assert torch.equal(again.points, features.transform(own.sample(20, 5)))
    assert not torch.equal(again.points, first.points)
    assert torch.equal(classify_pool(classifier, own, 20, 5, tmp_path), classifier.predict(own.sample(20, 5)))
    assert len(labels) == 20
    own_features = OwnPCA(3).fit(IMAGES, seed=0)
    draw_pool(gan, own_features, 20, 5, 3, tmp_path)
    transform_parts(own_features, [IMAGES], tmp_path)
    OwnUMAP(2, n_neighbors=5, of="pixels").fit_transform(IMAGES, 0, tmp_path)
    assert own_features.fingerprint() is own.fingerprint() is None
    assert not list(tmp_path.iterdir())


def test_whatever_it_depends_on_makes_another_pool(fitted, tmp_path) -> None:
    gan, features, _ = fitted
    other = MMDGAN(pretrained=False, channels=2, latent=4, steps=1, batch_size=4).fit(IMAGES, seed=1)
    settings = [
        (gan, features, 20, 5, 3),
        (other, features, 20, 5, 3),
        (gan, PCA(2).fit(IMAGES, seed=0), 20, 5, 2),
        (gan, PCA(3).fit(IMAGES[:30], seed=0), 20, 5, 3),
        (gan, features, 21, 5, 3),
        (gan, features, 20, 6, 3),
    ]
    for count, arguments in enumerate(settings, start=1):
        pool = draw_pool(*arguments, tmp_path)
        plain = draw_pool(*arguments)
        assert torch.equal(pool.points, plain.points)
        assert len(list(tmp_path.iterdir())) == count
