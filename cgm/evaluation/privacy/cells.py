r"""Attacks on the cells of rows: a secret cell is guessed, or a row is singled out by what its cells are.

The attacker is party $i$, as in membership inference. Each attack is made three times: with the reward $G_i$, without
it (with the attacker's own data $D_i$ in its place), and against or by rows that were held out. The reward gives
something away about the rows that were used if guesses are right more often than those of held-out rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from cgm.evaluation.entries import GuessResult, RewardAudit
from cgm.evaluation.privacy.attacks import subsample
from cgm.evaluation.privacy.base import Audit, Reward, checked_arrays
from cgm.evaluation.privacy.intervals import difference_of_shares
from cgm.evaluation.privacy.membership import Membership
from cgm.utils.checks import check_integer
from cgm.utils.run import progress
from cgm.utils.settings import Choice, Integer, Listed, Number

MIN_ROWS = 2  # of members and of non-members
MAX_VALUES = 50  # of a column whose values are compared for equality; those of others by their distance
MAX_SEARCHED = 20_000  # rows of other parties of which a predicate singles one out
MAX_CONDITIONS = 4  # of a predicate on several columns
ATTACKS = ("attribute_inference", "singling_out")


@dataclass(frozen=True)
class CellAttacks(Audit):
    r"""Attribute inference and singling out, and the cells of rewards that name another party.

    Rows are given with one coordinate for each column.

    - **Attribute inference**: the attacker knows all cells of a row but one, and guesses it to be that of the nearest
      row of the reward. It is right if a value of few is the same, or a number is within `tolerance` standard
      deviations. Beside it are the guesses for the same rows with the attacker's own data in place of the reward, and
      those for held-out rows. There is a result for each column; their intervals hold together (Bonferroni).
    - **Singling out**: the attacker makes predicates that hold for exactly one row of the reward by one column (a value
      that occurs once, the smallest or the largest number), or takes two to four cells of each row of it (equal to a
      value of few; a number within `tolerance` standard deviations). A predicate is right if it holds for exactly one
      row of the other parties. Beside it are predicates made of the attacker's own data, and of held-out rows. Of
      more than 20,000 rows of the other parties, or in a source of predicates, as many random ones are used.

    The definitions follow Anonymeter; the nearest row is that by the mean distance of all other cells. Predicates on
    several columns ask for numbers nearby, where those of Anonymeter ask for numbers at least or at most as large,
    which do not find the row that a noisy copy was made of.

    Arguments:
        attacks: The attacks: `"attribute_inference"`, `"singling_out"`.
        tolerance: The largest error of a number that is guessed right, or that a predicate allows, in standard
            deviations.
        confidence: The probability with which an interval contains its number.
        predicates: The largest number of predicates.
        max_rows: The largest number of members, and of held-out rows, that are attacked, and of rows that attack them.

    References:
        | A Unified Framework for Quantifying Privacy Risk in Synthetic Data (Giomi, Boenisch, Wehmeyer & Tasnádi,
          2023), called Anonymeter
        | Interval Estimation for the Difference between Independent Proportions (Newcombe, 1998), method 10

    Raises:
        ValueError: If a setting is out of range.
    """

    of_cells: ClassVar[bool] = True

    attacks: Annotated[Sequence[str], Listed(Choice(ATTACKS), min=1)] = ATTACKS
    tolerance: Annotated[float, Number(min=0)] = 0.05
    confidence: Annotated[float, Number(min=0, max=1, open_min=True, open_max=True)] = 0.95
    predicates: Annotated[int, Integer(min=1)] = 500
    max_rows: Annotated[int, Integer(min=MIN_ROWS)] = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "attacks", tuple(self.attacks))

    def sample(self, others: int, unit: str = "rows") -> str:
        """Say how many rows are attacked and searched, if not all are."""

        texts = []
        if others > self.max_rows and "attribute_inference" in self.attacks:
            texts.append(f"Cells are guessed of {self.max_rows:,} {unit} of the other parties.")
        if others > MAX_SEARCHED and "singling_out" in self.attacks:
            texts.append(f"Predicates are to single out one of {MAX_SEARCHED:,} {unit} of the other parties.")
        return " ".join(texts)

    def audit(
        self, parties: Sequence[torch.Tensor], held_out: Sequence[torch.Tensor], rewards: Sequence[Reward], seed: int
    ) -> list[RewardAudit]:
        """Attack each reward; arguments and result are those of `Audit.audit`, with one coordinate for each column."""

        check_integer("seed", seed, min=0)
        real, outside, points = checked_arrays(parties, held_out, rewards)
        columns, owners = Columns(real), _single_owners(real)
        entries = []
        with progress(len(rewards), "attacks on cells") as bar:
            for (party, beta, _), g in zip(rewards, points, strict=True):
                entries.append(self._attack(party, float(beta), g, real, outside, seed, columns, owners))
                bar.update()
        return entries

    def _attack(
        self,
        party: int,
        beta: float,
        g: NDArray,
        real: Sequence[NDArray],
        outside: Sequence[NDArray],
        seed: int,
        columns: Columns,
        owners: Sequence[tuple[NDArray, NDArray]],
    ) -> RewardAudit:
        """Attack one reward."""

        others = [x for j, x in enumerate(real) if j != party]
        apart = [x for j, x in enumerate(outside) if j != party or len(outside) != len(real)]
        own, empty = real[party], g[:0]
        members, non_members = np.concatenate([empty, *others]), np.concatenate([empty, *apart])
        counts = {"rows of other parties": len(members), "held-out rows": len(non_members)}
        few = next((f"{n} {what}, at least {MIN_ROWS} are needed" for what, n in counts.items() if n < MIN_ROWS), None)
        reason = (
            "there are no other parties"
            if not others
            else "the party has no rows of its own"
            if not len(own)
            else few or (None if len(g) else "no point was accepted")
        )
        nothing = RewardAudit(party, beta, len(members), len(non_members), [], None, None, None, None, None, reason)
        if reason is not None:
            return nothing

        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(party,)))
        sizes = [self.max_rows, self.max_rows, 2 * self.max_rows, 2 * self.max_rows]
        sets = (members, non_members, g, own)
        some, few_apart, source, own = (subsample(x, n, random) for x, n in zip(sets, sizes, strict=True))
        guesses: list[GuessResult] = []
        if "attribute_inference" in self.attacks:
            right = columns.guessed(some, source, self.tolerance)
            without = columns.guessed(some, own, self.tolerance)
            control = columns.guessed(few_apart, source, self.tolerance)
            level = 1 - (1 - self.confidence) / right.shape[1]
            for j in range(right.shape[1]):
                guesses.append(
                    _result("attribute_inference", str(j + 1), right[:, j], without[:, j], control[:, j], level)
                )
        if "singling_out" in self.attacks:
            members, *sources = (subsample(x, MAX_SEARCHED, random) for x in (members, g, real[party], non_members))
            for name, single in (("singling_out_by_one_column", True), ("singling_out_by_several_columns", False)):
                right, without, control = (
                    columns.singled_out(members, made_of, self.predicates, single, self.tolerance, random)
                    for made_of in sources
                )
                guesses.append(_result(name, None, right, without, control, self.confidence))

        foreign = sum(int(np.isin(g[:, j], values[of != party]).sum()) for j, (values, of) in enumerate(owners))
        return replace(nothing, guesses=guesses, cells=g.size, foreign_cells=foreign)


@dataclass(frozen=True)
class AllAttacks(Audit):
    """Membership inference, attribute inference and singling out.

    Arguments:
        membership: The attacks on points in the features that are valued.
        cells: The attacks on cells, of tables, and on coordinates of points, of other data.
    """

    membership: Membership = field(default_factory=Membership)
    cells: CellAttacks = field(default_factory=CellAttacks)

    @property
    def parts(self) -> tuple[Audit, ...]:
        """The audits that it consists of."""

        return self.membership, self.cells

    def audit(
        self, parties: Sequence[torch.Tensor], held_out: Sequence[torch.Tensor], rewards: Sequence[Reward], seed: int
    ) -> list[RewardAudit]:
        """Make all attacks; arguments and result are those of `Audit.audit`."""

        return merged([part.audit(parties, held_out, rewards, seed) for part in self.parts])


def merged(audits: Sequence[Sequence[RewardAudit]]) -> list[RewardAudit]:
    """Return the entries of several audits of the same rewards as one entry for each reward.

    Arguments:
        audits: The entries of each audit: those of membership, if it is among them, first.
    """

    filled = [entries for entries in audits if entries]
    if not filled:
        return []
    first, *others = filled
    for entries in others:
        first = [
            replace(a, guesses=b.guesses, cells=b.cells, foreign_cells=b.foreign_cells)
            for a, b in zip(first, entries, strict=True)
        ]
    return list(first)


def name_columns(entry: RewardAudit, names: Sequence[str]) -> RewardAudit:
    """Return an entry with the names of columns in place of their numbers."""

    guesses = [replace(x, column=None if x.column is None else names[int(x.column) - 1]) for x in entry.guesses]
    return replace(entry, guesses=guesses)


class Columns:
    """The columns of some rows: which have few values, and how far the others vary.

    Arguments:
        sets: Sets of rows, each of shape (N_s, d).
    """

    def __init__(self, sets: Sequence[NDArray]) -> None:
        columns = [np.concatenate([rows[:, j] for rows in sets]) for j in range(sets[0].shape[1])]
        self.few = np.array([len(np.unique(column)) <= MAX_VALUES for column in columns])  # (d)
        deviation = np.array([column.std() if len(column) else 0.0 for column in columns])
        self.deviation = np.where(deviation > 0, deviation, 1.0)  # (d)

    def distances(self, j: int, rows: NDArray, source: NDArray) -> NDArray:
        """Return the distances of column j of rows (C, d) to a source (K, d), of shape (C, K): at most 1 each."""

        a, b = rows[:, j, None], source[None, :, j]
        if self.few[j]:
            return (a != b).astype(np.float32)
        return np.minimum(np.abs(a - b) / (4 * self.deviation[j]), 1).astype(np.float32)

    def guessed(self, rows: NDArray, source: NDArray, tolerance: float) -> NDArray:
        """Return for each cell of rows (C, d) whether that of the row nearest by all others is right, of that shape."""

        d = rows.shape[1]
        total = sum((self.distances(j, rows, source) for j in range(d)), start=np.zeros((), np.float32))
        right = np.empty(rows.shape, bool)
        for j in range(d):
            nearest = (total - self.distances(j, rows, source)).argmin(1)
            error = np.abs(source[nearest, j] - rows[:, j])
            right[:, j] = error == 0 if self.few[j] else error <= tolerance * self.deviation[j]
        return right

    def singled_out(
        self,
        rows: NDArray,
        source: NDArray,
        count: int,
        single: bool,
        tolerance: float,
        random: np.random.Generator,
    ) -> NDArray:
        """Return for each predicate made of a source (K, d) whether it holds for exactly one of some rows (N, d).

        Arguments:
            rows: The rows.
            source: The rows of which predicates are made.
            count: The largest number of predicates.
            single: Whether they are about one column.
            tolerance: The largest distance of a number that is near another, in standard deviations.
            random: The random numbers.
        """

        made = self._of_one_column(source) if single else self._of_several(source, count, random)
        if len(made) > count:
            made = [made[k] for k in random.choice(len(made), count, replace=False)]
        return np.array([self._holds(predicate, rows, tolerance).sum() == 1 for predicate in made], bool)

    def _of_one_column(self, source: NDArray) -> list[list[tuple[int, str, float]]]:
        made: list[list[tuple[int, str, float]]] = []
        for j in range(source.shape[1]):
            values, counts = np.unique(source[:, j], return_counts=True)
            made += [[(j, "=", float(x))] for x in values[counts == 1]]
            if not self.few[j]:
                made += [[(j, "<", float(values[0]))], [(j, ">", float(values[-1]))]]
        return made

    def _of_several(
        self, source: NDArray, count: int, random: np.random.Generator
    ) -> list[list[tuple[int, str, float]]]:
        d, made = source.shape[1], []
        for row in source[random.permutation(len(source))[:count]]:  # one each: their outcomes are independent
            size = min(d, int(random.integers(2, MAX_CONDITIONS + 1)))
            chosen = random.choice(d, size, replace=False)
            made.append([(int(j), "=" if self.few[j] else "near", float(row[j])) for j in chosen])
        return made

    def _holds(self, predicate: Sequence[tuple[int, str, float]], rows: NDArray, tolerance: float) -> NDArray:
        """Return for each row whether a predicate holds: `<` and `>` include equality."""

        holds = np.ones(len(rows), bool)
        for j, sign, value in predicate:
            x = rows[:, j]
            if sign == "near":
                holds &= np.abs(x - value) <= tolerance * self.deviation[j]
            else:
                holds &= x == value if sign == "=" else x <= value if sign == "<" else x >= value
        return holds


def _single_owners(real: Sequence[NDArray]) -> list[tuple[NDArray, NDArray]]:
    """Return for each column the values that exactly one party has, and the numbers of these parties."""

    found = []
    for j in range(real[0].shape[1]):
        parts = [np.unique(x[:, j]) for x in real]
        owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        values, first, counts = np.unique(np.concatenate(parts), return_index=True, return_counts=True)
        found.append((values[counts == 1], owners[first[counts == 1]]))
    return found


def _result(
    name: str, column: str | None, right: NDArray, without: NDArray, control: NDArray, confidence: float
) -> GuessResult:
    """Return what the outcomes of guesses say."""

    low, high = difference_of_shares(right, control, confidence)
    return GuessResult(name, column, len(right), _share(right), _share(without), _share(control), low, high)


def _share(outcomes: NDArray) -> float:
    return float(outcomes.mean()) if len(outcomes) else 0.0
