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
from cgm.generators.columns import SHAPES, Columns, check_columns
from cgm.networks import weights as pretrained
from cgm.networks.architectures import FeatureNetwork, weights_of, with_weights
from cgm.networks.fitted import FittedNetwork, Network, Shape, dtype_name, plain_size
from cgm.networks.training import Checkpoint, Minutes
from cgm.networks.weights import Pretrained
from cgm.utils.run import in_order, limited, progress, workers
from cgm.utils.settings import Settings
from cgm.valuation.mmd import unbiased

log = logging.getLogger(__name__)

BATCH = 500  # images that are generated at a time
MIN_SIDE = 4  # pixels
MAX_KID = 1.0  # pretrained weights with a larger KID belong to other images; for half of the classes it is 0.2 to 0.6
TRIED = 2000  # images on which half precision is tried
CHECKPOINT = "checkpoint.pt"
COLUMNS = "columns."  # prefix of the tensors of `Columns` in a state
MIN_ROWS = 4096  # of a training: fewer points with repeated values are repeated, with other draws

G = TypeVar("G", bound="NetworkGenerator")


@dataclass(eq=False)
class NetworkGenerator(FittedNetwork[Network], Generator):
    r"""Base class of generators that are networks, of images, of points and of encoded tables.

    A subclass is a dataclass of its settings that declares `kind`, `takes` and `architecture`, and has three methods:
    `make_network`, `train` and `draw`. Everything else is inherited: checks of the data, pretrained weights, samples
    in batches, files that hold the weights and the sizes from which the network is constructed again, and the dtype of
    the samples. Weights for images are in half precision where this is exact enough. Points reach the network as
    normal scores of numbers and unit vectors of categories, and samples are mapped back, see
    `cgm.generators.columns.Columns`.

    Arguments:
        pretrained: Whether to use weights that come with cgm: `True`, `False`, or `"auto"`: if there are weights for
            images of this shape (if the images turn out to be of another kind, an error is raised, since a training
            takes an hour). Or the path of a file that `save` has written.
        minutes: The time limit of a training. `None`: no limit.
        checkpoint: A folder for checkpoints. If it contains a checkpoint of the same training, the training is
            resumed. `None`: no checkpoints.
    """

    pretrained: Pretrained = "auto"  # type: ignore[assignment]  # wider than that of other generators
    minutes: Minutes = None
    checkpoint: Checkpoint = None

    space: ClassVar[str] = "data"

    kind: ClassVar[str]
    """The name of the generator in the names of pretrained files, `<dataset>_<kind>.safetensors`."""

    takes: ClassVar[tuple[str, ...]] = ("images",)
    """What the generator can be fitted to: `"images"`, `"points"`, or both."""

    architecture: ClassVar[tuple[str, ...]] = ()
    """The settings that `make_network` needs besides the shape of the data: integers from 0, other numbers, text,
    truth values, or lists of these, as tuples are in `sizes`."""

    file_settings: ClassVar[tuple[str, ...] | None] = ()  # the sizes in the file say all

    def __init_subclass__(cls, **options: Any) -> None:
        """Declare the sizes that a file contains."""

        super().__init_subclass__(**options)
        shape = ("shape", "groups") if "points" in cls.takes else ("image",)
        cls.size_names = (*shape, "dtype", *cls.architecture)

    def __post_init__(self) -> None:
        Settings.__post_init__(self)  # not that of `Generator`, whose `pretrained` is a file only
        pretrained.check_path("generator.pretrained", self.pretrained, "true, false, auto, or ")
        if self.checkpoint is not None and Path(self.checkpoint).is_file():
            raise ValueError(f"generator.checkpoint={self.checkpoint}: is a file, expected a folder")

    @abstractmethod
    def make_network(self, sizes: Mapping[str, Any]) -> Network:
        """Construct the network of given sizes, with any weights.

        Arguments:
            sizes: The settings named in `architecture` and, if the generator takes images alone, the shape `"image"`,
                (C, H, W). Otherwise the `"shape"`, (C, H, W) or (d), and, for points, `"groups"`: the number of
                coordinates of each column that varies, 1 for a number and m for a category of m levels. Their sum is
                the number of inputs; numbers come first.
        """

    @abstractmethod
    def train(self, x: torch.Tensor, seed: int) -> tuple[Network, dict[str, float]]:
        """Train a network. `sizes` is set, and `make_network(self.sizes)` constructs one.

        Arguments:
            x: Images of shape (N, C, H, W), float32, with pixels from 0 to 1. Or the coordinates of points, of shape
                (N, sum of the groups), float32: normal scores, and unit vectors of categories. If there are few points
                with values that are repeated, each row occurs several times, with other draws.
            seed: The seed of everything random.

        Returns:
            The network, as `make_network` constructs it, and the report: steps, seconds and further measurements.
        """

    @abstractmethod
    def draw(self, network: Network, n: int, random: torch.Generator) -> torch.Tensor:
        """Draw n images, of shape (n, C, H, W), with pixels from 0 to 1, or n points in the coordinates of `train`."""

    @property
    def checkpoint_file(self) -> str | None:
        """The file in the folder `checkpoint` that `train` writes checkpoints to; `None` without a folder."""

        return None if self.checkpoint is None else str(Path(self.checkpoint) / CHECKPOINT)

    @limited(1)  # sums, and so the weights, depend on the number of threads
    def fit(self: G, x: torch.Tensor, seed: int) -> G:
        """Train on images of shape (N, C, H, W) in [0, 1] or points of shape (N, d), or load pretrained weights."""

        x = self.check_fit(x)
        before, columns = self.sizes, None if x.dim() == 4 else Columns.of(x.double().numpy())
        shape: dict[str, Any] = {"image": list(x.shape[1:])}
        if "points" in self.takes:
            shape = {"shape": list(x.shape[1:]), "groups": [] if columns is None else columns.groups}
        settings = {name: plain_size(f"generator.{name}", getattr(self, name)) for name in self.architecture}
        self.sizes, self.warnings = {**shape, "dtype": dtype_name(x.dtype), **settings}, ()
        try:
            if columns is None:
                network, report = self.train(x.float(), seed)
                state = self.halved(network)
            else:
                points = x.double().numpy()
                if columns.has_atoms:
                    points = np.tile(points, (-(-MIN_ROWS // len(points)), 1))
                network, report = self.train(columns.encode(points, seed), seed)
                state = weights_of(network) | {f"{COLUMNS}{name}": value for name, value in columns.state().items()}
            if spoiled := [name for name, weights in state.items() if not torch.isfinite(weights).all()]:
                raise ValueError(f"generator: the training diverged, {spoiled[0]} contains NaN; lower its rate")
        except BaseException:
            self.sizes = before
            raise
        self.state, self.report = state, report

        return self

    def network(self) -> Network:
        """Return the fitted network, in evaluation mode and float32."""

        weights = {name: w for name, w in self.fitted().items() if not name.startswith(COLUMNS)}

        return with_weights(lambda: self.make_network(self.sizes), weights)

    def shapes_for(self, sizes: Mapping[str, Any]) -> Mapping[str, Shape]:
        """Return the shapes of the network's weights and, for points, those of its columns."""

        columns = {f"{COLUMNS}{name}": shape for name, shape in SHAPES.items()} if _has_columns(sizes) else {}

        return {**super().shapes_for(sizes), **columns}

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check the columns from a file."""

        if columns := _columns_of(state):
            check_columns(columns, Columns.restored(columns).groups)

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n images or points, in parallel; each batch has its own random stream and is drawn by one thread."""

        state = self.check_sample(n)
        network, columns = self.network(), _columns_of(state)
        shape = [sum(self.sizes["groups"])] if columns else self.sizes.get("shape", self.sizes.get("image"))
        dtype = getattr(torch, self.sizes["dtype"])
        result = torch.empty(n, *shape, dtype=torch.float32 if columns else dtype)

        def draw(number: int, batch: torch.Tensor) -> None:
            stream = np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1, np.uint64)[0]
            with torch.no_grad():  # the mode of a thread is its own
                batch.copy_(self.draw(network, len(batch), torch.Generator().manual_seed(int(stream))))
            bar.update(len(batch))

        with workers() as threads, progress(n, f"generating {'points' if columns else 'images'}") as bar:
            for _ in in_order(threads, draw, enumerate(result.split(BATCH))):
                pass
        if columns:
            result = torch.from_numpy(Columns.restored(columns).decode(result.double().numpy())).to(dtype)

        return result

    def check_fit(self, x: torch.Tensor) -> torch.Tensor:
        """Check the images or points of a fit, and return a copy of them on the CPU."""

        of_points = isinstance(x, torch.Tensor) and x.dim() == 2 and "points" in self.takes
        name = f"{'points' if of_points else 'images'} to fit {type(self).__name__} to"
        if isinstance(x, torch.Tensor) and not of_points and (x.dim() != 4 or "images" not in self.takes):
            shapes = " or ".join({"images": "(N, C, H, W)", "points": "(N, d)"}[what] for what in self.takes)
            hint = "" if "points" in self.takes else "; for points that are not images, use generator=kde"
            raise ValueError(f"{name}: expected shape {shapes}, got {tuple(x.shape)}{hint}")
        x = super().check_fit(x)
        if of_points:
            return x
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
        numbers = {name for name, x in network.state_dict().items() if x.is_floating_point()}
        half = {name: x.half() if name in numbers else x for name, x in weights.items()}
        before = tried(network)
        network.load_state_dict(half, strict=False)
        change = float((tried(network) - before).abs().max())
        network.load_state_dict(weights, strict=False)
        log.info("generator: largest change of a pixel by half precision: %.2g", change)

        return half if change < 1 / 255 else weights

    def pretrained_file(self, x: torch.Tensor) -> Path | None:
        """Return the file of the weights that the setting `pretrained` asks for, or `None`."""

        weights = pretrained.choose(self.pretrained, self.kind, x.shape[1:])

        return None if weights is None else weights.path

    def load_pretrained(self: G, path: Path, x: torch.Tensor, seed: int) -> G:
        """Load weights instead of a fit, see `Generator.load_pretrained`; samples have the dtype of x."""

        super().load_pretrained(path, x, seed)
        self.sizes = {**self.sizes, "dtype": dtype_name(x.dtype)}

        return self

    def _take_settings(self, path: Path) -> None:
        if isinstance(self.pretrained, str) and self.pretrained != "auto":
            super()._take_settings(path)
        else:  # no file was named: a further fit, to other images, has the settings that were given
            self._differing(path)

    def _compare(self, path: Path, x: torch.Tensor, seed: int) -> None:
        """Warn, or raise a ValueError, if the generated images are of another kind than those of the fit."""

        super()._compare(path, x, seed)
        if x.dim() != 4:
            return
        kid = RandomNetworkKID(x.float(), torch.Generator().manual_seed(0))
        distance = float(kid(self.sample(kid.size, seed).float()).mean())
        if distance > MAX_KID:
            unlike = (
                f"the pretrained {type(self).__name__} generates images unlike those of the dataset (KID "
                f"{distance:.3g}, expected below {MAX_KID:g}); use generator.pretrained=false to train one"
            )
            if self.pretrained == "auto":
                raise ValueError(f"generator.pretrained=auto: {unlike}, or generator.pretrained=true to use it anyway")
            self.warn(f"{unlike}; used nevertheless, because of generator.pretrained={self.pretrained}")


def _has_columns(sizes: Mapping[str, Any]) -> bool:
    return len(sizes.get("shape", ())) == 1


def _columns_of(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of the columns; none for images."""

    return {name.removeprefix(COLUMNS): x for name, x in state.items() if name.startswith(COLUMNS)}


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
