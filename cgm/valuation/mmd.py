r"""Sums of the kernel, computed tile by tile, and the maximum mean discrepancy (Sec. 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import product
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from cgm.engines import Threads, ThreadWorkers, Workers, engine_for
from cgm.utils.checks import check_choice, check_points
from cgm.utils.run import one_thread, progress
from cgm.valuation.kernels import Kernel
from cgm.valuation.tiles import Tiles, sort_by_norm

TILE = 800  # 800 x 800 numbers fit in the cache, and 800 is no power of two, which would cause cache conflicts
PIECE = 3  # the smallest number of rows and columns of tiles that a task computes
MAX_PIECES = 64  # the largest number of pieces into which rows and columns are divided
MAX_COLUMNS = 2**19  # points with which sums are computed at once: there are some copies of them
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
    order = sort_by_norm(x, sizes)
    part = partial_pass(kernel, x[order], sizes, resolve_precision(precision, len(x)), exact)
    sums = torch.empty_like(part.sums)
    sums[order] = part.sums
    return part._replace(sums=sums)


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

    if len(y) > MAX_COLUMNS:
        return torch.stack([cross_sums(kernel, x, part, precision) for part in y.split(MAX_COLUMNS)]).sum(0)
    n, points = len(x), torch.cat([x, y])
    order = sort_by_norm(points, [n, len(y)])
    points = points[order]
    tiles = Tiles(kernel, points[:n], points[n:], tile_size(y), resolve_precision(precision, len(points)))
    pieces = list(product(_pieces(n, tiles.size), _pieces(len(y), tiles.size)))
    sums = torch.zeros(n, dtype=torch.float64, device=x.device)
    for (rows, _), part in zip(pieces, _engine(x.device, n * len(y)).map(_row_sums, tiles, pieces), strict=True):
        sums[order[rows.start : rows.start + len(part)]] += torch.tensor(part, device=x.device)

    return sums


def _row_sums(tiles: Tiles, rows: range, columns: range) -> np.ndarray:
    """Compute the sums of the rows of some tiles, of shape (points in these rows)."""

    sums = [reduce(torch.add, (tiles.tile(i, j).sum(1).double() for j in columns)) for i in rows]
    return torch.cat(sums).cpu().numpy()


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
    kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], precision: str, exact: int, rows: int | None = None
) -> KernelPass:
    """Compute the part of a pass that the first points contribute, with all of the points.

    The upper half of the matrix of tiles is divided into square pieces, whose number depends on the number of points
    alone. They are computed by the current engine, and their sums are added up in order, so that the result does not
    depend on the engine and the number of its workers.

    Arguments:
        kernel: The kernel.
        x: The points, sorted by their norms within each block, of shape (t, d).
        sizes: The number of points in each block.
        precision: `"float32"` or `"float64"`.
        exact: The number of points, from the first, for which all kernel values are in float64 in any case.
        rows: The number of the first points; all, if `None`.

    Returns:
        The sums, of all points in the order of x, and the smallest and largest values in the tiles.
    """

    tiles = Tiles(kernel, x, x, tile_size(x), precision, exact)
    rows = len(x) if rows is None else rows
    pieces = _pieces(len(x), tiles.size)
    firsts = [range(piece.start, min(piece.stop, rows), tiles.size) for piece in pieces if piece.start < rows]
    others = [(each, piece) for each in firsts for piece in pieces if piece[-1] > each.start]
    extremes: list[TileExtremes] = []

    def tasks() -> Iterator[tuple[range, range | None, tuple[float, float]] | None]:
        # tiles on the diagonal first: with the extremes found there, most other tiles need not be searched for extremes
        yield from ((rows, None, _overall_extremes([])) for rows in firsts)
        yield None
        limits = _overall_extremes(extremes)
        yield from ((*piece, limits) for piece in others)

    engine, shared = _engine(x.device, len(x) * rows // 2), (tiles, list(sizes), exact)
    sums = torch.zeros(len(sizes), len(x), dtype=torch.float64, device=x.device)
    with progress(len(firsts) + len(others), "kernel sums") as bar:
        for part in engine.map(compute_piece, shared, tasks()):
            for block, first, values in part.sums:
                sums[block, first : first + len(values)] += torch.tensor(values, device=x.device)
            extremes = _most_extreme([*extremes, *part.extremes])
            bar.update()

    return KernelPass(sums.T, *_exact_extremes(tiles, extremes))


class Piece(NamedTuple):
    """What a task of a pass returns.

    Attributes:
        sums: Blocks, first points, and the sums of the points from there on with the block, for rows and for columns.
        extremes: The tiles with the smallest and the largest values.
    """

    sums: list[tuple[int, int, np.ndarray]]
    extremes: list[TileExtremes]


def compute_piece(
    shared: tuple[Tiles, list[int], int], rows: range, columns: range | None, limits: tuple[float, float]
) -> Piece:
    """Compute the sums of some tiles right of the diagonal, or of those on it.

    Arguments:
        shared: The tiles, the sizes of the blocks, and the number of points with exact values.
        rows: The first points of the rows of tiles.
        columns: Those of the columns; `None` for the diagonal.
        limits: Values that are known to occur: tiles are searched for smaller and larger ones.
    """

    tiles, sizes, exact = shared
    t, size = sum(sizes), tiles.size
    pairs = [(i, i) for i in rows] if columns is None else [(i, j) for i in rows for j in columns if j > i]
    segments = {i: list(_segments(sizes, i, min(i + size, t))) for i in {*rows, *(columns or ())}}
    sums: dict[tuple[int, range], torch.Tensor] = {}
    extremes = []

    def add(block: int, starts: range, first: int, values: torch.Tensor) -> None:
        if (block, starts) not in sums:
            length = min(starts[-1] + size, t) - starts.start
            sums[block, starts] = torch.zeros(length, dtype=torch.float64, device=tiles.device)
        sums[block, starts][first - starts.start :][: len(values)] += values

    for i, j in pairs:
        k = tiles.tile(i, j, exact=i < exact)
        if tiles.may_exceed(i, j, *limits):
            extremes.append(TileExtremes(i, j, *_off_diagonal_extremes(k, i == j)))
        if columns is None:
            k.fill_diagonal_(tiles.kernel.diagonal)
        else:
            for block, a, b in segments[i]:
                add(block, columns, j, k[a:b].sum(0))
        for block, a, b in segments[j]:
            add(block, rows, i, k[:, a:b].sum(1))
    arrays = [(block, starts.start, values.cpu().numpy()) for (block, starts), values in sums.items()]
    return Piece(arrays, _most_extreme(extremes))


def _pieces(n: int, size: int) -> list[range]:
    """Divide n points into pieces of some tiles each, which tasks compute; return the first points of their tiles.

    A piece is as large as to outweigh the start of a task, and grows with the square root of the number of tiles, so
    that both the number of pieces and what they return stay small; there are at most 64.

    Arguments:
        n: The number of points.
        size: The number of rows of a tile.

    Example:
        >>> [list(piece) for piece in _pieces(40, size=10)]
        [[0, 10, 20], [30]]
    """

    rows = -(-n // size)
    width = size * max(PIECE, math.isqrt(rows) // 2, -(-rows // MAX_PIECES))
    return [range(first, min(first + width, n), size) for first in range(0, n, width)]


def _engine(device: torch.device, evaluations: int) -> Workers:
    """Return what computes kernel values; two threads keep a GPU busy, and more would need more of its memory."""

    return engine_for(evaluations) if device.type == "cpu" else ThreadWorkers(Threads(2))


def tile_size(x: torch.Tensor) -> int:
    """Return the number of rows of a tile."""

    return TILE if x.device.type == "cpu" else 16 * TILE  # accelerators need larger tiles to be fully used


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


def _most_extreme(extremes: list[TileExtremes]) -> list[TileExtremes]:
    """Return the tile with the smallest value and the one with the largest; none, if there are no tiles."""

    if not extremes:
        return []
    lowest = torch.stack([e.low.double() for e in extremes]).argmin()
    highest = torch.stack([e.high.double() for e in extremes]).argmax()
    return [extremes[int(lowest)], extremes[int(highest)]]


def _exact_extremes(tiles: Tiles, extremes: list[TileExtremes]) -> tuple[float, float]:
    """Compute the smallest and the largest value of all tiles, those two tiles again in float64 if necessary."""

    def exact(e: TileExtremes) -> tuple[torch.Tensor, torch.Tensor]:
        if e.low.dtype == torch.float64:
            return e.low, e.high
        return _off_diagonal_extremes(tiles.tile(e.i, e.j, exact=True), e.i == e.j)

    lowest, highest = _most_extreme(extremes)
    with one_thread():
        return float(exact(lowest)[0]), min(float(exact(highest)[1]), tiles.kernel.diagonal)


def _segments(sizes: Sequence[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield (block, first, last) for the parts of the blocks within rows start to stop, relative to start."""

    end = 0
    for block, size in enumerate(sizes):
        begin, end = end, end + size
        if begin < stop and end > start:
            yield block, max(begin, start) - start, min(end, stop) - start
