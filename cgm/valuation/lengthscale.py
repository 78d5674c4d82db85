r"""The choice of a kernel's length-scale (Sec. 5)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from cgm.utils.checks import check_integer, check_number, check_parties, check_points
from cgm.utils.progress import progress
from cgm.valuation.kernels.base import Kernel
from cgm.valuation.mmd import block_sums, cross_sums


@dataclass(frozen=True)
class LengthscaleSearch:
    """Range and resolution of the search of `fit_lengthscale`.

    Arguments:
        low: The lower end of the search, in the units of the features.
        high: The upper end of the search.
        iterations: The number of halvings of the interval.

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
    parties: Sequence[Tensor],
    synthetic: Tensor,
    low: float = LengthscaleSearch.low,
    high: float = LengthscaleSearch.high,
    iterations: int = LengthscaleSearch.iterations,
) -> Kernel:
    r"""Finds the least length-scale for which the parties' own values $v(D_1), \dots, v(D_n)$ are non-negative.

    The result is that of the paper's binary search: the least of the $2^{\text{iterations}}$ evenly spaced
    length-scales up to `high` that will do, given that all longer ones do as well. With $\sigma_{A B}$ the mean of the
    kernel on $A \times B$,

    .. math:: v(D_i) = \Bigl(2 \frac{|D_i|}{t} - 1\Bigr) \sigma_{D_i D_i}
        + 2 \Bigl(1 - \frac{|D_i|}{t}\Bigr) \sigma_{D_i, T \setminus D_i}

    costs $t |D_i|$ kernel evaluations. A binary search on a small part of the points says first which party is the
    last to do, and where. That party's search on all points starts there: each value shows by how much the small part
    is wrong, and so where to look next, which takes some four tries instead of `iterations`. At its end the other
    parties are looked at, once; one that fails goes on from there.

    Arguments:
        kernel: The kernel, whatever its length-scale.
        parties: The parties' points, each of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        low, high, iterations: The range and resolution of the search, see `LengthscaleSearch`.

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
    points = torch.cat([*parties, synthetic]).double()  # as they are valued
    ends = list(itertools.accumulate(len(x) for x in parties))
    order = list(range(len(parties)))  # the party that failed last comes first

    def at(step: int) -> Kernel:
        return kernel.with_lengthscale(low + (high - low) * step / last)

    def own_and_rest(i: int) -> tuple[Tensor, Tensor]:
        start = ends[i] - len(parties[i])
        return points[start : ends[i]], torch.cat([points[:start], points[ends[i] :]])

    few = [(_thin(own, 300), _thin(rest, 1500)) for own, rest in map(own_and_rest, order)]

    @cache
    def estimate(i: int, step: int) -> float:
        return _own_value(at(step), *few[i], len(parties[i]), len(points))

    @cache
    def value(i: int, step: int) -> float:
        bar.update()
        return _own_value(at(step), *own_and_rest(i), len(parties[i]), len(points))

    def fits(step: int, value: Callable[[int, int], float]) -> bool:
        for i in order:
            if value(i, step) < 0:
                order.remove(i)
                order.insert(0, i)
                return False
        return True

    guess = _first_true(lambda step: fits(step, estimate), 0, last)
    with progress(len(parties) + 3, "length-scale") as bar:
        step = 0
        while step == 0 or not fits(step, value):  # the first time the party that is last by the estimate
            if step == last:
                raise ValueError(
                    f"kernel.lengthscale=fit: party {order[0] + 1} has a negative value v(D_i) even at the greatest "
                    f"length-scale, kernel_search.high={high}; raise it, or scale the data"
                )
            step = _crossing(partial(value, order[0]), partial(estimate, order[0]), step, last, max(guess, step + 1))

    return at(step)


def _own_value(kernel: Kernel, x: Tensor, rest: Tensor, s: int, t: int) -> float:
    r"""Computes $v(D)$ of s points among t, from all of these or a part x of D and a part of the rest of T."""

    own, m = float(block_sums(kernel, x, [len(x)]).sum()), len(x)
    mean = own / m**2
    if m < s:  # of the pairs of D fewer than of those of x are a point with itself
        mean = (kernel.diagonal + (s - 1) * (own - m * kernel.diagonal) / (m * (m - 1))) / s
    cross = float(cross_sums(kernel, x, rest).sum()) / (m * len(rest))
    return (2 * s / t - 1) * mean + 2 * (1 - s / t) * cross


def _crossing(value: Callable[[int], float], estimate: Callable[[int], float], false: int, true: int, step: int) -> int:
    """Finds the least k above `false` with value(k) >= 0, given that it is so at all greater ones.

    Arguments:
        value: What is asked for; not at `false` and `true`, where it is taken to be negative and not.
        estimate: An estimate of it that costs next to nothing, whose error changes slowly with k.
        false, true: The range.
        step: Where to look first.
    """

    errors: list[tuple[int, float]] = []  # of the estimate, where the value has been looked at
    while true - false > 1:
        step = min(max(step, false + 1), true - 1)
        v = value(step)
        false, true = (false, step) if v >= 0 else (step, true)
        errors.append((step, v - estimate(step)))
        if len(errors) > 8 and len(errors) % 2:  # the estimate is of no use
            step = (false + true) // 2
        else:
            (a, error), (b, before) = errors[-1], errors[-2:][0]
            slope = (before - error) / (b - a) if a != b else 0.0

            def corrected(k: int, a: int = a, error: float = error, slope: float = slope) -> bool:
                return estimate(k) + error + slope * (k - a) >= 0

            step = _first_true(corrected, false, true)

    return true


def _first_true(predicate: Callable[[int], bool], false: int, true: int) -> int:
    """Finds the least k above `false` for which a predicate is true, given that it is at all greater ones.

    `true` itself is never looked at: it is the answer where all below it are false.
    """

    while true - false > 1:
        middle = (false + true) // 2
        false, true = (false, middle) if predicate(middle) else (middle, true)
    return true


def _thin(x: Tensor, most: int) -> Tensor:
    """Takes evenly spaced rows, if there are more than most."""

    return x[torch.linspace(0, len(x) - 1, min(len(x), most), dtype=torch.float64, device=x.device).long()]


def median_distance(x: Tensor, most: int = 2000) -> float:
    r"""Computes the median distance of two points, the usual rule of thumb for a length-scale.

    Arguments:
        x: The points, of shape $(N, d)$.
        most: The most points to look at; if there are more, evenly spaced rows are taken.

    Raises:
        ValueError: If more than half of the pairs have distance zero.
    """

    check_points(x, "kernel.lengthscale=median: points", min=2)
    median = float(torch.pdist(_thin(x, most).double()).median())
    if median == 0:
        raise ValueError("kernel.lengthscale=median: the median distance is 0; give kernel.lengthscale a number")

    return median


def resolve_lengthscale(
    kernel: Kernel, parties: Sequence[Tensor], synthetic: Tensor, search: LengthscaleSearch | None = None
) -> Kernel:
    """Replaces a length-scale that is a rule, `"fit"` or `"median"`, by the number that the rule gives.

    Arguments:
        kernel: The kernel; one whose length-scale is a number is returned as it is.
        parties: The parties' points, each of shape (N_i, d).
        synthetic: The synthetic pool G, of shape (|G|, d).
        search: The range of `fit_lengthscale`; its defaults, if `None`.
    """

    if kernel.lengthscale == "fit":
        search = search or LengthscaleSearch()
        return fit_lengthscale(kernel, parties, synthetic, search.low, search.high, search.iterations)
    if kernel.lengthscale == "median":
        return kernel.with_lengthscale(median_distance(torch.cat([*parties, synthetic])))

    return kernel
