"""Rewards of maximum welfare."""

import pytest
import torch

from cgm.contributions.semivalues import Shapley
from cgm.rewards.incentives import check_incentives
from cgm.rewards.schemes.base import InfeasibleScheme
from cgm.rewards.schemes.others import MaxWelfare
from cgm.valuation.game import TableGame
from tests.rewards.common import contributions_of, tensor

GAME = TableGame([0.0, 2.0, 1.0, 3.0])


def test_rewards_are_the_upper_bounds() -> None:
    upper = tensor([4, 5])
    rewards = MaxWelfare().solve(contributions_of([2, 1]), GAME, upper)
    assert torch.equal(rewards.values, upper)
    assert torch.equal(rewards.lower, GAME.party_values)
    assert rewards.details == {"v_star": 5.0}
    assert rewards.spread == 1


def test_fairness_is_lost() -> None:
    """The party with the smaller contribution gains more from the pool."""

    contributions = Shapley().compute(GAME)
    incentives = check_incentives(MaxWelfare().solve(contributions, GAME, tensor([4, 5])), contributions, GAME)
    assert [name for name in ("R1", "R2", "R3", "R4", "R5", "R6") if not incentives[name].holds] == ["R5"]


def test_infeasible() -> None:
    with pytest.raises(InfeasibleScheme, match=r"party 2's own value v\(D_i\) = 1 is above its upper bound"):
        MaxWelfare().solve(contributions_of([2, 1]), GAME, tensor([4, 0.5]))
