from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.datasets import load_digits

from cgm.data.features.autoencoder import Autoencoder
from cgm.data.features.automatic import Automatic
from cgm.data.features.identity import Identity
from cgm.data.features.pca import PCA
from cgm.data.features.umap import UMAP
from cgm.utils.models import pretrained
from cgm.utils.models.networks import AutoencoderNetwork

CONF = Path(__file__).parents[1] / "conf" / "features"
POINTS = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 6.0))
WIDE = torch.randn(301, 45, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
IMAGES = torch.rand(30, 2, 3, 4, generator=torch.Generator().manual_seed(0))


SMALL = Autoencoder(components=3, width=2, pretrained=False, epochs=2, batch=10)
DIGITS = torch.from_numpy(load_digits().images[:, None] / 16).float()  # (1797, 1, 8, 8)


@pytest.mark.parametrize(
    ("name", "expected"), [("none", Identity()), ("pca", PCA()), ("umap", UMAP()), ("autoencoder", Autoencoder())]
)
def test_config_builds_the_features_with_its_defaults_visible(name, expected):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    features = instantiate(config)

    assert type(features) is type(expected)
    assert vars(features) == vars(expected)
    assert set(config) == {"_target_", *vars(expected)}


@pytest.mark.parametrize(
    ("features", "x"),
    [
        *[(features, x) for features in (Identity(), PCA(components=3)) for x in (POINTS, WIDE, IMAGES)],
        *[(UMAP(components=3, n_neighbors=5), x) for x in (POINTS, IMAGES)],
        *[(replace(SMALL), x) for x in (IMAGES, IMAGES.double(), DIGITS[:50])],
    ],
)
def test_keeps_to_the_contract(features, x, tmp_path):
    features.state = None
    kept, state = x.clone(), torch.get_rng_state()

    with pytest.raises(ValueError, match="is not fitted; call fit or load first"):
        features.transform(x)
    assert features.fit(x, seed=0) is features
    z = features.transform(x)

    assert z.shape == (len(x), x[0].numel() if isinstance(features, Identity) else 3)
    assert z.dtype == torch.float64
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(features.fit(x, seed=0).transform(x), z)
    columns = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(features.fit(columns, seed=0).transform(columns), z)
    torch.testing.assert_close(features.transform(x[4:9]), z[4:9], rtol=1e-4, atol=1e-5)

    features.save(tmp_path / "features")
    features.state = None
    assert features.load(tmp_path / "features") is features
    assert torch.equal(features.transform(x), z)

    with pytest.raises(ValueError, match="points to transform: has 7 columns where"):
        features.transform(torch.zeros(3, 7))
    for call in (lambda y: features.fit(y, seed=0), features.transform):
        with pytest.raises(ValueError, match="row 1 holds NaN or infinity"):
            call(torch.where(torch.arange(len(x)).view(-1, *[1] * (x.dim() - 1)) == 1, torch.nan, x))
        with pytest.raises(ValueError, match="expected a torch tensor"):
            call(x.numpy())


def test_identity_passes_points_through_and_flattens_images():
    assert torch.equal(Identity().fit(POINTS, seed=0).transform(POINTS), POINTS.double())
    assert torch.equal(Identity().fit(IMAGES, seed=0).transform(IMAGES), IMAGES.double().reshape(30, 24))


@pytest.mark.parametrize("components", [1, 3, 5])
def test_pca_agrees_with_eigenvectors_of_the_covariance(components):
    x = POINTS.double().numpy()
    _, vectors = np.linalg.eigh(np.cov(x.T))
    vectors = vectors[:, ::-1][:, :components]

    features = PCA(components).fit(POINTS, seed=0)
    z = features.transform(POINTS[:20]).numpy()

    expected = (x[:20] - x.mean(0)) @ vectors
    assert np.allclose(np.abs(z), np.abs(expected))
    assert np.allclose(z.T @ z, np.sign((z * expected).sum(0)) * (z.T @ expected))


def test_pca_is_the_same_for_points_in_another_order():
    x = torch.from_numpy(load_digits().data)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))

    features = [PCA().fit(y, seed=seed) for seed, y in enumerate((x, x[order]))]

    torch.testing.assert_close(features[0].transform(x), features[1].transform(x))


@pytest.mark.parametrize(
    ("x", "components", "message"),
    [
        (POINTS, 6, "features.components=6: at most 5 for 60 points in 5 dimensions"),
        (POINTS[:4], 5, "features.components=5: at most 4 for 4 points in 5 dimensions"),
        (POINTS[:4], 4, "features.components=4: the points vary in 3 directions"),
        (torch.cat([POINTS, POINTS], 1), 6, "features.components=6: the points vary in 5 directions"),
        (torch.ones(9, 4), 1, "all 9 are equal"),
        (POINTS[:1], 1, "has 1 points, at least 2 are needed"),
    ],
)
def test_pca_of_too_few_points_or_dimensions(x, components, message):
    with pytest.raises(ValueError, match=message):
        PCA(components).fit(x, seed=0)


@pytest.mark.parametrize("components", [0, -1, 1.5, True, "all"])
def test_bad_components(components):
    with pytest.raises(ValueError, match=f"features.components={components!r}: use a whole number from 1"):
        PCA(components)


def test_bad_files(tmp_path):
    path = tmp_path / "features"
    PCA(2).fit(POINTS, seed=0).save(path)

    with pytest.raises(ValueError, match=f"^{path}: saved by PCA, it can't be loaded as Identity"):
        Identity().load(path)
    with pytest.raises(ValueError, match=f"^{path}: saved with the settings"):
        PCA(3).load(path)

    features = PCA(2).fit(POINTS, seed=0)
    features.state["directions"] = features.state["directions"][:1].clone()
    features.save(path)
    with pytest.raises(ValueError, match=f"^{path}: 1 directions where 2 are expected"):
        PCA(2).load(path)


def test_umap_keeps_its_places_and_puts_new_points_among_their_neighbours():
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


@pytest.mark.parametrize(
    ("features", "x", "message"),
    [
        (UMAP(), POINTS[:16], "features.n_neighbors=15, features.components=8: need at least 17 points, got 16"),
        (UMAP(), torch.ones(30, 4), "all 30 are equal"),
        (SMALL, torch.ones(30, 1, 8, 8), "all 30 are equal"),
        (SMALL, POINTS, r"expected images of shape \(N, C, H, W\), got \(60, 5\)"),
        (SMALL, DIGITS * 16, "pixels run from 0 to 16, expected 0 to 1"),
        (replace(SMALL, pretrained=True), DIGITS, r"no trained autoencoder for images of shape \(1, 8, 8\)"),
        (
            replace(SMALL, components=9, epochs=1),
            DIGITS[:8],
            "features.components=9: the codes vary in [1-8] directions",
        ),
    ],
)
def test_what_can_not_be_fitted(features, x, message):
    with pytest.raises(ValueError, match=message):
        replace(features).fit(x, seed=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UMAP(components=0), "features.components=0"),
        (lambda: UMAP(n_neighbors=1), "features.n_neighbors=1"),
        (lambda: UMAP(min_dist=-1), "features.min_dist=-1"),
        (lambda: Autoencoder(components=0), "features.components=0"),
        (lambda: Autoencoder(width=0.5), "features.width=0.5"),
        (
            lambda: Autoencoder(pretrained="no"),
            "features.pretrained='no': use true, false, auto, or the path of a .safetensors",
        ),
        (lambda: Autoencoder(epochs=0), "features.epochs=0"),
        (lambda: Autoencoder(batch=1), "features.batch=1"),
        (lambda: Autoencoder(minutes=0), "features.minutes=0"),
        (lambda: Autoencoder(rate=float("nan")), "features.rate=nan"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_autoencoder_learns_and_its_code_is_white():
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


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 3, 4), (1, 17, 30)])
def test_autoencoder_gives_images_of_the_shape_that_it_is_given(shape):
    network = AutoencoderNetwork(5, 2, shape)
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))

    assert network.encode(x).shape == (3, 5)
    assert network.decode(network.encode(x)).shape == x.shape


def test_whitening_changes_no_reconstruction():
    torch.manual_seed(0)
    network, x = AutoencoderNetwork(4, 2, (1, 8, 8)).requires_grad_(False).eval(), DIGITS[:200]
    before = network.decode(network.encode(x))
    z = network.encode(x).double()

    assert network.whiten(z) == 4
    after = network.encode(x).double()
    torch.testing.assert_close(network.decode(after.float()), before, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(after.T @ after / 200, torch.eye(4).double(), atol=1e-3, rtol=0)
    assert network.whiten(torch.cat([z[:, :3], z[:, :1]], 1)) == 3
    torch.testing.assert_close(network.encode(x).double(), after)


def test_autoencoder_depends_on_its_seed_only():
    zero, again, one = (replace(SMALL).fit(IMAGES, seed=seed).transform(IMAGES) for seed in (0, 0, 1))

    assert torch.equal(zero, again)
    assert not torch.allclose(zero, one, atol=1e-2)


def test_autoencoder_from_a_file_needs_but_its_own_shape(tmp_path):
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

    fitted.state["empty"] = torch.zeros(0, 2, 40, 40)
    fitted.save(path)
    with pytest.raises(ValueError, match=f"^{path}: code.weight has 16 columns where .* need 144"):
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


def test_automatic_features_go_by_the_data():
    assert type(Automatic(3).pick(IMAGES)) is Autoencoder
    assert Automatic(3).pick(IMAGES).components == 3
    assert type(Automatic().pick(torch.zeros(3, 2))) is Identity
    with pytest.raises(ValueError, match=r"features\.components=0"):
        Automatic(0)
