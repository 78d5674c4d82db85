from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.datasets import load_digits

from cgm.features import PCA, Identity

CONF = Path(__file__).parents[1] / "conf" / "features"
POINTS = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 6.0))
WIDE = torch.randn(301, 45, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
IMAGES = torch.rand(30, 2, 3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "expected"), [("none", Identity()), ("pca", PCA())])
def test_config_builds_the_features_with_its_defaults_visible(name, expected):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    features = instantiate(config)

    assert type(features) is type(expected)
    assert vars(features) == vars(expected)
    assert set(config) == {"_target_", *vars(expected)}


@pytest.mark.parametrize("features", [Identity(), PCA(components=3)])
@pytest.mark.parametrize("x", [POINTS, WIDE, IMAGES])
def test_keeps_to_the_contract(features, x, tmp_path):
    features.state = None
    kept, state = x.clone(), torch.get_rng_state()

    with pytest.raises(ValueError, match="is not fitted; call fit or load first"):
        features.transform(x)
    assert features.fit(x, seed=0) is features
    z = features.transform(x)

    assert z.shape == (len(x), 3 if isinstance(features, PCA) else x[0].numel())
    assert z.dtype == torch.float64
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(features.fit(x, seed=0).transform(x), z)
    columns = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(features.fit(columns, seed=0).transform(columns), z)
    torch.testing.assert_close(features.transform(x[4:9]), z[4:9])

    features.save(tmp_path / "features")
    features.state = None
    assert features.load(tmp_path / "features") is features
    assert torch.equal(features.transform(x), z)

    with pytest.raises(ValueError, match="points to transform: has 2 columns where"):
        features.transform(torch.zeros(3, 2))
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
