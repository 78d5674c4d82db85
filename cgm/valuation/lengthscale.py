r"""Choice of a kernel's length-scale (Sec. 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch

from cgm.utils.checks import check_integer, check_number, check_parties, check_points
from cgm.utils.progress import progress
from cgm.valuation.kernels.base import Kernel
from cgm.valuation.mmd import block_sums, cross_sums
from cgm.valuation.references.all import AllReference
from cgm.valuation.references.base import Reference, check_blocks
from cgm.valuation.search import first_true, search, thin


@dataclass(frozen=True)
class LengthscaleSearch:
    r"""Range and resolution of the search of `fit_lengthscale`.

    Arguments:
        low: The lower end of the range, in the units of the features.
        high: The upper end of the range.
        iterations: The number of halvings of the range by the binary search, which has
            $2^{\text{iterations}}$ possible results.

    Raises:
        ValueError: If a setting is out of range.
    """

    low: float = 0.01
    high: float = 1000.0
    iterations: int = 20

    def __post_init__(self) -> None:
        check_number("kernel_search.low", self.low, min=0, open_min=True)
        check_number("kernel_search.high", self.high, min=self.low, open_min=True)
        check_integer("kernel_search.iterations", self.iterations, min=1, max=50)


def fit_lengthscale(
    kernel: Kernel,
    parties: Sequence[torch.Tensor],
    synthetic: torch.Tensor,
    low: float = LengthscaleSearch.low,
    high: float = LengthscaleSearch.high,
    iterations: int = LengthscaleSearch.iterations,
    reference: Reference | None = None,
) -> Kernel:
    r"""Compute the smallest length-scale for which the parties' values $v(D_1), \dots, v(D_n)$ are non-negative.

    The result is that of the paper's binary search: the smallest of the $2^{\text{iterations}}$ evenly spaced
    length-scales up to `high` for which all values are non-negative, provided that they are non-negative for all larger
    ones too. With $\sigma_{A B}$ the mean of the kernel on $A \times B$, one value

    .. math:: v(D_i) = \Bigl(2 \frac{|D_i|}{t} - 1\Bigr) \sigma_{D_i D_i}
        + 2 \Bigl(1 - \frac{|D_i|}{t}\Bigr) \sigma_{D_i, T \setminus D_i}

    costs $t |D_i|$ kernel evaluations. For another reference $Q$ in place of $T$, the share $|D_i| / t$ is
    $|D_i| / |Q|$ if $D_i$ is part of $Q$, or else 0. To compute few of them, the search has three steps:

    1. A binary search with values estimated from a subset of the points. It gives an estimated length-scale, and the
       party whose value becomes non-negative last.
    2. A search for this party with exact values, from the estimated length-scale on. Each exact value gives the error
       of the estimate, and the corrected estimate gives the next length-scale to try. This takes about four exact
       values instead of `iterations`.
    3. One exact value of each other party, at the length-scale found. If one is negative, step 2 continues with this
       party, above that length-scale.

    Arguments:
        kernel: The kernel, with any length-scale.
        parties: The parties' points, each of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        low, high, iterations: The range and resolution of the search, see `LengthscaleSearch`.
        reference: The reference that values are compared with; all of $T$, if `None`.

    Returns:
        The kernel with the length-scale found.

    Raises:
        ValueError: If $v(D_i) < 0$ for a party even at `high`, or if the points cannot be valued.

    References:
        Section 5.
    """

    LengthscaleSearch(low, high, iterations)  # checks the range
    check_parties(parties, synthetic)

    last = 2**iterations
    n, sizes = len(parties), [len(x) for x in (*parties, synthetic)]
    blocks = torch.cat([*parties, synthetic]).double().split(sizes)  # the precision of `Valuation`
    reference = AllReference() if reference is None else reference
    compared = check_blocks(reference, reference.blocks(n), n)
    total = sum(sizes[b] for b in compared)
    order = list(range(n))  # the party whose value was negative last is first

    def at(step: int) -> Kernel:
        return kernel.with_lengthscale(low + (high - low) * step / last)

    def own_and_rest(i: int) -> tuple[torch.Tensor, torch.Tensor]:
        rest = [blocks[b] for b in compared if b != i]
        return blocks[i], torch.cat(rest) if rest else blocks[i][:0]

    def share(i: int) -> float:
        return sizes[i] / total if i in compared else 0.0

    subsets = [(thin(own, 300), thin(rest, 1500)) for own, rest in map(own_and_rest, order)]

    @cache
    def estimate(i: int, step: int) -> float:
        return _own_value(at(step), *subsets[i], sizes[i], share(i))

    @cache
    def value(i: int, step: int) -> float:
        bar.update()
        return _own_value(at(step), *own_and_rest(i), sizes[i], share(i))

    def all_nonnegative(step: int, value: Callable[[int, int], float]) -> bool:
        for i in order:
            if value(i, step) < 0:
                order.remove(i)
                order.insert(0, i)
                return False
        return True

    estimated = first_true(lambda step: all_nonnegative(step, estimate), 0, last)
    with progress(len(parties) + 3, "length-scale") as bar:
        step = 0
        while step == 0 or not all_nonnegative(step, value):  # at first, order[0] is the last party by the estimate
            if step == last:
                raise ValueError(
                    f"kernel.lengthscale=fit: party {order[0] + 1} has a negative value v(D_i) even at the largest "
                    f"length-scale, kernel_search.high={high}; increase it, or rescale the data"
                )
            party = order[0]
            step = search(partial(value, party), partial(estimate, party), step, last, max(estimated, step + 1))

    return at(step)


def _own_value(kernel: Kernel, x: torch.Tensor, rest: torch.Tensor, s: int, share: float) -> float:
    r"""Compute $v(D)$ of a set $D$ of s points, from $D$ and the rest of the reference or from subsets of these.

    Arguments:
        kernel: The kernel, with a number as its length-scale.
        x: The points of $D$ or some of them.
        rest: The points of the reference that are not in $D$, or some of them.
        s: The size of $D$.
        share: The share of $D$ in the reference.
    """

    own, m = float(block_sums(kernel, x, [len(x)]).sum()), len(x)
    mean = own / m**2
    if m < s:  # a point with itself is one of s pairs in D, but one of m pairs in x
        mean = (kernel.diagonal + (s - 1) * (own - m * kernel.diagonal) / (m * (m - 1))) / s
    cross = float(cross_sums(kernel, x, rest).sum()) / (m * len(rest)) if len(rest) else 0.0
    return (2 * share - 1) * mean + 2 * (1 - share) * cross


def median_distance(x: torch.Tensor, max_points: int = 2000) -> float:
    r"""Compute the median distance between two points, a common rule of thumb for a length-scale.

    Arguments:
        x: The points, of shape $(N, d)$.
        max_points: The maximum number of points to use; if there are more, evenly spaced rows are used.

    Raises:
        ValueError: If more than half of the pairs have distance zero.
    """

    check_points(x, "kernel.lengthscale=median: points", min=2)
    median = float(torch.pdist(thin(x, max_points).double()).median())
    if median == 0:
        raise ValueError("kernel.lengthscale=median: the median distance is 0; set kernel.lengthscale to a number")

    return median
