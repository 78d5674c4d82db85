"""The base class of generators that are networks."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from cgm.generators.base import Generator
from cgm.networks import weights as pretrained
from cgm.networks.architectures import FeatureNetwork, weights_of
from cgm.networks.fitted import FittedNetwork, Network, dtype_name
from cgm.networks.training import Checkpoint, Minutes
from cgm.networks.weights import Pretrained, Weights
from cgm.utils.run import in_order, limited, progress, workers
from cgm.valuation.mmd import unbiased

log = logging.getLogger(__name__)

BATCH = 500  # images that are generated at a time
MIN_SIDE = 4  # pixels
MAX_KID = 1.0  # pretrained weights with a larger KID belong to other images; for half of the classes it is 0.2 to 0.6
TRIED = 2000  # images on which half precision is tried
CHECKPOINT = "checkpoint.pt"

G = TypeVar("G", bound="NetworkGenerator")


@dataclass(eq=False)
class NetworkGenerator(FittedNetwork[Network], Generator):
    r"""Base class of generators of images that are networks.

    A subclass is a dataclass of its settings that declares `kind` and `architecture`, and has three methods:
    `make_network`, `train` and `draw`. Everything else is inherited: checks of the images, pretrained weights, samples
    in batches, weights in half precision where this is exact enough, and files that hold the weights and the sizes
    from which the network is constructed again.

    Arguments:
        pretrained: Whether to use weights that come with cgm: `True`, `False`, or `"auto"`: if there are weights for
            images of this shape (if the images turn out to be of another kind, an error is raised, since a training
            takes an hour). Or the path of a file of weights.
        minutes: The time limit of a training. `None`: no limit.
        checkpoint: A folder for checkpoints. If it contains a checkpoint of the same training, the training is
            resumed. `None`: no checkpoints.
    """

    pretrained: Pretrained = "auto"
    minutes: Minutes = None
    checkpoint: Checkpoint = None

    space: ClassVar[str] = "data"

    kind: ClassVar[str]
    """The name of the generator in the names of pretrained files, `<dataset>_<kind>.safetensors`."""

    architecture: ClassVar[tuple[str, ...]] = ()
    """The settings, positive integers, that `make_network` needs besides the shape of the images."""

    file_settings: ClassVar[tuple[str, ...] | None] = ()  # the sizes in the file say all

    def __init_subclass__(cls, **options: Any) -> None:
        """Declare the sizes that a file contains."""

        super().__init_subclass__(**options)
        cls.size_names = ("image", "dtype", *cls.architecture)

    def __post_init__(self) -> None:
        super().__post_init__()
        pretrained.check_path("generator.pretrained", self.pretrained, "true, false, auto, or ")
        if self.checkpoint is not None and Path(self.checkpoint).is_file():
            raise ValueError(f"generator.checkpoint={self.checkpoint}: is a file, expected a folder")

    @abstractmethod
    def make_network(self, sizes: Mapping[str, Any]) -> Network:
        """Construct the network of given sizes, with any weights.

        Arguments:
            sizes: The shape `"image"` of an image, (C, H, W), and the settings named in `architecture`.
        """

    @abstractmethod
    def train(self, x: torch.Tensor, seed: int) -> tuple[Network, dict[str, float]]:
        """Train a network.

        Arguments:
            x: Images of shape (N, C, H, W), float32, with pixels from 0 to 1.
            seed: The seed of everything random.

        Returns:
            The network, as `make_network` constructs it, and the report: steps, seconds and further measurements.
        """

    @abstractmethod
    def draw(self, network: Network, n: int, random: torch.Generator) -> torch.Tensor:
        """Draw n images, of shape (n, C, H, W), with pixels from 0 to 1, from the network."""

    @property
    def checkpoint_file(self) -> str | None:
        """The file in the folder `checkpoint` that `train` writes checkpoints to; `None` without a folder."""

        return None if self.checkpoint is None else str(Path(self.checkpoint) / CHECKPOINT)

    @limited(1)  # sums, and so the weights, depend on the number of threads
    def fit(self: G, x: torch.Tensor, seed: int) -> G:
        """Train on images of shape (N, C, H, W) in [0, 1], or load pretrained weights."""

        x = self.check_fit(x)
        weights = pretrained.choose(self.pretrained, self.kind, x.shape[1:])
        if weights is not None:
            self._load_pretrained(weights, x, seed)
            return self

        network, report = self.train(x.float(), seed)
        settings = {name: int(getattr(self, name)) for name in self.architecture}
        self.sizes = {"image": list(x.shape[1:]), "dtype": dtype_name(x.dtype), **settings}
        self.state, self.report = self.halved(network), report

        return self

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n images, in parallel; each batch has its own random stream and is generated by one thread."""

        self.check_sample(n)
        network = self.network()
        images = torch.empty(n, *self.sizes["image"], dtype=getattr(torch, self.sizes["dtype"]))

        def draw(number: int, batch: torch.Tensor) -> None:
            stream = np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1, np.uint64)[0]
            with torch.no_grad():  # the mode of a thread is its own
                batch.copy_(self.draw(network, len(batch), torch.Generator().manual_seed(int(stream))))
            bar.update(len(batch))

        with workers() as threads, progress(n, "generating images") as bar:
            for _ in in_order(threads, draw, enumerate(images.split(BATCH))):
                pass

        return images

    def check_fit(self, x: torch.Tensor) -> torch.Tensor:
        """Check the images of a fit, and return a copy of them on the CPU."""

        name = f"images to fit {type(self).__name__} to"
        if isinstance(x, torch.Tensor) and x.dim() != 4:
            raise ValueError(
                f"{name}: expected shape (N, C, H, W), got {tuple(x.shape)}; for points that are not images, "
                "use generator=kde"
            )
        x = super().check_fit(x)
        low, high = float(x.min()), float(x.max())
        if low < 0 or high > 1:
            raise ValueError(f"{name}: pixels lie in [{low:g}, {high:g}], they must lie in [0, 1]; rescale them")
        if min(x.shape[2:]) < MIN_SIDE:
            raise ValueError(f"{name}: {x.shape[2]} x {x.shape[3]} pixels; use images of at least 4 x 4")

        return x

    def halved(self, network: Network) -> dict[str, torch.Tensor]:
        """Return the weights of a network, in half precision if no pixel changes by a step of 8 bits."""

        def tried(network: Network) -> torch.Tensor:
            random = torch.Generator().manual_seed(0)
            with torch.no_grad():
                return torch.cat([self.draw(network, BATCH, random) for _ in range(TRIED // BATCH)])

        network.eval()
        weights = weights_of(network)
        half = {name: x.half() for name, x in weights.items()}
        before = tried(network)
        network.load_state_dict(half, strict=False)
        change = float((tried(network) - before).abs().max())
        network.load_state_dict(weights, strict=False)
        log.info("generator: largest change of a pixel by half precision: %.2g", change)

        return half if change < 1 / 255 else weights

    def _load_pretrained(self, weights: Weights, x: torch.Tensor, seed: int) -> None:
        before = self.state, self.sizes
        self.load(weights.path)
        image = tuple(self.sizes["image"])
        if image != tuple(x.shape[1:]):
            self.state, self.sizes = before
            raise ValueError(
                f"generator.pretrained: {weights.path} makes images of shape {image}, but those of the dataset have "
                f"shape {tuple(x.shape[1:])}; use generator.pretrained=false to train"
            )
        self.sizes = {**self.sizes, "dtype": dtype_name(x.dtype)}
        log.info("generator: %s trained on %s, %s", type(self).__name__, weights.dataset, weights.path)
        if self.checkpoint is not None:
            log.warning(
                "generator.checkpoint=%s is not used: the weights are pretrained; use generator.pretrained=false to "
                "train",
                self.checkpoint,
            )
        self._compare(x, seed)

    def _compare(self, x: torch.Tensor, seed: int) -> None:
        """Warn, or raise a ValueError, if the generated images are of another kind than those of the fit."""

        kid = RandomNetworkKID(x.float(), torch.Generator().manual_seed(0))
        distance = float(kid(self.sample(kid.size, seed).float()).mean())
        if distance > MAX_KID:
            unlike = (
                f"the pretrained {type(self).__name__} generates images unlike those of the dataset (KID "
                f"{distance:.3g}, expected below {MAX_KID:g}); use generator.pretrained=false to train one"
            )
            if self.pretrained == "auto":
                raise ValueError(f"generator.pretrained=auto: {unlike}, or generator.pretrained=true to use it anyway")
            log.warning("%s; used nevertheless, because of generator.pretrained=%s", unlike, self.pretrained)


def mmd2(
    kernel: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    r"""Estimate the squared maximum mean discrepancy as `mmd2_unbiased` does, but differentiably.

    The diagonal of the kernel need not be constant.

    Arguments:
        kernel: A kernel, as a function that returns the matrix of its values.
        x: Points, of shape $(n, d)$, at least two.
        y: Points, of shape $(m, d)$, at least two.
    """

    kxx, kyy = kernel(x, x), kernel(y, y)
    xx, yy = kxx.sum() - kxx.diagonal().sum(), kyy.sum() - kyy.diagonal().sum()

    return unbiased(xx, kernel(x, y).sum(), yy, len(x), len(y), diagonal=0.0)


def cubic_kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    r"""Compute the matrix of the kernel $(x \cdot x' / d + 1)^3$ for x of shape (n, d) and y of shape (m, d)."""

    return (x @ y.T / x.shape[1] + 1) ** 3


def kid(
    x: torch.Tensor,
    y: torch.Tensor,
    block: int,
    drop_last: bool = True,
    kernel: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = cubic_kernel,
) -> torch.Tensor:
    r"""Compute the kernel inception distance of two sets of features, block by block.

    This is $\text{MMD}_u^2$ with the kernel $(x \cdot x' / d + 1)^3$.

    Arguments:
        x: Features of shape $(N, d)$, in random order.
        y: Features of shape $(M, d)$, in random order.
        block: The number of points of either set in a block, at least 2.
        drop_last: Whether to leave out points that do not fill a block. If not, they form a smaller last block,
            provided that there are at least two in either set.
        kernel: Another kernel, as a function that returns the matrix of its values.

    Returns:
        The distance of each pair of blocks, of shape $(B)$. Their mean estimates the distance of the two
        distributions, and their spread its standard error.

    Raises:
        ValueError: If there is no block.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018), Sec. 4.

    Example:
        >>> x = torch.zeros(5, 3)
        >>> kid(x, x + 1, block=2)
        tensor([7., 7.])
    """

    smallest = block if drop_last else 2
    pairs = [pair for pair in zip(x.split(block), y.split(block), strict=False) if min(map(len, pair)) >= smallest]
    if block < 2 or not pairs:
        raise ValueError(f"kid: no block of {block} points of {len(x)} and {len(y)}")

    return torch.stack([mmd2(kernel, *pair) for pair in pairs])


class RandomNetworkKID:
    r"""The kernel inception distance of generated images from real ones, in the features of an untrained network.

    The features are those of a random convolutional network, whitened, instead of the Inception network's. The distance
    compares generators of the same images; it is not comparable with published figures.

    Arguments:
        x: Real images, of shape $(N, C, H, W)$, float32, of which at most 2,000 are drawn.
        random: The random stream that draws them.

    Attributes:
        size: The number of images drawn.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018), Sec. 4.
    """

    max_images, max_blocks, outputs = 2000, 10, 64

    def __init__(self, x: torch.Tensor, random: torch.Generator) -> None:
        weights = torch.Generator().manual_seed(0)
        channels, height, width = x.shape[1:]
        self.network = FeatureNetwork((channels, height, width), 16, self.outputs).initialise(weights)
        self.network.requires_grad_(False)
        rows = torch.randperm(len(x), generator=random)[: self.max_images]
        features = self.network(x[rows])  # (n, d)
        self.size, self.mean = len(rows), features.mean(0)

        # Without whitening, the noise of one direction (the brightness of an image) would dominate all others;
        # directions of almost no variance stay small
        variances, directions = torch.linalg.eigh((features - self.mean).T @ (features - self.mean) / len(rows))
        floor = 0.01 * variances[-1] + torch.finfo(features.dtype).tiny
        self.whitening = directions / (variances.clamp(min=0) + floor).sqrt()  # (d, d)
        self.real = self._whitened(features)
        self.block = -(-self.size // max(1, min(self.max_blocks, self.size // 2)))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the distance of `size` images, for each block of them."""

        return kid(self.real, self._whitened(self.network(images)), self.block, drop_last=False)

    def _whitened(self, features: torch.Tensor) -> torch.Tensor:
        return (features - self.mean) @ self.whitening


def stalled(before: torch.Tensor, now: torch.Tensor) -> bool:
    """Return whether a KID has not fallen, by a paired t-test over its blocks at a level of 5 %."""

    gain = before - now
    return bool(gain.mean() <= 1.83 * gain.std(correction=0) / math.sqrt(max(1, len(gain) - 1)))
