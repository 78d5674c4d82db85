import numpy as np
import pytest
import torch
from scipy.stats import kstest, spearmanr

from cgm.data.datasets import Digits
from cgm.generators import Copula

R = np.array(
    [
        [1.0, 0.5, -0.4, 0.6, 0.2],
        [0.5, 1.0, 0.1, 0.3, 0.0],
        [-0.4, 0.1, 1.0, -0.5, 0.3],
        [0.6, 0.3, -0.5, 1.0, 0.1],
        [0.2, 0.0, 0.3, 0.1, 1.0],
    ]
)
N = 20_000


def table(n=N, seed=0):
    """A continuous, a binary, an ordinal and a zero-inflated column, and a count."""

    z = np.random.default_rng(seed).normal(size=(n, 5)) @ np.linalg.cholesky(R).T
    columns = [np.exp(z[:, 0]), z[:, 1] > 1.2, np.digitize(z[:, 2], [-1, 0.3, 1]), np.where(z[:, 3] > 0.3, z[:, 3], 0)]
    return torch.from_numpy(np.stack([*columns, np.exp(z[:, 4] + 1).round()], 1).astype(float))


def test_latent_correlations_of_mixed_columns():
    found = Copula().fit(table(), seed=0).state["correlation"].numpy()

    # standard errors are at most about 2 / sqrt N for binary columns of this share
    np.testing.assert_allclose(found, R, atol=3.5 * 2 / np.sqrt(N))


def test_samples_have_the_margins_and_ranks_of_the_data():
    x = table()
    sample = Copula().fit(x, seed=0).sample(N, seed=1)

    for j in range(5):
        assert x[:, j].min() <= sample[:, j].min()
        assert sample[:, j].max() <= x[:, j].max()
        # the distance of two samples: 1.95 sqrt(2 / n) is exceeded with probability 0.001
        assert kstest(sample[:, j].numpy(), x[:, j].numpy()).statistic < 1.95 * np.sqrt(2 / N)
    for j in (1, 2, 4):
        assert set(sample[:, j].tolist()) <= set(x[:, j].tolist())
    zeros, expected = (float((points[:, 3] == 0).double().mean()) for points in (sample, x))
    assert zeros == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(N))
    ranks, expected = (spearmanr(points.numpy()).statistic for points in (sample, x))
    np.testing.assert_allclose(ranks, expected, atol=4 * np.sqrt(2 / N))


def test_correlations_of_discrete_columns_are_not_attenuated():
    """Random jitter in place of ties, the usual shortcut, would halve this correlation."""

    z = np.random.default_rng(0).normal(size=(N, 2)) @ [[1.0, 0.9], [0.0, np.sqrt(1 - 0.81)]]
    x = torch.from_numpy((z > 1.0).astype(float))

    sample = Copula().fit(x, seed=0).sample(N, seed=1)

    phi = np.corrcoef(x.T.numpy())[0, 1]
    assert phi > 0.6
    assert np.corrcoef(sample.T.numpy())[0, 1] == pytest.approx(phi, abs=0.03)


def test_constant_columns_stay_constant_and_change_nothing():
    x = table(500)[:, :3]
    wide = torch.cat([torch.full((500, 1), 0.1, dtype=torch.float64), x], 1)

    copula = Copula().fit(wide, seed=0)

    assert (copula.sample(100, seed=0)[:, 0] == 0.1).all()
    found, expected = copula.state["correlation"], Copula().fit(x, seed=0).state["correlation"]
    torch.testing.assert_close(found[1:, 1:], expected)
    assert (found[0, 1:] == 0).all()


def test_copies_of_columns_stay_copies():
    x = table(1000)[:, [0, 0, 1, 1]]

    sample = Copula().fit(x, seed=0).sample(1000, seed=0)

    assert (sample[:, 2] == sample[:, 3]).double().mean() > 0.98
    assert spearmanr(sample[:, :2].numpy()).statistic > 0.99


def test_digits():
    x = Digits().load(None, 0).x.flatten(1)

    sample = Copula().fit(x, seed=0).sample(2000, seed=1)

    assert ((sample.std(0) == 0) == (x.std(0) == 0)).all()
    assert ((sample.mean(0) - x.mean(0)).abs() <= 0.1 * x.std(0)).all()
    assert (np.linalg.norm(np.corrcoef(sample.T[x.std(0) > 0.1]) - np.corrcoef(x.T[x.std(0) > 0.1]))) < 4


def test_a_file_has_at_most_the_stated_number_of_quantiles():
    x = torch.randn(5000, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = (x[:, 1] > 0).float()

    state = Copula(quantiles=200).fit(x, seed=0).state

    assert state["lengths"].tolist() == [200, 2, 200]
    assert state["values"].shape == (402,)
    assert state["values"].dtype == torch.float32


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scale_does_not_matter(scale):
    x = table(200)

    sample = Copula().fit(x * scale, seed=0).sample(100, seed=1)

    torch.testing.assert_close(sample / scale, Copula().fit(x, seed=0).sample(100, seed=1))


def test_only_values_of_the_data_in_each_dtype():
    for dtype in [torch.float16, torch.bfloat16, torch.float32]:
        x = table(300).to(dtype) / 3

        sample = Copula().fit(x, seed=0).sample(500, seed=1)

        assert sample.dtype == dtype
        for j in (1, 2):
            assert set(sample[:, j].tolist()) <= set(x[:, j].tolist())
        assert x[:, 0].min() <= sample[:, 0].min() <= sample[:, 0].max() <= x[:, 0].max()


def test_files_without_a_copula(tmp_path):
    for change, message in [
        ({"lengths": lambda x: x + 1}, "lengths are not those of the margins"),
        ({"lengths": lambda x: x - x}, "lengths are not those of the margins"),
        ({"values": lambda x: -x}, "levels or values of a margin do not increase"),
        ({"lower": lambda x: 1 - x}, "levels or values of a margin do not increase"),
        ({"upper": lambda x: x / 2}, "levels or values of a margin do not increase"),
        ({"correlation": lambda x: 2 * x}, "not a correlation matrix"),
        ({"correlation": lambda x: x + torch.eye(5).roll(1, 0)}, "not a correlation matrix"),
        ({"correlation": lambda x: 2 * x - torch.eye(5) + 0.9 * (1 - torch.eye(5))}, "not positive semi-definite"),
    ]:
        copula = Copula().fit(table(200), seed=0)
        copula.state |= {name: function(copula.state[name]) for name, function in change.items()}
        copula.save(tmp_path / "copula")

        with pytest.raises(ValueError, match=rf"{tmp_path}/copula: .*{message}"):
            Copula().load(tmp_path / "copula")
