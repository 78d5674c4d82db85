"""Leave-one-out contributions, against their definition."""

import numpy as np
import pytest

from cgm.contributions.semivalues import LeaveOneOut
from cgm.valuation.game import TableGame
from tests.contributions.common import random_values, valuation_of


@pytest.mark.parametrize("n", range(1, 9))
def test_definition(n: int) -> None:
    values = random_values(n, seed=n)
    result = LeaveOneOut().compute(TableGame(values))
    expected = [float(values[-1] - values[2**n - 1 - 2**i]) for i in range(n)]
    np.testing.assert_allclose(result.phi, expected, rtol=1e-15)
    assert result.method == "exact"


def test_many_parties() -> None:
    """Only n + 1 values are needed."""

    valuation = valuation_of([2 + i % 3 for i in range(40)])
    result = LeaveOneOut().compute(valuation)
    others = [i for i in range(40) if i != 7]
    assert float(result.phi[7]) == pytest.approx(valuation.grand_value - valuation.coalition(others), abs=1e-15)
