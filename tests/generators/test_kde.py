import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde, kstest, multivariate_normal, norm
from sklearn.datasets import load_digits

from cgm.generators import KDE, check_generator
from cgm.generators.kde import leave_one_out
from cgm.utils.run import limited

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


def test_dtypes(tmp_path):
    for dtype in [torch.float16, torch.bfloat16, torch.float32, torch.float64]:
        kde = KDE().fit(points(2).to(dtype), seed=0)
        kde.save(tmp_path / "kde")

        assert kde.sample(3, seed=1).dtype == dtype
        assert torch.equal(KDE().load(tmp_path / "kde").sample(100, seed=1), kde.sample(100, seed=1))


def test_any_seed_from_zero():
    kde = KDE().fit(points(1), seed=0)

    assert not torch.equal(kde.sample(3, seed=2**63), kde.sample(3, seed=2**63 + 1))


def test_bad_points():
    for x, message in [
        (torch.ones(4, 2), "points to fit KDE to: all 4 are equal, at least two must differ"),
        (torch.ones(1, 2), "points to fit KDE to: has 1 points, at least 2 are needed"),
        (torch.eye(2)[:, :, None], r"points to fit KDE to: expected shape \(N, d\), got \(2, 2, 1\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            KDE().fit(x, seed=0)


def test_bad_size():
    for n in [0, -3, 2.0, "2", None]:
        with pytest.raises(ValueError, match=r"KDE.sample: n \(synthetic_size\)=.*: expected an integer >= 1"):
            KDE().fit(torch.eye(2), seed=0).sample(n, seed=0)


def test_adaptive_widths_are_shares_of_distances_to_distinct_neighbours():
    x = points(2)
    x = torch.cat([x, x[:7]])  # copies are no neighbours of each other
    z = (x / x.std(0)).numpy()
    k = 4
    fitted = KDE("adaptive", neighbours=k, share=0.3).fit(x, seed=0)
    distances = np.linalg.norm(z[:, None] - z[None, :N], axis=2)  # to the distinct points
    expected = 0.3 * np.sort(distances, axis=1)[:, k]  # column 0 is the point itself or its copy
    np.testing.assert_allclose(fitted.state["widths"].numpy(), expected, rtol=1e-12)

    sample = fitted.sample(DRAWS, seed=1).numpy()
    for j in range(2):
        grid = np.linspace(sample[:, j].min(), sample[:, j].max(), 2000)
        widths = expected * x.std(0).numpy()[j]
        cdf = norm.cdf((grid[:, None] - x[:, j].numpy()) / widths).mean(1)
        assert kstest(sample[:, j], lambda a, grid=grid, cdf=cdf: np.interp(a, grid, cdf)).pvalue > 0.01


@pytest.mark.processor
def test_the_number_of_threads_changes_no_width():
    x, widths = torch.randn(1500, 20, generator=torch.Generator().manual_seed(0)), []
    for threads in (1, 2):
        with limited(threads):
            widths.append(KDE("adaptive").fit(x, seed=0).state["widths"])
    assert torch.equal(*widths)


def test_adaptive_widths_with_few_distinct_points():
    fitted = KDE("adaptive", neighbours=5).fit(torch.tensor([[0.0], [0.0], [2.0]]), seed=0)
    torch.testing.assert_close(fitted.state["widths"], torch.full((3,), 0.5 * 3**0.5, dtype=torch.float64))


def test_leave_one_out_likelihood_is_that_of_scipy():
    x = points(3).numpy()
    z = (x - x.mean(0)) / x.std(0)
    h = np.array([0.2, 0.7])
    found = leave_one_out(z, h, seed=0)
    for k in range(2):
        for i in (0, 11, 39):
            others = np.delete(z, i, axis=0)
            density = multivariate_normal(cov=h[k] ** 2 * np.eye(3)).pdf(z[i] - others).mean()
            assert found[k, i] == pytest.approx(np.log(density), rel=1e-10)
    assert leave_one_out(z, h, seed=0, max_points=10).shape == (2, 10)


def test_cross_validation_finds_the_width_of_clusters_despite_outliers():
    rng = np.random.default_rng(0)
    centres = rng.uniform(-50, 50, size=(40, 2))
    x = centres[rng.integers(40, size=2000)] + rng.normal(size=(2000, 2))
    x[:10] = 1000 * rng.normal(size=(10, 2))  # without these, about 0.3 units of 30 are best; they inflate the units
    x = torch.from_numpy(x)
    fitted = KDE("cv").fit(x, seed=0)
    width = float(fitted.state["widths"][0]) * x.std(0).mean()
    assert (fitted.state["widths"] == fitted.state["widths"][0]).all()
    assert 0.3 < width < 3.0
    scott = float(KDE("scott").fit(x, seed=0).state["widths"][0]) * x.std(0).mean()
    assert scott > 15
    assert torch.equal(KDE("cv").fit(x, seed=0).state["widths"], fitted.state["widths"])


@pytest.mark.parametrize("bandwidth", ["cv", "adaptive"])
def test_other_rules_keep_the_contract(bandwidth):
    check_generator(KDE(bandwidth), points(2))


@pytest.mark.parametrize("bandwidth", [0.3, "scott", "adaptive"])
def test_density_is_that_of_a_mixture_of_gaussians(bandwidth):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(60, 2, generator=random, dtype=torch.float64) * torch.tensor([1.0, 20.0])
    new = torch.randn(250, 2, generator=random, dtype=torch.float64) * torch.tensor([1.0, 20.0])
    kde = KDE(bandwidth).fit(x, seed=0)

    variances = x.var(0).numpy()
    densities = [
        multivariate_normal(point, np.diag(variances * float(h) ** 2)).pdf(new.numpy())
        for point, h in zip(x.numpy(), kde.state["widths"], strict=True)
    ]
    np.testing.assert_allclose(kde.log_density(new).numpy(), np.log(np.mean(densities, 0)), rtol=1e-9)


def test_density_leaves_out_constant_dimensions():
    x = torch.randn(30, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    constant = torch.cat([x, torch.full_like(x, 7.0)], 1)

    torch.testing.assert_close(KDE(0.2).fit(constant, 0).log_density(constant), KDE(0.2).fit(x, 0).log_density(x))
    with pytest.raises(ValueError, match="points: has 1 columns where 2 are expected"):
        KDE(0.2).fit(constant, 0).log_density(x)
    with pytest.raises(ValueError, match="is not fitted"):
        KDE(0.2).log_density(x)
