"""Labels images by a small convolutional network."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cgm.utils.checks import check_integer, check_labels, check_points
from cgm.utils.models import pretrained
from cgm.utils.models.fitted import Fitted
from cgm.utils.models.networks import ClassifierNetwork, check_images, in_batches, settle, weights_of, with_weights
from cgm.utils.models.pretrained import Weights
from cgm.utils.models.training import SETTLE, Budget, seeded, stream, train

log = logging.getLogger(__name__)

FIRST = "body.0.0.weight"  # of the state's tensors the one that tells the number of colours


@dataclass(eq=False)
class Classifier(Fitted):
    r"""Classifies images by a small residual network with batch norm.

    It labels synthetic images, for judging only: the framework values and samples without labels. It is trained
    on images that are mirrored and shifted at random. `save` and `load` are those of a generator.

    Arguments:
        classes: The number $m$ of classes.
        width: The number of channels of the first convolution; the last has eight times as many.
        mirror: Whether to mirror half of the images of a training left to right; wrong for digits.
        shift: The most pixels by which images of a training are shifted, along each side.
        epochs: The number of passes over the images, at most.
        minutes: The time after which to stop, if that comes first. `None`: no limit. Only without one does a
            seed give the same weights whatever the machine's speed.
        batch: The number of images in a step.
        rate: The greatest learning rate.
        decay: The weight decay.
        checkpoint: A file from which an interrupted training goes on. `None`: no such file.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> images, labels = torch.rand(20, 1, 8, 8), torch.arange(20) % 2
        >>> classifier = Classifier(classes=2, width=2, epochs=1, batch=10).fit(images, labels, seed=0)
        >>> classifier.predict(images).shape, classifier.features(images).shape
        (torch.Size([20]), torch.Size([20, 16]))
    """

    classes: int = 10
    width: int = 16
    mirror: bool = False
    shift: int = 2
    epochs: int = 10
    minutes: float | None = None
    batch: int = 128
    rate: float = 1e-2
    decay: float = 0.05
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        """Refuses settings that make no classifier."""

        check_integer("classifier.classes", self.classes, min=2)
        check_integer("classifier.width", self.width, min=1)
        check_integer("classifier.shift", self.shift, min=0)
        self._budget().check("classifier")

    @classmethod
    def shipped(cls, shape: Sequence[int] | None = None, dataset: str | None = None) -> Classifier:
        r"""Returns the classifier that comes with cgm.

        Arguments:
            shape: The shape $(C, H, W)$ of the images. Any, if `None`.
            dataset: The name of the dataset, `"mnist"` or `"cifar10"`. Any, if `None`.

        Raises:
            ValueError: If there is none, or its file is damaged.
        """

        return cls.of(pretrained.get("classifier", shape, dataset))

    @classmethod
    def of(cls, weights: Weights) -> Classifier:
        """Returns the classifier that weights are of."""

        log.info("classifier: trained on %s, %s", weights.dataset, weights.path)
        settings = {name: weights.info["settings"][name] for name in ("classes", "width")}

        return cls(**settings).load(weights.path)

    def _budget(self) -> Budget:
        return Budget(self.epochs, self.minutes, self.batch, self.rate, self.decay, self.checkpoint)

    @property
    def shapes(self) -> dict[str, tuple[int | str, ...]]:
        """The shapes of the state's tensors: the network's, for any number of colours."""

        with torch.device("meta"):
            weights = weights_of(ClassifierNetwork(self.classes, self.width, channels=1))
        shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}

        return shapes | {FIRST: (self.width, "C", 3, 3)}

    def fit(self, x: Tensor, y: Tensor, seed: int) -> Classifier:
        r"""Trains the classifier, and returns itself.

        Arguments:
            x: Images of shape $(N, C, H, W)$, with pixels from 0 to 1.
            y: Their classes, of shape $(N)$.
            seed: Any integer from 0.

        Raises:
            ValueError: If these are no labelled images.
        """

        x = check_images(x, "images to fit a classifier to", least=2)
        check_labels(y, "classes to fit a classifier to", self.classes)
        if len(x) != len(y):
            raise ValueError(f"classes to fit a classifier to: {len(y)} for {len(x)} images")
        y = y.detach().cpu().long()

        with seeded(seed):
            network = ClassifierNetwork(self.classes, self.width, x.shape[1])
        network = network.to(memory_format=torch.channels_last)  # half as much again as fast

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            images = augment(x[rows], self.mirror, self.shift, generator)
            return functional.cross_entropy(network(images), y[rows], label_smoothing=0.05)

        train(network, loss, len(x), seed, self._budget(), "classifier")
        settle(network, network, x, stream(seed, SETTLE))
        self.state = weights_of(network)

        return self

    def probabilities(self, x: Tensor) -> Tensor:
        """Returns the probabilities of the classes of images x of shape (N, C, H, W), of shape (N, m), float32."""

        x, network = self._check(x), self._network()

        return in_batches(lambda part: network(part).softmax(1), x, "classifying")

    def predict(self, x: Tensor) -> Tensor:
        """Returns the most probable class of each of the images x of shape (N, C, H, W), of shape (N), int64."""

        return self.probabilities(x).argmax(1)

    def features(self, x: Tensor) -> Tensor:
        """Returns what the network's last layer is given for images x of shape (N, C, H, W), of shape (N, 8w)."""

        return in_batches(self._network().body, self._check(x), "classifying")

    def probabilities_of(self, features: Tensor) -> Tensor:
        """Returns the probabilities of the classes of images whose `features`, of shape (N, 8w), are known already."""

        return self._network().head(check_points(features, "features to classify")).softmax(1)

    def _check(self, x: Tensor) -> Tensor:
        x, channels = check_images(x, "images to classify"), self.fitted()[FIRST].shape[1]
        if x.shape[1] != channels:
            raise ValueError(f"images to classify: {x.shape[1]} colours where {channels} are expected")

        return x

    def _network(self) -> ClassifierNetwork:
        state = self.fitted()
        channels = state[FIRST].shape[1]
        network = with_weights(lambda: ClassifierNetwork(self.classes, self.width, channels), state)

        return network.to(memory_format=torch.channels_last)

    def _metadata(self) -> dict[str, str]:
        """Leaves out how the training went, which matters no more."""

        metadata = super()._metadata()
        settings = json.loads(metadata["settings"])

        return metadata | {"settings": json.dumps({name: settings[name] for name in ("classes", "width")})}


def augment(x: Tensor, mirror: bool, shift: int, generator: torch.Generator) -> Tensor:
    r"""Mirrors half of the images left to right, and shifts each, filling up with black.

    Arguments:
        x: Images of shape $(N, C, H, W)$.
        mirror: Whether to mirror.
        shift: The most pixels by which an image is shifted, up or down and left or right.
        generator: Draws which, and by how much.
    """

    n, _, height, width = x.shape

    if mirror:
        flipped = torch.rand(n, generator=generator) < 0.5
        x = torch.where(flipped[:, None, None, None], x.flip(3), x)
    if shift:
        down, right = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=generator)
        rows = (down + torch.arange(height))[:, None, :, None]  # (N, 1, H, 1), of the padded image
        columns = (right + torch.arange(width))[:, None, None, :]  # (N, 1, 1, W)
        padded = functional.pad(x, [shift] * 4)
        x = padded[torch.arange(n)[:, None, None, None], torch.arange(x.shape[1])[:, None, None], rows, columns]

    return x
