"""Labels by a classifier of images if there is one, and by the nearest real points otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cgm.evaluation.labellers.cnn import find_classifier
from cgm.evaluation.labellers.knn import KNN
from cgm.utils.models.classifier import Classifier


@dataclass(frozen=True)
class AutoLabeller(KNN):
    """Labels of `CNN` for images that cgm has a classifier for, and of `KNN` for anything else.

    Arguments:
        n_neighbors: The number of real points that vote.
    """

    def classifier(self, dataset: str, image: Sequence[int] | None) -> Classifier | None:
        """Return the classifier if there is one, see `Labeller.classifier`."""

        return find_classifier(dataset, image)
