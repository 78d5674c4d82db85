r"""The interface of downstream tasks: what rewards are worth to the parties (Sec. 6)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch

from cgm.evaluation.arrays import Labelled
from cgm.evaluation.entries import Accuracy


class LabelledReward(NamedTuple):
    r"""A reward and its labels.

    Attributes:
        party: The party, from 0.
        beta: The inverse temperature $\beta$.
        x: The synthetic points $G_i$, of shape $(|G_i|, d)$; there may be none.
        y: Their classes, of shape $(|G_i|)$.
    """

    party: int
    beta: float
    x: torch.Tensor
    y: torch.Tensor


class Task(ABC):
    """Base class of downstream tasks.

    A task is a frozen dataclass of its settings with one method, `evaluate`.
    """

    @abstractmethod
    def evaluate(
        self, parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled
    ) -> list[Accuracy]:
        r"""Evaluate each reward on held-out real points.

        Arguments:
            parties: For each party its points, of shape $(N_i, d)$, and their classes, of shape $(N_i)$.
            rewards: The rewards.
            test: Held-out real points, of shape $(M, d)$, and their classes, of shape $(M)$.

        Returns:
            The accuracies of each reward, in the order of the rewards, with a reason for each that is `None`.

        Raises:
            ValueError: If points and labels do not fit each other.
        """
