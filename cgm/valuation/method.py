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

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch

from cgm.utils.settings import Choice, Number, Settings
from cgm.valuation.embedding import (
    MAX_DIMENSIONS,
    MAX_MODES,
    Fourier,
    Nystrom,
    embedded_sums,
    grid_scales,
    grid_size,
)
from cgm.valuation.kernels import Kernel
from cgm.valuation.mmd import cross_sums, partial_pass, resolve_precision
from cgm.valuation.tiles import sort_by_norm

METHODS = ("exact", "hybrid", "nufft", "nystrom", "auto")
MIN_NUFFT = 3_000  # points from which auto takes Fourier grids
MAX_EXACT = 50_000  # points up to which auto computes all pairs
MAX_PAIRS = 5e10  # pairs of points of T with those of the parties up to which auto takes the hybrid method
LANDMARKS = 512  # at first; doubled while the error is above the tolerance
CANDIDATES = 20_000  # points of a block of which landmarks are chosen by what others lack
GROUPS = 8  # of rows whose sums are compared with exact ones
ROWS = 4  # of each block in each group
WIDTH = 3.5  # standard errors of an interval; of eight groups, about 99 %


@dataclass(frozen=True)
class ValuationMethod(Settings):
    r"""How the block sums of a valuation are computed.

    Arguments:
        method: `"exact"`, `"hybrid"`, `"nufft"`, `"nystrom"`; or `"auto"`: Fourier grids where they are possible and
            cost less, exact sums for up to 50,000 points, the hybrid method while there are few points of the parties,
            and otherwise landmarks.
        tolerance: The largest error of a value $v$, as a share of $v(N)$, that `"hybrid"` and `"nystrom"` aim at: the
            number of landmarks is doubled until it is reached, up to an eighth of the points; `"auto"` computes exact
            sums then.

    Raises:
        ValueError: If a setting is out of range.
    """

    method: Annotated[str, Choice(METHODS)] = "exact"
    tolerance: Annotated[float, Number(min=0, open_min=True)] = 1e-4

    section = "valuation"


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
    return "hybrid" if float(t) * real <= MAX_PAIRS else "nystrom"


def party_sums(kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], precision: str) -> torch.Tensor:
    r"""Compute block sums that are exact for pairs with a point of a party; those of $G \times G$ are not complete."""

    order = sort_by_norm(x, sizes)
    part = partial_pass(kernel, x[order], sizes, resolve_precision(precision, len(x)), sum(sizes[:-1]), sum(sizes[:-1]))
    sums = torch.empty(len(x), len(sizes), dtype=torch.float64)
    sums[order] = part.sums
    return sums


def approximate(
    kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], method: str, landmarks: int, known: torch.Tensor | None
) -> tuple[torch.Tensor, int]:
    r"""Compute block sums by a method, and return the number of modes or landmarks.

    Arguments:
        kernel: The kernel.
        x: The points, block after block, of shape $(t, d)$.
        sizes: The number of points in each block; the last one is $G$.
        method: `"hybrid"`, `"nufft"` or `"nystrom"`.
        landmarks: The number of landmarks; half of them are points of the parties.
        known: The result of `party_sums`, for `"hybrid"`.
    """

    if method == "nufft":
        fourier = Fourier(kernel).fit(x)
        return embedded_sums(fourier, x, sizes), fourier.width // 2
    real = sum(sizes[:-1])
    blocks = [x[:real], x[real:]] if known is None else [x[real:]]
    nystrom = Nystrom(kernel).use(choose_landmarks(kernel, blocks, landmarks))
    if known is None:
        return embedded_sums(nystrom, x, sizes), landmarks
    sums = known.clone()
    sums[real:, -1:] = embedded_sums(nystrom, x[real:], sizes[-1:])
    return sums, landmarks


def choose_landmarks(kernel: Kernel, blocks: Sequence[torch.Tensor], count: int) -> torch.Tensor:
    r"""Choose points of some blocks as landmarks, as many of each block.

    Half of them are chosen at random, and the other half among the rest with probabilities that are proportional to
    what the first half lacks of their diagonal $k(x, x)$: also points far from most others get landmarks.

    References:
        Randomly Pivoted Cholesky (Chen, Epperly, Tropp & Webber, 2024), of which this has two rounds
    """

    random, each = torch.Generator().manual_seed(0), count // len(blocks)
    orders = [torch.randperm(len(block), generator=random) for block in blocks]
    first = torch.cat([block[order[: each // 2]] for block, order in zip(blocks, orders, strict=True)])
    half = Nystrom(kernel).use(first)
    chosen = [first]
    for block, order in zip(blocks, orders, strict=True):
        rest = block[order[each // 2 :][:CANDIDATES]]
        weights = half.residual(rest) + 1e-12
        take = min(each - each // 2, len(rest))
        chosen.append(rest[torch.multinomial(weights, take, generator=random)])
    return torch.cat(chosen)


def missing_sums(kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], sums: torch.Tensor) -> torch.Tensor:
    r"""Estimate what block sums lack of the exact ones, from exact sums of some points of each block.

    Returns:
        For each group of these points the sums that the points of each block lack with each block, of shape
        $(\text{GROUPS}, n + 1, n + 1)$.
    """

    random, blocks = torch.Generator().manual_seed(0), x.split(list(sizes))
    missing, start = torch.zeros(GROUPS, len(sizes), len(sizes), dtype=torch.float64), 0
    for k, n in enumerate(sizes):
        rows = start + torch.randperm(n, generator=random)[: GROUPS * ROWS]
        exact = torch.stack([cross_sums(kernel, x[rows], block, "float64") for block in blocks], 1)
        lacks, start = exact - sums[rows], start + n
        groups = lacks.tensor_split(GROUPS) if len(rows) == GROUPS * ROWS else [lacks] * GROUPS  # all rows are known
        missing[:, k] = n * torch.stack([group.mean(0) for group in groups])
    return missing


def outer_bounds(kernel: Kernel, x: torch.Tensor) -> tuple[float, float]:
    r"""Return a lower bound of $\gamma$ and an upper bound of $\eta$ on points x, in linear time.

    No two points are further apart than the diagonal of their bounding box; some may be equal.
    """

    corners = torch.stack([x.amin(0), x.amax(0)]).double()
    return float(kernel(corners[:1], corners[1:])), kernel.diagonal
