r"""Computes sums of the kernel, tile by tile, and the maximum mean discrepancy from them (Sec. 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .checks import check_points
from .progress import progress
from .threads import workers

if TYPE_CHECKING:
    from .kernels import Kernel

TILE = 512  # a tile of 512 x 512 doubles stays in the cache; nothing larger is ever made


class KernelPass(NamedTuple):
    r"""Holds what one pass over the kernel matrix of $t$ points tells.

    Attributes:
        sums: The block sums $R$, of shape $(t, b)$, float64.
        least: $\gamma$, the least off-diagonal kernel value (Corollary 1).
        greatest: $\eta$, the greatest off-diagonal kernel value.
    """

    sums: Tensor
    least: float
    greatest: float


def kernel_pass(kernel: Kernel, x: Tensor, sizes: Sequence[int]) -> KernelPass:
    r"""Sums the kernel of every point with every block of points, in one pass.

    .. math:: R_{x b} = \sum_{x' \in \text{block } b} k(x, x')

    Each pair of tiles is computed once and serves both its sides: $t^2 / 2$ kernel evaluations, and memory
    for $R$ and one tile.

    Arguments:
        kernel: The kernel $k$.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block; they add up to $t$.

    Raises:
        ValueError: If the sizes do not add up to $t$, or one is not positive.
    """

    check_points(x, "block_sums: x")
    if min(sizes, default=0) < 1 or sum(sizes) != len(x):
        raise ValueError(f"block_sums: sizes={list(sizes)} must be positive and add up to {len(x)} points")

    starts = range(0, len(x), TILE)
    segments = {start: list(_segments(sizes, start, min(start + TILE, len(x)))) for start in starts}
    sums = torch.zeros(len(x), len(sizes), dtype=torch.float64, device=x.device)
    least, greatest = math.inf, -math.inf

    def tile(i: int, j: int) -> tuple[list[Tensor], list[Tensor], float, float]:
        k = kernel(x[i : i + TILE], x[j : j + TILE])  # (TILE, TILE)
        if i == j:
            low, high = k.fill_diagonal_(math.inf).amin(), k.fill_diagonal_(-math.inf).amax()
            k.fill_diagonal_(kernel.diagonal)
        else:
            low, high = torch.aminmax(k)
        rows = [k[:, a:b].sum(1, dtype=torch.float64) for _, a, b in segments[j]]
        columns = [k[a:b].sum(0, dtype=torch.float64) for _, a, b in segments[i] if i != j]
        return rows, columns, float(low), float(high)

    with workers() as pool, progress(len(starts) * (len(starts) + 1) // 2, "kernel sums") as bar:
        for i in starts:
            right = starts[i // TILE :]
            # computed side by side, added up in order: the same sums whatever the number of threads
            for j, (rows, columns, low, high) in zip(right, pool.map(tile, repeat(i), right), strict=False):
                for (block, _, _), row in zip(segments[j], rows, strict=True):
                    sums[i : i + TILE, block] += row
                for (block, _, _), column in zip(segments[i], columns, strict=False):
                    sums[j : j + TILE, block] += column
                least, greatest = min(least, low), max(greatest, high)
                bar.update()

    return KernelPass(sums, least, greatest)


def block_sums(kernel: Kernel, x: Tensor, sizes: Sequence[int]) -> Tensor:
    r"""Sums the kernel of every point with every block of points.

    Arguments:
        kernel: The kernel $k$.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block; they add up to $t$.

    Returns:
        $R_{x b} = \sum_{x' \in \text{block } b} k(x, x')$, of shape $(t, b)$, float64.

    Example:
        >>> from cgm.kernels import SquaredExponential
        >>> x = torch.tensor([[0.0], [0.0], [100.0]])
        >>> block_sums(SquaredExponential(1.0), x, sizes=[2, 1])
        tensor([[2., 0.],
                [2., 0.],
                [0., 1.]], dtype=torch.float64)
    """

    return kernel_pass(kernel, x, sizes).sums


def cross_sums(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    r"""Sums the kernel of each point of x with all points of y.

    Arguments:
        kernel: The kernel $k$.
        x: Points, of shape $(N, d)$.
        y: Points, of shape $(M, d)$.

    Returns:
        $\sum_{x' \in y} k(x, x')$ for each $x$, of shape $(N)$, float64.
    """

    sums = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    tiles = [(i, j) for i in range(0, len(x), TILE) for j in range(0, len(y), TILE)]

    def tile(i: int, j: int) -> Tensor:
        return kernel(x[i : i + TILE], y[j : j + TILE]).sum(1, dtype=torch.float64)

    with workers() as pool:
        for (i, _), part in zip(tiles, pool.map(tile, *zip(*tiles, strict=True)), strict=True):
            sums[i : i + TILE] += part

    return sums


def mmd2_biased(kernel: Kernel, s: Tensor, t: Tensor) -> float:
    r"""Estimates the squared maximum mean discrepancy of two point sets, diagonal terms included.

    .. math:: \text{MMD}_b^2 = \frac{1}{s^2} \sum_{S \times S} k - \frac{2}{s t} \sum_{S \times T} k
        + \frac{1}{t^2} \sum_{T \times T} k

    Arguments:
        kernel: The kernel $k$.
        s: The set $S$, of shape $(s, d)$.
        t: The set $T$, of shape $(t, d)$.

    References:
        Equation (1); A Kernel Two-Sample Test (Gretton et al., 2012).
    """

    ss, st, tt = _sums(kernel, s, t, least=1)
    return biased(ss, st, tt, len(s), len(t))


def mmd2_unbiased(kernel: Kernel, s: Tensor, t: Tensor) -> float:
    r"""Estimates the squared maximum mean discrepancy of two point sets, without the diagonals of $S \times S$
    and $T \times T$.

    .. math:: \text{MMD}_u^2 = \frac{1}{s (s - 1)} \sum_{S \times S, x \neq x'} k
        - \frac{2}{s t} \sum_{S \times T} k + \frac{1}{t (t - 1)} \sum_{T \times T, x \neq x'} k

    Arguments:
        kernel: The kernel $k$.
        s: The set $S$, of shape $(s, d)$, at least two points.
        t: The set $T$, of shape $(t, d)$, at least two points.

    References:
        Equation (1); A Kernel Two-Sample Test (Gretton et al., 2012).
    """

    ss, st, tt = _sums(kernel, s, t, least=2)
    return unbiased(ss, st, tt, len(s), len(t), kernel.diagonal)


def biased(ss: float, st: float, tt: float, s: int, t: int) -> float:
    r"""Computes $\text{MMD}_b^2$ (equation 1) from the kernel's sums over $S \times S$, $S \times T$, $T \times T$."""

    return ss / s**2 - 2 * st / (s * t) + tt / t**2


def unbiased(ss: float, st: float, tt: float, s: int, t: int, diagonal: float) -> float:
    r"""Computes $\text{MMD}_u^2$ (equation 1) from the kernel's sums over $S \times S$, $S \times T$, $T \times T$."""

    return (ss / s - diagonal) / (s - 1) - 2 * st / (s * t) + (tt / t - diagonal) / (t - 1)


def _sums(kernel: Kernel, s: Tensor, t: Tensor, least: int) -> tuple[float, float, float]:
    check_points(s, "mmd2: s", least=least)
    check_points(t, "mmd2: t", width=s.shape[1], least=least)
    ss, tt = (float(block_sums(kernel, x, [len(x)]).sum()) for x in (s, t))
    return ss, float(cross_sums(kernel, s, t).sum()), tt


def _segments(sizes: Sequence[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yields (block, first, last) for the parts of blocks in rows start to stop, counted from start."""

    end = 0
    for block, size in enumerate(sizes):
        begin, end = end, end + size
        if begin < stop and end > start:
            yield block, max(begin, start) - start, min(end, stop) - start
