import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import gamma, kstest

from cgm.generators.columns import Margin, is_discrete

LEVELS = (np.arange(100_000) + 0.5) / 100_000


def continuous(n=500, seed=0):
    return np.random.default_rng(seed).gamma(2.0, size=n)


def test_a_continuous_column_is_interpolated():
    x = np.array([4.0, 1.0, 2.0, 8.0])

    margin = Margin.of(x, 10)

    assert margin.values.tolist() == [1, 2, 4, 8]
    assert margin.lower.tolist() == margin.upper.tolist() == [0, 0.375, 0.625, 1]
    levels = np.array([0.0, 0.1875, 0.375, 0.5, 0.625, 0.8125, 1.0])
    assert margin.quantile(levels).tolist() == [1, 1.5, 2, 3, 4, 6, 8]


def test_a_discrete_column_has_the_shares_of_the_data():
    x = np.repeat([0.0, 1.0, 5.0, 7.5], [700, 200, 1, 99])  # one value occurs once

    margin = Margin.of(x, 10)
    values, counts = np.unique(margin.quantile(LEVELS), return_counts=True)

    assert values.tolist() == [0, 1, 5, 7.5]
    assert counts.tolist() == [70_000, 20_000, 100, 9900]


def test_a_column_with_atoms_and_continuous_parts():
    x = np.concatenate([np.zeros(600), np.full(100, 2.5), 1 + continuous(300)])
    below = (x[x > 0] < 2.5).sum()

    q = Margin.of(x, 10_000).quantile(LEVELS)

    assert (q == 0).mean() == pytest.approx(0.6, abs=1e-5)
    assert (q == 2.5).mean() == pytest.approx(0.1, abs=1e-5)
    # half of the share 1 / N of each value next to an atom is spread over the gap between the two
    assert ((q > 0) & (q < 2.5)).mean() == pytest.approx(below / 1000, abs=1e-5)
    rest = np.sort(x)[700 + below :]
    np.testing.assert_allclose(np.quantile(q, 1 - 150 / 1000), np.quantile(x, 1 - 150.5 / 1000), rtol=0.02)
    assert q.max() == pytest.approx(rest[-1], rel=0.01)


def test_the_margin_of_a_sample_is_close_to_that_of_the_population():
    q = Margin.of(continuous(20_000), 10_000).quantile(np.random.default_rng(1).uniform(size=20_000))

    # the distance of two samples: 1.95 sqrt(2 / n) is exceeded with probability 0.001
    assert kstest(q, gamma(2.0).cdf).statistic < 1.95 * np.sqrt(2 / 20_000)


def test_few_values_are_kept_of_many():
    x = continuous(5000)
    margin, full = Margin.of(x, 100), Margin.of(x, 10_000)
    assert len(margin.values) == 100
    assert set(margin.values) <= set(full.values)
    assert (margin.values[0], margin.values[-1]) == (x.min(), x.max())
    np.testing.assert_allclose(
        np.interp(margin.lower, full.lower, full.values), margin.values, rtol=1e-12
    )  # exact there

    x = np.concatenate([np.repeat(np.arange(1000.0), 2), np.full(2000, 300.0)])  # one frequent value
    q = Margin.of(x, 50).quantile(LEVELS)
    assert len(np.unique(q)) <= 50
    assert set(q) <= set(x)
    assert (q == 300).mean() == pytest.approx(0.5, abs=1 / 50)
    assert q.mean() == pytest.approx(x.mean(), rel=0.02)


def test_which_columns_are_discrete():
    for x, expected in [
        ([1.0, 1.0], True),
        ([0.0, 0.0, 1.0, 7.0, 9.0], True),  # integers
        ([0.0, 1.0, 7.0, 9.0], False),  # integers that all differ: as good as continuous
        ([0.5, 0.5, 1.5, 1.5, 2.5, 2.5, 9.5], True),
        ([0.0, 0.0, 0.0, 0.1, 0.2, 0.3], False),
    ]:
        assert is_discrete(*np.unique(x, return_counts=True)) is expected


numbers = st.integers(-4, 4).map(float) | st.floats(-1e300, 1e300)


@given(arrays(float, st.integers(2, 40), elements=numbers), st.integers(2, 50))
def test_quantiles_increase_within_the_range(x, size):
    margin = Margin.of(x, size)
    q = margin.quantile(np.linspace(0, 1, 301))

    levels = np.stack([margin.lower, margin.upper], 1).ravel()
    assert (levels[0], levels[-1]) == (0, 1)
    assert (np.diff(levels) >= 0).all()
    assert len(margin.values) <= size
    assert (q[0], q[-1]) == (x.min(), x.max())
    assert (np.diff(q) >= 0).all() or np.ptp(x) > 1e299  # up to rounding
    values, counts = np.unique(x, return_counts=True)
    if is_discrete(values, counts):
        assert set(q) <= set(x)
        if len(values) <= size:
            np.testing.assert_allclose(margin.upper - margin.lower, counts / len(x), atol=1e-15)
