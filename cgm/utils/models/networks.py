"""Small convolutional networks for images."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from cgm.utils.checks import check_points
from cgm.utils.progress import progress

BATCH = 500  # images that go through a network at once


def check_images(x: Tensor, name: str, shape: Sequence[int] | None = None, least: int = 1) -> Tensor:
    r"""Checks images and returns them in float32, on the CPU, laid out in memory in the usual order.

    Arguments:
        x: The images, of shape $(N, C, H, W)$, with pixels from 0 to 1.
        name: What the images are called in an error.
        shape: The $(C, H, W)$ that is expected. Any, if `None`.
        least: The least $N$ that will do.

    Raises:
        ValueError: If these are no such images.
    """

    check_points(x, name, width=None if shape is None else shape[0], min=least)
    if x.dim() != 4 or 0 in x.shape:
        raise ValueError(f"{name}: expected images of shape (N, C, H, W), got {tuple(x.shape)}")
    if shape is not None and x.shape[1:] != torch.Size(shape):
        raise ValueError(f"{name}: images of shape {tuple(x.shape[1:])} where {tuple(shape)} are expected")
    if float(x.min()) < 0 or float(x.max()) > 1:
        raise ValueError(f"{name}: pixels run from {float(x.min()):g} to {float(x.max()):g}, expected 0 to 1")

    return x.detach().cpu().float().contiguous()


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], x: Tensor, label: str) -> Tensor:
    """Applies a function to x of shape (N, ...), some hundred entries at a time, so that little memory is needed.

    Arguments:
        function: Maps a batch of shape (B, ...) to B rows.
        x: All entries.
        label: What a progress bar says.
    """

    parts = []
    with progress(len(x), label) as bar:
        for part in x.split(BATCH):
            parts.append(function(part))
            bar.update(len(part))

    return torch.cat(parts)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Returns copies of a network's weights and of its batch norms' statistics, in the usual layout in memory."""

    state = network.state_dict()

    # What is whole is batch norm's count of batches, of use in training only
    return {name: x.clone(memory_format=torch.contiguous_format) for name, x in state.items() if x.is_floating_point()}


def with_weights(make: Callable[[], nn.Module], weights: dict[str, Tensor]) -> nn.Module:
    """Makes a network, in evaluation mode and in float32, that has the weights that `weights_of` gave."""

    with torch.device("meta"):  # no weights are drawn
        network = make()
    counts = {name: torch.zeros(x.shape) for name, x in network.state_dict().items() if not x.is_floating_point()}
    network.load_state_dict({name: x.float() for name, x in weights.items()} | counts, assign=True)

    return network.eval().requires_grad_(False)


@torch.no_grad()
def settle(network: nn.Module, function: Callable[[Tensor], Tensor], x: Tensor, generator: torch.Generator) -> None:
    """Takes batch norm's statistics anew, with the final weights: those kept in a short training lag behind.

    Arguments:
        network: The network, left in evaluation mode.
        function: Sends images of shape (B, C, H, W) through the network.
        x: The images of the training, of shape (N, C, H, W), of which 10,000 will do.
        generator: Draws them.
    """

    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # an average over all batches
    network.train()
    rows = torch.randperm(len(x), generator=generator)[:10_000]
    for part in rows.chunk(-(-len(rows) // BATCH)):
        function(x[part])
    network.eval()


class AutoencoderNetwork(nn.Module):
    r"""Maps images to codes and back: four convolutions of stride 2 and a linear map, and their mirror image.

    There is batch norm between convolutions, since else a training on few images hardly begins.

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

        layers: list[nn.Module] = []
        for k in range(4):
            layers += [_convolution(channels[k], channels[k + 1], kernel=5, stride=2)]
        self.encoder = nn.Sequential(*layers, nn.Flatten())
        self.code = nn.Linear(flat, components)

        self.decode_code = nn.Linear(components, flat)
        layers = [nn.Unflatten(1, (channels[4], *sizes[4]))]
        for k in (3, 2, 1, 0):
            extra = [small - (2 * large - 1) for small, large in zip(sizes[k], sizes[k + 1], strict=True)]
            layers += [
                nn.BatchNorm2d(channels[k + 1]),
                nn.ReLU(),
                nn.ConvTranspose2d(
                    channels[k + 1], channels[k], 5, stride=2, padding=2, output_padding=extra, bias=k == 0
                ),
            ]
        *layers, self.pixels = layers
        self.decoder = nn.Sequential(*layers)

    def encode(self, x: Tensor) -> Tensor:
        """Maps images of shape (B, C, H, W) to codes of shape (B, d)."""

        return self.code(self.encoder(x))

    def decode(self, z: Tensor) -> Tensor:
        """Maps codes of shape (B, d) to the logits of pixels, of shape (B, C, H, W)."""

        return self.pixels(self.decoder(self.decode_code(z)))

    @torch.no_grad()
    def whiten(self, z: Tensor) -> int:
        r"""Brings codes to mean zero and covariance $I$, and has the decoder undo it.

        Arguments:
            z: The codes of images, of shape $(N, d)$, float64.

        Returns:
            The number of directions in which the codes vary. Nothing is changed if these are fewer than $d$.
        """

        mean = z.mean(0)
        variances, directions = torch.linalg.eigh((z - mean).T @ (z - mean) / len(z))
        rank = int((variances > variances[-1].clamp_min(1e-30) * 1e-6).sum())

        if rank == len(variances):
            # The symmetric square root turns the code as little as can be
            root = directions * variances.sqrt() @ directions.T
            inverse = directions / variances.sqrt() @ directions.T
            weight, undo = self.code.weight.double(), self.decode_code.weight.double()
            self.code.weight.copy_(inverse @ weight)
            self.code.bias.copy_(inverse @ (self.code.bias.double() - mean))
            self.decode_code.weight.copy_(undo @ root)
            self.decode_code.bias.add_(undo @ mean)

        return rank


class ClassifierNetwork(nn.Module):
    r"""Maps images to the logits of classes: convolutions of 3 × 3 with batch norm, and two residual blocks.

    Arguments:
        classes: The number $m$ of classes.
        width: The number $w$ of channels of the first convolution; the last has $8w$.
        channels: The number $C$ of colours.
    """

    def __init__(self, classes: int, width: int, channels: int) -> None:
        super().__init__()
        w = width
        self.body = nn.Sequential(
            _convolution(channels, w),
            _convolution(w, 2 * w, stride=2),
            _Residual(2 * w),
            _convolution(2 * w, 4 * w, stride=2),
            _convolution(4 * w, 8 * w, stride=2),
            _Residual(8 * w),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(8 * w, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images of shape (B, C, H, W) to logits of shape (B, m)."""

        return self.head(self.body(x))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(_convolution(channels, channels), _convolution(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def _convolution(a: int, b: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(a, b, kernel, stride, padding=kernel // 2, bias=False)

    return nn.Sequential(layer, nn.BatchNorm2d(b), nn.ReLU())
