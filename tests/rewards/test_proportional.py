"""Rewards proportional to the contributions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cgm.contributions.semivalues import Shapley
from cgm.rewards.incentives import check_incentives
from cgm.rewards.schemes.base import InfeasibleScheme
from cgm.rewards.schemes.others import Proportional
from cgm.rewards.schemes.shapley_fair import ShapleyFair
from cgm.valuation.game import TableGame
from tests.contracts.games import seeds, table
from tests.rewards.common import contributions_of, tensor


@given(n=st.integers(1, 6), seed=seeds)
def test_rewards_are_as_large_as_the_bounds_allow(n: int, seed: int) -> None:
    game = table(n, seed)
    contributions = Shapley().compute(game)
    upper = game.grand_value * tensor(np.random.default_rng(seed).uniform(1, 1.5, n))
    rewards = Proportional().solve(contributions, game, upper)
    share = contributions.alpha * rewards.details["v_star"]
    np.testing.assert_allclose(rewards.values, torch.maximum(share, game.party_values), rtol=1e-14)
    assert (rewards.values <= upper * (1 + 1e-14)).all()
    assert float((upper / share).min()) == pytest.approx(1)  # no larger share fits
    assert rewards.details["clipped"] == [i for i in range(n) if share[i] < game.party_values[i] * (1 - 1e-9)]
    assert len(rewards.warnings) == len(rewards.details["clipped"])
    np.testing.assert_allclose(rewards.values, ShapleyFair(False, rho=1.0).solve(contributions, game, upper).values)


def test_clipped_parties_are_named() -> None:
    """The first party's own data is worth more than its share of any reward; ρ = 1 of the linear program has none."""

    game = TableGame([0.0, 2.0, 1.0, 3.0])
    contributions, upper = contributions_of([1.0, 5.0]), tensor([6.0, 4.0])
    rewards = Proportional().solve(contributions, game, upper)
    assert rewards.values.tolist() == [2, 4]
    assert rewards.details == {"v_star": 4.0, "rho": 1.0, "clipped": [0], "left_out": []}
    assert rewards.warnings == ("party 1 keeps r_i = v(D_i) = 2: its proportional share is 0.8",)


def test_any_own_value_has_rewards() -> None:
    """v* is below the value of party 1, for which `ShapleyFair` has no rewards."""

    game = TableGame([0.0, 5.0, 1.0, 3.0])
    contributions, upper = contributions_of([1.0, 5.0]), tensor([6.0, 4.0])
    with pytest.raises(InfeasibleScheme):
        ShapleyFair(False, rho=1.0).solve(contributions, game, upper)
    assert Proportional().solve(contributions, game, upper).values.tolist() == [5, 4]


def test_parties_without_a_positive_contribution() -> None:
    game = TableGame([0.0, 2.0, 1.0, 3.0])
    rewards = Proportional().solve(contributions_of([2.0, -1.0]), game, tensor([4.0, 4.0]))
    assert rewards.values.tolist() == [4, 1]
    assert rewards.details["left_out"] == [1]
    assert "party 2 has the contribution -1, which is not positive" in rewards.warnings[0]


def test_stability_is_lost() -> None:
    """A monotone game in which the two smaller parties together are worth more than either reward."""

    game = TableGame([0.0, 1.0, 1.0, 5.0, 6.0, 7.0, 7.0, 10.0])
    contributions = Shapley().compute(game)
    rewards = Proportional().solve(contributions, game, tensor([10.0] * 3))
    incentives = check_incentives(rewards, contributions, game)
    assert [name for name in ("R1", "R2", "R3", "R4", "R5", "R6") if not incentives[name].holds] == ["R6"]


def test_infeasible() -> None:
    with pytest.raises(InfeasibleScheme, match=r"party 1's own value v\(D_i\) = 2 is above its upper bound .* = 1\.5"):
        Proportional().solve(contributions_of([1, 1]), TableGame([0.0, 2.0, 1.0, 3.0]), tensor([1.5, 4]))
    with pytest.raises(InfeasibleScheme, match=r"party 1 has the upper bound .* = 0, which is not positive"):
        Proportional().solve(contributions_of([1, 1]), TableGame([0.0, -1.0, 1.0, 3.0]), tensor([0, 4]))
