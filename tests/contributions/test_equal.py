"""Equal shares."""

from cgm.contributions.base import EqualShares
from cgm.valuation.game import TableGame
from tests.contributions.common import random_values


def test_equal_shares() -> None:
    result = EqualShares().compute(TableGame(random_values(4, seed=0, grand=10.0)))
    assert result.phi.tolist() == [2.5] * 4
    assert result.alpha.tolist() == [1] * 4
