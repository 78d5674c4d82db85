r"""The interface of privacy audits: what a reward reveals about the rows of the other parties."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from cgm.evaluation.entries import MetricRow, Missing, RewardAudit
from cgm.utils.settings import Settings

Reward: TypeAlias = "tuple[int, float, torch.Tensor]"  # the party (from 0), β, the points of G_i, (|G_i|, d)


class Audit(Settings, ABC):
    """Base class of privacy audits.

    An audit is a frozen dataclass of its settings with one method, `audit`.
    """

    section = "audit"

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


def audit_rows(entries: Sequence[RewardAudit]) -> tuple[list[MetricRow], list[Missing]]:
    """Return the numbers of audits as metrics, and an entry for each reward without numbers.

    The metrics are `auc_...` and `tpr_...` of each attack, `copies`, `copies_held_out` and `nearest_share`.
    """

    rows, missing = [], []
    for entry in entries:
        if entry.reason is not None:
            missing.append(Missing(entry.party, entry.beta, "audit", entry.reason))
            continue
        numbers: dict[str, float | None] = {}
        for attack in entry.attacks:
            numbers |= {f"auc_{attack.name}": attack.auc, f"tpr_{attack.name}": attack.tpr}
        numbers |= {name: getattr(entry, name) for name in ("copies", "copies_held_out", "nearest_share")}
        rows += [MetricRow(entry.party, entry.beta, name, value) for name, value in numbers.items()]

    return rows, missing
