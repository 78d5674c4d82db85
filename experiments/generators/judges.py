"""Features in which sets of points or images are compared, and the labelling of both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property

import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from cgm.data.datasets.base import Dataset
from cgm.generators.network import cubic_kernel
from cgm.networks import weights as pretrained
from cgm.networks.classifier import Classifier
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.lengthscale import median_distance

NEIGHBOURS = 10  # that vote for the class of a point


class Judge(ABC):
    """Base class of features of points or images, and of the classes that they imply."""

    label: str
    """What labels, for tables."""

    space: str
    """The features, for tables."""

    distance: str
    """The name of the kernel distance, for tables."""

    kernel: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """The kernel of that distance."""

    @abstractmethod
    def features(self, x: torch.Tensor) -> torch.Tensor:
        r"""Compute the features of x, of shape $(N, d)$."""

    @abstractmethod
    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the probabilities of the classes, of shape (N, m), from features of shape (N, d)."""


class NetworkJudge(Judge):
    """The network that labels images.

    Arguments:
        classifier: The network.
    """

    label = "network"
    space = "the features of the network that labels images"
    distance = "KID"
    kernel = staticmethod(cubic_kernel)

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the inputs of the network's last layer."""

        return self.classifier.features(x)

    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the network's probabilities."""

        return self.classifier.probabilities_of(features)


class NeighbourJudge(Judge):
    """The columns of a table, standardised, and the vote of the nearest training points.

    Arguments:
        dataset: The dataset.
    """

    label = f"vote of {NEIGHBOURS} neighbours"
    space = "the columns, standardised"
    distance = "MMD_u²"

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.scaler = StandardScaler().fit(dataset.x)
        # of KID's kernel, a polynomial, the largest values would decide alone
        self.kernel = SquaredExponential(median_distance(self.features(dataset.x)))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Standardise the columns by the training points."""

        return torch.from_numpy(self.scaler.transform(x.double()))

    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the shares of the classes among the nearest training points."""

        found = torch.zeros(len(features), len(self.dataset.classes), dtype=torch.float64)
        found[:, self._vote.classes_.tolist()] = torch.from_numpy(self._vote.predict_proba(features))

        return found

    @cached_property
    def _vote(self) -> KNeighborsClassifier:
        return KNeighborsClassifier(NEIGHBOURS).fit(self.features(self.dataset.x), self.dataset.y)


def judge_of(dataset: Dataset, weights: str | None = None) -> Judge:
    """Return the judge for a dataset.

    Arguments:
        dataset: The dataset.
        weights: The file of weights of a network that labels images. `None`: the one that comes with cgm.

    Raises:
        ValueError: If there is no network for the images, or one is named for a table.
    """

    if dataset.x.dim() == 2:
        if weights is not None:
            raise ValueError(f"classifier={weights}: dataset={dataset.name} has no images")
        return NeighbourJudge(dataset)
    if weights is not None:
        return NetworkJudge(Classifier.of(pretrained.read(weights)))
    shipped = pretrained.find("classifier", tuple(dataset.x.shape[1:]), dataset.name)
    if shipped is None:
        raise ValueError(
            f"dataset={dataset.name}: distances are taken in the features of a network that labels images; one comes "
            "with cgm for mnist and cifar10 only. Train one by python -m experiments.generators.train what=classifier, "
            "and name its weights by classifier=PATH"
        )
    return NetworkJudge(Classifier.of(shipped))
