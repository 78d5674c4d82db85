"""The features of a network that is trained without labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch

from cgm.data.features.network import NetworkFeatures
from cgm.networks.architectures import (
    Arithmetic,
    EncoderNetwork,
    autocast,
    check_images,
    crop,
    in_batches,
    mirror_some,
    recolour,
)
from cgm.networks.training import Batch, Budget, Checkpoint, Descent, Epochs, Minutes, Rate, recalibrate, seeded
from cgm.networks.weights import Pretrained, Weights
from cgm.utils.checks import check_points
from cgm.utils.settings import Integer, Number

WEIGHT_DECAY = 1e-3
PROJECTION = (256, 64)  # hidden and output units of the layers between features and loss, as wide as one core affords
MAX_SHIFT = 0.25  # squared distance of the mean code from that of the training, in units of the code's variance


@dataclass(eq=False)
class Encoder(NetworkFeatures["EncoderNetwork"]):
    r"""Principal components of the features of a network that is trained to recognise images by random changes of them.

    From each image of a batch, two random views are made: a part of the image, mirrored if `mirror`, and of changed
    colours if it has three. A residual network maps the views to features $h$ of norm 1, and two further layers map
    these to projections $z$ of norm 1. Training minimises the contrastive loss of SimCLR: with the temperature
    $\tau$ and the $2B$ views of a batch, each view must find the other view of its image among all of them,

    .. math:: -\frac{1}{2B} \sum_i \log \frac{\exp(z_i^\top z_{i'} / \tau)}{\sum_{j \neq i} \exp(z_i^\top z_j / \tau)}.

    No labels are used. Images of the same kind end up close to each other, since the views of one are often like those
    of another.

    Arguments:
        components: The number $d$ of principal components.
        width: The number of channels of the first convolution. There are 8 times as many features.
        mirror: Whether to mirror half of the views left to right; wrong for digits.
        smallest: The smallest share of an image's area in a view.
        temperature: The temperature $\tau$.
        pretrained: Whether to use weights that come with cgm (trained on the training images of MNIST or CIFAR-10)
            instead of training on the images of the fit: `True`, `False`, or `"auto"`: if there are weights for images
            of this shape, and the images of the fit have codes like those of the training. Or the path of a file of
            weights.
        arithmetic: `"float32"`, or `"bfloat16"` for the convolutions of a training, which is faster on processors
            with instructions for it.
        epochs, minutes, batch, rate, checkpoint: See `cgm.networks.training.Budget`.

    References:
        A Simple Framework for Contrastive Learning of Visual Representations (Chen et al., 2020)

    Example:
        >>> images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> encoder = Encoder(components=2, width=2, pretrained=False, epochs=1).fit(images, seed=0)
        >>> encoder.transform(images).shape, encoder.features(images).shape
        (torch.Size([20, 2]), torch.Size([20, 16]))
    """

    components: Annotated[int, Integer(min=1)] = 8
    width: Annotated[int, Integer(min=1)] = 16
    mirror: bool = False
    smallest: Annotated[float, Number(min=0, max=1, open_min=True)] = 0.3
    temperature: Annotated[float, Number(min=0, open_min=True)] = 0.2
    pretrained: Pretrained = "auto"
    arithmetic: Arithmetic = "float32"
    epochs: Epochs = 20
    minutes: Minutes = None
    batch: Batch = 256
    rate: Rate = 5e-3
    checkpoint: Checkpoint = None

    kind: ClassVar[str] = "encoder"
    size_names: ClassVar[tuple[str, ...]] = ("colours",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.components > 8 * self.width:
            raise ValueError(
                f"features.components={self.components}: at most {8 * self.width} with features.width={self.width}"
            )

    def make_network(self, sizes: Mapping[str, Any]) -> EncoderNetwork:
        """Construct the network for a number of colour channels."""

        return EncoderNetwork(self.components, self.width, sizes["colours"])

    def network(self) -> EncoderNetwork:
        """Return the fitted network, in the memory format in which convolutions are fastest."""

        network = super().network()
        network.to(memory_format=torch.channels_last)

        return network

    def train(self, x: torch.Tensor, seed: int, sizes: dict[str, Any]) -> tuple[EncoderNetwork, int]:
        """Train the network, and let its code be principal components; see `NetworkFeatures.train`."""

        hidden, outputs = PROJECTION
        with seeded(seed):
            network = self.make_network(sizes)
            projection = torch.nn.Sequential(
                torch.nn.Linear(8 * self.width, hidden, bias=False),
                torch.nn.BatchNorm1d(hidden),
                torch.nn.ReLU(),
                torch.nn.Linear(hidden, outputs),
            )
        network.to(memory_format=torch.channels_last)
        trained = torch.nn.Sequential(network.body, projection)

        def loss(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            views = torch.cat([self.view(x[rows], generator) for _ in range(2)])
            with autocast(self.arithmetic):
                z = trained(views.contiguous(memory_format=torch.channels_last))
            first, second = z.float().chunk(2)
            return contrastive_loss(first, second, self.temperature)

        names = ("width", "mirror", "smallest", "temperature", "arithmetic")
        settings = {name: getattr(self, name) for name in names}
        label, budget = "features: encoder", Budget.of(self, WEIGHT_DECAY)
        self.report = Descent(trained, loss, {"images": x}, seed, budget, "features", label, settings).train()
        recalibrate(network, network.body, x, seed)

        return network, network.set_code(in_batches(network.features, x, "features").double())

    def view(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Draw a random view of each image.

        Arguments:
            x: Images of shape (N, C, H, W).
            generator: Draws the views.
        """

        x = crop(x, self.smallest, generator)
        if self.mirror:
            x = mirror_some(x, generator)

        return recolour(x, generator) if x.shape[1] == 3 else x

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the principal components of the features of images, batch by batch."""

        return in_batches(self.network().encode, self._check(x), "features").double()

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the features of images x of shape (N, C, H, W), of shape (N, 8w), float32, of norm 1."""

        return in_batches(self.network().features, self._check(x), "features")

    def _check(self, x: torch.Tensor) -> torch.Tensor:
        self.fitted()
        x = check_points(x, "points to transform", width=self.sizes["colours"])

        return check_images(x, "points to transform")

    def unlike(self, weights: Weights, x: torch.Tensor) -> str:
        """Return how far the mean code of images is from that of the training; see `NetworkFeatures.unlike`."""

        shift = float(self.transform(x).mean(0).square().sum()) / weights.info["figures"]["variance_of_the_code"]
        found = f"squared distance of the mean code {shift:.3g} of its variance, at most {MAX_SHIFT:g} is expected"

        return "" if shift <= MAX_SHIFT else f"is for images of another kind ({found})"


def contrastive_loss(a: torch.Tensor, b: torch.Tensor, temperature: float) -> torch.Tensor:
    r"""Compute the contrastive loss of the projections of two views of each image, see `Encoder`.

    Arguments:
        a: The projections of the first views, of shape $(B, m)$; their norms do not matter.
        b: Those of the second views, of shape $(B, m)$.
        temperature: The temperature $\tau$.

    References:
        A Simple Framework for Contrastive Learning of Visual Representations (Chen et al., 2020), Eq. 1.
    """

    n = len(a)
    z = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
    itself = torch.eye(2 * n, dtype=torch.bool)
    logits = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    other = torch.arange(2 * n).roll(n)

    return torch.nn.functional.cross_entropy(logits, other)
