"""Semivalues for any weights of the sizes of coalitions, and what all semivalues share."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cgm.contributions.semivalues import Banzhaf, BetaShapley, Shapley, choose_method, semivalue_exact
from cgm.valuation.game import TableGame
from tests.contributions.common import by_definition, members, random_values, valuation_of


@given(n=st.integers(1, 6), seed=st.integers(0, 10**6), total=st.integers(1, 5))
def test_any_weights(n: int, seed: int, total: int) -> None:
    values, weights = random_values(n, seed), np.random.default_rng(seed).uniform(size=n)
    phi = semivalue_exact(values, weights, total)
    game = {members(number, n): float(values[number]) for number in range(2**n)}
    expected = by_definition(game.__getitem__, n, lambda c: float(weights[c]) / total / math.comb(n - 1, c))
    np.testing.assert_allclose(phi, expected, rtol=0, atol=1e-12 * max(map(abs, expected)))


def test_weights_have_the_stated_sum() -> None:
    for semivalue in (Shapley(), Banzhaf(), BetaShapley(), BetaShapley(0.5, 3.0)):
        for n in (1, 2, 7, 40):
            weights, total = semivalue.weights(n)
            assert weights.shape == (n,)
            assert weights.min() >= 0
            assert weights.sum() == pytest.approx(total, rel=1e-12)


def test_method() -> None:
    assert choose_method("auto", TableGame([0.0, 1.0])) == "exact"
    assert choose_method("sampled", valuation_of([2, 3])) == "sampled"
    with pytest.raises(ValueError, match=r"contribution\.method=exact: 25 parties have 2\^25 coalitions"):
        choose_method("exact", valuation_of([2] * 25))


def test_the_warning_names_the_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    phi, stderr = torch.tensor([-2.0, 1.0]), torch.tensor([0.01, 0.02])
    monkeypatch.setattr(Banzhaf, "sample", lambda self, valuation, seed: (phi, stderr, 40))
    assert Banzhaf("sampled", 0.01).compute(valuation_of([2, 3])).warnings == ()
    assert Banzhaf("sampled", 0.009).compute(valuation_of([2, 3])).warnings == (
        "Banzhaf values: after contribution.max_coalitions=40 the largest standard error is 0.02, above 0.018 "
        "(contribution.tolerance=0.009)",
    )
