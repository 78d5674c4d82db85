"""Points whose rounding errors in float32 do not average out in sums of the kernel."""

from __future__ import annotations

import torch

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
