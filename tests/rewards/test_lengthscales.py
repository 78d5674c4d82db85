"""Differences between parties for several length-scales, against the stations one after the other."""

import pytest
import torch

from cgm.contributions.semivalues import LeaveOneOut, Shapley
from cgm.rewards.incentives import compare_lengthscales
from cgm.rewards.schemes import ShapleyFair
from cgm.valuation.bounds import negative_increments
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.lengthscale import LengthscaleSearch, resolve_lengthscale
from cgm.valuation.references import PoolReference
from cgm.valuation.valuation import Valuation
from tests.valuation.common import normal

PARTIES = [normal(20, 2, seed=i) + shift for i, shift in enumerate((0.0, 1.0, 2.0))]
POOL = torch.cat([normal(80, 2, seed=5 + i) + shift for i, shift in enumerate((0.0, 1.0, 2.0))])
SCHEME = ShapleyFair(stable=False)


@pytest.mark.parametrize("reference", [None, PoolReference()])
def test_rows(reference):
    search = LengthscaleSearch(0.01, 100.0, 15)
    kernel = SquaredExponential(9.0)
    rows = compare_lengthscales(kernel, PARTIES, POOL, Shapley(), SCHEME, ["fit", "median", 3.0], search, reference)
    assert [row.rule for row in rows] == ["fit", "median", 3.0]
    for row in rows:
        resolved = resolve_lengthscale(kernel.with_lengthscale(row.rule), PARTIES, POOL, search, reference)
        game = Valuation(resolved, PARTIES, POOL, reference=reference)
        found = Shapley().compute(game, 0)
        r = SCHEME.solve(found, game, game.with_synthetic).values
        assert row.lengthscale == resolved.lengthscale
        assert row.negative == negative_increments(game).negative
        assert row.alpha == float(found.alpha.max() - found.alpha.min()) > 0
        assert row.reward == float(r.max() - r.min()) > 0
        assert row.reason == ""


def test_what_is_missing_has_a_reason():
    far = [*PARTIES[:2], 1e-3 * normal(15, 2) + 500]
    rows = compare_lengthscales(
        SquaredExponential(), far, POOL, Shapley(), SCHEME, ["fit", 2.0], LengthscaleSearch(0.1, 2.0)
    )
    assert rows[0].lengthscale is rows[0].alpha is rows[0].reward is None
    assert "kernel.lengthscale=fit: party 3 has a negative value" in rows[0].reason
    assert rows[1].lengthscale == 2.0
    assert rows[1].negative > 0

    many = [normal(3, 2, seed=i) for i in range(21)]
    (row,) = compare_lengthscales(SquaredExponential(), many, POOL, LeaveOneOut(), SCHEME, [3.0])
    assert row.negative is None
    assert row.alpha is not None
