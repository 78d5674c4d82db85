r"""Computes the matrix of a kernel tile by tile: the inner loop of all sums of the kernel."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from cgm.valuation.kernels.base import Kernel

SINGLE = 512.0  # a tile is in float32 if no point of one of its sides has a greater squared norm,
DOUBLE = 1e6  # and in float64 by a product likewise; else differences are taken
MOST = 1e30  # the greatest squared norm in any product; 1e38 is infinite in float32
UNDERFLOW = -126.0  # 2 ** -126 is the least normal number of float32; smaller ones take ten times as long


class Tiles:
    r"""Computes tiles of the matrix $k(x, y)$ of two point sets.

    With $c = (y_1 + \dots + y_m) / m$ and $x' = s (x - c) / \ell$, a tile of $z = s^2 \|x - y\|^2 / \ell^2$ is one
    matrix product,

    .. math:: \pm z = [\mp 2 x', \pm \|x'\|^2, 1] \cdot [y', 1, \pm \|y'\|^2]

    and where the kernel is $f(q) = \exp(-r q)$, the factor $s^2 = r / \ln 2$ makes it $2^{-z}$: the power of two takes
    half the time of the exponential function. For other kernels $s = 1$, and it is $f(z)$. Everything happens in place,
    in a buffer of each thread's own.

    The error of $z$ is one of rounding of the norms, some $10^{-7} (\|x'\|^2 + \|y'\|^2)$ in float32 and $10^{-16}$ in
    float64. It matters where $z$ is small, and there both norms are alike, so that the tile's arithmetic follows from
    the *smaller* of the greatest norms on its two sides: float32 up to `SINGLE`, float64 up to `DOUBLE`, and beyond,
    as well as for kernels that are not smooth, differences $x' - y'$ in place of the product. Sets that are sorted by
    their norms (`outward`) keep the outliers in tiles of their own.

    Arguments:
        kernel: The kernel $k$.
        x: Points, of shape $(n, d)$.
        y: Points, of shape $(m, d)$.
        size: The most rows and columns of a tile.
        precision: `"float32"`, where that is good enough, or `"float64"`.
    """

    def __init__(self, kernel: Kernel, x: Tensor, y: Tensor, size: int, precision: str = "float64") -> None:
        if isinstance(kernel.lengthscale, str):
            kernel(x[:1], y[:1])  # says what is to be done
        self.kernel, self.size = kernel, size
        self.sign = 1.0 if kernel.rate is None else -1.0
        unit = 1.0 if kernel.rate is None else math.sqrt(kernel.rate / math.log(2))
        centre = y.double().mean(0)
        x, y = ((p.double() - centre) * (unit / kernel.lengthscale) for p in (x, y))
        self.radii = [  # the least and the greatest norm in each tile's rows, and in its columns
            [torch.stack(torch.aminmax(part)).tolist() for part in p.norm(dim=1).split(size)] for p in (x, y)
        ]
        # the greatest squared norms, in units that f varies over
        self.norms = [[_square(most / kernel.finest) for _, most in radii] for radii in self.radii]

        self.factors = {torch.float64: self._factors(x, y)}
        # float32 products are sometimes made of lesser things, if torch is told so
        if precision == "float32" and torch.get_float32_matmul_precision() == "highest":
            self.factors[torch.float32] = self._factors(x.float(), y.float())
        self._local = threading.local()

    def dtype(self, i: int, j: int) -> torch.dtype:
        """Tells the arithmetic that is good enough for the tile of rows i, i + 1, ... and columns j, j + 1, ..."""

        less, greater = self._norms(i, j)
        return torch.float32 if torch.float32 in self.factors and less <= SINGLE and greater <= MOST else torch.float64

    def bounds(self, i: int, j: int) -> tuple[float, float]:
        """Bounds z on a tile from below and above, by the triangle inequality."""

        (a, b), (c, d) = self.radii[0][i // self.size], self.radii[1][j // self.size]
        return _square(max(0.0, a - d, c - b)), _square(b + d)

    def may_pass(self, i: int, j: int, low: float, high: float) -> bool:
        """Tells whether a value of a tile can be below low or above high, as far as is known without computing it."""

        if self.kernel.rate is None:
            return True
        least, most = self.bounds(i, j)
        floor = 2**UNDERFLOW if self.dtype(i, j) == torch.float32 else 0.0
        return 2 ** -(least - 1e-3) > high or max(2 ** -(most + 1e-3), floor) < low  # 1e-3 is ample for rounding

    def tile(self, i: int, j: int, exact: bool = False) -> Tensor:
        """Computes the tile of rows i, i + 1, ... and columns j, j + 1, ...

        Arguments:
            i, j: The first row and column, multiples of the tiles' size.
            exact: Whether float32 is never good enough.

        Returns:
            The kernel's values, in float32 or float64; valid until this thread asks for the next tile.
        """

        dtype = torch.float64 if exact else self.dtype(i, j)
        left, right = self.factors[dtype]
        left, right = left[i : i + self.size], right[:, j : j + self.size]
        less, greater = self._norms(i, j)
        z, spare = self._buffers(dtype, len(left), right.shape[1])

        if self.kernel.smooth and less <= DOUBLE and greater <= MOST:
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

    def _factors(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Makes the factors of the product, of shapes (n, d + 2) and (d + 2, m)."""

        xx, yy = (self.sign * p.double().square().sum(1, keepdim=True).to(p.dtype) for p in (x, y))
        left = torch.cat([-2 * self.sign * x, xx, torch.ones_like(xx)], 1)
        return left, torch.cat([y, torch.ones_like(yy), yy], 1).T.contiguous()

    def _norms(self, i: int, j: int) -> tuple[float, float]:
        """Tells the greatest squared norms on the two sides of a tile, the lesser first."""

        rows, columns = self.norms[0][i // self.size], self.norms[1][j // self.size]
        return (rows, columns) if rows < columns else (columns, rows)

    def _buffers(self, dtype: torch.dtype, n: int, m: int) -> Tensor:
        """Gives two (n, m) matrices that this thread alone writes to."""

        if not hasattr(self._local, "buffers"):
            self._local.buffers = {d: left.new_empty(2, self.size**2) for d, (left, _) in self.factors.items()}
        return self._local.buffers[dtype][:, : n * m].view(2, n, m)


def _square(x: float) -> float:
    return x * x  # infinite if it must; x ** 2 would be an error


def outward(x: Tensor, sizes: Sequence[int]) -> Tensor:
    r"""Sorts the points of each block by their distance from the mean of all.

    Arguments:
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block.

    Returns:
        The numbers of the points in that order, of shape $(t)$, int64.
    """

    radii = (x.double() - x.double().mean(0)).square().sum(1).split(list(sizes))
    starts = [sum(sizes[:b]) for b in range(len(sizes))]
    return torch.cat([start + r.argsort(stable=True) for start, r in zip(starts, radii, strict=True)])
