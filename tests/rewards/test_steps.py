"""The compiled steps of weighted sampling, against plain numpy."""

import numpy as np
import pytest
from scipy.stats import chisquare

from cgm.rewards.steps import BLOCK, add_kernel_row, add_squared_exponential, draw, half_exponential, squared_distances


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


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_squared_distances(d: int, shift: float) -> None:
    x, y = shift + np.random.default_rng(0).standard_normal((d, 300)), np.full(d, shift)
    assert squared_distances(x, y) == pytest.approx(((x - y[:, None]) ** 2).sum(0), rel=1e-13)


@pytest.mark.parametrize("size", [1, 255, 600])
def test_compiled_rows_and_rows_of_profiles(size: int) -> None:
    rng = np.random.default_rng(0)
    g, mean_a, u = rng.standard_normal((3, size)), rng.random(size), 9 * rng.random(size)
    u[::3] = np.inf
    blocks = -(-size // BLOCK)
    one, other = (u.copy(), *np.empty((2, blocks))), (u.copy(), *np.empty((2, blocks)))
    add_squared_exponential(g, g[:, 0].copy(), mean_a, one[0], 7, one[1], one[2])
    k = np.exp(-((g - g[:, :1]) ** 2).sum(0) / 2)
    add_kernel_row(k, mean_a, other[0], 7, other[1], other[2])
    h = mean_a - (u + k) / 7
    for sums in (one, other):
        assert sums[0] == pytest.approx(u + k, rel=1e-14)
        for b in range(blocks):
            block = slice(b * BLOCK, (b + 1) * BLOCK)
            live = u[block] < np.inf
            assert sums[1][b] == pytest.approx(h[block].max(), rel=1e-13)
            assert sums[2][b] == pytest.approx(h[block][live].min() if live.any() else np.inf, rel=1e-13)


def state(h: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, np.ndarray, np.ndarray]:
    """Arrays for given values of h; -inf is a point that has been drawn."""

    u = np.where(h == -np.inf, np.inf, 0.0)
    mean_a = np.where(h == -np.inf, 0.0, h)
    block_max, block_min = np.empty((2, -(-len(h) // BLOCK)))
    add_kernel_row(np.zeros(len(h)), mean_a, u, 2, block_max, block_min)
    return mean_a, u, 2, block_max, block_min


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
