"""The interface of labellers: the classes of synthetic points, for evaluation only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from cgm.utils.models.classifier import Classifier


class Labeller(ABC):
    """Base class of labellers.

    A labeller is a frozen dataclass of its settings. The framework values and samples without labels.
    """

    def classifier(self, dataset: str, image: Sequence[int] | None) -> Classifier | None:
        r"""Return the classifier that labels synthetic images, or `None` if `label` labels their features.

        Arguments:
            dataset: The name of the dataset.
            image: The shape $(C, H, W)$ of synthetic images; `None` if the generator makes points.

        Raises:
            ValueError: If the labeller needs a classifier that does not exist.
        """

        return None

    @abstractmethod
    def label(self, x: torch.Tensor, y: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor | None:
        r"""Label synthetic points. Not called if there is a classifier.

        Arguments:
            x: Real points, of shape $(N, d)$.
            y: Their classes, of shape $(N)$.
            synthetic: Synthetic points, of shape $(M, d)$.

        Returns:
            Their classes, of shape $(M)$, int64; `None` for no labels at all.

        Raises:
            ValueError: If the points do not fit each other.
        """
