"""Functions for networks of images: input checks, batches, weights, batch norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias, TypeVar, cast

import torch
from threadpoolctl import ThreadpoolController
from torch import nn
from torch.nn.functional import leaky_relu, normalize
from torch.utils._python_dispatch import TorchDispatchMode

from cgm.utils.checks import check_points
from cgm.utils.run import in_order, progress, workers

Arithmetic: TypeAlias = Literal["float32", "bfloat16"]  # of convolutions and matrix products in a training
BATCH = 500  # images that pass through a network at once

Network = TypeVar("Network", bound="nn.Module")


def autocast(arithmetic: Arithmetic, device: str = "cpu") -> torch.autocast:
    """Return a context in which convolutions and matrix products on a device have an arithmetic."""

    return torch.autocast(device, torch.bfloat16, enabled=arithmetic == "bfloat16")


def check_images(x: torch.Tensor, name: str, shape: Sequence[int] | None = None, min: int = 1) -> torch.Tensor:
    r"""Check images and return them in float32, on the CPU, contiguous.

    Arguments:
        x: The images, of shape $(N, C, H, W)$, with pixels from 0 to 1.
        name: The name of the images in an error.
        shape: The expected shape $(C, H, W)$. Any, if `None`.
        min: The smallest allowed $N$.

    Raises:
        ValueError: If x has another shape, too few images, pixels outside [0, 1], or contains NaN.
    """

    x = check_points(x, name, width=None if shape is None else shape[0], min=min)
    if x.dim() != 4 or 0 in x.shape:
        raise ValueError(f"{name}: expected images of shape (N, C, H, W), got {tuple(x.shape)}")
    if shape is not None and x.shape[1:] != torch.Size(shape):
        raise ValueError(f"{name}: images of shape {tuple(x.shape[1:])} where {tuple(shape)} are expected")
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > 1:
        raise ValueError(f"{name}: pixels range from {low:g} to {high:g}, expected 0 to 1")

    return x.detach().cpu().float().contiguous()


META = torch.device("meta")  # a network there needs no memory, and draws no first weights from the global random stream


def in_batches(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, label: str) -> torch.Tensor:
    """Apply a function to x of shape (N, ...), some hundred entries at a time, to save memory.

    Batches are processed in parallel, each by one thread, so that the results do not depend on the number of threads.
    This also holds for scikit-learn: its loops are limited to the thread that calls them, and BLAS within them to one.

    Arguments:
        function: Maps a batch of shape (B, ...) to B rows.
        x: All entries.
        label: The label of the progress bar.
    """

    def apply(part: torch.Tensor) -> torch.Tensor:
        # the mode of a thread, and the number of threads of OpenMP, are its own
        with torch.no_grad(), libraries.limit(limits=1, user_api="openmp"):
            return function(part)

    parts, libraries = [], ThreadpoolController()
    with workers() as threads, libraries.limit(limits=1, user_api="blas"), progress(len(x), label) as bar:
        for part in in_order(threads, apply, ((part,) for part in x.split(BATCH)), ahead=4):
            parts.append(part)
            bar.update(len(part))

    return torch.cat(parts)


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of a network's weights and buffers, contiguous; integers, such as permutations, as float64."""

    return {
        name: (x if x.is_floating_point() else x.double()).clone(memory_format=torch.contiguous_format)
        for name, x in _kept(network).items()
    }


def shapes_of(make: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what `weights_of` returns for a network, which is constructed without memory if possible."""

    try:
        with META:
            network = make()
    except TooLarge:
        raise
    except Exception:  # a network that computes with numbers where it is constructed, as a flow does for its masks
        network = constructed(make)

    return {name: tuple(x.shape) for name, x in _kept(network).items()}


def constructed(make: Callable[[], Network]) -> Network:
    """Construct a network, the same one each time; the global random state is neither used nor changed."""

    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        return make()


def _kept(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights and buffers of a network but for batch norm's counts, which are needed in training only."""

    return {name: x for name, x in network.state_dict().items() if name.rpartition(".")[2] != "num_batches_tracked"}


class TooLarge(ValueError):
    """A network that needs more memory than its file suggests."""


class SizeLimit(TorchDispatchMode):
    """Limit of the numbers in the tensors that are made, for networks whose sizes come from a file.

    Arguments:
        tensors: The tensors of the file.
    """

    free, factor, smallest = 2**27, 16, 4096  # masks and products come on top; each tensor counts, however small

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.left = self.free + self.factor * sum(x.numel() for x in tensors)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation of torch, if what it makes is within the limit."""

        if not any(isinstance(each, torch.Tensor | list | tuple) for each in args[:1]) or (
            isinstance(args[0], list | tuple) and all(isinstance(side, int) for side in args[0])
        ):  # it makes a new tensor, from a shape or from numbers
            sides = args[0] if args and isinstance(args[0], list | tuple) else [self._length(func, args)]
            self._take(math.prod(max(0, side) for side in sides))
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.numel() > self.left:
            self._take(result.numel())
        return result

    def _take(self, count: int) -> None:
        self.left -= max(count, self.smallest)
        if self.left < 0:
            raise TooLarge("needs far more memory than the tensors of the file")

    @staticmethod
    def _length(func: Any, numbers: Sequence[Any]) -> int:
        length = max((int(abs(x)) for x in numbers if isinstance(x, int | float) and math.isfinite(x)), default=0)
        return length**2 if "eye" in str(func) else length


def with_weights(make: Callable[[], Network], weights: dict[str, torch.Tensor]) -> Network:
    """Construct a network, in evaluation mode and float32, with the weights that `weights_of` returned."""

    network = constructed(make)  # not without memory: it may have tensors that are no weights
    state = network.state_dict()
    missing = {name: x for name, x in state.items() if name.rpartition(".")[2] == "num_batches_tracked"}
    integers = {name for name, x in state.items() if not x.is_floating_point()}
    network.load_state_dict(
        missing | {name: x.to(state[name].dtype) if name in integers else x.float() for name, x in weights.items()},
        assign=True,
    )
    network.eval().requires_grad_(False)

    return network


def principal_directions(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    r"""Compute the principal directions of the outputs of a network.

    Arguments:
        z: The outputs, of shape $(N, d)$, float64.

    Returns:
        Their mean, of shape $(d)$; the variances in ascending order, of shape $(d)$; the directions, the columns of a
        matrix of shape $(d, d)$; and the number of directions in which the outputs vary.
    """

    mean = z.mean(0)
    variances, directions = torch.linalg.eigh((z - mean).T @ (z - mean) / len(z))

    return mean, variances, directions, int((variances > variances[-1].clamp_min(1e-30) * 1e-6).sum())


def convolution_block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Construct a convolution without bias, followed by batch norm and ReLU."""

    layer = torch.nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)

    return torch.nn.Sequential(layer, torch.nn.BatchNorm2d(outputs), torch.nn.ReLU())


LEAK = 0.2

F = TypeVar("F", bound="FeatureNetwork")


def image_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return the sizes of an image from layer to layer: halved, rounding up, at least twice, until no side exceeds 4.

    Example:
        >>> image_sizes(28, 28), image_sizes(8, 8)
        ([(28, 28), (14, 14), (7, 7), (4, 4)], [(8, 8), (4, 4), (2, 2)])
    """

    sizes = [(height, width)]
    while len(sizes) < 3 or max(sizes[-1]) > 4:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))

    return sizes


class FeatureNetwork(nn.Module):
    r"""Network that maps images to features: strided 5 × 5 convolutions, then a linear layer.

    A new network has no weights; `initialise` draws them.

    Arguments:
        image: The shape $(C, H, W)$ of an image.
        channels: The number of channels of the first layer; each later one has twice as many.
        outputs: The number of features.
    """

    def __init__(self, image: tuple[int, int, int], channels: int, outputs: int) -> None:
        super().__init__()
        sizes = image_sizes(*image[1:])
        widths = [image[0], *(channels * 2**i for i in range(len(sizes) - 1))]
        with META:
            self.layers = nn.ModuleList(nn.Conv2d(before, after, 5, 2, 2) for before, after in pairwise(widths))
            self.layers.append(nn.Linear(widths[-1] * math.prod(sizes[-1]), outputs))

    def initialise(self: F, random: torch.Generator) -> F:
        """Draw weights that keep the variance from layer to layer, and return the network itself."""

        self.to_empty(device="cpu")
        for layer in cast("Iterable[nn.Conv2d | nn.Linear]", self.layers):
            nn.init.kaiming_normal_(layer.weight, LEAK, generator=random)
            nn.init.zeros_(cast(torch.Tensor, layer.bias))

        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (N, C, H, W) to features of shape (N, outputs)."""

        for layer in self.layers[:-1]:
            x = leaky_relu(layer(x), LEAK)
        return self.layers[-1](x.flatten(1))


class AutoencoderNetwork(nn.Module):
    r"""Network that maps images to codes and back: four convolutions of stride 2, a linear map, and their mirror image.

    Without batch norm between the convolutions, a training on few images makes hardly any progress.

    Arguments:
        components: The number $d$ of dimensions of the code.
        width: The number $w$ of channels of the first convolution; the others have $2w$, $4w$, $8w$.
        shape: The shape $(C, H, W)$ of the images.
    """

    def __init__(self, components: int, width: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels = [shape[0], *(width * 2**k for k in range(4))]
        sizes = [[-(-side // 2**k) for side in shape[1:]] for k in range(5)]  # before, between, after convolutions
        flat = channels[4] * sizes[4][0] * sizes[4][1]

        blocks = [convolution_block(channels[k], channels[k + 1], kernel=5, stride=2) for k in range(4)]
        self.encoder = nn.Sequential(*blocks, nn.Flatten())
        self.code = nn.Linear(flat, components)

        self.decode_code = nn.Linear(components, flat)
        layers: list[nn.Module] = [nn.Unflatten(1, (channels[4], *sizes[4]))]
        for k in (3, 2, 1, 0):
            extra = tuple(small - (2 * large - 1) for small, large in zip(sizes[k], sizes[k + 1], strict=True))
            layers += [
                nn.BatchNorm2d(channels[k + 1]),
                nn.ReLU(),
                nn.ConvTranspose2d(
                    channels[k + 1], channels[k], 5, stride=2, padding=2, output_padding=extra, bias=k == 0
                ),
            ]
        *layers, self.pixels = layers
        self.decoder = nn.Sequential(*layers)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (B, C, H, W) to codes of shape (B, d)."""

        return self.code(self.encoder(x))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Map codes of shape (B, d) to the logits of pixels, of shape (B, C, H, W)."""

        return self.pixels(self.decoder(self.decode_code(z)))

    @torch.no_grad()
    def whiten(self, z: torch.Tensor) -> int:
        r"""Transform the code to mean zero and covariance $I$, and let the decoder undo this.

        Arguments:
            z: The codes of images, of shape $(N, d)$, float64.

        Returns:
            The number of directions in which the codes vary. If it is below $d$, nothing is changed.
        """

        mean, variances, directions, rank = principal_directions(z)

        if rank == len(variances):
            # The symmetric square root changes the code as little as possible
            root = directions * variances.sqrt() @ directions.T
            inverse = directions / variances.sqrt() @ directions.T
            weight, undo = self.code.weight.double(), self.decode_code.weight.double()
            self.code.weight.copy_(inverse @ weight)
            self.code.bias.copy_(inverse @ (self.code.bias.double() - mean))
            self.decode_code.weight.copy_(undo @ root)
            self.decode_code.bias.add_(undo @ mean)

        return rank


class ClassifierNetwork(nn.Module):
    r"""Network that maps images to logits: 3 × 3 convolutions with batch norm, and two residual blocks.

    Arguments:
        classes: The number $m$ of classes.
        width: The number $w$ of channels of the first convolution; the last has $8w$.
        channels: The number $C$ of colour channels.
    """

    def __init__(self, classes: int, width: int, channels: int) -> None:
        super().__init__()
        self.body = image_body(channels, width)
        self.head = nn.Linear(8 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (B, C, H, W) to logits of shape (B, m)."""

        return self.head(self.body(x))


def image_body(channels: int, w: int) -> nn.Sequential:
    r"""Construct the layers that map images of shape $(B, C, H, W)$ to features of shape $(B, 8w)$.

    Arguments:
        channels: The number $C$ of colour channels.
        w: The number of channels of the first convolution.
    """

    return nn.Sequential(
        convolution_block(channels, w),
        convolution_block(w, 2 * w, stride=2),
        _Residual(2 * w),
        convolution_block(2 * w, 4 * w, stride=2),
        convolution_block(4 * w, 8 * w, stride=2),
        _Residual(8 * w),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(convolution_block(channels, channels), convolution_block(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


SLOPE = 0.1  # of the activation, for negative inputs


class DeepNetwork(nn.Module):
    r"""Network that maps points to features: a linear map plus a network of two hidden layers.

    The linear map is given at the start, and the last layer of the network is zero: at first, the features are those
    of the linear map, from which a training departs.

    Arguments:
        components: The number $d$ of features.
        width: The number of units of each hidden layer.
        inputs: The number $D$ of columns of the points.
    """

    def __init__(self, components: int, width: int, inputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, components)
        self.hidden = nn.Sequential(
            nn.Linear(inputs, width), nn.LeakyReLU(SLOPE), nn.Linear(width, width), nn.LeakyReLU(SLOPE)
        )
        self.last = nn.Linear(width, components)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(()))

    mean: torch.Tensor
    scale: torch.Tensor

    @torch.no_grad()
    def start(self, mean: torch.Tensor, scale: float, directions: torch.Tensor, unit: float) -> None:
        r"""Set the inputs' units, and let the features be projections.

        Arguments:
            mean: The mean of the points, of shape $(D)$.
            scale: The unit of the points.
            directions: The directions of the projections, of shape $(d, D)$.
            unit: The unit of the projections.
        """

        self.mean.copy_(mean)
        self.scale.fill_(scale)
        self.linear.weight.copy_(directions * scale / unit)
        self.linear.bias.zero_()
        self.last.weight.zero_()
        self.last.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map points of shape (B, D) to features of shape (B, d)."""

        x = (x - self.mean) / self.scale

        return self.linear(x) + self.last(self.hidden(x))


GREY = (0.299, 0.587, 0.114)  # the weights of red, green and blue in the brightness of a pixel


def mirror_some(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror half of the images x of shape (N, C, H, W) left to right."""

    flipped = torch.rand(len(x), generator=generator) < 0.5

    return torch.where(flipped[:, None, None, None], x.flip(3), x)


def crop(x: torch.Tensor, smallest: float, generator: torch.Generator) -> torch.Tensor:
    r"""Cut a random rectangle out of each image, and enlarge it to the size of the image.

    Arguments:
        x: Images of shape $(N, C, H, W)$.
        smallest: The smallest share of an image's area that is cut out.
        generator: Draws area, aspect ratio (from 3/4 to 4/3) and place.
    """

    n = len(x)
    area = smallest + (1 - smallest) * torch.rand(n, generator=generator)
    ratio = torch.exp((2 * torch.rand(n, generator=generator) - 1) * math.log(4 / 3))
    sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], 1).clamp(max=1)  # (N, 2), of 1
    shifts = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - sides)
    maps = torch.cat([torch.diag_embed(sides), shifts[:, :, None]], 2).to(x)  # (N, 2, 3)
    grid = torch.nn.functional.affine_grid(maps, list(x.shape), align_corners=False)

    return torch.nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def recolour(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Change brightness, contrast, saturation and tint of four in five images; turn one in five grey.

    Arguments:
        x: Images of shape (N, 3, H, W), with pixels from 0 to 1.
        generator: Draws which images are changed, and how.
    """

    def around(one: float, strength: float, channels: int = 1) -> torch.Tensor:
        return one + strength * (2 * torch.rand(len(x), channels, 1, 1, generator=generator) - 1)

    def grey(y: torch.Tensor) -> torch.Tensor:
        return (y * torch.tensor(GREY)[:, None, None]).sum(1, keepdim=True)

    def some(share: float) -> torch.Tensor:
        return torch.rand(len(x), 1, 1, 1, generator=generator) < share

    y = x * around(1, 0.4)
    mean = grey(y).mean((2, 3), keepdim=True)
    y = mean + (y - mean) * around(1, 0.4)
    y = grey(y) + (y - grey(y)) * around(1, 0.4)
    y = y * around(1, 0.2, channels=3)
    y = torch.where(some(0.8), y, x)

    return torch.where(some(0.2), grey(y), y).clamp(0, 1)


class EncoderNetwork(nn.Module):
    r"""Network that maps images to features of norm 1, and these to a code.

    Arguments:
        components: The number $d$ of dimensions of the code.
        width: The number $w$ of channels of the first convolution. There are $8w$ features.
        channels: The number $C$ of colour channels.
    """

    def __init__(self, components: int, width: int, channels: int) -> None:
        super().__init__()
        self.body = image_body(channels, width)
        self.code = nn.Linear(8 * width, components)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (B, C, H, W) to features of shape (B, 8w), of norm 1."""

        return normalize(self.body(x), dim=1)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (B, C, H, W) to codes of shape (B, d)."""

        return self.code(self.features(x))

    @torch.no_grad()
    def set_code(self, h: torch.Tensor) -> int:
        r"""Let the code be the principal components of features.

        Arguments:
            h: The features of images, of shape $(N, 8w)$, float64.

        Returns:
            The number of directions in which the features vary. If it is below $d$, nothing is changed.
        """

        mean, _, directions, rank = principal_directions(h)
        d = self.code.out_features

        if rank >= d:
            principal = directions[:, -d:].flip(1).T
            self.code.weight.copy_(principal)
            self.code.bias.copy_(-principal @ mean)

        return rank
