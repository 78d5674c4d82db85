"""No privacy audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cgm.evaluation.entries import RewardAudit
from cgm.evaluation.privacy.base import Audit, Reward


@dataclass(frozen=True)
class NoAudit(Audit):
    """No privacy audit: there are no entries."""

    def audit(
        self, parties: Sequence[torch.Tensor], held_out: Sequence[torch.Tensor], rewards: Sequence[Reward], seed: int
    ) -> list[RewardAudit]:
        """Return no entries."""

        return []
