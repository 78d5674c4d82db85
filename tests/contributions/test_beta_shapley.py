"""Beta Shapley values, against their definition and special cases."""

import math
from fractions import Fraction

import numpy as np
import pytest

from cgm.contributions.semivalues import Banzhaf, BetaShapley, LeaveOneOut, Shapley
from cgm.valuation.game import TableGame
from tests.contributions.common import by_definition, random_values, valuation_of


def beta_function(x: int, y: int) -> Fraction:
    return Fraction(math.factorial(x - 1) * math.factorial(y - 1), math.factorial(x + y - 1))


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize(("alpha", "beta"), [(4, 1), (1, 4), (16, 1), (3, 2)])
def test_definition(n: int, alpha: int, beta: int) -> None:
    game = TableGame(random_values(n, seed=n))
    result = BetaShapley(alpha, beta).compute(game)
    expected = by_definition(
        game.coalition, n, lambda c: beta_function(c + beta, n - 1 - c + alpha) / beta_function(alpha, beta)
    )
    np.testing.assert_allclose(result.phi, expected, rtol=0, atol=1e-12 * max(map(abs, expected)))
    assert result.method == "exact"


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_special_cases(n: int) -> None:
    game = TableGame(random_values(n, seed=n).abs())
    np.testing.assert_allclose(BetaShapley(1, 1).compute(game).phi, Shapley().compute(game).phi, rtol=1e-12)
    np.testing.assert_allclose(BetaShapley(1e9, 1).compute(game).phi, game.party_values, rtol=0, atol=1e-4)
    np.testing.assert_allclose(BetaShapley(1, 1e9).compute(game).phi, LeaveOneOut().compute(game).phi, rtol=1e-4)
    np.testing.assert_allclose(BetaShapley(1e9, 1e9).compute(game).phi, Banzhaf().compute(game).phi, rtol=1e-4)


def test_equal_sizes() -> None:
    valuation = valuation_of([4] * 6)
    result = BetaShapley(2.5, 0.7, "equal_sizes").compute(valuation)
    np.testing.assert_allclose(result.phi, BetaShapley(2.5, 0.7, "exact").compute(valuation).phi, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("alpha", "beta"), [(4, 1), (1, 1), (0.5, 2)])
def test_sampled(alpha: float, beta: float) -> None:
    valuation = valuation_of([3, 8, 2, 5, 20, 4, 9])
    exact, result = (BetaShapley(alpha, beta, m, 0, 4000).compute(valuation, 3) for m in ("exact", "sampled"))
    assert result.details["coalitions"] == 4000
    assert ((result.phi - exact.phi).abs() < 4 * result.stderr).all()
    assert 0 < result.stderr.max() < 0.02 * exact.phi.max()


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match=r"contribution\.alpha=0: expected a number in \(0, inf\)"):
        BetaShapley(alpha=0)
    with pytest.raises(ValueError, match=r"contribution\.beta=-1"):
        BetaShapley(beta=-1)
