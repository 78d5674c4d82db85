r"""Embeddings for releases: laid by public numbers alone, with a bound on what another row can change.

With $k \geq 0$, the kernel's own features have $\|\psi(x) - \psi(x')\|^2 = 2 k^* - 2 k(x, x') \leq 2 k^*$, and so have
projections of them. The bound must hold for the numbers that are computed, not only for those of the formula:

- the features of a row depend on this row and on public numbers, and on nothing of other rows: distances are computed
  pair by pair, not by a product of matrices that were centred by all rows;
- eigenvalues of the landmarks' kernel matrix that rounding may have changed by more than the share $10^{-4}$ are
  dropped, and the bound is larger by this share.

References:
    Using the Nyström Method to Speed Up Kernel Machines (Williams & Seeger, 2000)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch

from cgm.utils.checks import check_points
from cgm.utils.run import limited
from cgm.valuation.embedding import Embedding, Fourier, Nystrom
from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential, Sum

RANK = 1e-12  # of the largest eigenvalue or weight: smaller ones are dropped
SLACK = 1e-4  # share by which the bound is larger, for rounding errors
ROUNDING = 1e-14  # of eigenvalues, as a share of the sum of the diagonal: 45 units in the last place
ROWS = 1024  # that are embedded at once, always the same number, so that a row's own result has the same last bits
APART = 1e-17  # share of k*, below half a unit in the last place of 1
NOT_NEGATIVE = (SquaredExponential, RationalQuadratic, Laplacian)


class PublicEmbedding(Embedding):
    r"""Base class of embeddings that public numbers alone determine, the same on every machine.

    What is released has coordinates that all machines agree on. `receive` rotates them to those of `transform`, in
    which noise that is the same in all directions stays so.
    """

    @property
    def released_width(self) -> int:
        """The number of numbers that are released."""

        return self.width

    def quick(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points x of shape (N, d) that are no rows, as `transform`, but without its promise about last bits."""

        return self.transform(x)

    def release(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points x of shape (N, d) in the coordinates of the release, of shape (N, released_width)."""

        return self.transform(x)

    def receive(self, released: torch.Tensor) -> torch.Tensor:
        """Return what was released, of shape (released_width), in the coordinates of `transform`, of shape (D)."""

        return released


class Landmarks(PublicEmbedding, Nystrom):
    r"""The embedding by the kernel with public landmarks $Z$, $\psi(x) = K_{Z Z}^{-1/2} k(Z, x)$, for releases.

    The symmetric root is released, with one number for each landmark: the eigenvectors themselves differ between
    machines in their signs.

    Arguments:
        kernel: The kernel, which must not be negative.
        points: The landmarks, of shape $(m, d)$.

    Raises:
        ValueError: If it is not known that the kernel is not negative.
    """

    fitted: ClassVar[tuple[str, ...]] = ()  # its landmarks are public, and follow no data

    def __init__(self, kernel: Kernel, points: torch.Tensor) -> None:
        check_not_negative(kernel)
        super().__init__(kernel, len(points))
        self.points = check_points(points, "landmarks").double()
        with limited(1):  # eigenvectors depend on the number of threads, in the last digits and in their signs
            values, vectors = torch.linalg.eigh(_kernel_values(kernel, self.points, self.points))
        used = values > max(RANK * float(values[-1]), ROUNDING * len(points) * kernel.diagonal / SLACK)
        self.frame = vectors[:, used]  # (m, D)
        self.root = self.frame / values[used].sqrt()

    @property
    def width(self) -> int:
        """The number of eigenvectors that are not dropped."""

        return self.root.shape[1]

    def project(self, values: torch.Tensor) -> torch.Tensor:
        """Return embeddings, or sums of them, from (sums of) kernel values with the landmarks, of shape (N, m)."""

        return values @ self.root

    def weights(self, means: torch.Tensor) -> torch.Tensor:
        """Return the weights of the landmarks' kernel values in inner products with means (b, D), of shape (m, b)."""

        return self.root @ means.T

    def quick(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points that are no rows, by a product of matrices."""

        return self.kernel(x, self.points) @ self.root

    def fit(self, x: torch.Tensor, seed: int = 0) -> Landmarks:
        """Return the embedding itself."""

        return self

    @property
    def released_width(self) -> int:
        """The number of landmarks."""

        return len(self.points)

    def release(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points by the symmetric root."""

        return self.transform(x) @ self.frame.T

    def receive(self, released: torch.Tensor) -> torch.Tensor:
        """Return what was released in the coordinates of the eigenvectors that are not dropped."""

        return released @ self.frame

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points; torch can differentiate the result."""

        x = check_points(x, "Landmarks: x", self.points.shape[1])
        return _kernel_values(self.kernel, x.double(), self.points) @ self.root


class Grid(PublicEmbedding):
    r"""The embedding of the squared exponential kernel by a grid of frequencies, for releases in $d \leq 3$.

    It has the frequencies of `Fourier`, each pair $\pm m$ once: noise on both would be noise on the same number.
    Weights below $10^{-12}$ of the largest are dropped.

    Arguments:
        kernel: A squared exponential kernel, or a sum of such.
        corners: Two public points, of shape $(2, d)$, between which all rows lie in each dimension.

    Raises:
        ValueError: If there is no such grid.
    """

    def __init__(self, kernel: Kernel, corners: torch.Tensor) -> None:
        super().__init__(kernel)
        fourier = Fourier(kernel).fit(corners.double())
        frequencies = np.stack([axis.ravel() for axis in np.meshgrid(*fourier.axes, indexing="ij")])  # (d, modes)
        amplitude = fourier.amplitude.ravel()
        centre = len(amplitude) // 2  # the frequency 0, which the others are symmetric to
        kept = np.flatnonzero(amplitude[:centre] ** 2 > RANK * amplitude[centre] ** 2)
        self.frequencies = torch.from_numpy(np.ascontiguousarray(frequencies[:, kept]))
        self.amplitude = torch.from_numpy(math.sqrt(2) * amplitude[kept])
        self.constant, self.centre = float(amplitude[centre]), torch.from_numpy(fourier.centre)

    @property
    def width(self) -> int:
        """Two for each pair of frequencies, and one for the frequency 0."""

        return 2 * len(self.amplitude) + 1

    def fit(self, x: torch.Tensor, seed: int = 0) -> Grid:
        """Return the embedding itself: its range is public, and follows no data."""

        return self

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points; torch can differentiate the result."""

        x = check_points(x, "Grid: x", len(self.centre))
        phases = (x.double() - self.centre) @ self.frequencies
        parts = [torch.full((len(x), 1), self.constant, dtype=torch.float64)]
        return torch.cat([*parts, phases.cos() * self.amplitude, phases.sin() * self.amplitude], 1)

    def totals(self, x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        """Compute the sums of the embeddings of blocks."""

        def total(block: torch.Tensor) -> torch.Tensor:
            return torch.stack([self.transform(part).sum(0) for part in block.split(ROWS)]).sum(0)

        return torch.stack([total(block) for block in x.split(list(sizes))])

    def inner(self, x: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """Compute inner products."""

        return torch.cat([self.transform(part) @ means.T for part in x.split(ROWS)])


class Classes(PublicEmbedding):
    r"""The embedding of the product kernel $k(x, x') \cdot 1[y = y']$ of rows with a class $y$, for releases.

    The features of a row are those of its other columns, in the place of its class, and 0 in all others: its sums are
    the sums of each class. Rows of two classes have $\|\psi(x) - \psi(x')\|^2 = \|\psi(x)\|^2 + \|\psi(x')\|^2 \leq 2
    k^*$, so that the bound is that of the features of one class.

    Arguments:
        base: The embedding of the other columns.
        where: The columns of points that are the unit vector of the class, times its scale.
    """

    def __init__(self, base: PublicEmbedding, where: slice) -> None:
        super().__init__(base.kernel)
        self.base, self.where = base, where
        self.count = where.stop - where.start

    @property
    def width(self) -> int:
        """That of the other columns' features, for each class."""

        return self.count * self.base.width

    @property
    def released_width(self) -> int:
        """That of the other columns' features, for each class."""

        return self.count * self.base.released_width

    def fit(self, x: torch.Tensor, seed: int = 0) -> Classes:
        """Return the embedding itself: it follows no data."""

        return self

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the other columns of points x of shape (N, d), and the numbers of their classes."""

        return torch.cat([x[:, : self.where.start], x[:, self.where.stop :]], 1), x[:, self.where].argmax(1)

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points; torch can differentiate the result, by all columns but those of the class."""

        return self._placed(self.base.transform, x)

    def quick(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points that are no rows."""

        return self._placed(self.base.quick, x)

    def release(self, x: torch.Tensor) -> torch.Tensor:
        """Embed points in the coordinates of the release."""

        return self._placed(self.base.release, x)

    def receive(self, released: torch.Tensor) -> torch.Tensor:
        """Return what was released in the coordinates of `transform`."""

        return torch.cat([self.base.receive(part) for part in released.view(self.count, -1)])

    def _placed(self, embed: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        others, classes = self.split(x)
        unit = torch.nn.functional.one_hot(classes, self.count).double()
        return (unit[:, :, None] * embed(others)[:, None]).flatten(1)

    def totals(self, x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
        """Compute the sums of the embeddings of blocks, class by class."""

        others, classes = self.split(x)
        totals = torch.zeros(len(sizes), self.count, self.base.width, dtype=torch.float64)
        blocks = zip(others.split(list(sizes)), classes.split(list(sizes)), strict=True)
        for b, (part, of_part) in enumerate(blocks):
            for k in of_part.unique().tolist():
                rows = part[of_part == k]
                totals[b, k] = self.base.totals(rows, [len(rows)])[0]
        return totals.flatten(1)

    def inner(self, x: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """Compute inner products, class by class."""

        others, classes = self.split(x)
        result = torch.empty(len(x), len(means), dtype=torch.float64)
        for k in classes.unique().tolist():
            of_class = means.view(len(means), self.count, -1)[:, k]
            result[classes == k] = self.base.inner(others[classes == k], of_class.contiguous())
        return result

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the diagonal lacks."""

        return self.base.residual(self.split(x)[0])


def separation(kernel: Kernel) -> float:
    r"""Return the scale of a class's unit vectors from which the kernel of two classes is 0 to rounding.

    Raises:
        ValueError: If the kernel falls too slowly for this.
    """

    for scale in (1, 2, 4, 8, 16, 32, 64):
        q = torch.tensor(2.0 * scale**2, dtype=torch.float64)
        if float(kernel.profile(q)) <= APART * kernel.diagonal:
            return scale * kernel.numeric_lengthscale
    raise ValueError(
        f"kernel={kernel.name}: falls too slowly for a label, whose classes it must tell apart; expected "
        "squared_exponential or laplacian"
    )


def check_not_negative(kernel: Kernel) -> None:
    r"""Check that a kernel is known not to be negative, which the bound needs.

    Raises:
        ValueError: If it is not.
    """

    for part in kernel.kernels if isinstance(kernel, Sum) else (kernel,):
        if type(part) not in NOT_NEGATIVE:
            names = ", ".join(kind.__name__ for kind in NOT_NEGATIVE)
            raise ValueError(
                f"kernel={part.name}: expected {names} or a sum of such; the bound of what a row can change holds for "
                "kernels that are not negative"
            )


def sensitivity(embedding: PublicEmbedding, step: float) -> float:
    r"""Return the bound $\Delta$ of the distance between the rounded features of two rows.

    .. math:: \Delta = \sqrt{2 k^*} (1 + 10^{-4}) + \sqrt D h

    Arguments:
        embedding: The embedding, of which $D$ numbers are released.
        step: The step $h$ of the grid to which each feature is rounded.
    """

    return math.sqrt(2 * embedding.kernel.diagonal) * (1 + SLACK) + math.sqrt(embedding.released_width) * step


@limited(1)  # so that the last bits of a row's features do not depend on how threads share the work
def rounded_sums(embedding: PublicEmbedding, x: torch.Tensor, step: float) -> torch.Tensor:
    """Return the sums of the features of rows, each rounded to a grid first: exact, of shape (released_width), int64.

    Arguments:
        embedding: The embedding.
        x: The rows as points, of shape (N, d).
        step: The step of the grid.
    """

    total = torch.zeros(embedding.released_width, dtype=torch.int64)
    for part in x.split(ROWS):
        padded = torch.cat([part, part[:1].expand(ROWS - len(part), -1)])
        total += torch.round(embedding.release(padded)[: len(part)] / step).to(torch.int64).sum(0)
    return total


def _kernel_values(kernel: Kernel, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute the kernel matrix of x (n, d) and y (m, d), each entry by itself."""

    scale = kernel.numeric_lengthscale
    differences = torch.cdist(x / scale, y / scale, compute_mode="donot_use_mm_for_euclid_dist")
    return kernel.profile(differences.square())
