r"""Further metrics: distances of distributions, and shares of points in the support of others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from cgm.evaluation.metrics.base import MaxPoints, Metric, PointSet, thinned
from cgm.generators.network import cubic_kernel
from cgm.utils.checks import check_points
from cgm.utils.run import in_order, workers
from cgm.utils.settings import Integer
from cgm.valuation.mmd import mmd2_unbiased, unbiased

TILE = 1000  # rows of a matrix of all pairs that are computed at once


@dataclass(frozen=True)
class EnergyDistance(Metric):
    r"""The energy distance of $S$ and $T$.

    .. math:: 2 \, \text{E} \|X - Y\| - \text{E} \|X - X'\| - \text{E} \|Y - Y'\|

    where $X, X'$ are independent points of $S$, and $Y, Y'$ of $T$.

    Arguments:
        max_points: The number of points of each set that are used at most; if there are more, evenly spaced ones. No
            limit, if `None`.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Energy Statistics: A Class of Statistics Based on Distances (Székely & Rizzo, 2013).
    """

    higher_is_better: ClassVar[bool] = False
    max_points: MaxPoints = 10_000

    def measure(self, s: PointSet, t: PointSet) -> float:
        """Compute the distance."""

        x = thinned(s.x, self.max_points)
        y, within_t = t.once(self._prepare)
        between, within_s = _sum_of_pairs(distances, x, y) / (len(x) * len(y)), _mean_distance(x)
        return max(2 * between - within_s - within_t, 0.0)  # rounding may turn a zero distance negative

    def _prepare(self, t: PointSet) -> tuple[torch.Tensor, float]:
        y = thinned(t.x, self.max_points)
        return y, _mean_distance(y)


@dataclass(frozen=True)
class SlicedWasserstein(Metric):
    r"""The sliced Wasserstein-2 distance of $S$ and $T$.

    .. math:: \left( \frac{1}{L} \sum_{l=1}^L W_2^2(\theta_l \cdot S, \theta_l \cdot T) \right)^{1/2}

    where the directions $\theta_l$ are uniform on the unit sphere. $W_2$ in one dimension is exact: the distance of the
    quantile functions.

    Arguments:
        directions: The number $L$ of directions.
        seed: The seed of the directions, which are the same in all runs.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Sliced and Radon Wasserstein Barycenters of Measures (Bonneel et al., 2015).
    """

    higher_is_better: ClassVar[bool] = False
    directions: Annotated[int, Integer(min=1)] = 100
    seed: Annotated[int, Integer(min=0)] = 0

    def measure(self, s: PointSet, t: PointSet) -> float:
        """Compute the distance."""

        directions, ordered = t.once(self._prepare)  # (L, d), (L, t)
        n, m = len(check_points(s.x, "sliced Wasserstein: s")), ordered.shape[1]
        # the quantile functions of n and m points are constant between multiples of 1 / n and 1 / m
        edges = torch.cat([m * torch.arange(1, n + 1), n * torch.arange(1, m + 1)]).unique()  # in units of 1 / (n m)
        widths = torch.diff(edges, prepend=edges.new_zeros(1)).double() / (n * m)
        of_s, of_t = (edges - 1) // m, (edges - 1) // n
        squares = [
            float((widths * (projected.sort().values[of_s] - other[of_t]).square()).numpy().sum())  # on one thread
            for projected, other in zip(directions @ s.x.double().T, ordered, strict=True)
        ]
        return math.sqrt(math.fsum(squares) / len(squares))

    def _prepare(self, t: PointSet) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the directions, and the points of T along each of them, in order."""

        random = torch.Generator().manual_seed(self.seed)
        normal = torch.randn(self.directions, t.x.shape[1], generator=random, dtype=torch.float64)
        directions = normal / normal.norm(dim=1, keepdim=True)
        return directions, (directions @ t.x.double().T).sort(1).values


@dataclass(frozen=True)
class KID(Metric):
    r"""The kernel distance of generative models, $\text{MMD}_u^2$ with the kernel $(x \cdot x' / d + 1)^3$.

    It compares means, variances and third moments, in the units of the features.

    Arguments:
        max_points: The number of points of each set that are used at most; if there are more, evenly spaced ones. No
            limit, if `None`.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018).
    """

    higher_is_better: ClassVar[bool] = False
    max_points: MaxPoints = 10_000

    def measure(self, s: PointSet, t: PointSet) -> float:
        """Estimate the distance."""

        x = check_points(thinned(s.x, self.max_points), "KID: s", min=2)
        y, yy = t.once(self._prepare)
        xy = _sum_of_pairs(cubic_kernel, x, y)
        # the diagonal is left out here: unlike that of other kernels, it is not constant
        return unbiased(_off_diagonal(x), xy, yy, len(x), len(y), diagonal=0.0)

    def _prepare(self, t: PointSet) -> tuple[torch.Tensor, float]:
        y = check_points(thinned(t.x, self.max_points), "KID: t", min=2)
        return y, _off_diagonal(y)


@dataclass(frozen=True)
class Precision(Metric):
    r"""The share of the synthetic points $G_i$ that are in the support of all parties' own points.

    The support of a set is the union of balls around its points, each of which reaches to the $k$-th nearest other
    point of the set. Own points $D_i$ are always inside, and are not counted.

    Arguments:
        k: The rank of the neighbour.
        max_points: The number of points of each set that are used at most; if there are more, evenly spaced ones. No
            limit, if `None`.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Improved Precision and Recall Metric for Assessing Generative Models (Kynkäänniemi et al., 2019).
    """

    k: Annotated[int, Integer(min=1)] = 3
    max_points: MaxPoints = 10_000

    def measure(self, s: PointSet, t: PointSet) -> float:
        """Compute the share."""

        x = thinned(s.x[~s.real], self.max_points)
        if len(x) == 0:
            raise ValueError("precision: the reward has no points")
        return share_within(x, *t.once(self._support))

    def _support(self, t: PointSet) -> tuple[torch.Tensor, torch.Tensor]:
        real = thinned(t.x[t.real], self.max_points)
        return real, neighbour_distances(real, self.k)


@dataclass(frozen=True)
class Recall(Metric):
    r"""The share of all parties' own points that are in the support of $S = D_i \cup G_i$.

    Arguments:
        k: The rank of the neighbour that bounds the balls of the support, see `Precision`.
        max_points: The number of points of each set that are used at most; if there are more, evenly spaced ones. No
            limit, if `None`.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Improved Precision and Recall Metric for Assessing Generative Models (Kynkäänniemi et al., 2019).
    """

    k: Annotated[int, Integer(min=1)] = 3
    max_points: MaxPoints = 10_000

    def measure(self, s: PointSet, t: PointSet) -> float:
        """Compute the share."""

        support = thinned(s.x, self.max_points)
        return share_within(thinned(t.x[t.real], self.max_points), support, neighbour_distances(support, self.k))


@dataclass(frozen=True)
class Novelty(Metric):
    r"""The squared maximum mean discrepancy of the reward $G_i$ and the party's own points $D_i$.

    It says how much a reward differs from what the party has already, not how close it brings the party to $T$.

    Arguments:
        max_points: The number of points of each set that are used at most; if there are more, evenly spaced ones. No
            limit, if `None`.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Equation (1), and Fig. 1.
    """

    higher_is_better: ClassVar[bool | None] = None
    max_points: MaxPoints = 10_000

    def measure(self, s: PointSet, t: PointSet) -> float:
        """Estimate the squared discrepancy with the kernel of the valuation."""

        own, drawn = (thinned(s.x[rows], self.max_points) for rows in (s.real, ~s.real))
        if min(len(own), len(drawn)) < 2:
            raise ValueError(f"novelty: {len(own)} own and {len(drawn)} synthetic points, expected at least 2 of each")
        return mmd2_unbiased(s.kernel, drawn, own)


def distances(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute the distances of all pairs of x (n, d) and y (m, d), of shape (n, m), without cancellation."""

    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def neighbour_distances(x: torch.Tensor, k: int) -> torch.Tensor:
    """Compute the distance of each point to the k-th nearest other point, of shape (N).

    Raises:
        ValueError: If there are too few points.
    """

    if len(x) <= k:
        raise ValueError(f"the distance to neighbour {k} needs {k + 1} points, not {len(x)}")
    # the point itself is the nearest one
    return _by_tile(lambda part: distances(part, x).kthvalue(k + 1).values, x)


def share_within(x: torch.Tensor, support: torch.Tensor, radii: torch.Tensor) -> float:
    """Return the share of points x, (N, d), that are in a ball around a point of the support, (M, d).

    Arguments:
        x: The points.
        support: The centres of the balls.
        radii: The radius of each ball, of shape (M).
    """

    return float(_by_tile(lambda part: (distances(part, support) <= radii).any(1), x).double().mean())


def _by_tile(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Return a function of each point, computed for some of them at a time, in parallel."""

    with workers() as threads:
        return torch.cat(list(in_order(threads, function, ((part,) for part in x.split(TILE)))))


def _sum_of_pairs(
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], x: torch.Tensor, y: torch.Tensor
) -> float:
    """Return the sum of a function of all pairs of x and y; it does not depend on the number of threads."""

    return math.fsum(_by_tile(lambda part: function(part, y).sum(1), x).tolist())


def _mean_distance(x: torch.Tensor) -> float:
    return _sum_of_pairs(distances, x, x) / len(x) ** 2


def _off_diagonal(x: torch.Tensor) -> float:
    """Return the sum of the cubic kernel over all pairs of different points."""

    diagonal = (x.square().sum(1) / x.shape[1] + 1) ** 3
    return _sum_of_pairs(cubic_kernel, x, x) - math.fsum(diagonal.tolist())
