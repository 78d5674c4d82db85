"""The interface of labellers: the classes of synthetic points, for evaluation only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from cgm.evaluation.labelled import flat_array, labelled_arrays
from cgm.generators.base import Generator
from cgm.networks import weights as pretrained
from cgm.networks.classifier import Classifier
from cgm.utils.cache import cached
from cgm.utils.checks import check_points
from cgm.utils.settings import Integer, Settings

__all__ = ["CNN", "KNN", "AutoLabeller", "Labeller", "NoLabeller"]


class Labeller(Settings, ABC):
    """Base class of labellers.

    A labeller is a frozen dataclass of its settings. The framework values and samples without labels.
    """

    section = "labeller"

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


@dataclass(frozen=True)
class NoLabeller(Labeller):
    """No labels: metrics and tasks that need the classes of synthetic points have no values."""

    def label(self, x: torch.Tensor, y: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor | None:
        """Return `None`."""

        return None


@dataclass(frozen=True)
class KNN(Labeller):
    """Labels of synthetic points by a vote of their nearest real points.

    Arguments:
        n_neighbors: The number of real points that vote.

    Raises:
        ValueError: If `n_neighbors` is out of range.

    Example:
        >>> x, y = torch.tensor([[0.0], [0.1], [5.0], [5.1]]), torch.tensor([0, 0, 1, 1])
        >>> KNN(n_neighbors=2).label(x, y, torch.tensor([[4.0], [1.0]]))
        tensor([1, 0])
    """

    n_neighbors: Annotated[int, Integer(min=1)] = 5

    def label(self, x: torch.Tensor, y: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
        r"""Label synthetic points, see `Labeller.label`.

        Raises:
            ValueError: If the widths differ, a point has no class, or there are fewer real points than votes.
        """

        from sklearn.neighbors import KNeighborsClassifier

        points, classes = labelled_arrays(x, y, "labelling: real points")
        synthetic = check_points(synthetic, "labelling: synthetic points", width=np.shape(x)[1])
        if self.n_neighbors > len(points):
            raise ValueError(
                f"labeller.n_neighbors={self.n_neighbors}: expected at most the number of real points, {len(points)}"
            )
        votes = KNeighborsClassifier(self.n_neighbors).fit(points, classes)

        return torch.from_numpy(votes.predict(flat_array(synthetic)).astype(np.int64))


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


@dataclass(frozen=True)
class AutoLabeller(KNN):
    """Labels of `CNN` for images that cgm has a classifier for, and of `KNN` for anything else.

    Arguments:
        n_neighbors: The number of real points that vote.
    """

    def classifier(self, dataset: str, image: Sequence[int] | None) -> Classifier | None:
        """Return the classifier if there is one, see `Labeller.classifier`."""

        return find_classifier(dataset, image)


def classify_pool(
    classifier: Classifier, generator: Generator, size: int, seed: int, cache: str | Path | None = None
) -> torch.Tensor:
    r"""Return the classes of the images of a pool, which is drawn again, of shape $(|G|)$.

    Arguments:
        classifier: The classifier.
        generator: The generator of the pool, fitted.
        size: $|G|$.
        seed: The seed of the pool's sample.
        cache: A folder in which the classes are kept. `None`: they are not kept.
    """

    key = {"generator": generator.fingerprint(), "classifier": classifier.fingerprint(), "size": size, "seed": seed}
    if key["generator"] is None:  # without a fingerprint there is no key
        cache = None
    return cached(cache, "labels", key, lambda: {"labels": classifier.predict(generator.sample(size, seed))})["labels"]
