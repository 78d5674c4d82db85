"""Labels by a classifier of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cgm.evaluation.labellers.base import Labeller
from cgm.utils.models import pretrained
from cgm.utils.models.classifier import Classifier


@dataclass(frozen=True)
class CNN(Labeller):
    """Labels of synthetic images by the convolutional network that comes with cgm for their dataset."""

    def classifier(self, dataset: str, image: Sequence[int] | None) -> Classifier:
        """Return the classifier, see `Labeller.classifier`."""

        found = find_classifier(dataset, image)
        if found is None:
            reason = "the generator makes no images"
            if image is not None:
                reason = f"cgm comes with no classifier for images of shape {tuple(image)} of dataset={dataset}"
            raise ValueError(f"labeller=cnn: {reason}; use labeller=knn")
        return found

    def label(self, x: torch.Tensor, y: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
        """Raise a ValueError: a classifier of images does not label points."""

        raise ValueError("labeller=cnn: labels images, not points; use labeller=knn")


def find_classifier(dataset: str, image: Sequence[int] | None) -> Classifier | None:
    """Return the classifier that comes with cgm for images of a dataset, or `None`.

    Arguments:
        dataset: The name of the dataset.
        image: The shape $(C, H, W)$ of the images; `None` if there are none.
    """

    weights = None if image is None else pretrained.find("classifier", image, dataset)
    return None if weights is None else Classifier.of(weights)
