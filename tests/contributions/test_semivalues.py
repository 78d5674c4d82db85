"""Semivalues for any probabilities of the sizes of coalitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cgm.contributions.semivalues import choose_method, inverse_binomials, missed_tolerance, semivalue_exact
from cgm.valuation.game import TableGame
from tests.contributions.common import by_definition, members, random_values, valuation_of


def test_inverse_binomials() -> None:
    for n in range(1, 30):
        expected = [1 / math.comb(n - 1, c) for c in range(n)]
        np.testing.assert_allclose(inverse_binomials(n), expected, rtol=1e-14)


@given(n=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_any_weights(n: int, seed: int) -> None:
    values, weights = random_values(n, seed), np.random.default_rng(seed).uniform(size=n)
    phi = semivalue_exact(values, torch.from_numpy(weights))
    game = {members(number, n): float(values[number]) for number in range(2**n)}
    expected = by_definition(game.__getitem__, n, lambda c: float(weights[c]))
    np.testing.assert_allclose(phi, expected, rtol=0, atol=1e-12 * max(map(abs, expected)))


def test_method() -> None:
    assert choose_method("auto", TableGame([0.0, 1.0])) == "exact"
    assert choose_method("sampled", valuation_of([2, 3])) == "sampled"
    with pytest.raises(ValueError, match=r"contribution\.method=exact: 25 parties have 2\^25 coalitions"):
        choose_method("exact", valuation_of([2] * 25))


def test_missed_tolerance() -> None:
    phi, stderr = torch.tensor([-2.0, 1.0]), torch.tensor([0.01, 0.02])
    assert missed_tolerance("values: after", phi, stderr, 0.01) == ()
    (warning,) = missed_tolerance("values: after", phi, stderr, 0.009)
    assert warning == ("values: after the largest standard error is 0.02, above 0.018 (contribution.tolerance=0.009)")
