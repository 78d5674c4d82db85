r"""The interface of privacy audits: what a reward reveals about the rows of the other parties."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import torch

from cgm.evaluation.entries import RewardAudit

Reward: TypeAlias = "tuple[int, float, torch.Tensor]"  # the party (from 0), β, and the points of G_i, of shape (|G_i|, d)


class Audit(ABC):
    """Base class of privacy audits.

    An audit is a frozen dataclass of its settings with one method, `audit`.
    """

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
