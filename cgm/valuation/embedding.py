r"""Embeddings of points in finitely many dimensions, in which sums of the kernel are inner products of means.

With $k(x, x') \approx \langle \psi(x), \psi(x') \rangle$ and the mean embeddings $\mu_b$ of blocks of points,

.. math:: \sum_{x' \in b} k(x, x') \approx N_b \langle \psi(x), \mu_b \rangle

so that all block sums of $t$ points cost $O(t D)$, or $O(t + D \log D)$ by non-uniform fast Fourier transforms, instead
of $t^2 / 2$ kernel evaluations. Means can be merged: those of parts of a block give that of the block.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch

from cgm.utils.checks import check_points
from cgm.utils.run import in_order, workers
from cgm.valuation.kernels import Kernel, squared_exponential_rates

BLOCK = 65_536  # rows that are embedded at once; sums are added in the order of the blocks
REACH = 8.2  # length-scales after which exp(-q / 2), and its Fourier transform, is below 1e-14
EPSILON = 1e-12  # relative error of the non-uniform transforms
MAX_MODES = 4_000_000  # of a Fourier grid
MAX_DIMENSIONS = 3  # of points that the transforms take
CELLS = 2**20  # kernel values with landmarks that are computed at once
RESIDUALS = 4096  # points of a block whose residuals are computed
RANK = 1e-12  # of the largest eigenvalue of the landmarks' kernel matrix: smaller ones are left out


class Embedding(ABC):
    r"""Base class of embeddings $\psi$ with $k(x, x') \approx \langle \psi(x), \psi(x') \rangle$.

    Arguments:
        kernel: The kernel $k$, with a number as its length-scale.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.scale = kernel, kernel.numeric_lengthscale

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

    @abstractmethod
    def mean(self, x: torch.Tensor) -> torch.Tensor:
        r"""Compute the mean embedding $\mu$ of points x of shape (N, d), of shape (D), float64."""

    @abstractmethod
    def inner(self, x: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        r"""Compute $\langle \psi(x), \mu \rangle$ of points x (N, d) and means (b, D), of shape (N, b), float64."""

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        r"""Return $k(x, x) - \|\psi(x)\|^2$ of points x of shape (N, d), of shape (N): what their diagonal lacks."""

        return torch.zeros(len(x), dtype=torch.float64)

    @staticmethod
    def merge(means: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        r"""Return the mean embedding of several sets of points together, of shape (D).

        Arguments:
            means: Their mean embeddings, of shape (b, D).
            sizes: Their numbers of points.
        """

        weights = torch.tensor(list(sizes), dtype=torch.float64)
        return weights @ means / weights.sum()


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
        self.centre, self.spacing = (low + high) / 2, spacing(self.scales, high - low)
        axes = [h * np.arange(-(m // 2), m // 2 + 1) for h, m in zip(self.spacing, self.modes, strict=True)]
        squares = sum(np.meshgrid(*(axis**2 for axis in axes), indexing="ij"))
        weights = sum(
            np.prod(self.spacing * scale / math.sqrt(2 * math.pi)) * np.exp(-(scale**2) * squares / 2)
            for scale in self.scales
        )
        self.amplitude = np.sqrt(weights)  # of shape (m_1, ..., m_d)
        self.axes = axes

        return self

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

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the mean embedding by a transform from points to modes (type 1)."""

        x = check_points(x, "Fourier: x")
        import finufft

        transform = (finufft.nufft1d1, finufft.nufft2d1, finufft.nufft3d1)[len(self.modes) - 1]

        def part(rows: slice) -> np.ndarray:
            u = self._angles(x[rows])
            return np.asarray(transform(*u, np.ones(len(u[0]), complex), self.modes, eps=EPSILON, isign=-1, nthreads=1))

        total = np.zeros(self.modes, complex)
        for modes in _of_blocks(len(x), part):
            total += modes
        total *= self.amplitude / len(x)
        return torch.from_numpy(np.concatenate([total.real.ravel(), total.imag.ravel()]))

    def inner(self, x: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """Compute inner products by a transform from modes to points (type 2)."""

        x = check_points(x, "Fourier: x")
        import finufft

        transform = (finufft.nufft1d2, finufft.nufft2d2, finufft.nufft3d2)[len(self.modes) - 1]
        real, imaginary = means.numpy().reshape(len(means), 2, *self.modes).swapaxes(0, 1)
        coefficients = np.ascontiguousarray(self.amplitude * (real + 1j * imaginary))

        def part(rows: slice) -> np.ndarray:
            found = transform(*self._angles(x[rows]), coefficients, eps=EPSILON, isign=1, nthreads=1)
            return np.asarray(found).real.reshape(len(means), -1).T

        return torch.from_numpy(np.concatenate(list(_of_blocks(len(x), part))))

    def _angles(self, x: torch.Tensor) -> list[np.ndarray]:
        """Return the coordinates of points in units of the grid's period, as angles."""

        return list(np.ascontiguousarray(((x.cpu().double().numpy() - self.centre) * self.spacing).T))


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

    .. math:: \psi(x) = K_{Z Z}^{-1/2} k(Z, x)

    is the projection of $k(x, \cdot)$ on the span of the landmarks' $k(z, \cdot)$. Points that are far from all of them
    have $\|\psi(x)\|^2 < k(x, x)$; `residual` is the difference.

    Arguments:
        kernel: The kernel.
        landmarks: The number of landmarks $m$.

    References:
        | Using the Nyström Method to Speed Up Kernel Machines (Williams & Seeger, 2000)
    """

    def __init__(self, kernel: Kernel, landmarks: int = 1024) -> None:
        super().__init__(kernel)
        self.landmarks = landmarks

    def fit(self, x: torch.Tensor, seed: int = 0) -> Nystrom:
        """Choose landmarks among the points x at random."""

        x = check_points(x, "Nystrom: x")
        random = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(x), generator=random)[: self.landmarks]
        return self.use(x[rows.to(x.device)])

    def use(self, landmarks: torch.Tensor) -> Nystrom:
        """Use given landmarks, of shape (m, d)."""

        self.points = landmarks.double()
        values, vectors = torch.linalg.eigh(self.kernel(self.points, self.points))
        used = values > RANK * values[-1]
        self.root = vectors[:, used] / values[used].sqrt()  # (m, D)
        return self

    @property
    def width(self) -> int:
        """The number of eigenvalues of the landmarks' kernel matrix that are not zero."""

        return self.root.shape[1]

    @property
    def _rows(self) -> int:
        """The number of rows whose kernel values with the landmarks fit into the cache."""

        return max(1, CELLS // len(self.points))

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points."""

        x = check_points(x, "Nystrom: x")
        return self.kernel(x.double(), self.points) @ self.root

    def mean(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the mean embedding, from the mean kernel values with the landmarks."""

        x = check_points(x, "Nystrom: x")
        total = torch.zeros(len(self.points), dtype=torch.float64)
        for part in _of_blocks(len(x), lambda rows: self.kernel(x[rows].double(), self.points).sum(0), self._rows):
            total += part
        return total @ self.root / len(x)

    def inner(self, x: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """Compute inner products, from kernel values with the landmarks."""

        x = check_points(x, "Nystrom: x")
        weights = self.root @ means.T  # (m, b)
        parts = _of_blocks(len(x), lambda rows: self.kernel(x[rows].double(), self.points) @ weights, self._rows)
        return torch.cat(list(parts))

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the diagonal lacks: $m^2$ operations for each point."""

        x = check_points(x, "Nystrom: x")

        def part(rows: slice) -> torch.Tensor:
            return self.kernel.diagonal - self.transform(x[rows]).square().sum(1)

        return torch.cat(list(_of_blocks(len(x), part, self._rows))).clamp(min=0)


def embedded_sums(embedding: Embedding, x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    r"""Compute the sum of the kernel of every point with every block of points, as `block_sums`, by an embedding.

    What the embedding lacks of $k(x, x)$ is added to the sum of each point with its own block: of 4,096 points of each
    block, chosen at random, and their mean for the others.

    Arguments:
        embedding: The embedding, fitted.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block.

    Returns:
        The block sums, of shape $(t, b)$, float64.
    """

    blocks = x.split(list(sizes))
    totals = torch.stack([len(block) * embedding.mean(block) for block in blocks])
    sums = embedding.inner(x, totals)
    random, start = torch.Generator().manual_seed(0), 0
    for k, block in enumerate(blocks):
        chosen = torch.randperm(len(block), generator=random)[:RESIDUALS]
        found = embedding.residual(block[chosen])
        lacks = found.mean().repeat(len(block))
        lacks[chosen] = found
        sums[start : start + len(block), k] += lacks
        start += len(block)
    return sums


Part = TypeVar("Part")


def _of_blocks(n: int, part: Callable[[slice], Part], rows: int = BLOCK) -> Iterator[Part]:
    """Compute something of each block of rows in parallel, and yield the results in order."""

    with workers() as threads:
        yield from in_order(threads, part, ((slice(a, min(a + rows, n)),) for a in range(0, n, rows)))
