"""Sums of the Shapley values of points, against all coalitions of points."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cgm.contributions.pointwise import Pointwise, pointwise_values
from cgm.contributions.semivalues import Shapley, shapley_exact
from cgm.valuation.game import TableGame
from cgm.valuation.kernels import Kernel, SquaredExponential
from cgm.valuation.valuation import Valuation
from tests.contributions.common import members, normal, valuation_of
from tests.valuation.common import KERNELS


def point_game(valuation: Valuation) -> Tensor:
    """The values of all sets of real points, equation (2), from the full kernel matrix."""

    k = valuation.kernel(valuation.points, valuation.points).numpy()
    m = valuation.real.stop
    sets = [sorted(members(number, m)) for number in range(2**m)]
    return torch.tensor([2 * k[s].mean() - k[np.ix_(s, s)].mean() if s else 0.0 for s in sets], dtype=torch.float64)


@pytest.mark.parametrize("sizes", [[2], [3], [2, 2], [2, 3], [4, 4], [2, 3, 3], [8]], ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_all_coalitions_of_points(sizes: list[int], name: str) -> None:
    kernel: Kernel = KERNELS[name][0]
    valuation = Valuation(kernel, [normal(size, 2, seed=i) for i, size in enumerate(sizes)], normal(20, 2, seed=-1))
    expected = shapley_exact(point_game(valuation))
    np.testing.assert_allclose(pointwise_values(valuation), expected, rtol=0, atol=1e-12)


def test_sums_of_parties() -> None:
    valuation = valuation_of([3, 2, 3])
    expected = shapley_exact(point_game(valuation)).split([3, 2, 3])
    result = Pointwise().compute(valuation)
    np.testing.assert_allclose(result.phi, [float(x.sum()) for x in expected], rtol=0, atol=1e-12)
    assert result.method == "exact"


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(2, 40), min_size=1, max_size=6), seed=st.integers(0, 10**6))
def test_efficiency(sizes: list[int], seed: int) -> None:
    valuation = valuation_of(sizes, seed=seed)
    assert float(pointwise_values(valuation).sum()) == pytest.approx(valuation.grand_value, abs=1e-12)


@settings(max_examples=20)
@given(cut=st.integers(2, 28), seed=st.integers(0, 10**6))
def test_splitting_a_party_changes_nothing(cut: int, seed: int) -> None:
    """The parts have the sum of the party, and all others the same as before. Shapley values change."""

    one, two, pool = normal(30, 2, seed=seed), 0.5 + normal(9, 2, seed=seed + 1), normal(50, 2, seed=seed + 2)
    kernel, order = SquaredExponential(1.5), torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    parts = [one[order[:cut]], one[order[cut:]]]
    whole, split = Valuation(kernel, [one, two], pool), Valuation(kernel, [*parts, two], pool)
    before, after = Pointwise().compute(whole).phi, Pointwise().compute(split).phi
    assert float(after[:2].sum()) == pytest.approx(float(before[0]), abs=1e-10)
    assert float(after[2]) == pytest.approx(float(before[1]), abs=1e-10)

    shapley = Shapley().compute(whole).phi[0], Shapley().compute(split).phi[:2].sum()
    assert abs(float(shapley[0] - shapley[1])) > 1e-4


def test_equal_points_are_symmetric() -> None:
    x, y = normal(4, 2), normal(6, 2, seed=1)
    x[1] = x[0]
    valuation = Valuation(SquaredExponential(1.0), [x, y], normal(30, 2, seed=2))
    phi = pointwise_values(valuation)
    assert float(phi[0]) == pytest.approx(float(phi[1]), abs=1e-15)


def test_parties_of_equal_value_may_differ() -> None:
    """Two parties, neither of which adds more than the other: v(D_1) = v(D_2). The larger one has more points."""

    small, large, pool = normal(3, 2), normal(9, 2, seed=1), normal(40, 2, seed=2)

    def difference(shift: float) -> tuple[float, Valuation]:
        valuation = Valuation(SquaredExponential(1.5), [small, large + shift], pool)
        own = valuation.party_values
        return float(own[1] - own[0]), valuation

    low, high = 0.0, 3.0  # further away from the pool, the larger party is worth less
    assert difference(low)[0] > 0 > difference(high)[0]
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if difference(middle)[0] > 0 else (low, middle)
    valuation = difference(low)[1]
    shapley, pointwise = Shapley().compute(valuation).phi, Pointwise().compute(valuation).phi
    assert float(shapley[0]) == pytest.approx(float(shapley[1]), abs=1e-12)
    assert abs(float(pointwise[0] - pointwise[1])) > 1e-3


def test_other_games() -> None:
    with pytest.raises(ValueError, match=r"contribution=pointwise: expected a Valuation, got TableGame"):
        Pointwise().compute(TableGame([0.0, 1.0]))
