"""Banzhaf values, against their definition and known games."""

from fractions import Fraction

import numpy as np
import pytest

from cgm.contributions.semivalues import Banzhaf
from cgm.valuation.game import TableGame
from tests.contributions.common import by_definition, random_values, tabulate, valuation_of


@pytest.mark.parametrize("n", range(1, 9))
def test_definition(n: int) -> None:
    game = TableGame(random_values(n, seed=n))
    result = Banzhaf().compute(game)
    expected = by_definition(game.coalition, n, lambda c: Fraction(1, 2 ** (n - 1)))
    np.testing.assert_allclose(result.phi, expected, rtol=1e-12)
    assert result.method == "exact"
    assert result.stderr.tolist() == [0] * n


def test_voting() -> None:
    """[4; 3, 2, 1, 1]: the parties swing 6, 2, 2 and 2 of 8 coalitions of the others."""

    weights = [3, 2, 1, 1]
    game = TableGame(tabulate(lambda c: sum(weights[i] for i in c) >= 4, 4))
    np.testing.assert_allclose(Banzhaf().compute(game).phi, [6 / 8, 2 / 8, 2 / 8, 2 / 8], rtol=1e-14)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_equal_sizes(n: int) -> None:
    valuation = valuation_of([4] * n)
    result = Banzhaf("equal_sizes").compute(valuation)
    assert result.method == "equal_sizes"
    np.testing.assert_allclose(result.phi, Banzhaf("exact").compute(valuation).phi, rtol=0, atol=1e-13)


def test_sampled() -> None:
    valuation = valuation_of([3, 8, 2, 5, 20, 4, 9])
    exact, result = (Banzhaf(method, 0.001, 4000).compute(valuation, 3) for method in ("exact", "sampled"))
    assert result.method == "sampled"
    assert result.details["coalitions"] <= 4000
    assert ((result.phi - exact.phi).abs() < 4 * result.stderr).all()
    assert 0 < result.stderr.max() < 0.02 * exact.phi.max()


def test_auto() -> None:
    assert Banzhaf().compute(valuation_of([2, 3])).method == "exact"
    assert Banzhaf().compute(valuation_of([2] * 21)).method == "equal_sizes"
    result = Banzhaf(tolerance=0, max_coalitions=100).compute(valuation_of([2] * 20 + [3]))
    assert result.method == "sampled"
    assert result.details == {"coalitions": 100}
    assert "Banzhaf values: after contribution.max_coalitions=100" in result.warnings[0]


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match=r"contribution\.method=permutations: expected one of auto, exact"):
        Banzhaf("permutations")
    with pytest.raises(ValueError, match=r"contribution\.tolerance=-1"):
        Banzhaf(tolerance=-1)
    with pytest.raises(ValueError, match=r"contribution\.max_coalitions=3: expected an integer >= 4"):
        Banzhaf(max_coalitions=3)
    with pytest.raises(ValueError, match=r"contribution\.method=sampled: expected a Valuation, got TableGame"):
        Banzhaf("sampled").compute(TableGame([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"contribution\.method=equal_sizes: the parties differ in size"):
        Banzhaf("equal_sizes").compute(valuation_of([2, 3]))
