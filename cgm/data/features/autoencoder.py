"""The code of an autoencoder for images, and the choice of features by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch.nn import functional

from cgm.data.features.base import Features, Identity
from cgm.data.features.network import NetworkFeatures
from cgm.networks.architectures import AutoencoderNetwork, check_images, in_batches
from cgm.networks.training import Batch, Budget, Checkpoint, Descent, Epochs, Minutes, Rate, recalibrate, seeded
from cgm.networks.weights import Pretrained, Weights
from cgm.utils.checks import check_points
from cgm.utils.settings import Integer, Settings

MAX_RATIO = 2.0  # of the mean squared error on images to the one that the weights had on their own test images


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
        epochs, minutes, batch, rate, checkpoint: See `cgm.networks.training.Budget`.

    Example:
        >>> images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> features = Autoencoder(components=2, width=2, pretrained=False, epochs=1).fit(images, seed=0)
        >>> features.transform(images).shape
        torch.Size([20, 2])
    """

    components: Annotated[int, Integer(min=1)] = 8
    width: Annotated[int, Integer(min=1)] = 16
    pretrained: Pretrained = "auto"
    epochs: Epochs = 20
    minutes: Minutes = None
    batch: Batch = 64
    rate: Rate = 4e-3
    checkpoint: Checkpoint = None

    kind: ClassVar[str] = "autoencoder"
    size_names: ClassVar[tuple[str, ...]] = ("image",)

    def make_network(self, sizes: Mapping[str, Any]) -> AutoencoderNetwork:
        """Construct the network for images of a shape."""

        channels, height, width = sizes["image"]

        return AutoencoderNetwork(self.components, self.width, (channels, height, width))

    def train(self, x: torch.Tensor, seed: int, sizes: dict[str, Any]) -> tuple[AutoencoderNetwork, int]:
        """Train the autoencoder, and whiten its code; see `NetworkFeatures.train`."""

        with seeded(seed):
            network = self.make_network(sizes)

        def logits(images: torch.Tensor) -> torch.Tensor:
            return network.decode(network.encode(images))

        def loss(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return functional.binary_cross_entropy_with_logits(logits(x[rows]), x[rows])

        settings, label = {"components": self.components, "width": self.width}, "features: autoencoder"
        training = Descent(network, loss, {"images": x}, seed, Budget.of(self), "features", label, settings)
        self.report = training.train()
        recalibrate(network, logits, x, seed)

        return network, network.whiten(in_batches(network.encode, x, "features").double())

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Encode images, batch by batch."""

        network = self.network()
        x = check_images(x, "points to transform", shape=self.sizes["image"])

        return in_batches(network.encode, x, "features").double()

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Decode features z of shape (N, d) to images of shape (N, C, H, W), float32."""

        network = self.network()
        z = check_points(z, "features to decode", width=self.components)

        return in_batches(network.decode, z.float(), "decoding").sigmoid()

    def unlike(self, weights: Weights, x: torch.Tensor) -> str:
        """Return how much worse images are reconstructed than the weights' own test images; see `NetworkFeatures`."""

        expected = weights.info["figures"]["test_mean_squared_error"]
        error = float(functional.mse_loss(self.decode(self.transform(x)), x))
        if error <= MAX_RATIO * expected:
            return ""

        return (
            f"reconstructs these images with a mean squared error of {error:.3g}, its test images with {expected:.3g}"
        )


@dataclass(frozen=True)
class Automatic(Settings):
    r"""A choice of features: the code of an autoencoder for images, and the points as they are otherwise.

    Arguments:
        components: The number $d$ of dimensions of the code.
    """

    components: Annotated[int, Integer(min=1)] = 8

    section = "features"

    def choose(self, x: torch.Tensor) -> Features:
        r"""Return the features for x of shape $(N, D)$ or $(N, C, H, W)$."""

        return Autoencoder(self.components) if x.dim() == 4 else Identity()
