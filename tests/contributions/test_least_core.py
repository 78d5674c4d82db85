"""The least core, against linear and quadratic programs over all coalitions, and known games."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from cgm.contributions import least_core
from cgm.contributions.least_core import MAX_PARTIES, LeastCore
from cgm.valuation.game import TableGame
from tests.contracts.games import table
from tests.contributions.common import random_values, tabulate, valuation_of


def membership(n: int) -> np.ndarray:
    """The members of all coalitions, except the empty and the grand coalition."""

    return (np.arange(1, 2**n - 1)[:, None] >> np.arange(n)) & 1


def plain_excess(values: np.ndarray) -> float:
    """The smallest largest excess, by one linear program over all coalitions."""

    n = len(values).bit_length() - 1
    members = membership(n)
    solution = linprog(
        np.append(np.zeros(n), 1),
        A_ub=-np.column_stack([members, np.ones(len(members))]),
        b_ub=-values[1:-1],
        A_eq=np.append(np.ones(n), 0)[None],
        b_eq=values[-1:],
        bounds=(None, None),
    )
    assert solution.status == 0
    return solution.x[-1]


def assert_least_core(values: torch.Tensor) -> None:
    r"""Check e*, feasibility, and that no feasible direction reduces the norm.

    φ has the smallest norm in a convex set if and only if φᵀz >= φᵀφ for all z in it: a linear program.
    """

    result, v = LeastCore().compute(TableGame(values)), values.numpy()
    n, scale = len(v).bit_length() - 1, np.abs(v).max()
    phi, excess = result.phi.numpy(), result.details["excess"]
    assert excess == pytest.approx(plain_excess(v), abs=1e-12 * scale)
    assert phi.sum() == pytest.approx(v[-1], abs=1e-12 * scale)
    members = membership(n)
    assert (members @ phi >= v[1:-1] - excess - 1e-11 * scale).all()

    nearest = linprog(
        phi,
        A_ub=-members,
        b_ub=-(v[1:-1] - excess - 1e-9 * scale),
        A_eq=np.ones((1, n)),
        b_eq=v[-1:],
        bounds=(None, None),
    )
    assert nearest.status == 0
    assert nearest.fun >= phi @ phi - 1e-6 * scale**2


@settings(max_examples=60)
@given(n=st.integers(2, 8), seed=st.integers(0, 10**6))
def test_random_games(n: int, seed: int) -> None:
    assert_least_core(random_values(n, seed, grand=3.0))


@settings(max_examples=30)
@given(n=st.integers(2, 8), seed=st.integers(0, 10**6))
def test_monotone_games(n: int, seed: int) -> None:
    assert_least_core(table(n, seed).coalition_values())


@settings(max_examples=30)
@given(n=st.integers(2, 6), seed=st.integers(0, 10**6))
def test_integers(n: int, seed: int) -> None:
    """Many coalitions have the same excess."""

    values = np.random.default_rng(seed).integers(0, 4, 2**n).astype(float)
    values[0], values[-1] = 0, 5
    assert_least_core(torch.from_numpy(values))


@pytest.mark.parametrize("n", [3, 6, 8])
def test_valuations(n: int) -> None:
    assert_least_core(valuation_of([2 + i for i in range(n)]).coalition_values())


def test_known_games() -> None:
    """With one left glove, its owner has all; with five of six votes, e* = 1 / 6 and the shares are equal."""

    glove = TableGame(tabulate(lambda c: float(0 in c and len(c) > 1), 3))
    result = LeastCore().compute(glove)
    np.testing.assert_allclose(result.phi, [1, 0, 0], rtol=0, atol=1e-12)
    assert result.details["excess"] == pytest.approx(0, abs=1e-12)

    votes = TableGame(tabulate(lambda c: float(len(c) >= 5), 6))
    result = LeastCore().compute(votes)
    np.testing.assert_allclose(result.phi, [1 / 6] * 6, rtol=1e-12)
    assert result.details["excess"] == pytest.approx(1 / 6, rel=1e-12)


def test_the_excess_is_that_of_the_contributions() -> None:
    """Of ten parties, by constraint generation with a few coalitions at once."""

    values = valuation_of([2 + i % 4 for i in range(10)]).coalition_values()
    result = LeastCore().compute(TableGame(values))
    excess = (values.numpy()[1:-1] - membership(10) @ result.phi.numpy()).max()
    assert result.details["excess"] == pytest.approx(excess, abs=1e-12)
    assert result.details["coalitions"] < 2**10 - 2


def test_few_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    game = TableGame(random_values(7, seed=1, grand=3.0))
    expected = LeastCore().compute(game)
    monkeypatch.setattr(least_core, "CUTS", 2)
    result = LeastCore().compute(game)
    np.testing.assert_allclose(result.phi, expected.phi, rtol=0, atol=1e-11)
    assert result.details["coalitions"] < expected.details["coalitions"]


def test_one_party() -> None:
    result = LeastCore().compute(TableGame([0.0, 2.0]))
    assert result.phi.tolist() == [2]
    assert result.details == {"excess": None, "coalitions": 0}


def test_too_many_parties() -> None:
    with pytest.raises(
        ValueError, match=r"contribution=least_core: 21 parties have 2\^21 coalitions; expected at most"
    ):
        LeastCore().compute(valuation_of([2] * (MAX_PARTIES + 1)))
