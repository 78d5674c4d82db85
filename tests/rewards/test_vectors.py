"""Elementary compiled operations, against plain numpy."""

import numpy as np
import pytest

from cgm.rewards.steps import (
    add_box_distances,
    argmax,
    argmin,
    half_exponential,
    live_extremes,
    squared_distances,
    sum_of_exponentials,
)


def test_half_exponential() -> None:
    q = np.concatenate([[0.0, 1e-300, 5e-324], np.logspace(-20, 3, 50_001), np.linspace(0, 1410, 50_001)])
    e = q.copy()
    half_exponential(e)
    exact = np.exp(-q.astype(np.longdouble) / 2)
    assert np.abs(e / exact - 1).max() < 1e-15
    assert e[0] == 1

    far = np.array([1420.0, 1e6, 1e300, np.inf])
    half_exponential(far)
    assert np.all((far >= 0) & (far < 4e-308))


@pytest.mark.parametrize("rates", [[1.0], [0.2], [16.0, 4.0, 1.0, 0.25]])
def test_sum_of_exponentials(rates: list[float]) -> None:
    q = np.linspace(0, 60, 777)
    e = q.copy()
    sum_of_exponentials(e, np.array(rates))
    assert e == pytest.approx(np.exp(-np.outer(q, rates) / 2).sum(1), rel=1e-14)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_squared_distances(d: int, shift: float) -> None:
    x, y = shift + np.random.default_rng(0).standard_normal((d, 300)), np.full(d, shift)
    assert squared_distances(x, y) == pytest.approx(((x - y[:, None]) ** 2).sum(0), rel=1e-13)


def test_box_distances() -> None:
    """The distances are those of the nearest and the farthest of many points in each box."""

    rng = np.random.default_rng(0)
    low, high, y = rng.random((2, 9)), 1 + rng.random((2, 9)), 2 * rng.standard_normal(2)
    near, far = np.zeros(9), np.zeros(9)
    for j in range(2):
        add_box_distances(y[j], low[j], high[j], near, far)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 201)] * 2)).reshape(2, 1, -1)
    points = low[:, :, None] + (high - low)[:, :, None] * grid  # (2, 9, N), corners included
    distances = ((points - y[:, None, None]) ** 2).sum(0)
    assert far == pytest.approx(distances.max(1))
    assert np.all(near <= distances.min(1) + 1e-12)
    assert near == pytest.approx(distances.min(1), abs=0.02)


def test_extremes_of_live_points() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 7, 256):
        values, u = rng.standard_normal(size), rng.random(size)
        assert live_extremes(values, u) == (values.max(), values.min())
        u[::2] = np.inf
        live = u < np.inf
        expected = (values[live].max(), values[live].min()) if live.any() else (-np.inf, np.inf)
        assert live_extremes(values, u) == expected


def test_first_largest_and_smallest() -> None:
    values = np.array([1.0, 3.0, -2.0, 3.0, -2.0, -np.inf, np.inf])
    assert (argmax(values), argmin(values)) == (6, 5)
    assert (argmax(values[:5]), argmin(values[:5])) == (1, 2)
