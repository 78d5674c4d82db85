"""No downstream task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cgm.evaluation.arrays import Labelled
from cgm.evaluation.entries import Accuracy
from cgm.evaluation.tasks.base import LabelledReward, Task


@dataclass(frozen=True)
class NoTask(Task):
    """No downstream task: every accuracy is `None`."""

    def evaluate(
        self, parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled
    ) -> list[Accuracy]:
        """Return an entry without accuracies for each reward."""

        return [Accuracy(party, beta, None, None, "downstream=none") for party, beta, *_ in rewards]
