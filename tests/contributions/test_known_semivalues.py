"""Banzhaf and beta Shapley values and leave-one-out contributions, against definitions, known games, special cases."""

import math
from fractions import Fraction

import numpy as np
import pytest

from cgm.contributions.base import EqualShares
from cgm.contributions.semivalues import Banzhaf, BetaShapley, LeaveOneOut, Semivalue, Shapley
from cgm.valuation.game import TableGame
from tests.contributions.common import by_definition, random_values, tabulate, valuation_of


def beta_function(x: int, y: int) -> Fraction:
    return Fraction(math.factorial(x - 1) * math.factorial(y - 1), math.factorial(x + y - 1))


@pytest.mark.parametrize("n", range(1, 9))
def test_definitions(n: int) -> None:
    game = TableGame(random_values(n, seed=n))
    cases = {
        Banzhaf(): lambda c: Fraction(1, 2 ** (n - 1)),
        LeaveOneOut(): lambda c: float(c == n - 1),
    }
    for alpha, beta in ((4, 1), (1, 4), (16, 1), (3, 2)):
        cases[BetaShapley(alpha, beta)] = lambda c, alpha=alpha, beta=beta: (
            beta_function(c + beta, n - 1 - c + alpha) / beta_function(alpha, beta)
        )
    for contribution, weight in cases.items():
        result = contribution.compute(game)
        expected = by_definition(game.coalition, n, weight)
        np.testing.assert_allclose(result.phi, expected, rtol=0, atol=1e-12 * max(map(abs, expected)))
        assert result.method == "exact"
        assert result.stderr.tolist() == [0] * n


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_special_cases_of_beta_shapley(n: int) -> None:
    game = TableGame(random_values(n, seed=n).abs())
    np.testing.assert_allclose(BetaShapley(1, 1).compute(game).phi, Shapley().compute(game).phi, rtol=1e-12)
    np.testing.assert_allclose(BetaShapley(1e9, 1).compute(game).phi, game.party_values, rtol=0, atol=1e-4)
    np.testing.assert_allclose(BetaShapley(1, 1e9).compute(game).phi, LeaveOneOut().compute(game).phi, rtol=1e-4)
    np.testing.assert_allclose(BetaShapley(1e9, 1e9).compute(game).phi, Banzhaf().compute(game).phi, rtol=1e-4)


def test_voting() -> None:
    """[4; 3, 2, 1, 1]: the parties swing 6, 2, 2 and 2 of 8 coalitions of the others."""

    weights = [3, 2, 1, 1]
    game = TableGame(tabulate(lambda c: sum(weights[i] for i in c) >= 4, 4))
    np.testing.assert_allclose(Banzhaf().compute(game).phi, [6 / 8, 2 / 8, 2 / 8, 2 / 8], rtol=1e-14)


def test_equal_sizes() -> None:
    for n in (2, 3, 7):
        valuation = valuation_of([4] * n)
        for exact, closed in (
            (Banzhaf("exact"), Banzhaf("equal_sizes")),
            (BetaShapley(2.5, 0.7, "exact"), BetaShapley(2.5, 0.7, "equal_sizes")),
        ):
            result = closed.compute(valuation)
            assert result.method == "equal_sizes"
            np.testing.assert_allclose(result.phi, exact.compute(valuation).phi, rtol=0, atol=1e-13)


@pytest.mark.parametrize("parameters", [None, (4, 1), (1, 1), (0.5, 2)], ids=str)
def test_sampled(parameters: tuple[float, float] | None) -> None:
    def make(method: str) -> Semivalue:
        return Banzhaf(method, 0, 4000) if parameters is None else BetaShapley(*parameters, method, 0, 4000)

    valuation = valuation_of([3, 8, 2, 5, 20, 4, 9])
    exact, result = (make(method).compute(valuation, 3) for method in ("exact", "sampled"))
    assert result.method == "sampled"
    assert result.details["coalitions"] == 4000
    assert ((result.phi - exact.phi).abs() < 4 * result.stderr).all()
    assert 0 < result.stderr.max() < 0.02 * exact.phi.max()


def test_auto() -> None:
    assert Banzhaf().compute(valuation_of([2, 3])).method == "exact"
    assert Banzhaf().compute(valuation_of([2] * 21)).method == "equal_sizes"
    result = Banzhaf(tolerance=0, max_coalitions=100).compute(valuation_of([2] * 20 + [3]))
    assert result.method == "sampled"
    assert result.details == {"coalitions": 100}
    assert "Banzhaf values: after contribution.max_coalitions=100" in result.warnings[0]


def test_methods_that_do_not_apply() -> None:
    with pytest.raises(ValueError, match=r"contribution\.method=sampled: expected a Valuation, got TableGame"):
        Banzhaf("sampled").compute(TableGame([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"contribution\.method=equal_sizes: the parties differ in size"):
        Banzhaf("equal_sizes").compute(valuation_of([2, 3]))


def test_leave_one_out_of_many_parties() -> None:
    """Only n + 1 values are needed."""

    valuation = valuation_of([2 + i % 3 for i in range(40)])
    result = LeaveOneOut().compute(valuation)
    others = [i for i in range(40) if i != 7]
    assert float(result.phi[7]) == pytest.approx(valuation.grand_value - valuation.coalition(others), abs=1e-15)


def test_equal_shares() -> None:
    result = EqualShares().compute(TableGame(random_values(4, seed=0, grand=10.0)))
    assert result.phi.tolist() == [2.5] * 4
    assert result.alpha.tolist() == [1] * 4
