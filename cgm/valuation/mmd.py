r"""Computes sums of the kernel, tile by tile, and the maximum mean discrepancy from them (Sec. 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from cgm.utils.checks import check_points
from cgm.utils.progress import progress
from cgm.utils.threads import in_order, workers
from cgm.valuation.tiles import Tiles, outward

if TYPE_CHECKING:
    from cgm.valuation.kernels.base import Kernel

TILE = 800  # a tile of 800 x 800 numbers stays in the cache, and no power of two collides in it; more on accelerators
STRIP = 8  # tiles side by side that are one piece of work
LARGE = 10_000  # the number of points above which precision="auto" means float32
PRECISIONS = ("auto", "float32", "float64")


class KernelPass(NamedTuple):
    r"""Holds what one pass over the kernel matrix of $t$ points tells.

    Attributes:
        sums: The block sums $R$, of shape $(t, b)$, float64.
        gamma: $\gamma$, the smallest off-diagonal kernel value (Corollary 1).
        eta: $\eta$, the largest off-diagonal kernel value. If kernel values are in float32, the smallest and the
            largest of them are computed again in float64.
    """

    sums: Tensor
    gamma: float
    eta: float


class Ends(NamedTuple):
    """Holds the least and the greatest value off the diagonal of the tile of rows i, ... and columns j, ..."""

    i: int
    j: int
    low: Tensor
    high: Tensor


def kernel_pass(
    kernel: Kernel, x: Tensor, sizes: Sequence[int], precision: str = "float64", exact: int = 0
) -> KernelPass:
    r"""Sums the kernel of every point with every block of points, in one pass.

    .. math:: R_{x b} = \sum_{x' \in \text{block } b} k(x, x')

    Each pair of tiles is computed once and serves both its sides: $t^2 / 2$ kernel evaluations, and memory
    for $R$ and some tiles. The sums are the same whatever the number of threads.

    Arguments:
        kernel: The kernel $k$.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block; they add up to $t$.
        precision: The arithmetic of the kernel's values, which are always added up in float64: `"float64"`; or
            `"float32"`, some five times as fast: rounding errors of some 1e-7 for each value, which average out in
            sums (points that are too far out for float32 are left to float64, see `Tiles`); or `"auto"`: float32 from
            10,000 points on.
        exact: The number of points, the first ones, whose sums with all points are in float64 nevertheless.

    Raises:
        ValueError: If the sizes do not add up to $t$, or one is not positive, or if there is no such precision.
    """

    check_points(x, "block_sums: x")
    if min(sizes, default=0) < 1 or sum(sizes) != len(x):
        raise ValueError(f"block_sums: sizes={list(sizes)} must be positive and add up to {len(x)} points")

    with workers() as pool:
        return _kernel_pass(kernel, x, sizes, _resolve_precision(precision, len(x)), exact, pool)


def block_sums(kernel: Kernel, x: Tensor, sizes: Sequence[int], precision: str = "float64") -> Tensor:
    r"""Sums the kernel of every point with every block of points.

    Arguments:
        kernel: The kernel $k$.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block; they add up to $t$.
        precision: The arithmetic of the kernel's values, see `kernel_pass`.

    Returns:
        $R_{x b} = \sum_{x' \in \text{block } b} k(x, x')$, of shape $(t, b)$, float64.

    Example:
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> x = torch.tensor([[0.0], [0.0], [100.0]])
        >>> block_sums(SquaredExponential(1.0), x, sizes=[2, 1])
        tensor([[2., 0.],
                [2., 0.],
                [0., 1.]], dtype=torch.float64)
    """

    return kernel_pass(kernel, x, sizes, precision).sums


def cross_sums(kernel: Kernel, x: Tensor, y: Tensor, precision: str = "float64") -> Tensor:
    r"""Sums the kernel of each point of x with all points of y.

    Arguments:
        kernel: The kernel $k$.
        x: Points, of shape $(N, d)$.
        y: Points, of shape $(M, d)$.
        precision: The arithmetic of the kernel's values, see `kernel_pass`; `"auto"` goes by $N + M$.

    Returns:
        $\sum_{x' \in y} k(x, x')$ for each $x$, of shape $(N)$, float64.
    """

    with workers() as pool:
        n, m, size = len(x), len(y), _tile_size(y)
        points = torch.cat([x, y])
        order = outward(points, [n, m])
        points = points[order]
        tiles = Tiles(kernel, points[:n], points[n:], size, _resolve_precision(precision, n + m))

        def strip(i: int, js: range) -> Tensor:
            return sum(tiles.tile(i, j).sum(1).double() for j in js)

        pairs = [(i, js) for i in range(0, n, size) for js in _strips(range(0, m, size))]
        sums = torch.zeros(n, dtype=torch.float64, device=x.device)
        for (i, _), part in zip(pairs, in_order(pool, strip, pairs), strict=True):
            sums[order[i : min(i + size, n)]] += part

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
    check_points(s, "mmd2: s", min=least)
    check_points(t, "mmd2: t", width=s.shape[1], min=least)
    ss, tt = (float(block_sums(kernel, x, [len(x)]).sum()) for x in (s, t))
    return ss, float(cross_sums(kernel, s, t).sum()), tt


def check_precision(precision: str) -> None:
    """Checks that there is such a precision.

    Raises:
        ValueError: If there is none.
    """

    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: expected one of {', '.join(PRECISIONS)}")


def _resolve_precision(precision: str, t: int) -> str:
    """Tells the arithmetic that a setting means for so many points, `"float32"` or `"float64"`."""

    check_precision(precision)
    return ("float32" if t > LARGE else "float64") if precision == "auto" else precision


def _kernel_pass(
    kernel: Kernel, x: Tensor, sizes: Sequence[int], precision: str, exact: int, pool: ThreadPoolExecutor
) -> KernelPass:
    t, size = len(x), _tile_size(x)
    order = outward(x, sizes)
    x = x[order]
    tiles = Tiles(kernel, x, x, size, precision)
    segments = {i: list(_segments(sizes, i, min(i + size, t))) for i in range(0, t, size)}

    def strip(i: int, js: range, known: tuple[float, float]) -> tuple[dict[int, Tensor], list[Tensor], list[Ends]]:
        rows: dict[int, Tensor] = {}
        columns, ends = [], []
        for j in js:
            k = tiles.tile(i, j, exact=i < exact)
            if tiles.may_pass(i, j, *known):
                ends.append(Ends(i, j, *_ends(k, i == j)))
            if i == j:
                k.fill_diagonal_(kernel.diagonal)
            else:
                columns.append(torch.stack([k[a:b].sum(0) for _, a, b in segments[i]]).double())
            for block, a, b in segments[j]:
                row = k[:, a:b].sum(1).double()
                rows[block] = rows[block] + row if block in rows else row
        return rows, columns, ends

    # tiles on the diagonal first: they show what least and greatest values there are, and most others need no search
    starts = range(0, t, size)
    diagonal = [(i, range(i, i + 1)) for i in starts]
    others = [(i, js) for i in starts for js in _strips(range(i + size, t, size))]
    sums = torch.zeros(len(sizes), t, dtype=torch.float64, device=x.device)
    ends: list[Ends] = []
    with progress(len(diagonal) + len(others), "kernel sums") as bar:
        for pairs in (diagonal, others):
            known = _extremes(ends)
            # computed side by side, added up in order: the same sums whatever the number of threads
            results = in_order(pool, strip, ((i, js, known) for i, js in pairs))
            for (i, js), (rows, columns, more) in zip(pairs, results, strict=True):
                for block, row in rows.items():
                    sums[block, i : i + size] += row
                if columns:
                    for (block, _, _), column in zip(segments[i], torch.cat(columns, 1), strict=True):
                        sums[block, js.start : js.start + len(column)] += column
                ends += more
                bar.update()

    result = torch.empty(t, len(sizes), dtype=torch.float64, device=x.device)
    result[order] = sums.T
    return KernelPass(result, *_exact_extremes(tiles, ends))


def _tile_size(x: Tensor) -> int:
    return TILE if x.device.type == "cpu" else 16 * TILE  # an accelerator has more to fill, and more memory


def _strips(js: range) -> Iterator[range]:
    """Cuts a row of tiles into pieces of work."""

    for first in range(0, len(js), STRIP):
        yield js[first : first + STRIP]


def _ends(k: Tensor, diagonal: bool) -> tuple[Tensor, Tensor]:
    """Finds the least and the greatest value of a tile, without those on its diagonal if that is the matrix's."""

    if diagonal:
        return k.fill_diagonal_(math.inf).amin(), k.fill_diagonal_(-math.inf).amax()
    return tuple(torch.aminmax(k))


def _extremes(ends: list[Ends]) -> tuple[float, float]:
    """Finds the least and the greatest value of some tiles."""

    if not ends:
        return math.inf, -math.inf
    return float(torch.stack([e.low for e in ends]).amin()), float(torch.stack([e.high for e in ends]).amax())


def _exact_extremes(tiles: Tiles, ends: list[Ends]) -> tuple[float, float]:
    """Finds the least and the greatest value of all tiles; where that is one in float32, computes it again."""

    lows, highs = (torch.stack([e[side].double() for e in ends]) for side in (2, 3))
    found = []
    for side, place in ((0, int(lows.argmin())), (1, int(highs.argmax()))):
        i, j, *end = ends[place]
        if end[side].dtype == torch.float32:
            end = _ends(tiles.tile(i, j, exact=True), i == j)
        found.append(float(end[side]))
    return found[0], min(found[1], tiles.kernel.diagonal)


def _segments(sizes: Sequence[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yields (block, first, last) for the parts of blocks in rows start to stop, counted from start."""

    end = 0
    for block, size in enumerate(sizes):
        begin, end = end, end + size
        if begin < stop and end > start:
            yield block, max(begin, start) - start, min(end, stop) - start
