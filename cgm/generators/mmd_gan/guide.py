"""Random changes of images that a critic sees, and fixed networks whose features a generator must match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cgm.data.features.encoder import Encoder
from cgm.networks import weights as pretrained
from cgm.networks.architectures import GREY, Arithmetic, autocast, crop, in_batches
from cgm.networks.classifier import Classifier
from cgm.valuation.lengthscale import median_distance

CHANGES = ("crop", "colour", "shift", "cutout")
GUIDES = ("encoder", "classifier")
REAL = 2500  # images, at most, that stand for all real ones
RECENT = 256  # generated images that stand for all others; more would be of weights that are too old
SMALLEST = 0.3  # share of an image's area that "crop" leaves, as in the training of the encoders
PART = 500  # images whose features are computed at once


def change(x: torch.Tensor, changes: Sequence[str], random: torch.Generator) -> torch.Tensor:
    r"""Change images at random, differentiably.

    Arguments:
        x: Images of shape $(N, C, H, W)$, with pixels from 0 to 1.
        changes: `"crop"`: a random part of at least three tenths of the area is enlarged. `"colour"`: brightness,
            contrast and, with three colours, saturation are changed. `"shift"`: the image is shifted by at most an
            eighth of its sides, and filled up with black. `"cutout"`: a rectangle of half the sides, partly outside of
            the image at times, becomes black.
        random: Draws the changes of each image.

    References:
        Differentiable Augmentation for Data-Efficient GAN Training (Zhao et al., 2020)
    """

    n, channels, height, width = x.shape
    device = x.device
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)

    def uniform(low: float, high: float) -> torch.Tensor:
        return (low + (high - low) * torch.rand(n, 1, 1, 1, generator=random)).to(device)

    def places(count: int) -> torch.Tensor:
        return torch.randint(count, (n, 1), generator=random).to(device)

    if "crop" in changes:
        x = crop(x, SMALLEST, random)
    if "colour" in changes:
        x = x + uniform(-0.25, 0.25)
        if channels == 3:
            grey = (x * torch.tensor(GREY, device=device)[:, None, None]).sum(1, keepdim=True)
            x = grey + (x - grey) * uniform(0, 2)
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (x - mean) * uniform(0.5, 1.5)
    if "shift" in changes:
        down, right = height // 8, width // 8
        padded = nn.functional.pad(x, [right, right, down, down])
        from_rows = (places(2 * down + 1) + rows)[:, None, :, None]  # (N, 1, H, 1), of the padded image
        from_columns = (places(2 * right + 1) + columns)[:, None, None, :]  # (N, 1, 1, W)
        image, colour = torch.arange(n, device=device), torch.arange(channels, device=device)
        x = padded[image[:, None, None, None], colour[:, None, None], from_rows, from_columns]
    if "cutout" in changes:
        top, left = places(height + 1) - height // 4, places(width + 1) - width // 4
        in_rows = ((rows >= top) & (rows < top + height // 2))[:, None, :, None]
        in_columns = ((columns >= left) & (columns < left + width // 2))[:, None, None, :]
        x = torch.where(in_rows & in_columns, 0.0, x)

    return x


class Guide(nn.Module):
    r"""The distance of generated from real images in the features of fixed networks.

    The features of a network are the means over the image of what each of its blocks of layers computes, and what they
    compute in the end, each divided by its standard deviation over real images. With the sum $k$ of rational quadratic
    kernels ($\alpha$ = 0.1, 1, 10), in units of the median distance, the loss of generated images $y$ is

    .. math:: 2 \, (\mathbb{E} \, k(y, y') - \mathbb{E} \, k(y, x)),

    where $x$ are real images and $y'$ the images that were generated last. Its gradient is that of $\text{MMD}^2$, with
    less noise than that of a batch alone. Classes that are rare among generated images become more common, since the
    networks, unlike a critic that sees a batch, tell classes apart.

    Arguments:
        names: The networks that come with cgm, `"encoder"` or `"classifier"`.
        x: Real images, of shape $(N, C, H, W)$, of which evenly spaced ones are used.
        mirror: Whether half of the real images are mirrored left to right.
        changes: How generated images are changed before the loss, and real ones here.
        random: Draws the changes of the real images.
        arithmetic: The arithmetic of the networks' convolutions.
        device: Where the training runs.

    Raises:
        ValueError: If no such network comes with cgm for images of this shape.

    References:
        Learning Implicit Generative Models by Matching Perceptual Features (dos Santos et al., 2019)
    """

    recent: torch.Tensor
    real: torch.Tensor
    centre: torch.Tensor
    unit: torch.Tensor

    def __init__(
        self,
        names: Sequence[str],
        x: torch.Tensor,
        mirror: bool,
        changes: Sequence[str],
        random: torch.Generator,
        arithmetic: Arithmetic,
        device: torch.device,
    ) -> None:
        super().__init__()
        # in a tuple, and so no parts of the module: they are never in training mode, and not in checkpoints
        self.bodies = tuple(body_of(name, x).to(device) for name in names)
        self.arithmetic: Arithmetic = arithmetic
        x = x[:: -(-len(x) // REAL)]
        if mirror:
            x = torch.cat([x[::2], x[1::2].flip(3)])
        x = change(x, changes, random) if changes else x
        real = in_batches(lambda part: self.raw_features(part.to(device)).cpu(), x, "features of real images")
        centre, unit = real.mean(0), real.std(0)
        unit = unit.clamp_min(1e-3 * float(unit.max()))
        unit = unit * median_distance(real / unit)
        self.register_buffer("centre", centre.to(device), persistent=False)
        self.register_buffer("unit", unit.to(device), persistent=False)
        self.register_buffer("real", ((real - centre) / unit).to(device), persistent=False)
        self.register_buffer("recent", self.real[:0])

    def raw_features(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the features of images, of shape (N, d), float32, in the units of the networks."""

        found = []
        with autocast(self.arithmetic, x.device.type):
            for body in self.bodies:
                h = x.contiguous(memory_format=torch.channels_last)
                for block in cast("Iterable[nn.Module]", body):
                    h = block(h)
                    if h.dim() == 2 or h.shape[2] > 1:  # not the maximum, whose two last sides are 1, before it is flat
                        found.append(h.float().mean((2, 3)) if h.dim() == 4 else h.float())

        return torch.cat(found, 1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the features of images, of shape (N, d), float32, of median distance 1 among real ones."""

        return (self.raw_features(x) - self.centre) / self.unit

    @torch.no_grad()
    def start(self, images: torch.Tensor) -> None:
        """Take images as those generated last; further ones replace as many of them."""

        self.recent = torch.cat([self.features(part) for part in images[:RECENT].split(PART)])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the loss of generated images, which become those generated last, in place of as many."""

        features = self.features(images)
        loss = 2 * (mean_kernel(features, self.recent) - mean_kernel(features, self.real))
        self.recent = torch.cat([self.recent, features.detach()])[-len(self.recent) :]

        return loss


def mean_kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    r"""Compute the mean of the sum of rational quadratic kernels ($\alpha$ = 0.1, 1, 10) over all pairs.

    The same as `cgm.generators.mmd_gan.losses.RATIONAL`, but many points y without a gradient need no copies.

    Arguments:
        x: Features of shape $(n, d)$, of the size of 1.
        y: Features of shape $(m, d)$.
    """

    d2 = (x.square().sum(1, keepdim=True) - 2 * x @ y.T + y.square().sum(1)).clamp_min(0)

    return ((1 + d2 / 0.2) ** -0.1 + 1 / (1 + d2 / 2) + (1 + d2 / 20) ** -10).mean()


def body_of(name: str, x: torch.Tensor) -> nn.Sequential:
    """Return the layers of a network that comes with cgm for images x, from images to features."""

    weights = pretrained.get(name, x.shape[1:])
    fitted = Classifier.of(weights) if name == "classifier" else Encoder.load(weights.path)
    body: nn.Sequential = fitted.network().body
    for block in [block for block in body.modules() if isinstance(block, nn.Sequential)]:
        if len(block) == 3 and isinstance(block[0], nn.Conv2d) and isinstance(block[1], nn.BatchNorm2d):
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()  # faster

    return body.requires_grad_(False).to(memory_format=torch.channels_last)
