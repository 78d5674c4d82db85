r"""Sums of the kernel, computed tile by tile, and the maximum mean discrepancy (Sec. 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Any, NamedTuple, TypeVar

import torch

from cgm.utils.checks import check_choice, check_points
from cgm.utils.run import in_order, progress, workers
from cgm.valuation.kernels import Kernel
from cgm.valuation.tiles import Tiles, sort_by_norm

TILE = 800  # 800 x 800 numbers fit in the cache, and 800 is no power of two, which would cause cache conflicts
STRIP = 8  # the number of neighbouring tiles that one task of a thread computes
LARGE = 10_000  # the number of points above which precision="auto" is float32
PRECISIONS = ("auto", "float32", "float64")

Number = TypeVar("Number", float, "torch.Tensor")


class KernelPass(NamedTuple):
    r"""Result of one pass over the kernel matrix of $t$ points.

    Attributes:
        sums: The block sums $R$, of shape $(t, b)$, float64.
        gamma: $\gamma$, the smallest off-diagonal kernel value (Corollary 1).
        eta: $\eta$, the largest off-diagonal kernel value. If kernel values are in float32, the tiles with the smallest
            and the largest of them are computed again in float64.
    """

    sums: torch.Tensor
    gamma: float
    eta: float


class TileExtremes(NamedTuple):
    """The smallest and the largest off-diagonal value of the tile of rows i, ... and columns j, ..."""

    i: int
    j: int
    low: torch.Tensor
    high: torch.Tensor


def kernel_pass(
    kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], precision: str = "float64", exact: int = 0
) -> KernelPass:
    r"""Compute the sum of the kernel of every point with every block of points, in one pass.

    .. math:: R_{x b} = \sum_{x' \in \text{block } b} k(x, x')

    The kernel matrix is symmetric, so that only one of two mirrored tiles is computed: $t^2 / 2$ kernel evaluations,
    and memory for $R$ and a few tiles. The sums do not depend on the number of threads.

    Arguments:
        kernel: The kernel $k$.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block; they add up to $t$.
        precision: The arithmetic of the kernel values, whose sums are always in float64. `"float64"`; `"float32"`,
            about five times as fast, with rounding errors of about 1e-7 in each value, which average out in sums
            (points too far from the mean for float32, or with many near-copies, are computed in float64, see `Tiles`);
            or `"auto"`, float32 for more than 10,000 points.
        exact: The number of points, from the first, for which all kernel values are in float64 in any case.

    Raises:
        ValueError: If a size is not positive, if the sizes do not add up to $t$, or if the precision is unknown.
    """

    x = check_pass(x, sizes)
    with workers(2 if x.device.type != "cpu" else None) as threads:
        precision, order = resolve_precision(precision, len(x)), sort_by_norm(x, sizes)
        x = x[order]
        tiles = Tiles(kernel, x, x, tile_size(x), precision, exact)
        part = partial_pass(tiles, sizes, exact, range(0, len(x), tiles.size), threads)
        result = torch.empty(len(x), len(sizes), dtype=torch.float64, device=x.device)
        result[order] = part.sums
        return part._replace(sums=result)


def check_pass(x: Any, sizes: Sequence[int]) -> torch.Tensor:
    r"""Check the points of a pass and the sizes of their blocks, and return the points as a tensor.

    Raises:
        ValueError: If a size is not positive, or if the sizes do not add up to $t$.
    """

    x = check_points(x, "block_sums: x")
    if min(sizes, default=0) < 1 or sum(sizes) != len(x):
        raise ValueError(f"block_sums: sizes={list(sizes)}: expected positive sizes that add up to {len(x)} points")
    return x


def block_sums(kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], precision: str = "float64") -> torch.Tensor:
    r"""Compute the sum of the kernel of every point with every block of points.

    Arguments:
        kernel: The kernel $k$.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block; they add up to $t$.
        precision: The arithmetic of the kernel values, see `kernel_pass`.

    Returns:
        $R_{x b} = \sum_{x' \in \text{block } b} k(x, x')$, of shape $(t, b)$, float64.

    Raises:
        ValueError: If a size is not positive, if the sizes do not add up to $t$, or if the precision is unknown.

    Example:
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> x = torch.tensor([[0.0], [0.0], [100.0]])
        >>> block_sums(SquaredExponential(1.0), x, sizes=[2, 1])
        tensor([[2., 0.],
                [2., 0.],
                [0., 1.]], dtype=torch.float64)
    """

    return kernel_pass(kernel, x, sizes, precision).sums


def cross_sums(kernel: Kernel, x: torch.Tensor, y: torch.Tensor, precision: str = "float64") -> torch.Tensor:
    r"""Compute the sum of the kernel of each point of x with all points of y.

    Arguments:
        kernel: The kernel $k$.
        x: Points, of shape $(N, d)$.
        y: Points, of shape $(M, d)$.
        precision: The arithmetic of the kernel values, see `kernel_pass`; `"auto"` depends on $N + M$.

    Returns:
        $\sum_{x' \in y} k(x, x')$ for each $x$, of shape $(N)$, float64.
    """

    with workers(2 if x.device.type != "cpu" else None) as threads:
        n, m, size = len(x), len(y), tile_size(y)
        points = torch.cat([x, y])
        order = sort_by_norm(points, [n, m])
        points = points[order]
        tiles = Tiles(kernel, points[:n], points[n:], size, resolve_precision(precision, n + m))

        def strip(i: int, js: range) -> torch.Tensor:
            return reduce(torch.add, (tiles.tile(i, j).sum(1).double() for j in js))

        pairs = [(i, js) for i in range(0, n, size) for js in _strips(range(0, m, size))]
        sums = torch.zeros(n, dtype=torch.float64, device=x.device)
        for (i, _), part in zip(pairs, in_order(threads, strip, pairs), strict=True):
            sums[order[i : min(i + size, n)]] += part

    return sums


def mmd2_biased(kernel: Kernel, s: torch.Tensor, t: torch.Tensor) -> float:
    r"""Estimate the squared maximum mean discrepancy of two point sets, diagonal terms included.

    .. math:: \text{MMD}_b^2 = \frac{1}{s^2} \sum_{S \times S} k - \frac{2}{s t} \sum_{S \times T} k
        + \frac{1}{t^2} \sum_{T \times T} k

    Arguments:
        kernel: The kernel $k$.
        s: The set $S$, of shape $(s, d)$.
        t: The set $T$, of shape $(t, d)$.

    References:
        Equation (1); A Kernel Two-Sample Test (Gretton et al., 2012).
    """

    ss, st, tt = _sums(kernel, s, t, min_points=1)
    return biased(ss, st, tt, len(s), len(t))


def mmd2_unbiased(kernel: Kernel, s: torch.Tensor, t: torch.Tensor) -> float:
    r"""Estimate the squared maximum mean discrepancy of two point sets, without the diagonals of $S \times S$ and
    $T \times T$.

    .. math:: \text{MMD}_u^2 = \frac{1}{s (s - 1)} \sum_{S \times S, x \neq x'} k
        - \frac{2}{s t} \sum_{S \times T} k + \frac{1}{t (t - 1)} \sum_{T \times T, x \neq x'} k

    Arguments:
        kernel: The kernel $k$.
        s: The set $S$, of shape $(s, d)$, at least two points.
        t: The set $T$, of shape $(t, d)$, at least two points.

    References:
        Equation (1); A Kernel Two-Sample Test (Gretton et al., 2012).
    """

    ss, st, tt = _sums(kernel, s, t, min_points=2)
    return unbiased(ss, st, tt, len(s), len(t), kernel.diagonal)


def biased(ss: float, st: float, tt: float, s: int, t: int) -> float:
    r"""Compute $\text{MMD}_b^2$ (equation 1) from the kernel's sums over $S \times S$, $S \times T$, $T \times T$."""

    return ss / s**2 - 2 * st / (s * t) + tt / t**2


def unbiased(ss: Number, st: Number, tt: Number, s: int, t: int, diagonal: float) -> Number:
    r"""Compute $\text{MMD}_u^2$ (equation 1) from the kernel's sums over $S \times S$, $S \times T$, $T \times T$."""

    return (ss / s - diagonal) / (s - 1) - 2 * st / (s * t) + (tt / t - diagonal) / (t - 1)


def _sums(kernel: Kernel, s: torch.Tensor, t: torch.Tensor, min_points: int) -> tuple[float, float, float]:
    """Compute the sums of the kernel over S x S, S x T and T x T."""

    s = check_points(s, "mmd2: s", min=min_points)
    t = check_points(t, "mmd2: t", width=s.shape[1], min=min_points)
    ss, tt = (float(block_sums(kernel, x, [len(x)]).sum()) for x in (s, t))
    return ss, float(cross_sums(kernel, s, t).sum()), tt


def check_precision(precision: str) -> None:
    """Check that a precision is known.

    Raises:
        ValueError: If it is not one of `PRECISIONS`.
    """

    check_choice("precision", precision, PRECISIONS)


def resolve_precision(precision: str, t: int) -> str:
    """Return the arithmetic of a precision for t points, `"float32"` or `"float64"`."""

    check_precision(precision)
    return ("float32" if t > LARGE else "float64") if precision == "auto" else precision


def partial_pass(
    tiles: Tiles, sizes: Sequence[int], exact: int, starts: range, threads: ThreadPoolExecutor
) -> KernelPass:
    """Compute the part of a pass that some rows of tiles, on the diagonal and to the right of it, contribute.

    Arguments:
        tiles: The tiles of the points and themselves; the points are sorted by their norms within each block.
        sizes: The number of points in each block.
        exact: The number of points, from the first, for which all kernel values are in float64 in any case.
        starts: The first points of these rows of tiles.
        threads: The threads.

    Returns:
        The sums, of all points in the order of the tiles, and the smallest and largest values in these tiles.
    """

    t, size, kernel = sum(sizes), tiles.size, tiles.kernel
    segments = {i: list(_segments(sizes, i, min(i + size, t))) for i in range(0, t, size)}

    def strip(
        i: int, js: range, limits: tuple[float, float]
    ) -> tuple[dict[int, torch.Tensor], list[torch.Tensor], list[TileExtremes]]:
        rows: dict[int, torch.Tensor] = {}
        columns, extremes = [], []
        for j in js:
            k = tiles.tile(i, j, exact=i < exact)
            if tiles.may_exceed(i, j, *limits):
                extremes.append(TileExtremes(i, j, *_off_diagonal_extremes(k, i == j)))
            if i == j:
                k.fill_diagonal_(kernel.diagonal)
            else:
                columns.append(torch.stack([k[a:b].sum(0) for _, a, b in segments[i]]).double())
            for block, a, b in segments[j]:
                row = k[:, a:b].sum(1).double()
                rows[block] = rows[block] + row if block in rows else row
        return rows, columns, extremes

    # tiles on the diagonal first: with the extremes found there, most other tiles need not be searched for extremes
    diagonal = [(i, range(i, i + 1)) for i in starts]
    others = [(i, js) for i in starts for js in _strips(range(i + size, t, size))]
    sums = torch.zeros(len(sizes), t, dtype=torch.float64, device=tiles.device)
    extremes: list[TileExtremes] = []
    with progress(len(diagonal) + len(others), "kernel sums") as bar:
        for pairs in (diagonal, others):
            limits = _overall_extremes(extremes)
            # computed in parallel and added up in order, so that the sums do not depend on the number of threads
            results = in_order(threads, strip, ((i, js, limits) for i, js in pairs))
            for (i, js), (rows, columns, more) in zip(pairs, results, strict=True):
                for block, row in rows.items():
                    sums[block, i : i + size] += row
                if columns:
                    for (block, _, _), column in zip(segments[i], torch.cat(columns, 1), strict=True):
                        sums[block, js.start : js.start + len(column)] += column
                extremes = _outermost([*extremes, *more])
                bar.update()

    return KernelPass(sums.T, *_exact_extremes(tiles, extremes))


def tile_size(x: torch.Tensor) -> int:
    """Return the number of rows of a tile."""

    return TILE if x.device.type == "cpu" else 16 * TILE  # accelerators need larger tiles to be fully used


def _strips(js: range) -> Iterator[range]:
    """Split a row of tiles into tasks."""

    for first in range(0, len(js), STRIP):
        yield js[first : first + STRIP]


def _off_diagonal_extremes(k: torch.Tensor, diagonal: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the smallest and the largest value of a tile, without its diagonal if it is on the matrix's diagonal."""

    if diagonal:
        return k.fill_diagonal_(math.inf).amin(), k.fill_diagonal_(-math.inf).amax()
    low, high = torch.aminmax(k)
    return low, high


def _overall_extremes(extremes: list[TileExtremes]) -> tuple[float, float]:
    """Compute the smallest and the largest value of some tiles."""

    if not extremes:
        return math.inf, -math.inf
    return float(torch.stack([e.low for e in extremes]).amin()), float(torch.stack([e.high for e in extremes]).amax())


def _outermost(extremes: list[TileExtremes]) -> list[TileExtremes]:
    """Return the tile with the smallest value and that with the largest one.

    Two small tensors that are kept for every tile would lie between the buffers of tiles, whose memory could not be
    used again: gigabytes, for kernels whose values take new buffers.
    """

    if not extremes:
        return []
    return [min(extremes, key=lambda e: float(e.low)), max(extremes, key=lambda e: float(e.high))]


def _exact_extremes(tiles: Tiles, extremes: list[TileExtremes]) -> tuple[float, float]:
    """Compute the smallest and the largest value of all tiles, those two tiles again in float64 if necessary."""

    def exact(e: TileExtremes) -> tuple[torch.Tensor, torch.Tensor]:
        if e.low.dtype == torch.float64:
            return e.low, e.high
        return _off_diagonal_extremes(tiles.tile(e.i, e.j, exact=True), e.i == e.j)

    lowest = extremes[int(torch.stack([e.low.double() for e in extremes]).argmin())]
    highest = extremes[int(torch.stack([e.high.double() for e in extremes]).argmax())]
    return float(exact(lowest)[0]), min(float(exact(highest)[1]), tiles.kernel.diagonal)


def _segments(sizes: Sequence[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield (block, first, last) for the parts of the blocks within rows start to stop, relative to start."""

    end = 0
    for block, size in enumerate(sizes):
        begin, end = end, end + size
        if begin < stop and end > start:
            yield block, max(begin, start) - start, min(end, stop) - start
