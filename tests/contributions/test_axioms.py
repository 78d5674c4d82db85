"""Which axioms each contribution satisfies: properties of random games, and a counterexample where one does not hold.

`Pointwise` has points as its players, see `test_pointwise`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, note, settings
from hypothesis import strategies as st
from torch import Tensor

from cgm.contributions.base import Contribution, EqualShares
from cgm.contributions.least_core import LeastCore
from cgm.contributions.semivalues import Banzhaf, BetaShapley, LeaveOneOut, Shapley
from cgm.valuation.game import TableGame
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation
from tests.contributions.common import members, normal, tabulate

pytestmark = pytest.mark.processor  # the least core is unique, whatever the processor

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
    "null player": {*SEMIVALUES, "leave_one_out", "least_core"},
    "desirability": set(CONCEPTS),
    "strict desirability": SEMIVALUES,
    "strict monotonicity": SEMIVALUES,
}


def phi_of(name: str, values: Tensor) -> np.ndarray:
    return CONCEPTS[name].compute(TableGame(values), seed=0).phi.numpy()


def those_with(axiom: str, *games: Tensor) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the contributions to some games by each concept that satisfies an axiom."""

    for name in sorted(HOLDS[axiom]):
        note(name)
        yield tuple(phi_of(name, values) for values in games)


def those_without(axiom: str) -> set[str]:
    return CONCEPTS.keys() - HOLDS[axiom]


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


@settings(max_examples=30)
@given(n=sizes, seed=seeds)
def test_efficiency(n: int, seed: int) -> None:
    values = random_game(n, seed)
    for (phi,) in those_with("efficiency", values):
        assert phi.sum() == pytest.approx(float(values[-1]), rel=1e-12)


def test_no_efficiency() -> None:
    for name in those_without("efficiency"):
        assert abs(phi_of(name, tabulate(lambda c: len(c) ** 3, 4)).sum() - 64) > 0.1


@settings(max_examples=30)
@given(n=sizes, seed=seeds)
def test_symmetry(n: int, seed: int) -> None:
    values = random_game(n, seed)
    with_i, with_j = without_and_with(values, 0, 1)
    values[with_j] = values[with_i]
    for (phi,) in those_with("symmetry", values):
        assert phi[0] == pytest.approx(phi[1], rel=1e-11)


@settings(max_examples=30)
@given(n=sizes, seed=seeds)
def test_null_player(n: int, seed: int) -> None:
    values = random_game(n, seed)
    for (phi,) in those_with("null player", torch.cat([values, values])):
        assert phi[-1] == pytest.approx(0, abs=1e-12 * phi.max())


def test_no_null_player() -> None:
    """The last party adds nothing to any coalition."""

    values = torch.tensor([0, 2, 0, 1], dtype=torch.float64)
    for name in those_without("null player"):
        assert phi_of(name, torch.cat([values, values]))[-1] > 0.1


@settings(max_examples=30)
@given(n=sizes, seed=seeds)
def test_desirability(n: int, seed: int) -> None:
    """A party that adds at least as much to every coalition has no smaller contribution."""

    values = random_game(n, seed)
    with_i, with_j = without_and_with(values, 0, 1)
    high, low = torch.maximum(values[with_i], values[with_j]), torch.minimum(values[with_i], values[with_j])
    values[with_i], values[with_j] = high, low
    for (phi,) in those_with("desirability", values):
        assert phi[0] >= phi[1] - 1e-12 * phi.max()


@settings(max_examples=30)
@given(n=sizes, seed=seeds, data=st.data())
def test_strict_desirability(n: int, seed: int, data: st.DataObject) -> None:
    """And a larger one if it adds more to one coalition, such as that of nobody."""

    values = random_game(n, seed)
    with_i, with_j = without_and_with(values, 0, 1)
    values[with_j] = values[with_i]
    values[data.draw(st.sampled_from(with_i))] += 7
    for (phi,) in those_with("strict desirability", values):
        assert phi[0] > phi[1]


SAME = torch.tensor([0, 0, 0, 2, 2, 0, 0, 4], dtype=torch.float64)  # the first and the second party add the same
MORE = torch.tensor([0, 1, 0, 2, 2, 0, 0, 4], dtype=torch.float64)  # the first adds more to the coalition of nobody


def test_no_strict_desirability() -> None:
    for name in those_without("strict desirability"):
        phi = phi_of(name, MORE)
        assert phi[0] == pytest.approx(phi[1], rel=1e-12)


@settings(max_examples=30)
@given(n=sizes, seed=seeds, data=st.data())
def test_strict_monotonicity(n: int, seed: int, data: st.DataObject) -> None:
    """A party's contribution grows with each of its marginal contributions."""

    values = random_game(n, seed)
    more = values.clone()
    more[data.draw(st.sampled_from([c for c in range(2**n) if 0 in members(c, n)]))] += 7
    for before, after in those_with("strict monotonicity", values, more):
        assert after[0] > before[0]


def test_no_strict_monotonicity() -> None:
    for name in those_without("strict monotonicity"):
        assert phi_of(name, MORE)[0] == pytest.approx(phi_of(name, SAME)[0], rel=1e-12)


def sums_when_split(name: str, cuts: list[int]) -> tuple[float, float]:
    """The contribution of a party, and the sum of those of its parts."""

    one, two, pool = normal(30, 2), 0.5 + normal(9, 2, seed=1), normal(50, 2, seed=2)
    games = [Valuation(SquaredExponential(1.5), x, pool) for x in ([one, two], [*one.split(cuts), two])]
    before, after = (CONCEPTS[name].compute(game, seed=0).phi for game in games)
    return float(before[0]), float(after[:-1].sum())


def test_splitting() -> None:
    """In contrast to `Pointwise`; the sum of the Banzhaf values of two add up to that of both as one (Lehrer, 1988)."""

    for name in CONCEPTS:
        before, after = sums_when_split(name, [10, 12, 8])
        assert abs(after - before) > 1e-3 * before
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
