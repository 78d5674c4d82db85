"""Which axioms each contribution satisfies: properties of random games, and a counterexample where one does not hold.

`Pointwise` has points as its players, see `test_pointwise`.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cgm.contributions.base import Contribution, EqualShares
from cgm.contributions.least_core import LeastCore
from cgm.contributions.semivalues import Banzhaf, BetaShapley, LeaveOneOut, Shapley
from cgm.valuation.game import TableGame
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation
from tests.contributions.common import members, normal, tabulate

PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "contributions.md"

CONCEPTS: dict[str, Contribution] = {
    "shapley": Shapley(),
    "banzhaf": Banzhaf(),
    "beta_shapley": BetaShapley(),
    "leave_one_out": LeaveOneOut(),
    "least_core": LeastCore(),
    "equal": EqualShares(),
}
SEMIVALUES = {"shapley", "banzhaf", "beta_shapley"}
HOLDS = {
    "efficiency": {"shapley", "least_core", "equal"},
    "symmetry": set(CONCEPTS),
    "null player": {*SEMIVALUES, "leave_one_out"},
    "desirability": set(CONCEPTS),
    "strict desirability": SEMIVALUES,
    "strict monotonicity": SEMIVALUES,
}


def those_with(axiom: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in CONCEPTS if name in HOLDS[axiom]])


def those_without(axiom: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in CONCEPTS if name not in HOLDS[axiom]])


def phi_of(name: str, values: Tensor) -> np.ndarray:
    return CONCEPTS[name].compute(TableGame(values), seed=0).phi.numpy()


def random_game(n: int, seed: int) -> Tensor:
    """A game of integers, in which the grand coalition's value is so large that all contributions are positive."""

    values = np.random.default_rng(seed).integers(-20, 50, 2**n).astype(float)
    values[0], values[-1] = 0, 200 * (1 + np.abs(values).sum())
    return torch.from_numpy(values)


def without_and_with(values: Tensor, i: int, j: int) -> tuple[list[int], list[int]]:
    """The coalitions with i and without j, and the same with j in place of i."""

    n = len(values).bit_length() - 1
    with_i = [c for c in range(2**n) if c >> i & 1 and not c >> j & 1]
    return with_i, [c - 2**i + 2**j for c in with_i]


sizes, seeds = st.integers(2, 5), st.integers(0, 10**6)


@those_with("efficiency")
@settings(max_examples=30)
@given(n=sizes, seed=seeds)
def test_efficiency(name: str, n: int, seed: int) -> None:
    values = random_game(n, seed)
    assert phi_of(name, values).sum() == pytest.approx(float(values[-1]), rel=1e-12)


@those_without("efficiency")
def test_no_efficiency(name: str) -> None:
    assert abs(phi_of(name, tabulate(lambda c: len(c) ** 3, 4)).sum() - 64) > 0.1


@those_with("symmetry")
@settings(max_examples=30)
@given(n=sizes, seed=seeds)
def test_symmetry(name: str, n: int, seed: int) -> None:
    values = random_game(n, seed)
    with_i, with_j = without_and_with(values, 0, 1)
    values[with_j] = values[with_i]
    phi = phi_of(name, values)
    assert phi[0] == pytest.approx(phi[1], rel=1e-11)


@those_with("null player")
@settings(max_examples=30)
@given(n=sizes, seed=seeds)
def test_null_player(name: str, n: int, seed: int) -> None:
    values = random_game(n, seed)
    wider = torch.cat([values, values])
    phi = phi_of(name, wider)
    assert phi[-1] == pytest.approx(0, abs=1e-12 * phi.max())


@those_without("null player")
def test_no_null_player(name: str) -> None:
    """The last party adds nothing to any coalition."""

    values = torch.tensor([0, 2, 0, 0, 0, 1, 1, 2, 1, 0, 0, 1, 1, 1, 0, 0], dtype=torch.float64)
    values[-1] = float(name == "equal")  # equal shares of nothing are not positive
    assert phi_of(name, torch.cat([values, values]))[-1] > 0.1


@those_with("desirability")
@settings(max_examples=30)
@given(n=sizes, seed=seeds)
def test_desirability(name: str, n: int, seed: int) -> None:
    """A party that adds at least as much to every coalition has no smaller contribution."""

    values = random_game(n, seed)
    with_i, with_j = without_and_with(values, 0, 1)
    high, low = torch.maximum(values[with_i], values[with_j]), torch.minimum(values[with_i], values[with_j])
    values[with_i], values[with_j] = high, low
    phi = phi_of(name, values)
    assert phi[0] >= phi[1] - 1e-12 * phi.max()


@those_with("strict desirability")
@settings(max_examples=30)
@given(n=sizes, seed=seeds, data=st.data())
def test_strict_desirability(name: str, n: int, seed: int, data: st.DataObject) -> None:
    """And a larger one if it adds more to one coalition, such as that of nobody."""

    values = random_game(n, seed)
    with_i, with_j = without_and_with(values, 0, 1)
    values[with_j] = values[with_i]
    values[data.draw(st.sampled_from(with_i))] += 7
    phi = phi_of(name, values)
    assert phi[0] > phi[1]


SAME = torch.tensor([0, 0, 0, 2, 2, 0, 0, 4], dtype=torch.float64)  # the first and the second party add the same
MORE = torch.tensor([0, 1, 0, 2, 2, 0, 0, 4], dtype=torch.float64)  # the first adds more to the coalition of nobody


@those_without("strict desirability")
def test_no_strict_desirability(name: str) -> None:
    phi = phi_of(name, MORE)
    assert phi[0] == pytest.approx(phi[1], rel=1e-12)


@those_with("strict monotonicity")
@settings(max_examples=30)
@given(n=sizes, seed=seeds, data=st.data())
def test_strict_monotonicity(name: str, n: int, seed: int, data: st.DataObject) -> None:
    """A party's contribution grows with each of its marginal contributions."""

    values = random_game(n, seed)
    more = values.clone()
    more[data.draw(st.sampled_from([c for c in range(2**n) if 0 in members(c, n)]))] += 7
    assert phi_of(name, more)[0] > phi_of(name, values)[0]


@those_without("strict monotonicity")
def test_no_strict_monotonicity(name: str) -> None:
    assert phi_of(name, MORE)[0] == pytest.approx(phi_of(name, SAME)[0], rel=1e-12)


def sums_when_split(name: str, cuts: list[int]) -> tuple[float, float]:
    """The contribution of a party, and the sum of those of its parts."""

    one, two, pool = normal(30, 2), 0.5 + normal(9, 2, seed=1), normal(50, 2, seed=2)
    games = [Valuation(SquaredExponential(1.5), x, pool) for x in ([one, two], [*one.split(cuts), two])]
    before, after = (CONCEPTS[name].compute(game, seed=0).phi for game in games)
    return float(before[0]), float(after[:-1].sum())


@pytest.mark.parametrize("name", CONCEPTS)
def test_splitting_in_three_pays_or_costs(name: str) -> None:
    """In contrast to `Pointwise`."""

    before, after = sums_when_split(name, [10, 12, 8])
    assert abs(after - before) > 1e-3 * before


@pytest.mark.parametrize("name", CONCEPTS)
def test_splitting_in_two(name: str) -> None:
    """The sum of the Banzhaf values of two parties is that of both as one (Lehrer, 1988)."""

    before, after = sums_when_split(name, [10, 20])
    assert (abs(after - before) < 1e-12) == (name == "banzhaf")


def test_the_table_of_the_docs() -> None:
    rows = re.findall(r"^\| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    head = next(row for row in rows if "efficiency" in row).split(" | ")
    table = {row.split("`")[1]: row.split(" | ") for row in rows[rows.index(" | ".join(head)) :][2:9]}
    assert table.keys() == {*CONCEPTS, "pointwise"}
    for name in CONCEPTS:
        for axiom, cell in zip(head[1:-1], table[name][1:-1], strict=True):
            assert cell == ("yes" if name in HOLDS[axiom] else "no"), (name, axiom)
