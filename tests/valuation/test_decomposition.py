"""Proposition 1 and Corollary 1, against sums over the full kernel matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgm.valuation.decomposition import decompose, value_bounds
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.references import LeaveOneOutReference, PoolReference, RealReference
from cgm.valuation.valuation import Valuation
from tests.valuation.common import KERNELS, draw, matrix, normal, off_diagonal, plain_value, valued


def subset(seed: int, t: int, s: int) -> list[int]:
    return np.random.default_rng(seed).permutation(t)[:s].tolist()


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("size", [2, 9, 33])
def test_parts_one_by_one(name: str, size: int) -> None:
    """The three terms of equation (3), each by loops over pairs of points."""

    kernel, x = KERNELS[name][0], draw(3, 33)
    k, t, s = matrix(name, x, x), 33, subset(1, 33, size)
    within = [k[i, j] for i in s for j in s if i != j]
    across = [k[i, j] for i in s for j in range(t)]
    everywhere = [k[i, j] for i in range(t) for j in range(t) if i != j]
    sigma = np.mean([k[i, j] for i in s for j in s])

    parts = decompose(valued(kernel, x), x[s])
    assert parts.quantity == pytest.approx((sigma - k[0, 0]) / (size - 1), rel=1e-12)
    mmd2 = np.mean(within) - 2 * np.mean(across) + np.mean(everywhere)
    assert parts.closeness == pytest.approx(-mmd2, rel=1e-10, abs=1e-13)
    assert parts.constant == pytest.approx(np.mean(everywhere), rel=1e-12)
    assert parts.value == pytest.approx(plain_value(k, s), rel=1e-11)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), t=st.integers(6, 40), share=st.floats(0, 1), key=st.sampled_from(list(KERNELS)))
def test_proposition_1(seed: int, t: int, share: float, key: str) -> None:
    """v(S) = (σ_S - k*) / (s - 1) - MMD_u²(S, T) + c, with the same c for every S."""

    kernel, x = KERNELS[key][0], draw(seed, t)
    valuation = valued(kernel, x)
    s = subset(seed, t, 2 + round(share * (t - 2)))
    parts = decompose(valuation, x[s])
    assert parts.value == pytest.approx(plain_value(matrix(key, x, x), s), rel=1e-10, abs=1e-12)
    assert parts.quantity <= 0
    assert parts.constant == decompose(valuation, x[:2]).constant


def test_proposition_1_of_points_outside_and_of_other_references() -> None:
    """It needs neither that S is a part of T nor that T is all data."""

    x = draw(0, 30)
    outside = normal(7, 2, seed=5) + 0.3
    blocks = {"all": range(30), "pool": range(9, 30), "real": range(9)}
    references = {"all": None, "pool": PoolReference(), "real": RealReference()}
    for name, rows in blocks.items():
        valuation = Valuation(SquaredExponential(0.7), [x[:4], x[4:9]], x[9:], reference=references[name])
        for s in (outside, x[3:8], x):
            k = matrix("squared_exponential", s, x[list(rows)])
            expected = 2 * k.mean() - matrix("squared_exponential", s, s).mean()
            parts = decompose(valuation, s)
            assert parts.value == pytest.approx(expected, rel=1e-11)
            assert parts.value == pytest.approx(valuation.value(s), rel=1e-11)
            reference = matrix("squared_exponential", x[list(rows)], x[list(rows)])
            assert parts.constant == pytest.approx(off_diagonal(reference).mean(), rel=1e-12)
    game = Valuation(SquaredExponential(0.7), [x[:4], x[4:9]], x[9:], reference=LeaveOneOutReference())
    first = game.contribution_games()[0]
    assert decompose(first, x[:4]).value == pytest.approx(first.value(x[:4]), rel=1e-11)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    t=st.integers(6, 40),
    share=st.floats(0, 1),
    key=st.sampled_from(list(KERNELS)),
    copies=st.booleans(),
)
def test_corollary_1(seed: int, t: int, share: float, key: str, copies: bool) -> None:
    """v(S) is between its bounds, which are those of the smallest and the largest kernel value."""

    kernel, x = KERNELS[key][0], draw(seed, t, copies=copies)
    valuation = valued(kernel, x)
    k = matrix(key, x, x)
    s = subset(seed, t, 2 + round(share * (t - 2)))
    within = k[np.ix_(s, s)]
    mmd2 = off_diagonal(within).mean() - 2 * k[s].mean() + off_diagonal(k).mean()
    expected = [
        (extreme - k[0, 0]) / len(s) - mmd2 + off_diagonal(k).mean()
        for extreme in (off_diagonal(k).min(), off_diagonal(k).max())
    ]
    low, high = value_bounds(valuation, x[s])
    assert [low, high] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert low - 1e-12 <= plain_value(k, s) <= high + 1e-12
    closest = [int(i) for i in np.unravel_index(np.argmax(k - np.diag([np.inf] * t)), k.shape)]
    farthest = [int(i) for i in np.unravel_index(np.argmin(k), k.shape)]  # bounds of pairs are attained
    assert value_bounds(valuation, x[closest])[1] == pytest.approx(plain_value(k, closest), rel=1e-10, abs=1e-12)
    assert value_bounds(valuation, x[farthest])[0] == pytest.approx(plain_value(k, farthest), rel=1e-10, abs=1e-12)


def test_bad_points() -> None:
    x = draw(0, 20)
    valuation = valued(SquaredExponential(0.7), x)
    for compute in (decompose, value_bounds):
        with pytest.raises(ValueError, match=f"{compute.__name__}: points: has 1 points, at least 2 are needed"):
            compute(valuation, x[:1])
        with pytest.raises(ValueError, match=f"{compute.__name__}: points: has 3 columns where 2 are expected"):
            compute(valuation, normal(4, 3))
    with pytest.raises(ValueError, match=r"value_bounds: points: 1 of 3 are not in T, for example \[9\.0, 9\.0\]"):
        value_bounds(valuation, torch.cat([x[:2], torch.full((1, 2), 9.0)]))
    with pytest.raises(ValueError, match="value_bounds: points: 2 of 4 are not in T"):  # a point of T counts once
        value_bounds(valuation, x[[3, 4, 3, 4]])
