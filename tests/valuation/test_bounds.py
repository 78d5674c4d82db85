"""The bounds of Proposition 4 and Theorem 1, over all subsets of small sets."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cgm.valuation.bounds import kernel_bounds, monotone_bound, nonnegative_bound
from cgm.valuation.kernels import Kernel, RationalQuadratic, SquaredExponential
from tests.valuation.common import KERNELS, draw, plain_value, valued


def fit(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Bisect for the end of a range of length-scales, with holds(high) and not holds(low)."""

    assert holds(high)
    for _ in range(25):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), t=st.integers(6, 11), s=st.integers(1, 5))
def test_proposition_4(seed: int, t: int, s: int) -> None:
    """With the smallest length-scale whose γ satisfies the bound (7), no S of this size has a negative value."""

    assume(2 * s < t)
    x = draw(seed, t)

    q = ((x[:, None] - x[None]) ** 2).sum(-1).numpy()[~np.eye(t, dtype=bool)]

    def holds(lengthscale: float) -> bool:
        k = np.exp(-q / (2 * lengthscale**2))
        return k.min() >= nonnegative_bound(s, t, k.max())

    valuation = valued(SquaredExponential(fit(holds, 1e-2, 1e4)), x)
    assert valuation.gamma == pytest.approx(nonnegative_bound(s, t, valuation.eta), abs=1e-3)
    k = valuation.kernel(x, x).numpy()
    for members in itertools.combinations(range(t), s):
        assert plain_value(k, list(members)) >= -1e-12


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), t=st.integers(6, 11), s=st.integers(1, 10), scale=st.floats(1, 3))
def test_theorem_1(seed: int, t: int, s: int, scale: float) -> None:
    """With the largest length-scale whose η satisfies the bound (8), no additional point lowers the value of S."""

    assume(s < t)
    x = draw(seed, t)

    q = ((x[:, None] - x[None]) ** 2).sum(-1).numpy()[~np.eye(t, dtype=bool)]

    def holds(inverse: float) -> bool:
        return np.exp(-q / 2 * inverse**2).max() <= monotone_bound(s, t)

    valuation = valued(SquaredExponential(1 / (scale * fit(holds, 1e-3, 1e5))), x)
    k = valuation.kernel(x, x).numpy()
    for members in itertools.combinations(range(t), s):
        value = plain_value(k, list(members))
        for more in set(range(t)) - set(members):
            assert plain_value(k, [*members, more]) >= value - 1e-12


def quadratic_form(s: int, t: int) -> np.ndarray:
    """The weights of K's components in v(S), S being the first s of t points."""

    weights = np.zeros((t, t))
    weights[:s] += 1 / (s * t)
    weights[:, :s] += 1 / (s * t)
    weights[:s, :s] -= 1 / s**2
    return weights


def test_nonnegative_bound_is_sharp() -> None:
    """v is linear in K, so that the worst K with components in [γ, η] is known; for γ by (7) its v is zero."""

    for t, diagonal in itertools.product((4, 7, 10, 25), (1.0, 3.0)):
        for s in range(1, math.ceil(t / 2)):
            eta = 0.9 * diagonal / (s + 1)
            gamma = nonnegative_bound(s, t, eta, diagonal)
            weights = quadratic_form(s, t)
            worst = np.where(weights > 0, gamma, eta)
            np.fill_diagonal(worst, diagonal)
            assert (weights * worst).sum() == pytest.approx(0, abs=1e-14)


def test_nonnegative_bound_of_large_sets() -> None:
    """From half of T on, the value is non-negative for any kernel with non-negative values."""

    for t in (6, 9):
        for s in range(math.ceil(t / 2), t):
            assert nonnegative_bound(s, t, eta=0.5) <= 0
            weights = quadratic_form(s, t)
            assert weights.min() >= -1e-16


def test_monotone_bound_makes_the_worst_kernel_monotone() -> None:
    """The gain of a point is linear in K: the worst K with components in [0, η] has η where the weight is negative."""

    def smallest_gain(s: int, t: int, eta: float, diagonal: float) -> float:
        gain = quadratic_form(s + 1, t) - quadratic_form(s, t)
        worst = np.where(gain < 0, eta, 0.0)
        np.fill_diagonal(worst, diagonal)
        return float((gain * worst).sum())

    for t, diagonal in itertools.product((3, 4, 7, 10, 25), (1.0, 3.0)):
        for s in range(1, t):
            assert smallest_gain(s, t, monotone_bound(s, t, diagonal), diagonal) >= 0
        eta = 1.7 * monotone_bound(1, t, diagonal)  # the bound is not sharp, but nearly
        assert smallest_gain(1, t, eta, diagonal) < 0


def test_proposition_5() -> None:
    """For s < t / 2 - 1 no kernel satisfies both bounds."""

    for t, diagonal in itertools.product((5, 6, 7, 20, 101), (1.0, 2.5)):
        for s in range(1, math.ceil(t / 2 - 1)):
            eta = monotone_bound(s, t, diagonal)
            assert nonnegative_bound(s, t, eta, diagonal) > eta


def test_bounds_take_arrays() -> None:
    s = np.arange(1, 9)
    lower, upper = nonnegative_bound(s, 10, 0.3, 2.0), monotone_bound(s, 10, 2.0)
    for i in range(8):
        assert lower[i] == nonnegative_bound(i + 1, 10, 0.3, 2.0)
        assert upper[i] == monotone_bound(i + 1, 10, 2.0)
    assert monotone_bound(1, 10) == pytest.approx(10 / (2 * (8 + 10)))
    assert nonnegative_bound(1, 10, 0.3) == pytest.approx(8 / 18)


# --- for which set sizes the bounds hold


def sizes_in(ranges: list[list[int]]) -> list[int]:
    assert all(a <= b for a, b in ranges)
    assert all(b + 1 < c for (_, b), (c, _) in itertools.pairwise(ranges))  # separate, in ascending order
    return [s for a, b in ranges for s in range(a, b + 1)]


@pytest.mark.parametrize("lengthscale", [0.05, 0.2, 0.5, 1.0, 1.7, 2.5, 4.0, 20.0, 300.0])
def test_kernel_bounds(lengthscale: float) -> None:
    for kernel, _ in KERNELS.values():
        assert_kernel_bounds(kernel.with_lengthscale(lengthscale))


def assert_kernel_bounds(kernel: Kernel) -> None:
    x = draw(3, 30)
    bounds = kernel_bounds(valued(kernel, x))
    k = kernel(x, x).numpy()
    off_diagonal = k[~np.eye(30, dtype=bool)]
    gamma, eta, top, t = off_diagonal.min(), off_diagonal.max(), kernel.diagonal, 30

    assert bounds.min == pytest.approx(gamma, rel=1e-10)
    assert bounds.max == pytest.approx(eta, rel=1e-10)
    expected = [s for s in range(1, t) if gamma >= (t - 2 * s) * (top + (s - 1) * eta) / (2 * s * (t - s))]
    assert sizes_in(bounds.nonnegative) == expected
    assert sizes_in(bounds.monotone) == [s for s in range(1, t) if eta <= t * top / ((s + 1) * (s * (t - 2) + t))]
    assert all(isinstance(end, int) for ends in bounds.nonnegative + bounds.monotone for end in ends)
    assert set(range(15, 30)) <= set(sizes_in(bounds.nonnegative))  # s >= t / 2: always


def test_kernel_bounds_at_their_ends() -> None:
    t, x = 30, draw(3, 30)
    assert kernel_bounds(valued(SquaredExponential(1e4), x)).nonnegative == [[1, t - 1]]
    assert kernel_bounds(valued(SquaredExponential(1e4), x)).monotone == []
    assert kernel_bounds(valued(SquaredExponential(1e-4), x)).monotone == [[1, t - 1]]
    assert kernel_bounds(valued(SquaredExponential(1e-4), x)).nonnegative == [[t // 2, t - 1]]
    middle = kernel_bounds(valued(RationalQuadratic(1.5, alpha=0.25), x)).nonnegative
    assert middle not in ([[1, t - 1]], [[t // 2, t - 1]])  # the bound holds for some small sets only


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), lengthscale=st.sampled_from([0.02, 0.1, 0.4, 1.0, 2.0, 5.0]))
def test_kernel_bounds_guarantee_their_properties(seed: int, lengthscale: float) -> None:
    """For each listed size, over all subsets of T of this size."""

    t, x = 8, draw(seed, 8)
    valuation = valued(SquaredExponential(lengthscale), x)
    bounds = kernel_bounds(valuation)
    k = valuation.kernel(x, x).numpy()
    values = {s: plain_value(k, list(s)) for size in range(1, t + 1) for s in itertools.combinations(range(t), size)}
    for s, value in values.items():
        if len(s) in sizes_in(bounds.nonnegative):
            assert value >= -1e-12
        if len(s) in sizes_in(bounds.monotone):
            more = [values[tuple(sorted({*s, x}))] for x in set(range(t)) - set(s)]
            assert min(more) >= value - 1e-12
