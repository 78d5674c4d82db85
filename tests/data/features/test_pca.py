import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from cgm.data.features import PCA, Identity

POINTS = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 6.0))


def test_agrees_with_eigenvectors_of_the_covariance():
    for components in [1, 3, 5]:
        x = POINTS.double().numpy()
        _, vectors = np.linalg.eigh(np.cov(x.T))
        vectors = vectors[:, ::-1][:, :components]

        features = PCA(components).fit(POINTS, seed=0)
        z = features.transform(POINTS[:20]).numpy()

        expected = (x[:20] - x.mean(0)) @ vectors
        assert np.allclose(np.abs(z), np.abs(expected))
        assert np.allclose(z.T @ z, np.sign((z * expected).sum(0)) * (z.T @ expected))


def test_is_the_same_for_points_in_another_order():
    x = torch.from_numpy(load_digits().data)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))

    features = [PCA().fit(y, seed=seed) for seed, y in enumerate((x, x[order]))]

    torch.testing.assert_close(features[0].transform(x), features[1].transform(x))


def test_of_too_few_points_or_dimensions():
    for x, components, message in [
        (POINTS, 6, "features.components=6: at most 5 for 60 points in 5 dimensions"),
        (POINTS[:4], 5, "features.components=5: at most 4 for 4 points in 5 dimensions"),
        (POINTS[:4], 4, "features.components=4: the points vary in 3 directions"),
        (torch.cat([POINTS, POINTS], 1), 6, "features.components=6: the points vary in 5 directions"),
        (torch.ones(9, 4), 1, "all 9 are equal"),
        (POINTS[:1], 1, "has 1 points, at least 2 are needed"),
    ]:
        with pytest.raises(ValueError, match=message):
            PCA(components).fit(x, seed=0)


def test_bad_files(tmp_path):
    path = tmp_path / "features"
    PCA(2).fit(POINTS, seed=0).save(path)

    with pytest.raises(ValueError, match=f"^{path}: saved by PCA, cannot be loaded as Identity"):
        Identity().load(path)
    with pytest.raises(ValueError, match=f"^{path}: saved with the settings"):
        PCA(3).load(path)

    features = PCA(2).fit(POINTS, seed=0)
    features.state["directions"] = features.state["directions"][:1].clone()
    features.save(path)
    with pytest.raises(ValueError, match=f"^{path}: 1 directions where 2 are expected"):
        PCA(2).load(path)
