"""No labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.evaluation.labellers.base import Labeller


@dataclass(frozen=True)
class NoLabeller(Labeller):
    """No labels: metrics and tasks that need the classes of synthetic points have no values."""

    def label(self, x: torch.Tensor, y: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor | None:
        """Return `None`."""

        return None
