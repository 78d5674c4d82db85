"""What features that are computed by a network of images share: pretrained weights."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from cgm.data.features.base import Features, Identity, check_distinct
from cgm.networks import weights as pretrained
from cgm.networks.architectures import AutoencoderNetwork, check_images, in_batches, recalibrate_batch_norm, weights_of
from cgm.networks.fitted import FittedNetwork, Network
from cgm.networks.training import RECALIBRATION, Budget, Descent, seeded, stream
from cgm.networks.weights import Weights
from cgm.utils.checks import check_integer, check_points
from cgm.utils.run import limited

log = logging.getLogger(__name__)


class NetworkFeatures(FittedNetwork[Network], Features):
    """Base class of features that a network of images computes, with a setting `pretrained`."""

    kind: ClassVar[str]
    """The kind of the weights, such as `"autoencoder"`."""

    pretrained: bool | str

    def load_pretrained(self, x: torch.Tensor) -> bool:
        """Load pretrained weights if they are asked for, and return whether they were loaded.

        Arguments:
            x: The images of the fit, of shape (N, C, H, W).
        """

        weights = self._weights(x.shape[1:])
        if weights is None:
            return False
        self.load(weights.path)
        if self.pretrained != "auto" or self.suits(weights, x):
            log.info("features: an %s trained on %s, %s", self.kind, weights.dataset, weights.path)
            return True
        self.state = None

        return False

    @abstractmethod
    def suits(self, weights: Weights, x: torch.Tensor) -> bool:
        """Return whether the loaded weights suit images x of shape (N, C, H, W); warn if they do not."""

    def _weights(self, shape: Sequence[int]) -> Weights | None:
        """Return the pretrained weights for images of shape (C, H, W), if there are any and they are asked for."""

        weights = pretrained.choose(self.pretrained, self.kind, shape)
        settings = {name: getattr(self, name) for name in self.file_settings or ()}
        if (
            self.pretrained == "auto"
            and weights is not None
            and not settings.items() <= weights.info["settings"].items()
        ):
            return None  # weights of other sizes

        return weights


TRIED = 1000  # approximate number of images on which pretrained weights are tried
MAX_RATIO = 2.0  # of the mean squared error on them to the one that the weights had on their own test images


@dataclass(eq=False)
class Autoencoder(NetworkFeatures["AutoencoderNetwork"]):
    r"""The code of a convolutional autoencoder for images.

    Four convolutions of 5 × 5 pixels and stride 2, with `width`, 2, 4 and 8 times `width` channels, and a linear
    map give the code; a mirrored decoder, with a sigmoid at its end, gives the image back. Training minimises the
    binary cross-entropy of the two.

    The decoder can undo any invertible linear map of the code, so training leaves the basis of the code open, but a
    kernel depends on distances and therefore on the basis. So the code is transformed to mean zero and covariance
    $I$ over the images of the training, which leaves only rotations open.

    Arguments:
        components: The number $d$ of dimensions of the code.
        width: The number of channels of the first convolution.
        pretrained: Whether to use weights that come with cgm (trained on the training images of MNIST or CIFAR-10)
            instead of training on the images of the fit: `True`, `False`, or `"auto"`: if there are weights for
            images of this shape that reconstruct the images of the fit about as well as their own test images. Or
            the path of a file of weights.
        epochs: The maximum number of passes over the images.
        minutes: The time limit. `None`: no limit. The same seed gives the same weights on machines of different speed
            only without a limit.
        batch: The number of images in a step.
        rate: The largest learning rate.
        checkpoint: A file from which an interrupted training is resumed. `None`: no file.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> features = Autoencoder(components=2, width=2, pretrained=False, epochs=1).fit(images, seed=0)
        >>> features.transform(images).shape
        torch.Size([20, 2])
    """

    components: int = 8
    width: int = 16
    pretrained: bool | str = "auto"
    epochs: int = 20
    minutes: float | None = None
    batch: int = 64
    rate: float = 4e-3
    checkpoint: str | None = None

    kind: ClassVar[str] = "autoencoder"
    size_names: ClassVar[tuple[str, ...]] = ("image",)
    file_settings: ClassVar[tuple[str, ...] | None] = ("components", "width")

    def __post_init__(self) -> None:
        check_integer("features.components", self.components, min=1)
        check_integer("features.width", self.width, min=1)
        pretrained.check_pretrained("features.pretrained", self.pretrained)
        self._budget().check("features")

    def make_network(self, sizes: Mapping[str, Any]) -> AutoencoderNetwork:
        """Construct the network for images of a shape."""

        from cgm.networks.architectures import AutoencoderNetwork

        channels, height, width = sizes["image"]

        return AutoencoderNetwork(self.components, self.width, (channels, height, width))

    @limited(1)  # sums, and so the weights, depend on the number of threads
    def fit(self, x: torch.Tensor, seed: int) -> Autoencoder:
        """Train the autoencoder on x of shape (N, C, H, W), or load pretrained weights."""

        x = check_images(x, "images to fit features to", min=2)
        if self.load_pretrained(x):
            return self
        check_distinct(x, "images to fit features to")

        sizes = {"image": list(x.shape[1:])}
        with seeded(seed):
            network = self.make_network(sizes)

        def loss(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return torch.nn.functional.binary_cross_entropy_with_logits(
                network.decode(network.encode(x[rows])), x[rows]
            )

        settings = {"components": self.components, "width": self.width}
        label = "features: autoencoder"
        self.report = Descent(network, loss, {"images": x}, seed, self._budget(), "features", label, settings).train()
        random = stream(seed, RECALIBRATION)
        recalibrate_batch_norm(network, lambda images: network.decode(network.encode(images)), x, random)
        rank = network.whiten(in_batches(network.encode, x, "features").double())
        if rank < self.components:
            raise ValueError(
                f"features.components={self.components}: the codes vary in {rank} directions only; use {rank}, or "
                "more images, or train for longer"
            )
        self.sizes, self.state = sizes, weights_of(network)

        return self

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Encode images, batch by batch."""

        network = self.network()
        x = check_images(x, "points to transform", shape=self.sizes["image"])

        return in_batches(network.encode, x, "features").double()

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Decode features z of shape (N, d) to images of shape (N, C, H, W), float32."""

        network = self.network()
        check_points(z, "features to decode", width=self.components)

        return in_batches(network.decode, z.float(), "decoding").sigmoid()

    def _budget(self) -> Budget:
        return Budget(self.epochs, self.minutes, self.batch, self.rate, checkpoint=self.checkpoint)

    def suits(self, weights: Weights, x: torch.Tensor) -> bool:
        """Return whether the loaded weights reconstruct images about as well as their own test images."""

        some = x[:: max(1, len(x) // TRIED)]
        expected = weights.info["figures"]["test_mean_squared_error"]
        found = float(torch.nn.functional.mse_loss(self.decode(self.transform(some)), some))
        if found <= MAX_RATIO * expected:
            return True
        log.warning(
            "features: the autoencoder trained on %s reconstructs these images with a mean squared error of %.3g, "
            "its own test images with %.3g; another one is trained (features.pretrained=true uses it anyway)",
            weights.dataset,
            found,
            expected,
        )

        return False


@dataclass(frozen=True)
class Automatic:
    r"""A choice of features: the code of an autoencoder for images, and the points as they are otherwise.

    Arguments:
        components: The number $d$ of dimensions of the code.

    Raises:
        ValueError: If a setting is out of range.
    """

    components: int = 8

    def __post_init__(self) -> None:
        check_integer("features.components", self.components, min=1)

    def choose(self, x: torch.Tensor) -> Features:
        r"""Return the features for x of shape $(N, D)$ or $(N, C, H, W)$."""

        return Autoencoder(self.components) if x.dim() == 4 else Identity()
