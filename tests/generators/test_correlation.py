from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.polynomial import polyval
from scipy.optimize import minimize
from scipy.special import ndtri
from scipy.stats import multivariate_normal, norm

from cgm.generators.copula import latent_correlation, mehler_series, nearest_correlation, normal_scores

KINDS = {
    "continuous": np.exp,
    "rare": lambda z: z > norm.ppf(0.95),
    "even": lambda z: z > 0,
    "ordinal": lambda z: np.digitize(z, [-1.0, 0.2, 0.7, 2.0]),
    "zeros": lambda z: np.where(z > 0.5, z - 0.5, 0),
}


def series_of(x, y):
    (g, a), (h, b) = normal_scores(x), normal_scores(y)
    s, t = np.sqrt((g**2).mean()), np.sqrt((h**2).mean())
    ends = [(np.sort(g) * part).mean() / (s * t) for part in (np.sort(h), np.sort(h)[::-1])]
    return mehler_series((a * b / (s * t))[:, None], *(np.array([end]) for end in ends))[:, 0]


def test_scores_are_means_of_the_latent_gaussian():
    x = np.repeat([3.0, -1.0, 8.0], [30, 50, 20])
    scores, coefficients = normal_scores(x)

    for value, low, high in ((-1, 0.0, 0.5), (3, 0.5, 0.8), (8, 0.8, 1.0)):
        levels = low + (high - low) * (np.arange(400_000) + 0.5) / 400_000  # the average over uniform jitter
        np.testing.assert_allclose(scores[x == value], ndtri(levels).mean(), atol=1e-4)
    assert scores.mean() == pytest.approx(0, abs=1e-14)
    assert coefficients[0] == pytest.approx((scores**2).mean(), rel=1e-12)  # E g(Z) Z = E g(Z)²

    # Hermite coefficients by a slow integral: h_2(z) = (z² - 1) / sqrt 2, h_3(z) = (z³ - 3 z) / sqrt 6
    z = ndtri((np.arange(400_000) + 0.5) / 400_000)
    g = np.select([z < ndtri(0.5), z < ndtri(0.8)], [scores[x == -1][0], scores[x == 3][0]], scores[x == 8][0])
    assert coefficients[1] == pytest.approx((g * (z**2 - 1)).mean() / np.sqrt(2), abs=1e-4)
    assert coefficients[2] == pytest.approx((g * (z**3 - 3 * z)).mean() / np.sqrt(6), abs=1e-4)


def test_the_series_is_that_of_the_bivariate_gaussian():
    for p, q in [(0.5, 0.5), (0.1, 0.3), (0.3, 0.9), (0.01, 0.02)]:
        for rho in [-0.95, -0.5, 0.3, 0.8, 0.95, 0.99]:
            x, y = (np.arange(10_000) >= 10_000 * share for share in (p, q))
            joint = multivariate_normal.cdf([ndtri(p), ndtri(q)], cov=[[1, rho], [rho, 1]])

            expected = (joint - p * q) / np.sqrt(p * (1 - p) * q * (1 - q))  # of two binary columns

            assert polyval(rho, series_of(x, y)) == pytest.approx(expected, abs=2e-5 if abs(rho) < 0.99 else 4e-3)


def test_two_continuous_columns_have_the_correlation_of_their_normal_scores():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 2)) @ [[1.0, 0.6], [0.0, 0.8]]
    scores = ndtri((x.argsort(0).argsort(0) + 0.5) / len(x))

    assert latent_correlation(np.exp(x))[0, 1] == pytest.approx(np.corrcoef(scores.T)[0, 1], abs=2e-3)


def test_latent_correlations_are_found():
    """The mean error over some data sets is within its standard error: discrete columns cause no bias."""

    for first, second in [*combinations_with_replacement(KINDS, 2)]:
        rng, n, sets = np.random.default_rng(0), 1000, 12
        for rho in (-0.4, 0.2, 0.7):
            found = []
            for _ in range(sets):
                z = rng.normal(size=(n, 2)) @ [[1.0, rho], [0.0, np.sqrt(1 - rho**2)]]
                x = np.stack([KINDS[first](z[:, 0]), KINDS[second](z[:, 1])], 1).astype(float)
                found.append(latent_correlation(x)[0, 1])
            error = np.std(found, ddof=1) / np.sqrt(sets)
            # the prior counts where the sample hardly says whether the correlation is large or very large
            bias = 0.04 if "rare" in (first, second) else 3e-3
            assert abs(np.mean(found) - rho) < 3.5 * error + bias


def test_copies_and_opposites():
    x = np.random.default_rng(0).normal(size=1000)
    table = np.stack([x, x**3, -x, x > 0, x <= 0, np.full(1000, 7.0)], 1)

    r = latent_correlation(table)

    np.testing.assert_allclose(r[0, :3], [1, 1, -1], atol=2e-3)
    assert r[3, 4] < -0.99
    assert (r[5, :5] == 0).all()
    assert (np.diag(r) == 1).all()


def test_rare_values_that_never_meet_say_little():
    x = np.zeros((1000, 2))
    x[0, 0] = x[1, 1] = 1

    assert abs(latent_correlation(x)[0, 1]) < 0.05


@given(st.integers(2, 6), st.integers(0, 1000))
def test_the_nearest_correlation_matrix(d, seed):
    rng = np.random.default_rng(seed)
    a = np.clip(rng.normal(size=(d, d)), -1, 1)
    a = np.triu(a, 1) + np.triu(a, 1).T + np.eye(d)

    x = nearest_correlation(a)

    assert (np.diag(x) == 1).all()
    assert np.array_equal(x, x.T)
    assert np.linalg.eigvalsh(x)[0] > -1e-7
    for _ in range(20):  # no correlation matrix is closer
        b = rng.normal(size=(d, d))
        b = b @ b.T
        b /= np.sqrt(np.outer(np.diag(b), np.diag(b)))
        step = x + 0.01 * (b - x)  # the set is convex
        assert np.linalg.norm(step - a) > np.linalg.norm(x - a) - 1e-6


def test_the_nearest_matrix_is_that_of_an_optimizer():
    a = np.array([[1, 0.9, -0.7], [0.9, 1, 0.8], [-0.7, 0.8, 1]])

    def distance(w):
        v = w.reshape(3, 3) / np.linalg.norm(w.reshape(3, 3), axis=1)[:, None]
        return ((v @ v.T - a) ** 2).sum()

    best = min(minimize(distance, np.random.default_rng(k).normal(size=9)).fun for k in range(5))
    assert ((nearest_correlation(a) - a) ** 2).sum() == pytest.approx(best, rel=1e-5)
    valid = np.array([[1.0, 0.3], [0.3, 1.0]])
    np.testing.assert_allclose(nearest_correlation(valid), valid, atol=1e-12)
