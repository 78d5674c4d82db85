"""Kernel density estimation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from cgm.generators.base import Generator
from cgm.generators.flow import Units
from cgm.utils.checks import check_points
from cgm.utils.random import random_state
from cgm.utils.settings import Integer, Number

GRID = np.geomspace(0.01, 1.28, 15)  # bandwidths that bandwidth="cv" compares: factors of the square root of 2
PART = 100  # points whose distances to all points of the fit are computed at once
MAX_SCORED = 1000  # points whose likelihood is computed
TRIMMED = 0.01  # share of the smallest likelihoods that is left out, since a few outliers would decide


@dataclass(eq=False)
class KDE(Generator):
    r"""Gaussian kernel density estimate (the generator of the credit card data, Sec. 6).

    Each point $x_i$ is the centre of a Gaussian whose standard deviation in dimension $j$ is $h_i s_j$, with $s_j$ the
    sample standard deviation of that dimension. A constant dimension stays constant, and is not counted in $d$.

    Arguments:
        bandwidth: The width $h_i$.

            A positive number: that number.

            `"scott"`, `"silverman"`: $N^{-1 / (d + 4)}$ and $(N (d + 2) / 4)^{-1 / (d + 4)}$, which suit a Gaussian.

            `"cv"`: the one of 15 numbers from 0.01 to 1.28 with the largest leave-one-out likelihood, see
            `leave_one_out`.

            `"adaptive"`: `share` times the distance of $x_i$ to its `neighbours`-th nearest distinct point, in units of
            $s_j$: narrow where there are many points, wide where there are few.
        neighbours: The number $k$ of neighbours, for `"adaptive"`.
        share: The share of the distance to the $k$-th of them, for `"adaptive"`.
        pretrained: A file that `save` has written, which is loaded instead of a fit; see `Generator`.

    References:
        | Multivariate Density Estimation (Scott, 1992)
        | Density Estimation for Statistics and Data Analysis (Silverman, 1986)
        | Variable Kernel Estimates of Multivariate Densities (Breiman, Meisel & Purcell, 1977)

    Example:
        >>> x = torch.tensor([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0]])
        >>> KDE(bandwidth=0.1).fit(x, seed=0).sample(4, seed=0)[:, 1]
        tensor([7., 7., 7., 7.])
    """

    bandwidth: Annotated[float, Number(min=0, open_min=True)] | Literal["scott", "silverman", "cv", "adaptive"] = (
        "scott"
    )
    neighbours: Annotated[int, Integer(min=1)] = 5
    share: Annotated[float, Number(min=0, open_min=True)] = 0.5

    shapes: ClassVar = {"points": ("N", "d"), "widths": ("N",)}

    def fit(self, x: torch.Tensor, seed: int) -> KDE:
        """Keep the points of shape (N, d) and compute their widths; the seed is used by `"cv"` alone."""

        points = self.check_fit(x)
        p = points.double().numpy()
        self.state = {"points": points, "widths": torch.from_numpy(self._widths(Units.of(p).reduced(p), seed))}

        return self

    def _widths(self, z: NDArray, seed: int) -> NDArray:
        """Compute the widths of points z of shape (N, d) that have unit variance in each dimension."""

        n, d = z.shape
        if self.bandwidth == "adaptive":
            return self.share * neighbour_distances(z, self.neighbours)
        if self.bandwidth == "cv":
            h = GRID[int(np.argmax([trimmed_mean(row) for row in leave_one_out(z, GRID, seed)]))]
        elif self.bandwidth == "scott":
            h = n ** (-1 / (d + 4))
        elif self.bandwidth == "silverman":
            h = (n * (d + 2) / 4) ** (-1 / (d + 4))
        else:
            h = float(self.bandwidth)

        return np.full(n, h)

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check points and widths from a file as those of a fit."""

        self.check_fit(state["points"])
        if not (state["widths"] > 0).all():
            raise ValueError("widths must be positive")

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n points, each from the Gaussian of a random point of the fit."""

        state = self.check_sample(n)
        points, widths = state["points"], state["widths"].numpy()
        x = points.double().numpy()

        units, random = Units.of(x), random_state(seed)
        rows = (random.uniform(size=n) * len(x)).astype(np.int64)
        z = random.normal(units.reduced(x)[rows], widths[rows, None])

        return torch.from_numpy(units.restored(z)).to(points.dtype)

    def log_density(self, x: torch.Tensor) -> torch.Tensor:
        r"""Compute the logarithm of the density.

        .. math:: \log \hat p(x) = \log \frac{1}{N} \sum_{i=1}^N \prod_{j=1}^d (2 \pi h_i^2 s_j^2)^{-1 / 2}
            \exp \left( -\frac{(x_j - x_{ij})^2}{2 h_i^2 s_j^2} \right)

        Dimensions that are constant in the fit are left out. Cost: $N M d$.

        Arguments:
            x: Points of shape $(M, d)$.

        Returns:
            The logarithms, of shape $(M)$, float64.

        Raises:
            ValueError: If nothing has been fitted yet, or x has another width than the fitted points.
        """

        state = self.fitted()
        points, widths = state["points"].double().numpy(), state["widths"].numpy()
        units = Units.of(points)
        z = units.reduced(points)
        new = units.reduced(check_points(x, "points", width=points.shape[1]).double().numpy())
        constants = z.shape[1] * np.log(math.sqrt(2 * math.pi) * widths)
        constants += math.log(len(z)) + np.log(units.scale[units.varying]).sum()
        parts = np.split(new, range(PART, len(new), PART))
        logs = [logsumexp(-cdist(part, z, "sqeuclidean") / (2 * widths**2) - constants, axis=1) for part in parts]

        return torch.from_numpy(np.concatenate(logs))


def neighbour_distances(z: NDArray, k: int) -> NDArray:
    """Compute the distance of each point to its k-th nearest distinct point, or to the last one if there are fewer.

    Arguments:
        z: The points, of shape (N, d), at least two of them distinct.
        k: The number of neighbours.

    Returns:
        The distances, of shape (N), all positive.

    Example:
        >>> neighbour_distances(np.array([[0.0], [0.0], [1.0], [3.0]]), k=1)
        array([1., 1., 1., 2.])
    """

    from sklearn.neighbors import NearestNeighbors

    distinct, index = np.unique(z, axis=0, return_inverse=True)
    k = min(k, len(distinct) - 1)
    with threadpool_limits(1):  # products in the search depend on the number of threads
        distances, _ = NearestNeighbors(n_neighbors=k).fit(distinct).kneighbors()  # without the point itself

    return distances[index.reshape(-1), -1]


def leave_one_out(z: NDArray, widths: NDArray, seed: int, max_points: int = MAX_SCORED) -> NDArray:
    r"""Compute leave-one-out log-likelihoods of a Gaussian kernel density estimate.

    .. math:: \log \hat p_{-i}(x_i) = \log \frac{1}{N - 1} \sum_{j \neq i}
        (2 \pi h^2)^{-d / 2} \exp \left( -\frac{\|x_i - x_j\|^2}{2 h^2} \right)

    Arguments:
        z: The points, of shape $(N, d)$.
        widths: The widths $h$ to compare, of shape $(m)$.
        seed: The seed that draws points, if there are more than `max_points`.
        max_points: The largest number of points $x_i$; all others are used as $x_j$.

    Returns:
        The log-likelihoods, of shape $(m, \min(N, \text{max\_points}))$.
    """

    n, d = z.shape
    rows = np.arange(n) if n <= max_points else np.sort(random_state(seed).choice(n, max_points, replace=False))
    result = np.empty((len(widths), len(rows)))
    for start in range(0, len(rows), PART):
        part = rows[start : start + PART]
        squares = cdist(z[part], z, "sqeuclidean")
        squares[np.arange(len(part)), part] = math.inf
        for k, h in enumerate(widths):
            constant = math.log(n - 1) + d / 2 * math.log(2 * math.pi * h**2)
            result[k, start : start + PART] = logsumexp(-squares / (2 * h**2), axis=1) - constant

    return result


def trimmed_mean(values: NDArray, share: float = TRIMMED) -> float:
    """Compute the mean without the smallest values, of which there are a given share."""

    return float(np.sort(values)[int(share * len(values)) :].mean())
