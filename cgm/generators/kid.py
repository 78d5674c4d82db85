"""The kernel inception distance."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from cgm.valuation.mmd import unbiased


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
        from cgm.utils.models.feature_network import FeatureNetwork

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
