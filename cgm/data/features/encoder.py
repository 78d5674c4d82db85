"""The features of a network that is trained without labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from cgm.data.features.autoencoder import NetworkFeatures
from cgm.data.features.base import check_distinct
from cgm.networks import weights as pretrained
from cgm.networks.architectures import (
    ARITHMETICS,
    EncoderNetwork,
    autocast,
    check_images,
    crop,
    in_batches,
    mirror_some,
    recalibrate_batch_norm,
    recolour,
    weights_of,
)
from cgm.networks.training import RECALIBRATION, Budget, Descent, seeded, stream
from cgm.networks.weights import Weights
from cgm.utils.checks import check_bool, check_choice, check_integer, check_number, check_points
from cgm.utils.run import limited

log = logging.getLogger(__name__)

WEIGHT_DECAY = 1e-3
PROJECTION = (256, 64)  # hidden and output units of the layers between features and loss, as wide as one core affords
TRIED = 1000  # approximate number of images on which pretrained weights are tried
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
        epochs: The maximum number of passes over the images.
        minutes: The time limit. `None`: no limit. The same seed gives the same weights on machines of different speed
            only without a limit.
        batch: The number $B$ of images in a step.
        rate: The largest learning rate.
        checkpoint: A file from which an interrupted training is resumed. `None`: no file.

    Raises:
        ValueError: If a setting is out of range.

    References:
        A Simple Framework for Contrastive Learning of Visual Representations (Chen et al., 2020)

    Example:
        >>> images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> encoder = Encoder(components=2, width=2, pretrained=False, epochs=1).fit(images, seed=0)
        >>> encoder.transform(images).shape, encoder.features(images).shape
        (torch.Size([20, 2]), torch.Size([20, 16]))
    """

    components: int = 8
    width: int = 16
    mirror: bool = False
    smallest: float = 0.3
    temperature: float = 0.2
    pretrained: bool | str = "auto"
    arithmetic: str = "float32"
    epochs: int = 20
    minutes: float | None = None
    batch: int = 256
    rate: float = 5e-3
    checkpoint: str | None = None

    kind: ClassVar[str] = "encoder"
    size_names: ClassVar[tuple[str, ...]] = ("colours",)
    file_settings: ClassVar[tuple[str, ...] | None] = ("components", "width")

    def __post_init__(self) -> None:
        check_integer("features.components", self.components, min=1)
        check_integer("features.width", self.width, min=1)
        if self.components > 8 * self.width:
            raise ValueError(
                f"features.components={self.components}: at most {8 * self.width} with features.width={self.width}"
            )
        check_bool("features.mirror", self.mirror)
        check_number("features.smallest", self.smallest, min=0, max=1, open_min=True)
        check_number("features.temperature", self.temperature, min=0, open_min=True)
        check_choice("features.arithmetic", self.arithmetic, ARITHMETICS)
        pretrained.check_pretrained("features.pretrained", self.pretrained)
        self._budget().check("features")

    def make_network(self, sizes: Mapping[str, Any]) -> EncoderNetwork:
        """Construct the network for a number of colour channels."""

        from cgm.networks.architectures import EncoderNetwork

        return EncoderNetwork(self.components, self.width, sizes["colours"])

    def network(self) -> EncoderNetwork:
        """Return the fitted network, in the memory format in which convolutions are fastest."""

        network = super().network()
        network.to(memory_format=torch.channels_last)

        return network

    @limited(1)  # sums, and so the weights, depend on the number of threads
    def fit(self, x: torch.Tensor, seed: int) -> Encoder:
        """Train the network on x of shape (N, C, H, W), or load pretrained weights."""

        x = check_images(x, "images to fit features to", min=2)
        if self.load_pretrained(x):
            return self
        check_distinct(x, "images to fit features to")

        sizes = {"colours": x.shape[1]}
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
        label = "features: encoder"
        self.report = Descent(trained, loss, {"images": x}, seed, self._budget(), "features", label, settings).train()
        recalibrate_batch_norm(network, network.body, x, stream(seed, RECALIBRATION))
        rank = network.set_code(in_batches(network.features, x, "features").double())
        if rank < self.components:
            raise ValueError(
                f"features.components={self.components}: the features vary in {rank} directions only; use {rank}, or "
                "more images, or train for longer"
            )
        self.sizes, self.state = sizes, weights_of(network)

        return self

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
        check_points(x, "points to transform", width=self.sizes["colours"])

        return check_images(x, "points to transform")

    def _budget(self) -> Budget:
        return Budget(self.epochs, self.minutes, self.batch, self.rate, WEIGHT_DECAY, self.checkpoint)

    def suits(self, weights: Weights, x: torch.Tensor) -> bool:
        """Return whether the codes of images have about the same mean as those of the training."""

        z = self.transform(x[:: max(1, len(x) // TRIED)])
        shift = float(z.mean(0).square().sum()) / weights.info["figures"]["variance_of_the_code"]
        if shift <= MAX_SHIFT:
            return True
        log.warning(
            "features: for the encoder trained on %s, these images are of another kind (squared distance of the mean "
            "code %.3g of its variance, at most %g is expected); another one is trained (features.pretrained=true uses "
            "it anyway)",
            weights.dataset,
            shift,
            MAX_SHIFT,
        )

        return False


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
