r"""Membership inference as an audit, and counts of copied rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cgm.evaluation.entries import AttackResult, RewardAudit
from cgm.evaluation.privacy.attacks import ATTACKS, Target, nearest_rows, neighbour_distances, subsample
from cgm.evaluation.privacy.base import Audit, Reward, checked_arrays
from cgm.evaluation.privacy.intervals import auc, true_positive_rate
from cgm.utils.checks import check_integer
from cgm.utils.run import limited, progress
from cgm.utils.settings import Choice, Integer, Listed, Number

MIN_ROWS = 2  # of members and of non-members: one row has no variance
BLOCK = 65_536  # rows that are compared with their neighbours at once
ROUNDING = 1e-6  # difference of equal coordinates, in standard deviations: float32 rounds to about 1e-7


class Copies:
    r"""Counts the points that equal a row of some sets, up to rounding.

    Two points are equal if each coordinate differs by at most `ROUNDING` of its standard deviation over all distinct
    rows. Equal points have nearly equal places on any line. So rows are sorted by their places on a random line, and
    each point is compared with the few rows that are near it there: the time grows with the number of rows, not with
    its square, in any number of dimensions.

    Arguments:
        sets: The sets of rows, each of shape $(N_s, d)$; there may be none in a set.

    Example:
        >>> x = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
        >>> Copies([x[:2], x[2:]]).count(x[1:], [0], [0, 1])
        [1, 2]
    """

    def __init__(self, sets: Sequence[NDArray]) -> None:
        width = max((rows.shape[1] for rows in sets), default=0)
        direction = np.random.default_rng(0).normal(size=width)
        distinct = [_distinct(rows, direction) for rows in sets]  # many equal rows would have many matches
        deviation = _deviation([rows[kept] for rows, kept in zip(sets, distinct, strict=True)], width)
        self._scale = np.where(deviation > 0, deviation, 1.0)
        self._direction = direction / self._scale
        self._reach = 2 * ROUNDING * np.abs(direction).sum()  # twice that of equal points: rounding errors are smaller
        self._sets = [_by_place(rows, kept, self._direction) for rows, kept in zip(sets, distinct, strict=True)]

    def count(self, points: NDArray, *groups: Sequence[int]) -> list[int]:
        """Count, for each group of sets, the points that equal a row of one of its sets."""

        places = points @ self._direction
        equal = np.array([self._in_set(points, places, *of_set) for of_set in self._sets])  # (S, K)
        return [int(equal[list(group)].any(0).sum()) for group in groups]

    def _in_set(self, points: NDArray, places: NDArray, rows: NDArray, order: NDArray, ordered: NDArray) -> NDArray:
        """Return which points equal a row of a set: only those at nearly the same place are compared."""

        first = np.searchsorted(ordered, places - self._reach)
        last = np.searchsorted(ordered, places + self._reach, side="right")
        equal = np.zeros(len(points), bool)
        waiting = np.flatnonzero(first < last)
        while len(waiting):  # a row for each point at a time
            row = rows[order[first[waiting]]]
            near = np.abs(row / self._scale - points[waiting] / self._scale).max(1) <= ROUNDING
            equal[waiting[near]] = True
            first[waiting] += 1
            waiting = waiting[~near & (first[waiting] < last[waiting])]
        return equal


def _distinct(rows: NDArray, direction: NDArray) -> NDArray:
    """Return the numbers of the rows without those that equal another one: equal rows have equal places on a line."""

    order = np.argsort(rows @ direction, kind="stable")
    again = np.zeros(len(rows), bool)
    for a in range(1, len(rows), BLOCK):
        b = min(a + BLOCK, len(rows))
        again[a:b] = (rows[order[a:b]] == rows[order[a - 1 : b - 1]]).all(1)
    return np.sort(order[~again])


def _deviation(sets: Sequence[NDArray], width: int) -> NDArray:
    """Return the standard deviations of the columns of some sets of rows together, of shape (d)."""

    if not any(map(len, sets)):
        return np.zeros(width)
    return np.array([np.concatenate([rows[:, j] for rows in sets]).std() for j in range(width)])


def _by_place(rows: NDArray, kept: NDArray, direction: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return rows, the numbers of those that are kept in the order of their places on a line, and these places."""

    places = (rows @ direction)[kept]
    order = np.argsort(places, kind="stable")
    return rows, kept[order], places[order]


@dataclass(frozen=True)
class Membership(Audit):
    r"""Membership inference: what a party can find out from its reward about the rows of the other parties.

    The attacker is a party $i$ that received $G_i$ and knows its own data $D_i$. It is given rows in the features that
    are valued, and guesses for each whether it is a *member*, a row of another party that the generator and the
    valuation used, or a *non-member*, a held-out row from the same source that neither of them saw. If members and
    non-members differ in anything else, such as their shares of classes, an attack may find that difference instead.

    Each attack of `cgm.evaluation.privacy.attacks` is measured by its AUC (0.5: no better than guessing, 1: perfect)
    and by the share of members that it finds at a small false positive rate. The intervals are those of `auc` and
    `true_positive_rate` in `cgm.evaluation.privacy.intervals`; they describe the choice of the rows that are scored,
    for this reward. The strongest attack is the one with the largest AUC. As the largest of several numbers, this AUC
    is too large on average, and its interval covers less than `confidence` says. With four attacks,
    `confidence=0.9875` gives intervals that hold together with a probability of 95 % (Bonferroni).

    A low AUC is no proof of privacy: another attack may be stronger, and no attack is a bound for all.

    Arguments:
        false_positive_rate: The share of non-members that may be taken for members.
        confidence: The probability with which an interval contains its number.
        max_rows: The largest number of members, and of non-members, that are scored; random ones, the same for all
            rewards of a party.
        attacks: The names of the attacks: `"nearest"`, `"density_ratio"`, `"neighbourhood"`, `"classifier"`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> import torch
        >>> random = torch.Generator().manual_seed(0)
        >>> parties = [torch.randn(100, 2, generator=random) for _ in range(2)]
        >>> held_out = torch.randn(100, 2, generator=random)
        >>> copied = parties[1] + 1e-9  # a reward that hands over the other party's rows
        >>> (entry,) = Membership().audit(parties, [held_out], [(0, 1.0, copied)], seed=0)
        >>> entry.strongest, entry.attacks[0].auc, entry.copies
        ('nearest', 1.0, 100)
    """

    false_positive_rate: Annotated[float, Number(min=0, max=1, open_min=True, open_max=True)] = 0.01
    confidence: Annotated[float, Number(min=0, max=1, open_min=True, open_max=True)] = 0.95
    max_rows: Annotated[int, Integer(min=MIN_ROWS)] = 1000
    attacks: Annotated[Sequence[str], Listed(Choice(tuple(ATTACKS)), min=1)] = tuple(ATTACKS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.attacks)) < len(self.attacks):
            raise ValueError(f"audit.attacks={list(self.attacks)}: expected each attack once")
        object.__setattr__(self, "attacks", tuple(self.attacks))  # a list, if it comes from a file

    def sample(self, others: int, unit: str = "rows") -> str:
        """Say how many rows are scored, if not all are."""

        few = others > self.max_rows
        return f"Membership is guessed for {self.max_rows:,} {unit} of the other parties." if few else ""

    def audit(
        self, parties: Sequence[torch.Tensor], held_out: Sequence[torch.Tensor], rewards: Sequence[Reward], seed: int
    ) -> list[RewardAudit]:
        r"""Attack each reward.

        Arguments and result are those of `Audit.audit`. The non-members for party $i$ are the held-out rows of all
        other parties, or the one set that serves for all. An entry has a reason and no numbers if the reward is empty,
        or if there are too few rows.

        Raises:
            ValueError: If rows or points are invalid, widths differ, a reward is for a party that does not exist, or
                `held_out` is neither a set of rows for each party nor a single one.
        """

        check_integer("seed", seed, min=0)
        real, outside, points = checked_arrays(parties, held_out, rewards)
        rows = sum(map(len, real))
        origin = sum(x.sum(0) for x in real) / rows if rows else 0.0  # keeps the rounding errors of distances small
        real, outside, points = ([x - origin for x in sets] for sets in (real, outside, points))
        copies = Copies([*real, *outside])
        views: dict[int, _View] = {}
        entries = []
        with limited(1), progress(len(rewards), "privacy audit") as bar:  # sums depend on the number of threads
            for (party, beta, _), g in zip(rewards, points, strict=True):
                if party not in views:
                    views[party] = self._view(party, real, outside, seed)
                entries.append(self._attack(party, float(beta), g, views[party], copies))
                bar.update()

        return entries

    def _view(self, party: int, real: Sequence[NDArray], outside: Sequence[NDArray], seed: int) -> _View:
        """Choose the rows that are scored for a party."""

        n = len(real)
        others = [j for j in range(n) if j != party]
        free = others if len(outside) == n else list(range(len(outside)))
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(party,)))
        members = subsample(_join(real[party][:0], real, others), self.max_rows, random)
        non_members = subsample(_join(real[party][:0], outside, free), self.max_rows, random)

        reason = None
        if not others:
            reason = "there are no other parties"
        elif not len(real[party]):
            reason = "the party has no rows of its own"
        elif len(members) < MIN_ROWS:
            reason = f"{len(members)} rows of other parties, at least {MIN_ROWS} are needed"
        elif len(non_members) < MIN_ROWS:
            reason = f"{len(non_members)} held-out rows, at least {MIN_ROWS} are needed"
        rows = np.concatenate([members, non_members])
        to_own = neighbour_distances(real[party], rows) if reason is None else rows[:0]

        return _View(
            real[party], rows, to_own, len(members), others, [n + j for j in free], int(random.integers(2**31)), reason
        )

    def _attack(self, party: int, beta: float, g: NDArray, view: _View, copies: Copies) -> RewardAudit:
        """Attack one reward."""

        rows, m = view.rows, view.members
        reason = "no point was accepted" if view.reason is None and not len(g) else view.reason
        if reason is not None:
            return RewardAudit(party, beta, m, len(rows) - m, [], None, None, None, None, None, reason)

        target = Target(rows, g, view.own, neighbour_distances(g, rows), view.to_own)
        attacks = []
        for name in self.attacks:
            scores = ATTACKS[name](target, view.seed)
            area = auc(scores[:m], scores[m:], self.confidence)
            tpr = true_positive_rate(scores[:m], scores[m:], self.false_positive_rate, self.confidence)
            attacks.append(AttackResult(name, *area, *tpr))

        random = np.random.default_rng(view.seed)
        order = random.permutation(len(rows))  # of two equal rows, a member is as likely to be the nearest as another
        nearest = order[nearest_rows(rows[order], subsample(g, self.max_rows, random))]
        of_members, of_held_out = copies.count(g, view.member_sets, view.held_out_sets)
        return RewardAudit(
            party=party,
            beta=beta,
            members=m,
            non_members=len(rows) - m,
            attacks=attacks,
            strongest=max(attacks, key=lambda attack: attack.auc).name,
            copies=of_members,
            copies_held_out=of_held_out,
            nearest_share=float((nearest < m).mean()),
            chance=m / len(rows),
        )


class _View(NamedTuple):
    """A party as an attacker, and the rows that it scores.

    Attributes:
        own: Its own rows, of shape (N, d).
        rows: The rows to score, members first, of shape (C, d).
        to_own: Their distances to the nearest own rows, of shape (C, k).
        members: The number of members.
        member_sets, held_out_sets: The sets that members and non-members are from, as `Copies` numbers them.
        seed: The seed of the attacks.
        reason: Why the party's rewards cannot be audited, or `None`.
    """

    own: NDArray
    rows: NDArray
    to_own: NDArray
    members: int
    member_sets: list[int]
    held_out_sets: list[int]
    seed: int
    reason: str | None


def _join(empty: NDArray, sets: Sequence[NDArray], chosen: Sequence[int]) -> NDArray:
    """Concatenate some sets of rows, perhaps none; `empty` has their width."""

    return np.concatenate([empty, *(sets[j] for j in chosen)])
