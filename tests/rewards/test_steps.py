"""The compiled steps of weighted sampling, against plain numpy."""

import numpy as np
import pytest
from scipy.stats import chisquare

from cgm.rewards.steps import (
    BLOCK,
    RECENT,
    Pool,
    Sums,
    add_by_series,
    add_kernel_row,
    add_point,
    draw,
    make_pool,
    make_sums,
    order_by_blocks,
    series_orders,
    sum_at,
    update_all,
)


def make(
    g: np.ndarray, mean_a: np.ndarray, u: np.ndarray, m: int, rates: tuple[float, ...] = (1.0,)
) -> tuple[Pool, Sums]:
    pool = make_pool(g, mean_a, 1, mean_a, rates)
    return pool, make_sums(pool, u.copy(), m)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("size", [1, 256, 257, 1000])
def test_order_by_blocks(size: int, d: int) -> None:
    x = np.random.default_rng(0).standard_normal((size, d))
    order = order_by_blocks(x)
    assert sorted(order) == list(range(size))
    pool = make_pool(np.ascontiguousarray(x[order].T), np.zeros(size), 1, np.zeros(size), [1.0])
    for b in range(-(-size // BLOCK)):
        block = x[order[b * BLOCK : (b + 1) * BLOCK]]
        assert np.array_equal(pool.low[:, b], block.min(0))
        assert np.array_equal(pool.high[:, b], block.max(0))
    if size == 1000:  # the blocks are much smaller than blocks of points in any order
        starts = np.arange(0, size, BLOCK)
        random = np.maximum.reduceat(x, starts) - np.minimum.reduceat(x, starts)
        assert (pool.high - pool.low).prod(0).max() < 0.8 * random.prod(1).min()


@pytest.mark.parametrize("size", [1, 255, 600])
@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("rates", [(1.0,), (0.3,), (16.0, 0.25, 2.0)])
def test_points_and_rows_of_profiles(size: int, spread: float, rates: tuple[float, ...]) -> None:
    """Sums are those of plain rows, for points that are added one by one, more than `RECENT` of them."""

    rng = np.random.default_rng(0)
    g = spread * rng.standard_normal((3, size))
    g = np.ascontiguousarray(g[:, order_by_blocks(g.T)])
    mean_a, u = rng.random(size), 9 * rng.random(size)
    u[::3] = np.inf
    (pool, one), (_, other) = make(g, mean_a, u, 7, rates), make(g, mean_a, u, 7, rates)
    count = 0
    for step, x in enumerate(rng.integers(size, size=RECENT + 20)):
        m = 8 + step
        k = sum(np.exp(-rate * ((g - g[:, [x]]) ** 2).sum(0) / 2) for rate in rates)
        u += k
        count = add_point(x, pool, one, count, m)
        add_kernel_row(k, pool, other, m)
        assert count == (step + 1) % RECENT
        h = mean_a - u / m
        live = u < np.inf
        for b in range(-(-size // BLOCK)):
            block = slice(b * BLOCK, (b + 1) * BLOCK)
            if not live[block].any():
                assert (one.upper[b], one.lower[b]) == (other.upper[b], other.lower[b]) == (-np.inf, np.inf)
                continue
            high, low = h[block][live[block]].max(), h[block][live[block]].min()
            assert one.upper[b] >= high - 1e-12
            assert one.lower[b] <= low + 1e-12
            assert other.upper[b] == pytest.approx(high, abs=1e-12)
            assert other.lower[b] == pytest.approx(low, abs=1e-12)
        if step % 20 == 0:
            for y in range(0, size, 7):
                assert sum_at(y, pool, one, count) == pytest.approx(u[y], abs=1e-11)

    update_all(pool, one, count, m)
    for sums in (one, other):
        assert sums.u == pytest.approx(u, abs=1e-11)
    assert one.upper == pytest.approx(other.upper, abs=1e-12)
    assert one.lower == pytest.approx(other.lower, abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_series_are_exact_to_rounding(d: int) -> None:
    """Sums of the kernel near a centre, for points at all distances from it, also so far that powers are infinite."""

    rng = np.random.default_rng(d)
    y = rng.standard_normal((d, 40)) * np.repeat([0.1, 1.0, 3.0, 30.0, 1e150], 8)
    for width in (1e-3, 0.03, 0.1, 0.5):
        x = 5 + width * (rng.random((d, 256)) - 0.5)
        low, high = x.min(1)[:, None], x.max(1)[:, None]
        for rate, (orders,) in zip((0.25, 1.0, 7.0), series_orders(low, high, np.array([0.25, 1.0, 7.0])), strict=True):
            if orders == 0:
                assert width * np.sqrt(rate) > 0.05  # small blocks have a series
                continue
            u = np.ones(256)
            add_by_series(x, 5 + y, (low + high)[:, 0] / 2, rate, orders, u)
            k = np.exp(-rate * ((x[:, :, None] - 5 - y[:, None]) ** 2).sum(0) / 2)
            np.testing.assert_allclose(u, 1 + k.sum(1), rtol=0, atol=3e-14)


def test_large_boxes_and_many_dimensions_have_no_series() -> None:
    for d in (1, 2, 3, 4):
        low, high = np.zeros((d, 2)), np.repeat([[0.02, 50.0]], d, 0)
        orders = series_orders(low, high, np.ones(1))
        assert orders[0, 1] == 0
        assert (orders[0, 0] > 0) == (d <= 3)
    assert series_orders(low, high, np.empty(0)).shape == (0, 2)


def test_bounds_are_narrow() -> None:
    """A block far from all accepted points is not updated before `RECENT` points were accepted."""

    rng = np.random.default_rng(0)
    g = np.concatenate([rng.standard_normal((2, BLOCK)), 50 + rng.standard_normal((2, BLOCK))], 1)
    pool, sums = make(g, rng.random(2 * BLOCK), np.ones(2 * BLOCK), 1000)
    count = 0
    for x in range(RECENT - 1):
        count = add_point(x, pool, sums, count, 1001 + x)
    assert not sums.near[:count, 1].any()
    assert sums.near[:count, 0].all()
    assert sums.e_low[1] == pytest.approx(0)
    assert sums.e_high[1] == pytest.approx(0)
    assert 0 <= sums.upper[1] - sums.h_max[1] < 1e-4
    assert sums.e_high[0] > sums.e_low[0] > 0


def state(h: np.ndarray) -> tuple[Pool, Sums, int, int]:
    """Arrays for given values of h; -inf is a point that has been drawn."""

    u = np.where(h == -np.inf, np.inf, 0.0)
    mean_a = np.where(h == -np.inf, 0.0, h)
    return *make(np.zeros((1, len(h))), mean_a, u, 2), 0, 2


@pytest.mark.parametrize("beta", [0.0, 3.0, 700.0, 1e9, np.inf])
def test_draw_where_blocks_differ_much(beta: float) -> None:
    """One block has a single good point; in the last, smaller block all are good; some points have been drawn."""

    rng = np.random.default_rng(0)
    h = np.concatenate([0.1 * rng.random(2 * BLOCK), 1 - 1e-3 * rng.random(40)])
    h[17] = 1.0005
    h[[5, BLOCK, 2 * BLOCK + 3]] = -np.inf
    live = h > -np.inf
    p = np.zeros(len(h))
    p[live] = np.exp(np.minimum(beta, 1e300) * (h[live] - h.max()) / (h.max() - h[live].min()))
    p /= p.sum()
    stream, arrays = np.random.default_rng(1), state(h)
    counts = np.bincount([draw(stream, *arrays, beta, 1e-13) for _ in range(10_000)], minlength=len(h))
    assert counts[p == 0].sum() == 0
    rare = p < 5e-4
    counts, p = (np.append(x[~rare], x[rare].sum()) for x in (counts, p))
    assert len(counts[p > 0]) == 1 or chisquare(counts[p > 0], 10_000 * p[p > 0]).pvalue > 1e-3


def test_draw_from_values_that_are_not_finite() -> None:
    h = np.ones(9)
    for bad in (np.nan, -np.inf):
        assert draw(np.random.default_rng(0), *state(np.full(9, bad)), 1.0, 1e-13) == -1
    h[4] = np.nan
    assert draw(np.random.default_rng(0), *state(h), 1.0, 1e-13) == -1
