import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde, kstest, norm
from sklearn.datasets import load_digits

from cgm.generators import KDE

N, DRAWS = 40, 100_000


def points(d):
    x = np.random.default_rng(d).gamma(2.0, size=(N, d)) * 10.0 ** np.arange(d)  # skewed, in different units
    return torch.from_numpy(x)


@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_agrees_with_scipy_in_one_dimension(rule):
    x = points(1)
    density = gaussian_kde(x[:, 0].numpy(), bw_method=rule)

    sample = KDE(rule).fit(x, seed=0).sample(DRAWS, seed=1)[:, 0].numpy()
    grid = np.linspace(sample.min(), sample.max(), 2000)
    cdf = [density.integrate_box_1d(-np.inf, b) for b in grid]

    assert kstest(sample, lambda a: np.interp(a, grid, cdf)).pvalue > 0.01


@pytest.mark.parametrize(
    ("bandwidth", "h"),
    [
        ("scott", lambda d: N ** (-1 / (d + 4))),
        ("silverman", lambda d: (N * (d + 2) / 4) ** (-1 / (d + 4))),
        (0.7, lambda d: 0.7),
        (2, lambda d: 2.0),
    ],
)
@pytest.mark.parametrize("d", [1, 3])
def test_is_a_product_kernel_in_units_of_standard_deviations(bandwidth, h, d):
    x = points(d)
    s = x.std(0).numpy()

    sample = KDE(bandwidth).fit(x, seed=0).sample(DRAWS, seed=1).numpy()

    for j in range(d):
        centres, width = x[:, j].numpy(), h(d) * s[j]

        def cdf(a, centres=centres, width=width):
            grid = np.linspace(a.min(), a.max(), 2000)
            return np.interp(a, grid, norm.cdf((grid[:, None] - centres) / width).mean(1))

        assert kstest(sample[:, j], cdf).pvalue > 0.01

    # A mixture's covariance: that of the centres, and that of the kernel
    expected = np.cov(x.T.numpy(), bias=True).reshape(d, d) + h(d) ** 2 * np.diag(s**2)
    found = np.cov(sample.T).reshape(d, d)
    assert np.abs((found - expected) / np.outer(s, s)).max() < 0.02 * (1 + h(d) ** 2)


def test_constant_dimensions_stay_constant_and_count_for_nothing():
    x = points(2)
    constant = torch.full((N, 1), 0.1, dtype=torch.float64)
    wide = torch.cat([constant, x[:, :1], constant * 3, x[:, 1:]], 1)

    sample = KDE().fit(wide, seed=0).sample(1000, seed=1)

    assert (sample[:, 0] == constant[0, 0]).all()
    assert (sample[:, 2] == constant[0, 0] * 3).all()
    assert torch.equal(sample[:, [1, 3]], KDE().fit(x, seed=0).sample(1000, seed=1))


def test_digits():
    x = torch.from_numpy(load_digits().data)

    sample = KDE().fit(x, seed=0).sample(5000, seed=1)

    assert (x.std(0) == 0).sum() == 3
    assert ((sample.std(0) == 0) == (x.std(0) == 0)).all()
    assert ((sample.mean(0) - x.mean(0)).abs() <= 0.1 * x.std(0)).all()


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scale_does_not_matter(scale):
    x = points(1)

    sample = KDE().fit(x * scale, seed=0).sample(100, seed=1)

    torch.testing.assert_close(sample / scale, KDE().fit(x, seed=0).sample(100, seed=1))


def test_too_wide_a_spread():
    with pytest.raises(ValueError, match="dimension 1 spans more than a float64 can hold"):
        KDE().fit(torch.tensor([[0.0, -1.7e308], [1.0, 1.7e308]], dtype=torch.float64), seed=0).sample(1, seed=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype, tmp_path):
    kde = KDE().fit(points(2).to(dtype), seed=0)
    kde.save(tmp_path / "kde")

    assert kde.sample(3, seed=1).dtype == dtype
    assert torch.equal(KDE().load(tmp_path / "kde").sample(100, seed=1), kde.sample(100, seed=1))


def test_any_seed_from_zero():
    kde = KDE().fit(points(1), seed=0)

    assert not torch.equal(kde.sample(3, seed=2**63), kde.sample(3, seed=2**63 + 1))


@pytest.mark.parametrize("bandwidth", ["Scott", 0, -1.0, float("nan"), float("inf"), True, None, [0.1]])
def test_bad_bandwidth(bandwidth):
    with pytest.raises(
        ValueError, match=r"generator.bandwidth=.*: expected a number in \(0, inf\), or one of scott, silverman"
    ):
        KDE(bandwidth)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(4, 2), "points to fit KDE to: all 4 are equal, at least two must differ"),
        (torch.ones(1, 2), "points to fit KDE to: has 1 points, at least 2 are needed"),
        (torch.eye(2)[:, :, None], r"points to fit KDE to: expected shape \(N, d\), got \(2, 2, 1\)"),
    ],
)
def test_bad_points(x, message):
    with pytest.raises(ValueError, match=message):
        KDE().fit(x, seed=0)


@pytest.mark.parametrize("n", [0, -3, 2.0, "2", None])
def test_bad_size(n):
    with pytest.raises(ValueError, match=r"KDE.sample: n \(synthetic_size\)=.*: expected an integer >= 1"):
        KDE().fit(torch.eye(2), seed=0).sample(n, seed=0)
