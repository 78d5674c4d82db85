"""Contributions in the games of the parties' own references."""

import pytest
import torch

from cgm.contributions.base import Contribution, Contributions, compute_contributions
from cgm.contributions.semivalues import Shapley
from cgm.valuation.game import Game
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.references import LeaveOneOutReference
from cgm.valuation.valuation import Valuation
from tests.contributions.common import normal, valuation_of


def own_references() -> Valuation:
    parties = [normal(5 + i, 2, seed=i) for i in range(3)]
    return Valuation(SquaredExponential(2.0), parties, normal(30, 2, seed=9), reference=LeaveOneOutReference())


def test_one_game() -> None:
    valuation = valuation_of([3, 4, 5])
    result, expected = compute_contributions(Shapley(), valuation, 0), Shapley().compute(valuation, 0)
    assert torch.equal(result.phi, expected.phi)
    assert result.method == expected.method
    assert result.details == expected.details


def test_estimates_in_several_games() -> None:
    """Standard errors, details and warnings are those of each party's game."""

    valuation = own_references()
    sampled = Shapley("sampled", tolerance=0, max_permutations=8)
    result = compute_contributions(sampled, valuation, 5)
    each = [sampled.compute(game, 5) for game in valuation.contribution_games()]
    assert result.phi.tolist() == [float(one.phi[i]) for i, one in enumerate(each)]
    assert result.stderr.tolist() == [float(one.stderr[i]) for i, one in enumerate(each)]
    assert result.details == {"permutations": [8, 8, 8]}
    assert result.method == "sampled"
    assert result.warnings == tuple(dict.fromkeys(w for one in each for w in one.warnings))


def test_errors_name_the_game() -> None:
    class Refuses(Contribution):
        def compute(self, game: Game, seed: int) -> Contributions:
            return Contributions.of([0.0] * game.n, "own")

    class NoContributions(Contribution):
        def compute(self, game: Game, seed: int) -> Contributions:
            return game.party_values  # type: ignore[return-value]

    with pytest.raises(ValueError, match="in the game of party 1's own reference: no party has a positive"):
        compute_contributions(Refuses(), own_references(), 0)
    with pytest.raises(ValueError, match=r"^no party has a positive"):
        compute_contributions(Refuses(), valuation_of([3, 4]), 0)
    with pytest.raises(ValueError, match="contribution: the result of compute: expected a Contributions, got Tensor"):
        compute_contributions(NoContributions(), own_references(), 0)
