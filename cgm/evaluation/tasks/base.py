r"""The interface of downstream tasks: what rewards are worth to the parties (Sec. 6)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from cgm.evaluation.arrays import Labelled


class Task(ABC):
    """Base class of downstream tasks.

    A task is a frozen dataclass of its settings with one method, `evaluate`.
    """

    @abstractmethod
    def evaluate(
        self,
        parties: Sequence[Labelled],
        rewards: Sequence[tuple[int, float, Tensor, Tensor]],
        test: Labelled,
    ) -> list[dict[str, Any]]:
        r"""Evaluate each reward on held-out real points.

        Arguments:
            parties: For each party its points, of shape $(N_i, d)$, and their classes, of shape $(N_i)$.
            rewards: For each reward the number of its party, its $\beta$, its synthetic points, of shape
                $(|G_i|, d)$, possibly none, and their classes, of shape $(|G_i|)$.
            test: Held-out real points, of shape $(M, d)$, and their classes, of shape $(M)$.

        Returns:
            For each reward `party`, `beta`, `accuracy` (after training on $D_i \cup G_i$), `accuracy_before`
            (on $D_i$) and `reason`, the reason why an accuracy is `None` (and else is `None`).
        """


def entry(party: int, beta: float, accuracy: float | None, before: float | None, reason: str | None) -> dict[str, Any]:
    """Return the accuracies of one reward, as `Task.evaluate` lists them."""

    return {
        "party": party,
        "beta": beta,
        "accuracy": accuracy,
        "accuracy_before": before,
        "reason": reason,
    }
