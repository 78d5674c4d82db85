"""The least core, against linear and quadratic programs over all coalitions, and known games."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, nnls

from cgm.contributions import least_core
from cgm.contributions.least_core import MAX_PARTIES, LeastCore
from cgm.valuation.game import TableGame
from tests.contracts.games import renamed, table
from tests.contributions.common import random_values, tabulate, valuation_of

pytestmark = pytest.mark.processor  # the least core is unique, whatever the processor


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
    r"""Check $e^*$, and the conditions of Karush, Kuhn and Tucker, which one point satisfies.

    $\phi$ minus equal shares is in the cone of the tight coalitions, whose members are centred: nonnegative least
    squares finds multipliers with a residual of 0.
    """

    result, v = LeastCore().compute(TableGame(values)), values.numpy()
    n, scale = len(v).bit_length() - 1, np.abs(v).max()
    phi, excess = result.phi.numpy() / scale, result.details["excess"] / scale
    v = v / scale
    members = membership(n)
    slack = members @ phi - v[1:-1] + excess
    assert excess == pytest.approx(plain_excess(v), abs=1e-12)
    assert phi.sum() == pytest.approx(v[-1], abs=1e-13)
    assert slack.min() == pytest.approx(0, abs=1e-12)
    tight = members[slack < 1e-10]
    _, residual = nnls((tight - tight.mean(1, keepdims=True)).T, phi - v[-1] / n, maxiter=10_000)
    assert residual == pytest.approx(0, abs=1e-12)


def random_game(kind: str, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights, members = rng.integers(1, 5, n), (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    if kind == "real":
        values = random_values(n, seed, grand=3.0).numpy()
    elif kind == "integer":  # many coalitions have the same excess
        values = np.append(rng.integers(-1, 4, 2**n - 1), 5.0)
    elif kind == "binary":
        values = np.append(rng.integers(0, 2, 2**n - 1), 1.0)
    elif kind == "voting":
        values = 1.0 * (members @ weights >= 0.6 * weights.sum())
    elif kind == "symmetric":
        values = np.append(rng.integers(-3, 4, n), 4.0)[members.sum(1)]
    elif kind == "null player":
        half = np.append(rng.integers(0, 3, 2 ** (n - 1) - 1), 2.0)
        half[0] = 0
        values = np.concatenate([half, half])
    else:
        assert kind == "additive"  # up to rounding errors: one point, and all coalitions are tight
        values = members @ rng.uniform(0.5, 2, n) + 1e-15 * rng.normal(size=2**n)
    values[0] = 0
    return values


KINDS = ["real", "integer", "binary", "voting", "symmetric", "null player", "additive"]


@settings(max_examples=150)
@given(kind=st.sampled_from(KINDS), n=st.integers(2, 8), seed=st.integers(0, 10**6))
def test_random_games(kind: str, n: int, seed: int) -> None:
    assert_least_core(torch.from_numpy(random_game(kind, n, seed)))


@settings(max_examples=30)
@given(n=st.integers(2, 8), seed=st.integers(0, 10**6))
def test_monotone_games(n: int, seed: int) -> None:
    assert_least_core(table(n, seed).coalition_values())


@settings(max_examples=60)
@given(kind=st.sampled_from(KINDS[:5]), n=st.integers(2, 7), seed=st.integers(0, 10**6), data=st.data())
def test_the_order_of_parties_does_not_matter(kind: str, n: int, seed: int, data: st.DataObject) -> None:
    """In other orders, the coalitions join in other orders; the point is the same."""

    game, order = TableGame(torch.from_numpy(random_game(kind, n, seed))), data.draw(st.permutations(range(n)))
    phi, other = (LeastCore().compute(each).phi for each in (game, renamed(game, order)))
    scale = float(game.coalition_values().abs().max())
    np.testing.assert_allclose(other, phi[order], rtol=0, atol=1e-12 * scale)


def test_parties_that_several_coalitions_bind() -> None:
    """A game in which the active coalitions are not unique; a solver's tolerance chose them in earlier versions."""

    values = torch.tensor([0, 2, 0, 0, 0, 1, 1, 2, 1, 0, 0, 1, 1, 1, 0, 0], dtype=torch.float64)
    result = LeastCore().compute(TableGame(torch.cat([values, values])))
    np.testing.assert_allclose(result.phi, [0.5, 0, 0, -0.5, 0], rtol=0, atol=1e-14)
    assert result.details["excess"] == pytest.approx(1.5, abs=1e-14)


def test_valuations() -> None:
    for n in (3, 6, 8):
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
