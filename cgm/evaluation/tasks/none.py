"""No downstream task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from cgm.evaluation.arrays import Labelled
from cgm.evaluation.tasks.base import Task, entry


@dataclass(frozen=True)
class NoTask(Task):
    """No downstream task: every accuracy is `None`."""

    def evaluate(
        self,
        parties: Sequence[Labelled],
        rewards: Sequence[tuple[int, float, Tensor, Tensor]],
        test: Labelled,
    ) -> list[dict[str, Any]]:
        """Return one entry for each reward, without an accuracy."""

        return [entry(party, beta, None, None, "downstream=none") for party, beta, _, _ in rewards]
