"""No privacy audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cgm.evaluation.entries import RewardAudit
from cgm.evaluation.privacy.base import Audit, Reward

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class NoAudit(Audit):
    """No privacy audit: there are no entries."""

    def audit(
        self, parties: Sequence[Tensor], held_out: Sequence[Tensor], rewards: Sequence[Reward], seed: int
    ) -> list[RewardAudit]:
        """Return no entries."""

        return []
