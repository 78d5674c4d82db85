r"""Methods by which the block sums of a valuation are computed: exactly, or in linear time with a measured error.

==========  ====================================================================  ==========================
method      sums                                                                  cost
==========  ====================================================================  ==========================
`exact`     of all pairs of points                                                $t^2 / 2$
`hybrid`    of pairs with a party's point; of $G \times G$ by landmarks           $t \sum_i N_i + 2 |G| m$
`nufft`     by `Fourier`: squared exponential kernels in up to three dimensions   $t$, and modes
`nystrom`   by `Nystrom`: any kernel, in any number of dimensions                 $2 t m$ and the diagonal $t m^2$
==========  ====================================================================  ==========================

The error is measured: the exact sums of some points of each block, chosen at random, are compared with the approximate
ones. Their differences, in groups, give an estimate and a standard error for each entry of $B$, and so for all values.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import torch

from cgm.utils.settings import Choice, Number, Settings
from cgm.valuation.embedding import (
    MAX_DIMENSIONS,
    MAX_MODES,
    EmbeddedSums,
    Fourier,
    Nystrom,
    grid_scales,
    grid_size,
    landmark_sums,
    sample_rows,
)
from cgm.valuation.kernels import Kernel, squared_exponential_rates
from cgm.valuation.mmd import partial_pass, resolve_precision
from cgm.valuation.tiles import sort_by_norm

METHODS = ("exact", "hybrid", "nufft", "nystrom", "auto")
MIN_NUFFT = 3_000  # points from which auto takes Fourier grids
MAX_EXACT = 150_000  # points up to which auto computes all pairs
MAX_FALLBACK = 500_000  # points up to which auto does so if landmarks do not reach the tolerance
MAX_PAIRS = 5e10  # exponentials for pairs of T with points of the parties up to which auto takes the hybrid method
LANDMARKS = 512  # at first; doubled while the error is above the tolerance
MAX_LANDMARKS = 8192  # whose kernel matrix and its root take 1 GB
CANDIDATES = 2**23  # points, times the number of landmarks, of which new ones are chosen by what these lack
MAX_CORNERS = 5000  # of a convex hull whose distances are computed
GROUPS = 16  # of rows whose sums are compared with exact ones
ROWS = 4  # of each block in each group; 1 for Fourier grids, whose errors are rounding errors
WIDTH = 4.0  # standard errors of an interval: of 16 groups, 99.9 % if they are normal, which those of outliers are not
SINGLE = 3e-6  # share of v(N) that values with landmarks in float32 may differ by because of rounding


@dataclass(frozen=True)
class ValuationMethod(Settings):
    r"""How the block sums of a valuation are computed.

    Arguments:
        method: `"exact"`, `"hybrid"`, `"nufft"`, `"nystrom"`; or `"auto"`: Fourier grids for 3,000 points or more where
            they are possible and cost less, exact sums for up to 150,000 points, the hybrid method while there are few
            points of the parties, and otherwise landmarks.
        tolerance: The largest error of a value $v$, as a share of $v(N)$, that `"hybrid"` and `"nystrom"` aim at: the
            number of landmarks is doubled until it is reached, up to 8,192 or an eighth of the points. If that is not
            enough, `"auto"` computes exact sums for up to 500,000 points; otherwise there is a warning.

    Raises:
        ValueError: If a setting is out of range.
    """

    method: Annotated[str, Choice(METHODS)] = "auto"
    tolerance: Annotated[float, Number(min=0, open_min=True)] = 1e-4

    section = "valuation"

    def check_possible(self, kernel: Kernel, dimensions: int = 1) -> None:
        """Check that a kernel and a number of dimensions are those of the method.

        Raises:
            ValueError: If they are not.
        """

        if self.method != "nufft":
            return
        if not squared_exponential_rates(kernel):
            raise ValueError(
                f"valuation.method=nufft: expected a squared exponential kernel or a sum of such, got {kernel.name}; "
                "say valuation.method=auto"
            )
        if dimensions > MAX_DIMENSIONS:
            raise ValueError(
                f"valuation.method=nufft: points have {dimensions} dimensions, at most {MAX_DIMENSIONS} are possible; "
                "say valuation.method=auto"
            )


@dataclass(frozen=True)
class Approximation:
    r"""An approximate valuation, and its errors.

    Attributes:
        method: The method.
        size: The number of modes of the grid, or of landmarks.
        value_error: The largest half width of the intervals of $v(D_i)$, $v_c(N)$ and $v(D_i \cup G)$.
        alpha_error: The largest half width of the intervals of $\alpha_i$.
    """

    method: str
    size: int
    value_error: float
    alpha_error: float


def choose_method(method: str, kernel: Kernel, x: torch.Tensor, sizes: Sequence[int]) -> str:
    """Return the method that `"auto"` stands for, for points x of shape (t, d) in blocks; others as they are."""

    if method != "auto":
        return method
    t, real = len(x), sum(sizes[:-1])
    scales = grid_scales(kernel)
    if scales and x.shape[1] <= MAX_DIMENSIONS and t >= MIN_NUFFT:
        modes = math.prod(grid_size(scales, (x.amax(0) - x.amin(0)).cpu().double().numpy()))
        if modes <= min(MAX_MODES, t**2 // 100):
            return "nufft"
    if t <= MAX_EXACT:
        return "exact"
    return "hybrid" if float(t) * real * max(1, len(scales)) <= MAX_PAIRS else "nystrom"


def party_sums(kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], precision: str) -> torch.Tensor:
    r"""Compute block sums that are exact for pairs with a point of a party; those of $G \times G$ are not complete."""

    order = sort_by_norm(x, sizes)
    part = partial_pass(kernel, x[order], sizes, resolve_precision(precision, len(x)), sum(sizes[:-1]), sum(sizes[:-1]))
    sums = torch.empty(len(x), len(sizes), dtype=torch.float64)
    sums[order] = part.sums
    return sums


@dataclass(frozen=True)
class ApproximateSums:
    r"""Approximate block sums.

    Attributes:
        size: The number of modes of a grid, or of landmarks.
        between: The sums of the kernel over pairs of points of two blocks, of shape $(n + 1, n + 1)$.
        rounding: The share of $v(N)$ by which rounding may change values.
        missing: What they lack of the exact ones, estimated from each of some groups of points, of shape
            $(\text{GROUPS}, n + 1, n + 1)$.
        of_points: Computes the sums of all points with all blocks, of shape $(t, n + 1)$.
    """

    size: int
    rounding: float
    between: torch.Tensor
    missing: torch.Tensor
    of_points: Callable[[], torch.Tensor]


def approximations(
    kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], method: str, precision: str
) -> Iterator[ApproximateSums]:
    r"""Compute approximate block sums; with landmarks again and again, each time with twice as many.

    Arguments:
        kernel: The kernel.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block; the last one is $G$.
        method: `"hybrid"`, `"nufft"` or `"nystrom"`.
        precision: The arithmetic of the kernel's values with landmarks, see `kernel_pass`.
    """

    precision = resolve_precision(precision, len(x))
    rounding = SINGLE if precision == "float32" and method != "nufft" else 0.0
    rows = sample_rows(sizes, GROUPS if method == "nufft" else GROUPS * ROWS)
    exact = landmark_sums(kernel, x, sizes, x[torch.cat(rows)], "float64").T

    def missing(sums_of: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        lacks = torch.zeros(GROUPS, len(sizes), len(sizes), dtype=torch.float64)
        exact_of = exact.split([len(part) for part in rows])
        for k, (n, part) in enumerate(zip(sizes, rows, strict=True)):
            differences = exact_of[k] - sums_of(part)
            complete = len(part) == n  # all points of the block: there is no error of sampling
            groups = [differences] * GROUPS if complete else differences.tensor_split(GROUPS)
            lacks[:, k] = n * torch.stack([group.mean(0) for group in groups])
        return lacks

    real, g = sum(sizes[:-1]), [sizes[-1]]
    if method == "nufft":
        try:
            fourier = Fourier(kernel).fit(x)
        except ValueError as error:
            raise ValueError(f"valuation.method=nufft: {error}; say valuation.method=auto") from None
        sums = EmbeddedSums(fourier, x, sizes)
        yield ApproximateSums(
            sums.embedding.width // 2, rounding, sums.between, missing(sums.of_points), sums.of_points
        )
    elif method == "nystrom":
        for sums in embed_by_landmarks(kernel, x, sizes, [x[:real], x[real:]], precision):
            yield ApproximateSums(sums.embedding.width, rounding, sums.between, missing(sums.of_points), sums.of_points)
    else:
        known = party_sums(kernel, x, sizes, precision)
        between = torch.stack([part.sum(0) for part in known.split(list(sizes))])
        for pool in embed_by_landmarks(kernel, x[real:], g, [x[real:]], precision):
            between[-1, -1] = pool.between
            of_points = partial(_sums_of_points, known, pool)
            yield ApproximateSums(pool.embedding.width, rounding, between.clone(), missing(of_points), of_points)


def _sums_of_points(known: torch.Tensor, pool: EmbeddedSums, rows: torch.Tensor | None = None) -> torch.Tensor:
    """Compute the sums of some points, all by default, of which those over G are completed by landmarks."""

    real = len(known) - sum(pool.sizes)
    rows = torch.arange(len(known)) if rows is None else rows
    sums, of_pool = known[rows], rows >= real
    if of_pool.any():
        sums[of_pool, -1] = pool.of_points(rows[of_pool] - real)[:, 0]
    return sums


def embed_by_landmarks(
    kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], choices: Sequence[torch.Tensor], precision: str
) -> Iterator[EmbeddedSums]:
    r"""Embed points in blocks by landmarks, again and again, each time with twice as many.

    Arguments:
        kernel: The kernel.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block.
        choices: Sets of points of which landmarks are chosen.
        precision: The arithmetic of the kernel's values, `"float32"` or `"float64"`.
    """

    nystrom = Nystrom(kernel, precision=precision)
    sums = torch.zeros(len(sizes), 0, dtype=torch.float64)
    for new in add_landmarks(nystrom, choices, min(MAX_LANDMARKS, max(LANDMARKS, len(x) // 8))):
        sums = torch.cat([sums, landmark_sums(kernel, x, sizes, new, precision)], 1)
        yield EmbeddedSums(nystrom, x, sizes, nystrom.project(sums))


def add_landmarks(nystrom: Nystrom, choices: Sequence[torch.Tensor], most: int) -> Iterator[torch.Tensor]:
    r"""Let an embedding use 512 landmarks, then twice as many, and so on, and yield those that are new.

    Of each set of points, as many are chosen: half of them at random, and the other half with probabilities that are
    proportional to what the landmarks before them lack of the diagonal $k(x, x)$. Also points far from most others get
    landmarks.

    Arguments:
        nystrom: The embedding; changed.
        choices: Sets of points of which landmarks are chosen.
        most: The maximum number of landmarks.

    References:
        Randomly Pivoted Cholesky (Chen, Epperly, Tropp & Webber, 2024), of which each doubling is a round
    """

    random = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(points), generator=random) for points in choices]
    nystrom.use(choices[0][:0])
    used, count = 0, LANDMARKS
    while count <= most:
        half = (count - nystrom.width) // (2 * len(choices))
        new = torch.cat([points[order[used : used + half]] for points, order in zip(choices, orders, strict=True)])
        nystrom.add(new)
        used += half
        parts = [new]
        for points, order in zip(choices, orders, strict=True):
            candidates = points[order[used:][: max(2 * half, CANDIDATES // count)]]
            if len(candidates):
                weights = nystrom.residual(candidates) + 1e-12
                lacking = torch.multinomial(weights, min(half, len(candidates)), generator=random)
                parts.append(candidates[lacking])
        nystrom.add(torch.cat(parts[1:]))
        yield torch.cat(parts)
        count *= 2


def extremes(kernel: Kernel, x: torch.Tensor, method: str) -> tuple[float, float]:
    r"""Return $\gamma$ and $\eta$ on points x in about linear time, or bounds of them.

    For Fourier grids, whose kernels decrease with the distance, they are the values at the largest distance, which is
    one of corners of the convex hull, and at the smallest. Otherwise, and where the hull is flat or has very many
    corners, no two points are further apart than the corners of their bounding box, and some may be equal.
    """

    from scipy.spatial import ConvexHull, QhullError, cKDTree
    from scipy.spatial.distance import pdist

    points, nearest = x.double().numpy(), 0.0
    farthest = float(np.linalg.norm(np.ptp(points, axis=0)))
    if method == "nufft":
        nearest = float(cKDTree(points).query(points, k=2, workers=-1)[0][:, 1].min())
        if x.shape[1] > 1:
            with contextlib.suppress(QhullError):
                corners = points[ConvexHull(points).vertices]
                farthest = float(pdist(corners).max()) if len(corners) <= MAX_CORNERS else farthest
    low, high = kernel.profile(
        torch.tensor([farthest, nearest], dtype=torch.float64).div(kernel.numeric_lengthscale).square()
    )
    return float(low), float(high)
