"""Labels of images by a small convolutional network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch

from cgm.networks import weights as pretrained
from cgm.networks.architectures import (
    ClassifierNetwork,
    check_images,
    in_batches,
    mirror_some,
    weights_of,
)
from cgm.networks.fitted import FittedNetwork
from cgm.networks.training import Batch, Budget, Checkpoint, Descent, Epochs, Minutes, Rate, recalibrate, seeded
from cgm.networks.weights import Weights
from cgm.utils.checks import check_labels, check_points
from cgm.utils.run import limited
from cgm.utils.settings import Integer, Number, Settings

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Classifier(FittedNetwork[ClassifierNetwork], Settings):
    r"""Classifier of images: a small residual network with batch norm.

    It labels synthetic images for the evaluation only; the framework values and samples without labels. In training,
    images are mirrored and shifted at random. `save` and `load` work as those of a generator.

    Arguments:
        classes: The number $m$ of classes.
        width: The number of channels of the first convolution; the last has eight times as many.
        mirror: Whether to mirror half of the images of a training left to right; wrong for digits.
        shift: The maximum number of pixels by which images of a training are shifted along each side.
        epochs, minutes, batch, rate, decay, checkpoint: See `cgm.networks.training.Budget`.

    Example:
        >>> images, labels = torch.rand(20, 1, 8, 8), torch.arange(20) % 2
        >>> classifier = Classifier(classes=2, width=2, epochs=1, batch=10).fit(images, labels, seed=0)
        >>> classifier.predict(images).shape, classifier.features(images).shape
        (torch.Size([20]), torch.Size([20, 16]))
    """

    classes: Annotated[int, Integer(min=2)] = 10
    width: Annotated[int, Integer(min=1)] = 16
    mirror: bool = False
    shift: Annotated[int, Integer(min=0)] = 2
    epochs: Epochs = 10
    minutes: Minutes = None
    batch: Batch = 128
    rate: Rate = 1e-2
    decay: Annotated[float, Number(min=0)] = 0.05
    checkpoint: Checkpoint = None

    section = "classifier"

    size_names: ClassVar[tuple[str, ...]] = ("colours",)
    file_settings: ClassVar[tuple[str, ...] | None] = ("classes", "width")

    @classmethod
    def shipped(cls, shape: Sequence[int] | None = None, dataset: str | None = None) -> Classifier:
        r"""Return the pretrained classifier that comes with cgm.

        Arguments:
            shape: The shape $(C, H, W)$ of the images. Any, if `None`.
            dataset: The name of the dataset, `"mnist"` or `"cifar10"`. Any, if `None`.

        Raises:
            ValueError: If there is no such classifier, or its file is damaged.
        """

        return cls.of(pretrained.get("classifier", shape, dataset))

    @classmethod
    def of(cls, weights: Weights) -> Classifier:
        """Return the classifier that pretrained weights belong to."""

        log.info("classifier: trained on %s, %s", weights.dataset, weights.path)
        settings = {name: weights.info["settings"][name] for name in ("classes", "width")}

        return cls(**settings).load(weights.path)

    def make_network(self, sizes: Mapping[str, Any]) -> ClassifierNetwork:
        """Construct the network for a number of colour channels."""

        return ClassifierNetwork(self.classes, self.width, sizes["colours"])

    def network(self) -> ClassifierNetwork:
        """Return the fitted network, in the memory format in which convolutions are fastest."""

        network = super().network()
        network.to(memory_format=torch.channels_last)

        return network

    @limited(1)  # sums, and so the weights, depend on the number of threads
    def fit(self, x: torch.Tensor, y: torch.Tensor, seed: int) -> Classifier:
        r"""Train the classifier, and return it.

        Arguments:
            x: Images of shape $(N, C, H, W)$, with pixels from 0 to 1.
            y: Their classes, of shape $(N)$.
            seed: An integer from 0.

        Raises:
            ValueError: If x and y are not labelled images.
        """

        x = check_images(x, "images to fit a classifier to", min=2)
        y = check_labels(y, "classes to fit a classifier to", self.classes)
        if len(x) != len(y):
            raise ValueError(f"classes to fit a classifier to: {len(y)} for {len(x)} images")
        y = y.detach().cpu().long()

        with seeded(seed):
            network = ClassifierNetwork(self.classes, self.width, x.shape[1])
        network.to(memory_format=torch.channels_last)  # 1.5 times as fast

        def loss(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            images = augment(x[rows], self.mirror, self.shift, generator)
            return torch.nn.functional.cross_entropy(network(images), y[rows], label_smoothing=0.05)

        settings = {name: getattr(self, name) for name in ("classes", "width", "mirror", "shift")}
        data = {"images": x, "classes": y}
        budget = Budget.of(self, self.decay)
        self.report = Descent(network, loss, data, seed, budget, "classifier", "classifier", settings).train()
        recalibrate(network, network, x, seed)
        self.sizes = {"colours": x.shape[1]}
        self.state = weights_of(network)

        return self

    def probabilities(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the probabilities of the classes of images x of shape (N, C, H, W), of shape (N, m), float32."""

        x, network = self._check(x), self.network()

        return in_batches(lambda part: network(part).softmax(1), x, "classifying")

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Return the most probable class of each of the images x of shape (N, C, H, W), of shape (N), int64."""

        return self.probabilities(x).argmax(1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the inputs of the network's last layer for images x of shape (N, C, H, W), of shape (N, 8w)."""

        x, network = self._check(x), self.network()

        return in_batches(network.body, x, "classifying")

    @limited(1)
    def probabilities_of(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the probabilities of the classes of images from their `features` of shape (N, 8w)."""

        return self.network().head(check_points(features, "features to classify")).softmax(1)

    def _check(self, x: torch.Tensor) -> torch.Tensor:
        self.fitted()
        x, colours = check_images(x, "images to classify"), self.sizes["colours"]
        if x.shape[1] != colours:
            raise ValueError(f"images to classify: {x.shape[1]} colours where {colours} are expected")

        return x


def augment(x: torch.Tensor, mirror: bool, shift: int, generator: torch.Generator) -> torch.Tensor:
    r"""Mirror half of the images left to right, and shift each of them, filling up with black.

    Arguments:
        x: Images of shape $(N, C, H, W)$.
        mirror: Whether to mirror.
        shift: The maximum number of pixels of a shift, up or down and left or right.
        generator: Draws which images are mirrored, and the shifts.
    """

    n, _, height, width = x.shape

    if mirror:
        x = mirror_some(x, generator)
    if shift:
        down, right = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=generator)
        rows = (down + torch.arange(height))[:, None, :, None]  # (N, 1, H, 1), of the padded image
        columns = (right + torch.arange(width))[:, None, None, :]  # (N, 1, 1, W)
        padded = torch.nn.functional.pad(x, [shift] * 4)
        x = padded[torch.arange(n)[:, None, None, None], torch.arange(x.shape[1])[:, None, None], rows, columns]

    return x
