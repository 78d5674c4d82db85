r"""The interface of privacy audits: what a reward reveals about the rows of the other parties."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from cgm.evaluation.entries import MetricRow, Missing, RewardAudit
from cgm.evaluation.labelled import flat_array
from cgm.utils.checks import check_points
from cgm.utils.settings import Settings

Reward: TypeAlias = "tuple[int, float, torch.Tensor]"  # the party (from 0), β, the points of G_i, (|G_i|, d)


class Audit(Settings, ABC):
    """Base class of privacy audits.

    An audit is a frozen dataclass of its settings with one method, `audit`.
    """

    section = "audit"

    of_cells: ClassVar[bool] = False
    """Whether it attacks the cells of rows, one coordinate for each column, and not points in features."""

    @property
    def parts(self) -> tuple[Audit, ...]:
        """The audits that it consists of."""

        return (self,)

    def sample(self, others: int, unit: str = "rows") -> str:
        """Say which part of the data is attacked; nothing if all is.

        Arguments:
            others: The number of rows of the other parties.
            unit: What a row is.
        """

        return ""

    @abstractmethod
    def audit(
        self, parties: Sequence[torch.Tensor], held_out: Sequence[torch.Tensor], rewards: Sequence[Reward], seed: int
    ) -> list[RewardAudit]:
        r"""Audit each reward.

        Arguments:
            parties: For each party its rows $D_i$ in the features that are valued, of shape $(N_i, d)$.
            held_out: For each party rows from the same source that neither the generator nor the valuation saw, of
                shape $(M_i, d)$; or one set of rows that serves for all parties.
            rewards: The rewards: party (from 0), $\beta$ and points $G_i$, of shape $(|G_i|, d)$.
            seed: The seed of everything random.

        Returns:
            An entry for each reward, in the order of the rewards; or none at all, if the audit measures nothing.

        Raises:
            ValueError: If rows or points are invalid, or do not fit each other.
        """


@dataclass(frozen=True)
class NoAudit(Audit):
    """No privacy audit: there are no entries."""

    def audit(
        self, parties: Sequence[torch.Tensor], held_out: Sequence[torch.Tensor], rewards: Sequence[Reward], seed: int
    ) -> list[RewardAudit]:
        """Return no entries."""

        return []


def checked_arrays(
    parties: Sequence[torch.Tensor], held_out: Sequence[torch.Tensor], rewards: Sequence[Reward]
) -> tuple[list[NDArray], list[NDArray], list[NDArray]]:
    """Check the parties' rows, those held out and the rewards' points, and return them as arrays.

    Raises:
        ValueError: If rows or points are invalid, or do not fit each other.
    """

    for name, sets in (("parties", parties), ("held_out", held_out)):
        if isinstance(sets, torch.Tensor | np.ndarray):
            raise ValueError(f"audit: {name} has the shape {tuple(sets.shape)}, expected a list, a set for each party")
    parties, held_out = (list(x.values()) if isinstance(x, Mapping) else x for x in (parties, held_out))
    n = len(parties)
    if n == 0:
        raise ValueError("audit: there are no parties, at least one is needed")
    if len(held_out) not in (0, 1, n):
        raise ValueError(
            f"audit: {len(held_out)} sets of held-out rows for {n} parties; expected one for each, or one for all"
        )
    for party, *_ in rewards:
        if not 0 <= party < n:
            raise ValueError(f"audit: a reward is for party {party} (from 0), but there are {n} parties")
    named = [(f"audit: party {i + 1}", x) for i, x in enumerate(parties)]
    named += [(f"audit: held-out rows {j + 1}", x) for j, x in enumerate(held_out)]
    named += [(f"audit: reward of party {party + 1}, beta={beta:g}", x) for party, beta, x in rewards]
    points = [check_points(x, name, min=0) for name, x in named]
    for (name, _), x in zip(named, points, strict=True):
        if x.shape[1:] != points[0].shape[1:]:
            shape, expected = tuple(x.shape[1:]), tuple(points[0].shape[1:])
            raise ValueError(f"{name}: points of shape {shape} where {expected} is expected")

    arrays = [flat_array(x) for x in points]
    return arrays[:n], arrays[n : n + len(held_out)], arrays[n + len(held_out) :]


def audit_rows(entries: Sequence[RewardAudit]) -> tuple[list[MetricRow], list[Missing]]:
    """Return the numbers of audits as metrics, and an entry for each reward without numbers.

    The metrics are `auc_...` and `tpr_...` of each attack, the rate of each attack on cells, `copies`,
    `copies_held_out`, `nearest_share` and `foreign_cells`, as far as they were measured.
    """

    rows, missing = [], []
    for entry in entries:
        if entry.reason is not None:
            missing.append(Missing(entry.party, entry.beta, "audit", entry.reason))
            continue
        numbers: dict[str, float | None] = {}
        for attack in entry.attacks:
            numbers |= {f"auc_{attack.name}": attack.auc, f"tpr_{attack.name}": attack.tpr}
        for guess in entry.guesses:
            numbers["_".join(filter(None, (guess.name, guess.column)))] = guess.rate
        names = ("copies", "copies_held_out", "nearest_share", "foreign_cells")
        numbers |= {name: getattr(entry, name) for name in names if getattr(entry, name) is not None}
        rows += [MetricRow(entry.party, entry.beta, name, value) for name, value in numbers.items()]

    return rows, missing
