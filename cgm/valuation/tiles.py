"""Points whose rounding errors in float32 do not average out in sums of the kernel."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import torch

from cgm.utils.run import one_thread
from cgm.valuation.kernels import Kernel

RESOLUTION = -18  # float32 numbers near 1 are 2 ** -24 apart; points 2 ** -18 apart have unrelated errors
CLAMPED = -10  # squared distances below 2 ** -20, the square of this, may be rounded to less than 0
MIN_COPIES = 8  # the smallest group that counts; points that are close by chance form smaller ones
ERROR = 2.0**-23  # the rounding error of z, in units of ‖x'‖² + 1
MAX_SHARED = 2e-8  # the largest standard deviation of a mean of the kernel that groups in float32 may cause
MAX_BIAS = 3e-8  # the largest bias of a mean of the kernel that groups in float32 may cause


def near_copies(x: torch.Tensor, norms: torch.Tensor, clamped: bool) -> torch.Tensor:
    r"""Return which points must be computed in float64 because they have too many near-copies.

    The mean of $N^2$ kernel values in float32 is far more accurate than each of them if the rounding errors $e_x$ of
    different points are unrelated. Those of points that differ by a few units in the last place are not. A group of
    $m$ such points acts as one point of weight $m / N$: all groups together add an error with a standard deviation of
    up to $2 \sqrt{\sum_x m_x e_x^2} / N$, where $m_x$ is the size of the group of $x$. If negative squared distances
    are raised to 0, even unrelated errors have a mean above 0 among points so close that the distance is lost in
    rounding, which adds up to $\sum_x m_x e_x / N^2$.

    Points are marked in the order of their part in these sums, the largest first, until the rest of a sum is below
    `MAX_SHARED` or `MAX_BIAS`. Groups are cells of a grid whose width is proportional to the norm, as the distance of
    neighbouring float32 numbers is.

    Arguments:
        x: The points $x'$ as they enter the product of a tile, of shape $(N, d)$, float64.
        norms: Their squared norms, in units of the smallest scale over which the kernel changes, of shape $(N)$.
        clamped: Whether negative squared distances are raised to 0.

    Returns:
        Of shape $(N)$, bool.
    """

    e = ERROR * (norms + 1)
    shared = _group_sizes(x, RESOLUTION) * (2 * e / len(x)).square()
    marked = _largest(shared, MAX_SHARED**2)
    if clamped:
        marked |= _largest(_group_sizes(x, CLAMPED) * e / len(x) ** 2, MAX_BIAS)
    return marked


def _group_sizes(x: torch.Tensor, exponent: int) -> torch.Tensor:
    """Return the number of points in the cell of each point, 0 if it is below `MIN_COPIES`.

    Arguments:
        x: The points, of shape (N, d).
        exponent: The width of a cell is 2 ** exponent times the norm, rounded up to a power of two, at least 1.
    """

    binade = torch.frexp(x.norm(dim=1).clamp(max=1e30)).exponent.clamp(min=0).double()
    cells = torch.floor(x / torch.exp2(binade + exponent)[:, None] + 1 / 3)  # no cell has a corner at the mean
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(2**62, (x.shape[1] + 1,), generator=generator).to(x.device) * 2 + 1
    keys = binade.long() * factors[-1]  # a hash, modulo 2 ** 64
    for column, factor in zip(cells.long().T, factors, strict=False):
        keys = keys + column * factor
    _, group, counts = torch.unique(keys, return_inverse=True, return_counts=True)
    sizes = counts[group].double()
    return sizes.where(sizes >= MIN_COPIES, 0)


def _largest(parts: torch.Tensor, limit: float) -> torch.Tensor:
    """Return which numbers to leave out, the largest first, so that the sum of the rest is at most `limit`."""

    order = parts.argsort()
    marked = torch.empty_like(order, dtype=torch.bool)
    marked[order] = parts[order].cumsum(0) > limit
    return marked


# A tile is computed in float32 if one of its sides has squared norms up to SINGLE; by a matrix product in float64 if
# one of its sides has squared norms up to DOUBLE; by differences of coordinates otherwise.
SINGLE = 512.0
DOUBLE = 1e6
MAX_NORM = 1e30  # the largest squared norm in any product; numbers above 3e38 are infinite in float32
UNDERFLOW = -126.0  # 2 ** -126 is the smallest normal number of float32; smaller ones make arithmetic 10 times slower


class Tiles:
    r"""Tiles of the matrix $k(x, y)$ of two point sets.

    With $c = (y_1 + \dots + y_m) / m$ and $x' = s (x - c) / \ell$, a tile of $z = s^2 \|x - y\|^2 / \ell^2$ is one
    matrix product,

    .. math:: \pm z = [\mp 2 x', \pm \|x'\|^2, 1] \cdot [y', 1, \pm \|y'\|^2]

    For a kernel $f(q) = \exp(-r q)$, the factor $s^2 = r / \ln 2$ gives $f = 2^{-z}$: a power of two takes half the
    time of the exponential function. For all other kernels $s = 1$ and $f = f(z)$. All operations are in place, in one
    buffer for each thread.

    The error of $z$ is a rounding error of the squared norms, about $10^{-7} (\|x'\|^2 + \|y'\|^2)$ in float32 and
    $10^{-16} (\|x'\|^2 + \|y'\|^2)$ in float64. It matters only where $z$ is small. There both norms are similar, so
    the largest norm is computed for each of the two sides of a tile, and the *smaller* of these two decides: float32 up
    to `SINGLE`, and float64 up to `DOUBLE`. Beyond, and for kernels that are not smooth, differences $x' - y'$ replace
    the product. Point sets sorted by their norms (`sort_by_norm`) have their outliers in few tiles.

    Errors in float32 average out in sums, except for points with many near-copies, which have the same error. Tiles
    with such points are in float64, see `near_copies`.

    Arguments:
        kernel: The kernel $k$.
        x: Points, of shape $(n, d)$.
        y: Points, of shape $(m, d)$.
        size: The maximum number of rows and of columns of a tile.
        precision: `"float32"`, for the tiles in which it is accurate enough, or `"float64"`.
        exact: The number of points, from the first in x and in y, whose tiles are not used in float32: they do not
            count as near-copies.

    Raises:
        ValueError: If the length-scale of the kernel is a rule.
    """

    @one_thread()
    def __init__(
        self,
        kernel: Kernel,
        x: torch.Tensor,
        y: torch.Tensor,
        size: int,
        precision: str = "float64",
        exact: int = 0,
    ) -> None:
        self.kernel, self.size, self.device = kernel, size, x.device
        same = x is y
        self.sign = 1.0 if kernel.rate is None else -1.0
        unit = 1.0 if kernel.rate is None else math.sqrt(kernel.rate / math.log(2))
        scale = kernel.numeric_lengthscale
        centre = y.double().mean(0)
        x, y = ((p.double() - centre) * (unit / scale) for p in (x, y))
        self.radii = [  # the smallest and the largest norm in the rows of each tile, and in its columns
            [torch.stack(torch.aminmax(part)).tolist() for part in p.norm(dim=1).split(size)] for p in (x, y)
        ]
        # the largest squared norms, in units of the smallest scale over which f changes
        self.norms = [[_square(largest / kernel.min_scale) for _, largest in radii] for radii in self.radii]

        self.factors = {torch.float64: self._factors(x, y)}
        # any other setting may enable TF32 or bf16 matmul, which is not accurate enough
        if precision == "float32" and torch.get_float32_matmul_precision() == "highest":
            self.factors[torch.float32] = self._factors(x.float(), y.float())
            copies = self._near_copies(x, exact)
            self.copies = (copies, copies if same else self._near_copies(y, exact))
        self._local = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the buffers of threads."""

        return {name: value for name, value in vars(self).items() if name != "_local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._local = threading.local()

    def dtype(self, i: int, j: int) -> torch.dtype:
        """Return the arithmetic of the tile of rows i, i + 1, ... and columns j, j + 1, ..."""

        small, large = self._norms(i, j)
        if torch.float32 not in self.factors or small > SINGLE or large > MAX_NORM:
            return torch.float64
        copies = self.copies[0][i // self.size] or self.copies[1][j // self.size]
        return torch.float64 if copies else torch.float32

    def bounds(self, i: int, j: int) -> tuple[float, float]:
        """Return a lower and an upper bound of z on a tile, by the triangle inequality."""

        (a, b), (c, d) = self.radii[0][i // self.size], self.radii[1][j // self.size]
        return _square(max(0.0, a - d, c - b)), _square(b + d)

    def may_exceed(self, i: int, j: int, low: float, high: float) -> bool:
        """Return whether a tile may have values below `low` or above `high`, without computing it."""

        if self.kernel.rate is None:
            return True
        z_min, z_max = self.bounds(i, j)
        floor = 2**UNDERFLOW if self.dtype(i, j) == torch.float32 else 0.0
        return 2 ** -(z_min - 1e-3) > high or max(2 ** -(z_max + 1e-3), floor) < low  # 1e-3 is ample for rounding

    def tile(self, i: int, j: int, exact: bool = False) -> torch.Tensor:
        """Compute the tile of rows i, i + 1, ... and columns j, j + 1, ...

        Arguments:
            i, j: The first row and the first column, multiples of the tile size.
            exact: Whether to use float64 in any case.

        Returns:
            The kernel values, in float32 or float64, valid until the same thread computes its next tile.
        """

        dtype = torch.float64 if exact else self.dtype(i, j)
        left, right = self.factors[dtype]
        left, right = left[i : i + self.size], right[:, j : j + self.size]
        small, large = self._norms(i, j)
        z, spare = self._buffers(dtype, len(left), right.shape[1])

        if self.kernel.smooth and small <= DOUBLE and large <= MAX_NORM:
            torch.mm(left, right, out=z)
        else:
            z.zero_()
            for p, q in zip(left.T[:-2] * (-0.5 * self.sign), right[:-2], strict=True):
                torch.sub(p[:, None], q, out=spare)
                z.addcmul_(spare, spare, value=self.sign)

        if self.kernel.rate is None:
            return self.kernel.profile(z.clamp_(min=0))
        if dtype == torch.float32 and self.bounds(i, j)[1] > -UNDERFLOW:
            z.clamp_(min=UNDERFLOW)
        return z.exp2_()

    def _factors(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the factors of the product, of shapes (n, d + 2) and (d + 2, m)."""

        xx, yy = (self.sign * p.double().square().sum(1, keepdim=True).to(p.dtype) for p in (x, y))
        left = torch.cat([-2 * self.sign * x, xx, torch.ones_like(xx)], 1)
        return left, torch.cat([y, torch.ones_like(yy), yy], 1).T.contiguous()

    def _near_copies(self, x: torch.Tensor, exact: int) -> list[bool]:
        """Return for each tile of rows or columns whether it holds points with too many near-copies for float32."""

        marked = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        norms = (x[exact:] / self.kernel.min_scale).square().sum(1)
        marked[exact:] = near_copies(x[exact:], norms, clamped=self.kernel.smooth and self.kernel.rate is None)
        return [bool(part.any()) for part in marked.split(self.size)]

    def _norms(self, i: int, j: int) -> tuple[float, float]:
        """Return the largest squared norms on the two sides of a tile, the smaller one first."""

        rows, columns = self.norms[0][i // self.size], self.norms[1][j // self.size]
        return (rows, columns) if rows < columns else (columns, rows)

    def _buffers(self, dtype: torch.dtype, n: int, m: int) -> torch.Tensor:
        """Return two (n, m) matrices to which only this thread writes."""

        buffers = self._local.__dict__.setdefault("buffers", {})
        if dtype not in buffers:
            buffers[dtype] = torch.empty(2, self.size**2, dtype=dtype, device=self.device)
        return buffers[dtype][:, : n * m].view(2, n, m)


def _square(x: float) -> float:
    return x * x  # may be infinite; x ** 2 would raise an OverflowError


@one_thread()
def sort_by_norm(x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    r"""Sort the points of each block by their distance from the mean of all points.

    Arguments:
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block.

    Returns:
        The indices of the points in this order, of shape $(t)$, int64.
    """

    radii = (x.double() - x.double().mean(0)).square().sum(1).split(list(sizes))
    starts = [sum(sizes[:b]) for b in range(len(sizes))]
    return torch.cat([start + r.argsort(stable=True) for start, r in zip(starts, radii, strict=True)])
