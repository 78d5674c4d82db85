"""Equal rewards."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cgm.contributions.semivalues import Shapley
from cgm.rewards.incentives import check_incentives
from cgm.rewards.schemes.others import EqualRewards
from cgm.valuation.game import TableGame
from tests.contracts.games import seeds, table
from tests.rewards.common import contributions_of, tensor


@given(n=st.integers(1, 6), seed=seeds)
def test_rewards_are_equal_where_bounds_allow(n: int, seed: int) -> None:
    game = table(n, seed)
    upper = game.grand_value * tensor(np.random.default_rng(seed).uniform(1, 1.5, n))
    rewards = EqualRewards().solve(Shapley().compute(game), game, upper)
    assert rewards.values.tolist() == [float(upper.min())] * n  # no larger value fits for all
    assert rewards.spread == 0
    assert rewards.details == {"v_star": float(upper.min()), "rho": 0.0, "clipped": []}


def test_clipped_parties_are_named() -> None:
    game = TableGame([0.0, 5.0, 1.0, 6.0])
    rewards = EqualRewards().solve(contributions_of([5, 1]), game, tensor([7, 4]))
    assert rewards.values.tolist() == [5, 4]
    assert rewards.details["clipped"] == [0]
    assert rewards.warnings == ("party 1 keeps r_i = v(D_i) = 5, which is above the 4 of the others",)


def test_fairness_is_lost() -> None:
    game = TableGame([0.0, 2.0, 1.0, 3.0])
    contributions = Shapley().compute(game)
    incentives = check_incentives(EqualRewards().solve(contributions, game, tensor([4, 4])), contributions, game)
    assert [name for name in ("R1", "R2", "R3", "R4", "R5", "R6") if not incentives[name].holds] == ["R5"]
    assert not incentives["F3"].holds
