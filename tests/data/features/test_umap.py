import pytest
import torch

from cgm import Mediator
from cgm.data.features import UMAP, Autoencoder, Encoder
from cgm.generators import KDE
from cgm.networks import weights as pretrained
from cgm.networks.classifier import Classifier

POINTS = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 6.0))


def test_keeps_its_places_and_puts_new_points_among_their_neighbours():
    generator = torch.Generator().manual_seed(0)
    groups = torch.randn(3, 40, 6, generator=generator) + 30 * torch.eye(3, 6)[:, None]  # (3, 40, 6)
    x, new = groups[:, :30].flatten(0, 1), groups[:, 30:].flatten(0, 1)

    features = UMAP(components=2, n_neighbors=5).fit(x, seed=0)
    places, found = features.transform(x), features.transform(new)

    assert torch.equal(places, features.state["places"])
    distances = torch.cdist(new.double(), x.double())  # (30, 90)
    for i in range(len(new)):
        nearest = distances[i].argsort()[:5]
        weights = 1 / distances[i, nearest]
        torch.testing.assert_close(found[i], weights @ places[nearest] / weights.sum(), rtol=1e-4, atol=1e-4)
    # Groups far apart stay apart
    within = places.reshape(3, 30, 2)
    centres = within.mean(1)
    assert torch.pdist(centres).min() > (within - centres[:, None]).norm(dim=2).mean() * 3


def test_bad_points():
    for x, message in [
        (POINTS[:16], "features.n_neighbors=15, features.components=8: need at least 17 points, got 16"),
        (torch.ones(30, 4), "all 30 are equal"),
    ]:
        with pytest.raises(ValueError, match=message):
            UMAP().fit(x, seed=0)


def test_bad_settings():
    for settings, message in [
        ({"weights": "w.safetensors"}, "features.weights=w.safetensors: features.of=pixels needs none"),
        ({"of": "encoder", "weights": "w"}, "features.weights=w: expected the path of a .safetensors file"),
    ]:
        with pytest.raises(ValueError, match=message):
            UMAP(**settings)


def test_files_with_other_places_are_refused(tmp_path):
    features = UMAP(components=2, n_neighbors=5).fit(POINTS, seed=0)
    features.state["places"] = features.state["places"][:, :1].clone()
    features.save(tmp_path / "features")

    with pytest.raises(ValueError, match="60 places in 1 dimensions where 2 dimensions and at least 5 places"):
        UMAP(components=2, n_neighbors=5).load(tmp_path / "features")


def test_neighbours_are_those_in_the_principal_components():
    x = POINTS.double() @ torch.randn(5, 12, generator=torch.Generator().manual_seed(1)).double()  # of rank 5
    whole = UMAP(components=2, n_neighbors=5, pca=None).fit(x, seed=0)
    reduced = UMAP(components=2, n_neighbors=5, pca=5).fit(x, seed=0)
    assert reduced.state["points"].shape == (60, 5)
    distances = [torch.pdist(f.state["points"].double()) for f in (whole, reduced)]
    torch.testing.assert_close(*distances, rtol=1e-4, atol=1e-4)
    centred = x - x.mean(0)
    variances = torch.linalg.svdvals(centred)[:5] ** 2
    torch.testing.assert_close(reduced.state["points"].double().square().sum(0), variances, rtol=1e-4, atol=1e-4)
    new = x[:3] + 0.01
    torch.testing.assert_close(reduced.transform(new).shape, torch.Size([3, 2]))


def test_positions_of_a_fit_are_returned_without_a_search(monkeypatch):
    features = UMAP(components=2, n_neighbors=5)
    monkeypatch.setattr(UMAP, "transform", lambda self, x: pytest.fail("searched"))
    places = features.fit_transform(POINTS, seed=0)
    assert torch.equal(places, features.state["places"])


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ("autoencoder", lambda x: Autoencoder(pretrained=True).fit(x, seed=0).transform(x).float()),
        ("classifier", lambda x: Classifier.shipped(dataset="mnist").features(x)),
        ("encoder", lambda x: Encoder(pretrained=True).fit(x, seed=0).features(x)),
    ],
)
def test_features_of_a_network_are_embedded(of, expected):
    images = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    features = UMAP(components=2, n_neighbors=5, of=of, pca=None).fit(images, seed=0)
    torch.testing.assert_close(features.state["points"], expected(images))
    with pytest.raises(ValueError, match=rf"features.of={of} needs images of shape \(N, C, H, W\)"):
        features.transform(POINTS)
    with pytest.raises(ValueError, match=f"no trained {of}"):
        features.transform(torch.rand(3, 1, 9, 9))


@pytest.mark.parametrize("of", ["encoder", "pixels"])
def test_a_pool_of_no_images_is_refused_before_the_fit(of):
    """A KDE of pixels draws some below 0, which networks do not take."""

    parties = list(torch.rand(2, 20, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    mediator = Mediator(features=UMAP(components=2, n_neighbors=5, of=of), generator=KDE(), synthetic_size=50)
    if of == "pixels":
        assert mediator.settle(parties, seed=0).pool.points.shape[1] == 2
        return
    with pytest.raises(ValueError, match=r"generator=kde: makes no images, .*; use generator=mmd_gan, .*fit_to=p"):
        mediator.settle(parties, seed=0)
    with pytest.raises(
        ValueError, match=r"features.of=encoder needs images of shape \(N, C, H, W\)"
    ):  # not the generator
        mediator.settle([x.flatten(1) for x in parties], seed=0)


def test_weights_of_ones_own_network(tmp_path):
    images = torch.rand(40, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    encoder = Encoder(components=3, width=2, pretrained=False, epochs=1).fit(images, seed=0)
    info = {"settings": {"components": 3, "width": 2}}
    path = str(pretrained.keep(encoder, "encoder", "own", (1, 9, 9), info, tmp_path))

    features = UMAP(components=2, n_neighbors=5, of="encoder", weights=path)
    places = features.fit_transform(images, seed=0, cache=tmp_path / "cache")
    torch.testing.assert_close(features.state["points"], encoder.features(images))

    other = Encoder(components=3, width=2, pretrained=False, epochs=1).fit(images, seed=1)
    pretrained.keep(other, "encoder", "own", (1, 9, 9), info, tmp_path)
    changed = UMAP(components=2, n_neighbors=5, of="encoder", weights=path)
    assert not torch.equal(changed.fit_transform(images, seed=0, cache=tmp_path / "cache"), places)
