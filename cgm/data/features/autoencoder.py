"""Reduces points or images to the features that are valued."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cgm.data.features.base import Features
from cgm.utils.checks import check_integer, check_points
from cgm.utils.models import pretrained
from cgm.utils.models.networks import AutoencoderNetwork, check_images, in_batches, settle, weights_of, with_weights
from cgm.utils.models.pretrained import Weights, check_choice
from cgm.utils.models.training import SETTLE, Budget, seeded, stream, train

log = logging.getLogger(__name__)

KNOWN = 1000  # images, about, that pretrained weights are tried on
UNLIKE = 2.0  # the greatest ratio of their mean squared errors to those of the weights' own test


@dataclass(eq=False)
class Autoencoder(Features):
    r"""Reduces images to the code of a convolutional autoencoder.

    Four convolutions of 5 × 5 pixels and stride 2, with `width`, 2, 4 and 8 times `width` channels, and a linear
    map give the code; a mirrored decoder, with a sigmoid at its end, gives the image back. Training minimises the
    binary cross-entropy of the two.

    The decoder can undo any invertible linear map of the code, so training leaves the code's basis open; but a
    kernel, which knows distances, depends on it. So the code is brought to mean zero and covariance $I$ over
    the images of the training, which leaves only rotations open.

    Arguments:
        components: The number $d$ of dimensions of the code.
        width: The number of channels of the first convolution.
        pretrained: Whether to take weights that come with cgm, for images of the shape of those of the fit
            (trained on the training images of MNIST or CIFAR-10), instead of training on those of the fit:
            `True`, `False`, or `"auto"` for yes if there are some for that shape which reconstruct images of the fit
            about as well as those they were tested on; or the path of a file of weights.
        epochs: The number of passes over the images, at most.
        minutes: The time after which to stop, if that comes first. `None`: no limit. Only without one does a
            seed give the same weights whatever the machine's speed.
        batch: The number of images in a step.
        rate: The greatest learning rate.
        checkpoint: A file from which an interrupted training goes on. `None`: no such file.

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

    def __post_init__(self) -> None:
        """Refuses settings that make no autoencoder."""

        check_integer("features.components", self.components, min=1)
        check_integer("features.width", self.width, min=1)
        check_choice("features.pretrained", self.pretrained)
        self._budget().check("features")

    def _weights(self, shape: Sequence[int]) -> Weights | None:
        """Finds weights that come with cgm for images of shape (C, H, W), if they are wanted."""

        weights = pretrained.choose(self.pretrained, "autoencoder", shape)
        sizes = {"components": self.components, "width": self.width}
        if self.pretrained == "auto" and weights is not None and not sizes.items() <= weights.info["settings"].items():
            return None  # those of another size are none of these

        return weights

    def _knows(self, weights: Weights, x: Tensor) -> bool:
        """Tells whether weights reconstruct images about as well as those on which they were tested."""

        some = x[:: max(1, len(x) // KNOWN)]
        theirs = weights.info["figures"]["test_mean_squared_error"]
        mine = float(functional.mse_loss(self.decode(self.transform(some)), some))
        if mine <= UNLIKE * theirs:
            return True
        log.warning(
            "features: the autoencoder trained on %s reconstructs these images with a mean squared error of %.3g, "
            "those of its own test with %.3g: it is not taken, another is trained (features.pretrained=true takes it "
            "anyway)",
            weights.dataset,
            mine,
            theirs,
        )

        return False

    def _budget(self) -> Budget:
        return Budget(self.epochs, self.minutes, self.batch, self.rate, checkpoint=self.checkpoint)

    @property
    def shapes(self) -> dict[str, tuple[int | str, ...]]:
        """The shapes of the state's tensors; one without entries remembers the shape of the images."""

        with torch.device("meta"):
            weights = weights_of(AutoencoderNetwork(self.components, self.width, (1, 16, 16)))

        return {name: tuple(tensor.shape) for name, tensor in weights.items()} | {
            "empty": (0, "C", "H", "W"),
            "encoder.0.0.weight": (self.width, "C", 5, 5),
            "pixels.weight": (self.width, "C", 5, 5),
            "pixels.bias": ("C",),
            "code.weight": (self.components, "F"),
            "decode_code.weight": ("F", self.components),
            "decode_code.bias": ("F",),
        }

    def fit(self, x: Tensor, seed: int) -> "Autoencoder":
        """Trains the autoencoder on x of shape (N, C, H, W), or takes the weights that come with cgm."""

        x = check_images(x, "images to fit features to", least=2)

        weights = self._weights(x.shape[1:])
        if weights is not None:
            self.load(weights.path)
            if self.pretrained != "auto" or self._knows(weights, x):
                log.info("features: an autoencoder trained on %s, %s", weights.dataset, weights.path)
                return self
            self.state = None
        if (x == x[:1]).all():
            raise ValueError(f"images to fit features to: all {len(x)} are equal, at least two must differ")

        with seeded(seed):
            network = AutoencoderNetwork(self.components, self.width, tuple(x.shape[1:]))

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            return functional.binary_cross_entropy_with_logits(network.decode(network.encode(x[rows])), x[rows])

        train(network, loss, len(x), seed, self._budget(), "features: autoencoder")
        settle(network, lambda images: network.decode(network.encode(images)), x, stream(seed, SETTLE))
        rank = network.whiten(in_batches(network.encode, x, "features").double())
        if rank < self.components:
            raise ValueError(
                f"features.components={self.components}: the codes vary in {rank} directions only; use {rank}, or "
                "more images, or train for longer"
            )
        self.state = {"empty": x.new_empty(0, *x.shape[1:])} | weights_of(network)

        return self

    def transform(self, x: Tensor) -> Tensor:
        """Encodes images, batch by batch."""

        shape = self.fitted()["empty"].shape[1:]
        x = check_images(x, "points to transform", shape=shape)

        return in_batches(self._network().encode, x, "features").double()

    def decode(self, z: Tensor) -> Tensor:
        """Turns features z of shape (N, d) into images of shape (N, C, H, W), float32, as the decoder sees them."""

        self.fitted()
        check_points(z, "features to decode", width=self.components)

        return in_batches(self._network().decode, z.float(), "decoding").sigmoid()

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Refuses weights that don't fit the shape of the images."""

        height, width = (-(-side // 16) for side in state["empty"].shape[2:])
        expected = 8 * self.width * height * width
        if state["code.weight"].shape[1] != expected:
            raise ValueError(
                f"code.weight has {state['code.weight'].shape[1]} columns where images of shape "
                f"{tuple(state['empty'].shape[1:])} need {expected}"
            )

    def _network(self) -> AutoencoderNetwork:
        state = dict(self.fitted())
        shape = tuple(state.pop("empty").shape[1:])

        return with_weights(lambda: AutoencoderNetwork(self.components, self.width, shape), state)

    def _metadata(self) -> dict[str, str]:
        """Leaves out how the training went, which matters no more."""

        metadata = super()._metadata()
        settings = json.loads(metadata["settings"])

        return metadata | {"settings": json.dumps({name: settings[name] for name in ("components", "width")})}
