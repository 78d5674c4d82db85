r"""Embeddings of points in finitely many dimensions, in which sums of the kernel are inner products of means.

With $k(x, x') \approx \langle \psi(x), \psi(x') \rangle$ and the mean embeddings $\mu_b$ of blocks of points,

.. math:: \sum_{x' \in b} k(x, x') \approx N_b \langle \psi(x), \mu_b \rangle

so that all block sums of $t$ points cost $O(t D)$, or $O(t + D \log D)$ by non-uniform fast Fourier transforms, instead
of $t^2 / 2$ kernel evaluations. Means can be merged: those of parts of a block give that of the block.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from cgm.engines import engine_for
from cgm.utils.checks import check_choice, check_integer, check_points
from cgm.utils.run import one_thread
from cgm.valuation.kernels import Kernel, squared_exponential_rates
from cgm.valuation.mmd import TILE
from cgm.valuation.tiles import Tiles, sort_by_norm

BLOCK = 65_536  # rows that are embedded at once; sums are added in the order of the blocks
REACH = 8.2  # length-scales after which exp(-q / 2), and its Fourier transform, is below 1e-14
SPREAD = 200  # operations by which a transform spreads a point over its grid, or interpolates there
EPSILON = 1e-12  # relative error of the non-uniform transforms
MAX_MODES = 4_000_000  # of a Fourier grid
MAX_DIMENSIONS = 3  # of points that the transforms take
CELLS = 2**22  # kernel values with landmarks in the memory of one residual
RESIDUALS = 512  # points of a block whose residuals are computed; fewer of each of more than eight blocks
RIDGES = {"float64": 1e-10, "float32": 1e-6}  # added to the diagonal of the landmarks' kernel matrix, in units of k*


class Embedding(ABC):
    r"""Base class of embeddings $\psi$ with $k(x, x') \approx \langle \psi(x), \psi(x') \rangle$.

    Arguments:
        kernel: The kernel $k$, with a number as its length-scale.

    Attributes:
        fitted: The names of attributes that `fit` sets.
    """

    fitted: ClassVar[tuple[str, ...]] = ()

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.scale = kernel, kernel.numeric_lengthscale

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Say that the embedding is not fitted where something of a fitted one is asked for."""

            if name[:1] != "_" and (name in self.fitted or hasattr(type(self), name)):
                raise AttributeError(f"{type(self).__name__} is not fitted; call fit first")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        """Return the kernel, and the number of dimensions once the embedding is fitted."""

        width = f", width={self.width}" if {*self.fitted} <= vars(self).keys() else ""
        return f"{type(self).__name__}({self.kernel!r}{width})"

    @property
    @abstractmethod
    def width(self) -> int:
        """The number of dimensions $D$."""

    @abstractmethod
    def fit(self, x: torch.Tensor, seed: int = 0) -> Embedding:
        """Choose the embedding for points like x, of shape (N, d), and return it.

        Raises:
            ValueError: If there is no such embedding of these points.
        """

    @abstractmethod
    def transform(self, x: torch.Tensor) -> torch.Tensor:
        r"""Embed points x of shape (N, d) as $\psi(x)$, of shape (N, D), float64."""

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        r"""Compute the mean embedding $\mu$ of points x of shape (N, d), of shape (D), float64."""

        x = check_points(x, f"{type(self).__name__}: x")
        return self.totals(x, [len(x)])[0] / len(x)

    @abstractmethod
    def totals(self, x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        r"""Compute the sum of $\psi(x)$ over each block of points x (t, d) of given sizes, of shape (b, D), float64."""

    @abstractmethod
    def inner(self, x: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        r"""Compute $\langle \psi(x), \mu \rangle$ of points x (N, d) and means (b, D), of shape (N, b), float64."""

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        r"""Return $k(x, x) - \|\psi(x)\|^2$ of points x of shape (N, d), of shape (N): what their diagonal lacks."""

        return torch.zeros(len(x), dtype=torch.float64)

    @staticmethod
    def merge(means: torch.Tensor | Sequence[torch.Tensor], sizes: Sequence[int]) -> torch.Tensor:
        r"""Return the mean embedding of several sets of points together, of shape (D).

        Arguments:
            means: Their mean embeddings, of shape (b, D).
            sizes: Their numbers of points.
        """

        weights = torch.tensor(list(sizes), dtype=torch.float64)
        if len(weights) != len(means) or not (weights > 0).all():
            raise ValueError(f"merge: sizes={list(sizes)}: expected a positive number of points for each of the means")
        return weights @ torch.stack(list(means)) / weights.sum()


class Fourier(Embedding):
    r"""The embedding of the squared exponential kernel by an equispaced grid of frequencies, for $d \leq 3$.

    The Fourier integral of the kernel, discretised with the spacing $h$,

    .. math:: k(x, x') = \sum_{m \in \mathbb{Z}^d} w_m e^{i h m \cdot (x - x')}, \qquad
        w_m = \left(\frac{h \ell}{\sqrt{2 \pi}}\right)^d \exp\left(-\frac{\ell^2 h^2 \|m\|^2}{2}\right)

    is exact but for copies of the kernel at multiples of $2 \pi / h$, which is chosen so that they are below $10^{-14}$
    wherever there are points, and for the frequencies beyond the grid, as small. Means and inner products are computed
    by non-uniform fast Fourier transforms with a relative error of $10^{-12}$. Sums of squared exponential kernels have
    the sum of their weights.

    Arguments:
        kernel: A squared exponential kernel, or a sum of such.

    Raises:
        ValueError: If the kernel is another one.

    References:
        | A Parallel Nonuniform Fast Fourier Transform Library Based on an "Exponential of Semicircle" Kernel (Barnett,
          Magland & af Klinteberg, 2019)

    Example:
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> x = torch.tensor([[0.0], [0.5], [3.0]])
        >>> fourier = Fourier(SquaredExponential(1.0)).fit(x)
        >>> fourier.inner(x, fourier.mean(x[:1])[None])[:, 0]
        tensor([1.0000, 0.8825, 0.0111], dtype=torch.float64)
    """

    fitted: ClassVar[tuple[str, ...]] = ("modes", "low", "high", "centre", "spacing", "axes", "amplitude")

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.scales = grid_scales(kernel)
        if not self.scales:
            raise ValueError(f"Fourier: expected a squared exponential kernel or a sum of such, got {kernel.name}")

    def fit(self, x: torch.Tensor, seed: int = 0) -> Fourier:
        """Lay the grid for points that are not further apart than x; it depends on their range alone."""

        x = check_points(x, "Fourier: x")
        low, high = (bound.cpu().double().numpy() for bound in (x.amin(0), x.amax(0)))
        self.modes = grid_size(self.scales, high - low)
        if len(low) > MAX_DIMENSIONS or math.prod(self.modes) > MAX_MODES:
            raise ValueError(
                f"Fourier: the grid for points of shape {tuple(x.shape)} would have {' x '.join(map(str, self.modes))} "
                f"modes; at most {MAX_MODES:,} in {MAX_DIMENSIONS} dimensions are possible"
            )
        self.low, self.high = low, high
        self.centre, self.spacing = (low + high) / 2, spacing(self.scales, high - low)
        self.axes = [h * np.arange(-(m // 2), m // 2 + 1) for h, m in zip(self.spacing, self.modes, strict=True)]
        self.amplitude = np.sqrt(self.weights(self.scales))  # of shape (m_1, ..., m_d)
        return self

    def weights(self, scales: Sequence[float]) -> np.ndarray:
        r"""Compute the weights $w_m$ of the grid's frequencies for a sum of kernels with some length-scales."""

        def of(scale: float) -> np.ndarray:
            factors = (
                h * scale / math.sqrt(2 * math.pi) * np.exp(-((scale * axis) ** 2) / 2)
                for h, axis in zip(self.spacing, self.axes, strict=True)
            )
            return reduce(np.multiply.outer, factors)

        return np.asarray(sum(of(scale) for scale in scales))

    @property
    def width(self) -> int:
        """Two for each mode: the real and the imaginary part."""

        return 2 * math.prod(self.modes)

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points; there are many modes: for few points."""

        x = check_points(x, "Fourier: x")
        frequencies = np.stack([axis.ravel() for axis in np.meshgrid(*self.axes, indexing="ij")])  # (d, modes)
        phases = (x.cpu().double().numpy() - self.centre) @ frequencies
        return torch.from_numpy(
            np.concatenate([np.cos(phases), -np.sin(phases)], 1) * np.tile(self.amplitude.ravel(), 2)
        )

    def totals(self, x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        """Compute sums of embeddings by transforms from points to modes (type 1)."""

        self._check_range(x)
        parts = _of_rows(_modes_of_rows, (self, x.cpu().numpy()), sizes, SPREAD)
        return _added(parts, sizes, 2 * math.prod(self.modes))

    def inner(self, x: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """Compute inner products by a transform from modes to points (type 2)."""

        x = check_points(x, "Fourier: x", len(self.low))
        self._check_range(x)
        real, imaginary = means.numpy().reshape(len(means), 2, *self.modes).swapaxes(0, 1)
        coefficients = np.ascontiguousarray(self.amplitude * (real + 1j * imaginary))
        return _joined(_of_rows(_rows_of_modes, (self, x.cpu().numpy(), coefficients), [len(x)], SPREAD), x, means)

    def _check_range(self, x: torch.Tensor) -> None:
        """Check that points are at most a length-scale outside of the range that the grid was laid for.

        Kernel values are then exact to 1e-11; further outside, copies of the kernel would be met.
        """

        beyond = max(
            (x.amax(0).cpu().double().numpy() - self.high).max(), (self.low - x.amin(0).cpu().double().numpy()).max()
        )
        if beyond > max(self.scales):
            raise ValueError(
                f"Fourier: x: a coordinate is {beyond:.3g} outside of the range of the points that the grid was fitted "
                "to; fit it to all points, or to the corners of their range"
            )

    def angles(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the coordinates of points in units of the grid's period, as angles."""

        return list(np.ascontiguousarray(((x.astype(np.float64) - self.centre) * self.spacing).T))


def _modes_of_rows(shared: tuple[Fourier, np.ndarray], start: int, stop: int) -> np.ndarray:
    """Compute the sum of the embeddings of some rows, in one thread."""

    import finufft

    fourier, x = shared
    transform = (finufft.nufft1d1, finufft.nufft2d1, finufft.nufft3d1)[len(fourier.modes) - 1]
    strengths = np.ones(stop - start, complex)
    modes = transform(*fourier.angles(x[start:stop]), strengths, fourier.modes, eps=EPSILON, isign=-1, nthreads=1)
    modes = fourier.amplitude * np.asarray(modes)
    return np.concatenate([modes.real.ravel(), modes.imag.ravel()])


def _rows_of_modes(shared: tuple[Fourier, np.ndarray, np.ndarray], start: int, stop: int) -> np.ndarray:
    """Compute functions of some rows, of shape (N, b), from their Fourier coefficients, in one thread."""

    import finufft

    fourier, x, coefficients = shared
    transform = (finufft.nufft1d2, finufft.nufft2d2, finufft.nufft3d2)[len(fourier.modes) - 1]
    values = transform(*fourier.angles(x[start:stop]), coefficients, eps=EPSILON, isign=1, nthreads=1)
    return np.asarray(values).real.reshape(len(coefficients), -1).T


def grid_scales(kernel: Kernel) -> list[float]:
    """Return the length-scales of a squared exponential kernel or of a sum of such; none for another kernel."""

    return [kernel.numeric_lengthscale / math.sqrt(rate) for rate in squared_exponential_rates(kernel)]


def spacing(scales: Sequence[float], ranges: np.ndarray) -> np.ndarray:
    """Return the spacing of the frequencies in each dimension, for some length-scales and ranges of points."""

    return 2 * math.pi / (ranges + REACH * max(scales))


def grid_size(scales: Sequence[float], ranges: np.ndarray) -> tuple[int, ...]:
    """Return the number of frequencies in each dimension, which is odd."""

    return tuple(2 * math.ceil(REACH / (min(scales) * h)) + 1 for h in spacing(scales, ranges))


class Nystrom(Embedding):
    r"""The embedding by the kernel with $m$ landmarks $Z$, of any kernel.

    .. math:: \psi(x) = L^{-1} k(Z, x), \qquad L L^\top = K_{Z Z} + \epsilon I

    is the projection of $k(x, \cdot)$ on the span of the landmarks' $k(z, \cdot)$, but for
    $\epsilon = 10^{-10} k^*$, or $10^{-6} k^*$ if kernel values are in float32, which limits what their rounding errors
    do. Points that are far from all landmarks have $\|\psi(x)\|^2 < k(x, x)$; `residual` is the difference.

    Arguments:
        kernel: The kernel.
        landmarks: The number of landmarks $m$.
        precision: The arithmetic of kernel values with landmarks, `"float64"` or `"float32"`, see `Tiles`.

    References:
        | Using the Nyström Method to Speed Up Kernel Machines (Williams & Seeger, 2000)
    """

    fitted: ClassVar[tuple[str, ...]] = ("points", "factor")

    def __init__(self, kernel: Kernel, landmarks: int = 1024, precision: str = "float64") -> None:
        super().__init__(kernel)
        check_integer("Nystrom: landmarks", landmarks, min=1)
        check_choice("Nystrom: precision", precision, tuple(RIDGES))
        self.landmarks, self.precision = landmarks, precision

    def fit(self, x: torch.Tensor, seed: int = 0) -> Nystrom:
        """Choose landmarks among the points x at random."""

        x = check_points(x, "Nystrom: x")
        random = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(x), generator=random)[: self.landmarks]
        return self.use(x[rows.to(x.device)])

    def use(self, landmarks: torch.Tensor) -> Nystrom:
        """Use given landmarks, of shape (m, d)."""

        self.points = landmarks[:0].double()
        self.factor = torch.zeros(0, 0, dtype=torch.float64)
        return self.add(landmarks)

    @one_thread()
    def add(self, landmarks: torch.Tensor) -> Nystrom:
        """Use more landmarks, of shape (k, d): the rest of the Cholesky factor is computed."""

        new, m = landmarks.double(), len(self.points)
        cross = self.project(self.kernel(new, self.points)) if m else new.new_zeros(len(new), 0)  # (k, m)
        rest = self.kernel(new, new).addmm_(cross, cross.T, alpha=-1)
        rest.diagonal().add_(RIDGES[self.precision] * self.kernel.diagonal)
        factor = torch.zeros(m + len(new), m + len(new), dtype=torch.float64)
        factor[:m, :m], factor[m:, :m], factor[m:, m:] = self.factor, cross, torch.linalg.cholesky(rest)
        self.points, self.factor = torch.cat([self.points, new]), factor  # L
        return self

    @one_thread()
    def project(self, values: torch.Tensor) -> torch.Tensor:
        """Return embeddings, or sums of them, from (sums of) kernel values with the landmarks, of shape (N, m)."""

        return torch.linalg.solve_triangular(self.factor, values.T, upper=False).T

    @one_thread()
    def weights(self, means: torch.Tensor) -> torch.Tensor:
        """Return the weights of the landmarks' kernel values in inner products with means (b, D), of shape (m, b)."""

        return torch.linalg.solve_triangular(self.factor.T, means.T, upper=True)

    @property
    def width(self) -> int:
        """The number of landmarks."""

        return len(self.factor)

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points."""

        x = check_points(x, "Nystrom: x")
        return self.project(self.kernel(x.double(), self.points))

    def totals(self, x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        """Compute sums of embeddings from sums of kernel values with the landmarks."""

        return self.project(landmark_sums(self.kernel, x, sizes, self.points, self.precision))

    def inner(self, x: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """Compute inner products, from kernel values with the landmarks."""

        x = check_points(x, "Nystrom: x")
        shared = (self.kernel, x.cpu().numpy(), self.points, self.precision, self.weights(means))
        return _joined(_of_rows(_weighted_rows, shared, [len(x)], len(self.points)), x, means)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the diagonal lacks: $m^2$ operations for each point."""

        x = check_points(x, "Nystrom: x")
        rows = max(1, CELLS // self.width)
        parts = [self.kernel.diagonal - self.transform(part).square().sum(1) for part in x.split(rows)]
        return torch.cat(parts).clamp(min=0)


def landmark_sums(
    kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], landmarks: torch.Tensor, precision: str
) -> torch.Tensor:
    r"""Compute $\sum_x k(x, z)$ over each block of points x (t, d) for landmarks z (m, d), of shape (b, m), float64."""

    parts = _of_rows(_summed_rows, (kernel, x.cpu().numpy(), landmarks, precision), sizes, len(landmarks))
    return _added(parts, sizes, len(landmarks))


def _summed_rows(shared: tuple[Kernel, np.ndarray, torch.Tensor, str], start: int, stop: int) -> np.ndarray:
    """Compute the sums of the kernel of some rows with all landmarks."""

    kernel, x, landmarks, precision = shared
    (_, columns), tiles = _landmark_tiles(kernel, x[start:stop], landmarks, precision)
    total = torch.zeros(len(landmarks), dtype=torch.float64)
    for i in range(0, stop - start, TILE):
        for j in range(0, len(landmarks), TILE):
            total[columns[j : j + TILE]] += tiles.tile(i, j).sum(0).double()
    return total.numpy()


def _weighted_rows(
    shared: tuple[Kernel, np.ndarray, torch.Tensor, str, torch.Tensor], start: int, stop: int
) -> np.ndarray:
    """Compute the products of the kernel of some rows with all landmarks and weights of these, of shape (N, b)."""

    kernel, x, landmarks, precision, weights = shared
    (rows, columns), tiles = _landmark_tiles(kernel, x[start:stop], landmarks, precision)
    weights = weights[columns]
    result = torch.zeros(stop - start, weights.shape[1], dtype=torch.float64)
    for i in range(0, stop - start, TILE):
        for j in range(0, len(landmarks), TILE):
            k = tiles.tile(i, j)
            result[rows[i : i + TILE]] += (k @ weights[j : j + TILE].to(k.dtype)).double()
    return result.numpy()


def _landmark_tiles(
    kernel: Kernel, x: np.ndarray, landmarks: torch.Tensor, precision: str
) -> tuple[list[torch.Tensor], Tiles]:
    """Return the orders of points and landmarks by their norms, and their tiles in these orders.

    Near-copies are not looked for: their errors in float32 are below those of landmarks.
    """

    both = torch.from_numpy(x.astype(np.float64)), landmarks  # a copy: what processes share is read-only
    orders = [sort_by_norm(points, [len(points)]) for points in both]
    left, right = (points[order] for points, order in zip(both, orders, strict=True))
    return orders, Tiles(kernel, left, right, TILE, precision, exact=len(left) + len(right))


class EmbeddedSums:
    r"""The sums of the kernel of points with blocks of points, as of `block_sums`, by an embedding.

    What the embedding lacks of $k(x, x)$ is added to the sum of each point with its own block: of up to `RESIDUALS`
    points of each block, chosen at random, and their mean for the others.

    Arguments:
        embedding: The embedding, fitted.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block.
        totals: The sum of the embeddings of each block, of shape $(b, D)$; computed, if `None`.
    """

    def __init__(
        self, embedding: Embedding, x: torch.Tensor, sizes: Sequence[int], totals: torch.Tensor | None = None
    ) -> None:
        self.embedding, self.x, self.sizes = embedding, x, list(sizes)
        self.totals = embedding.totals(x, sizes) if totals is None else totals
        self.lacks = torch.zeros(len(x), dtype=torch.float64)
        count = min(RESIDUALS, 8 * RESIDUALS // len(sizes))
        for part, rows in zip(self.lacks.split(self.sizes), sample_rows(sizes, count), strict=True):
            residual = embedding.residual(x[rows])
            part += residual.mean()
            self.lacks[rows] = residual
        self._owner = torch.arange(len(sizes)).repeat_interleave(torch.tensor(self.sizes))

    @property
    def between(self) -> torch.Tensor:
        r"""The sums of the kernel over all pairs of points of two blocks, of shape $(b, b)$, float64."""

        lacks = torch.stack([part.sum() for part in self.lacks.split(self.sizes)])
        return self.totals @ self.totals.T + torch.diag(lacks)

    def of_points(self, rows: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """Compute the sums of some points, all by default, with all blocks, of shape (N, b), float64."""

        sums = self.embedding.inner(self.x[rows], self.totals)
        return sums.scatter_add_(1, self._owner[rows, None], self.lacks[rows, None])


def sample_rows(sizes: Sequence[int], count: int) -> list[torch.Tensor]:
    """Choose up to `count` rows of each block at random; fewer are the first of more."""

    random, edges = torch.Generator().manual_seed(0), np.cumsum([0, *sizes])
    return [int(edge) + torch.randperm(n, generator=random)[:count] for edge, n in zip(edges, sizes, strict=False)]


def _pieces(sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (block, start, stop) of up to `BLOCK` rows of one block each."""

    edges = np.cumsum([0, *sizes]).tolist()
    for block, (first, last) in enumerate(itertools.pairwise(edges)):
        for start in range(first, last, BLOCK):
            yield block, start, min(start + BLOCK, last)


def _of_rows(
    function: Callable[[Any, int, int], np.ndarray], shared: Any, sizes: Sequence[int], operations: int
) -> Iterator[np.ndarray]:
    """Compute something of each piece of the blocks of rows on the engine, and yield the results in order.

    Arguments:
        function: Computes it.
        shared: The first argument of the function.
        sizes: The sizes of the blocks.
        operations: The operations for each row, about.
    """

    tasks = ((start, stop) for _, start, stop in _pieces(sizes))
    yield from engine_for(operations * sum(sizes)).map(function, shared, tasks)


def _added(parts: Iterator[np.ndarray], sizes: Sequence[int], width: int) -> torch.Tensor:
    """Add up numbers of the pieces of each block in their order, of shape (b, width)."""

    totals = np.zeros((len(sizes), width))
    for (block, _, _), part in zip(_pieces(sizes), parts, strict=True):
        totals[block] += part
    return torch.from_numpy(totals)


def _joined(parts: Iterator[np.ndarray], x: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """Join numbers of the pieces of x (N, d) for each mean (b, D), of shape (N, b)."""

    result = np.empty((len(x), len(means)))
    for (_, start, stop), part in zip(_pieces([len(x)]), parts, strict=True):
        result[start:stop] = part
    return torch.from_numpy(result)
