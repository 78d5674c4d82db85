"""No labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cgm.evaluation.labellers.base import Labeller

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class NoLabeller(Labeller):
    """No labels: metrics and tasks that need the classes of synthetic points have no values."""

    def label(self, x: Tensor, y: Tensor, synthetic: Tensor) -> Tensor | None:
        """Return `None`."""

        return None
