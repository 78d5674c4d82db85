r"""Rules for the length-scale: the smallest one with non-negative or with monotone values, and the median (Sec. 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated

import torch

from cgm.utils.checks import check_parties, check_points, check_pool
from cgm.utils.convert import label_of, parties_by_name, to_tensor
from cgm.utils.run import progress, workers
from cgm.utils.settings import Integer, Number, Settings, check_setting
from cgm.valuation.bounds import MAX_PARTIES, increments, rounding
from cgm.valuation.kernels import Kernel, check_profile
from cgm.valuation.method import ValuationMethod
from cgm.valuation.mmd import block_sums, cross_sums
from cgm.valuation.products import mean_products, search_method
from cgm.valuation.references import AllReference, Reference, check_blocks
from cgm.valuation.valuation import coalition_table


def search(value: Callable[[int], float], estimate: Callable[[int], float], false: int, true: int, step: int) -> int:
    """Return the smallest k from `false` + 1 to `true` with value(k) >= 0, if all larger k have value(k) >= 0 too.

    Arguments:
        value: The function. It is computed between `false` and `true` only: it is assumed to be negative at `false`
            and non-negative at `true`.
        estimate: An estimate of the function that costs much less, with an error that changes slowly with k.
        false, true: The range of the search.
        step: The first k to try.
    """

    errors: list[tuple[int, float]] = []  # (k, error of the estimate at k), for all k tried so far
    while true - false > 1:
        step = min(max(step, false + 1), true - 1)
        v = value(step)
        false, true = (false, step) if v >= 0 else (step, true)
        errors.append((step, v - estimate(step)))
        if len(errors) > 8 and len(errors) % 2:  # the estimate does not help: bisect in every other step
            step = (false + true) // 2
        else:
            (a, error), (b, before) = errors[-1], errors[-2:][0]
            slope = (before - error) / (b - a) if a != b else 0.0

            def corrected(k: int, a: int = a, error: float = error, slope: float = slope) -> bool:
                return estimate(k) + error + slope * (k - a) >= 0

            step = first_true(corrected, false, true)

    return true


def first_true(predicate: Callable[[int], bool], false: int, true: int) -> int:
    """Return the smallest k from `false` + 1 to `true` with predicate(k), if all larger k satisfy it too.

    The predicate is assumed to hold at `true` and is not computed there.
    """

    while true - false > 1:
        middle = (false + true) // 2
        false, true = (false, middle) if predicate(middle) else (middle, true)
    return true


def thin(x: torch.Tensor, max_rows: int) -> torch.Tensor:
    """Return evenly spaced rows if there are more than `max_rows`, otherwise all rows."""

    rows = torch.linspace(0, len(x) - 1, min(len(x), max_rows), dtype=torch.float64, device=x.device).long()
    return x[rows]


@dataclass(frozen=True)
class LengthscaleSearch(Settings):
    r"""Range and resolution of the search of `fit_lengthscale`.

    Arguments:
        low: The lower end of the range, in the units of the features.
        high: The upper end of the range.
        iterations: The number of halvings of the range by the binary search, which has
            $2^{\text{iterations}}$ possible results.

    Raises:
        ValueError: If a setting is out of range.
    """

    low: Annotated[float, Number(min=0, open_min=True)] = 0.01
    high: Annotated[float, Number(min=0, open_min=True)] = 1000.0
    iterations: Annotated[int, Integer(min=1, max=50)] = 20

    section = "kernel_search"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("kernel_search.high", self.high, (Number(min=self.low, open_min=True),))

    def grid(self, step: int) -> float:
        r"""Return the length-scale of a step, of which there are $2^{\text{iterations}}$."""

        return self.low + (self.high - self.low) * step / 2**self.iterations

    def step(self, lengthscale: float) -> int:
        """Return the step that is nearest to a length-scale."""

        return round((lengthscale - self.low) / (self.high - self.low) * 2**self.iterations)


def fit_lengthscale(
    kernel: Kernel,
    parties: Sequence[torch.Tensor],
    synthetic: torch.Tensor,
    low: float = LengthscaleSearch.low,
    high: float = LengthscaleSearch.high,
    iterations: int = LengthscaleSearch.iterations,
    reference: Reference | None = None,
    method: ValuationMethod | str = "auto",
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

    With `method="nufft"`, exact values follow from Fourier transforms of all points, of which few are computed, to
    1e-12: the result is the same, in linear time.

    Arguments:
        kernel: The kernel, with any length-scale.
        parties: The parties' points, each of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        low, high, iterations: The range and resolution of the search, see `LengthscaleSearch`.
        reference: The reference that values are compared with; all of $T$, if `None`.
        method: How values are computed, see `ValuationMethod` and `search_method`; or its name.

    Returns:
        The kernel with the length-scale found.

    Raises:
        ValueError: If $v(D_i) < 0$ for a party even at `high`, or if the points cannot be valued.

    References:
        Section 5.
    """

    search_range = LengthscaleSearch(low, high, iterations)
    parties = check_parties(parties)
    synthetic = check_pool(synthetic, parties)

    last, n = 2**iterations, len(parties)
    blocks, sizes, compared = _blocks(parties, synthetic, reference)
    total = sum(sizes[b] for b in compared)
    order = list(range(n))  # the party whose value was negative last is first

    def at(step: int) -> Kernel:
        return kernel.with_lengthscale(search_range.grid(step))

    shares = [sizes[i] / total if i in compared else 0.0 for i in order]

    def party_and_rest(i: int) -> tuple[torch.Tensor, torch.Tensor]:
        return blocks[i], torch.cat([blocks[i][:0], *(blocks[b] for b in compared if b != i)])

    by = search_method(method, at(last), blocks)
    few = (200, 1000) if by == "nufft" else (300, 1500)  # the former needs the octave of the result alone
    subsets = [(thin(x, few[0]), thin(rest, few[1])) for x, rest in map(party_and_rest, order)]

    @cache
    def estimate(i: int, step: int) -> float:
        if by == "nufft":
            return _small_value(at(step), *subsets[i], sizes[i], shares[i])
        return _party_value(at(step), *subsets[i], sizes[i], shares[i])

    @cache
    def value(i: int, step: int) -> float:
        bar.update()
        products = None if means is None else means.at(search_range.grid(step))
        if products is None:
            return _party_value(at(step), *party_and_rest(i), sizes[i], shares[i])
        linear = sum(sizes[b] * float(products[i, b]) for b in compared)
        return 2 * linear / total - float(products[i, i])

    def all_nonnegative(step: int, value: Callable[[int, int], float]) -> bool:
        for i in order:
            if value(i, step) < 0:
                order.remove(i)
                order.insert(0, i)
                return False
        return True

    estimated = first_true(lambda step: all_nonnegative(step, estimate), 0, last)
    means = mean_products(by, at(estimated), blocks)
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


def _blocks(
    parties: Sequence[torch.Tensor], synthetic: torch.Tensor, reference: Reference | None
) -> tuple[list[torch.Tensor], list[int], tuple[int, ...]]:
    r"""Return $D_1, \dots, D_n, G$ in the precision of `Valuation`, their sizes, and the blocks of the reference."""

    blocks, n = [x.double() for x in (*parties, synthetic)], len(parties)
    reference = AllReference() if reference is None else reference
    return blocks, [len(x) for x in blocks], check_blocks(reference, reference.blocks(n), n)


def _mean_row(kernel: Kernel, total: float, m: int, s: int) -> float:
    r"""Estimate the mean sum of the kernel over a point and a set of s points, from the total over m of these points.

    A point with itself is one of s pairs in the set, but one of m pairs in the subset.
    """

    return kernel.diagonal + (s - 1) * (total - m * kernel.diagonal) / (m * (m - 1))


def _party_value(kernel: Kernel, x: torch.Tensor, rest: torch.Tensor, s: int, share: float) -> float:
    r"""Compute $v(D)$ of a set $D$ of s points, from $D$ and the rest of the reference or from subsets of these.

    Arguments:
        kernel: The kernel, with a number as its length-scale.
        x: The points of $D$ or some of them.
        rest: The points of the reference that are not in $D$, or some of them.
        s: The size of $D$.
        share: The share of $D$ in the reference.
    """

    total = float(block_sums(kernel, x, [len(x)]).sum())
    cross = float(cross_sums(kernel, x, rest).sum()) if len(rest) else 0.0
    return _value_of_sums(kernel, total, cross, len(x), len(rest), s, share)


def _small_value(kernel: Kernel, x: torch.Tensor, rest: torch.Tensor, s: int, share: float) -> float:
    """Compute `_party_value` of small subsets, for which threads and tiles would take most of the time."""

    with workers():  # so that torch takes one thread
        total, cross = float(kernel(x, x).sum()), float(kernel(x, rest).sum())
    return _value_of_sums(kernel, total, cross, len(x), len(rest), s, share)


def _value_of_sums(kernel: Kernel, total: float, cross: float, m: int, rest: int, s: int, share: float) -> float:
    """Compute `_party_value` from sums over m points of $D$, and over them and points of the rest of the reference."""

    mean = _mean_row(kernel, total, m, s) / s if m < s else total / m**2
    return (2 * share - 1) * mean + 2 * (1 - share) * (cross / (m * rest) if rest else 0.0)


MEDIAN = 2000  # points whose median distance is computed at most


def median_distance(x: torch.Tensor, max_points: int = MEDIAN) -> float:
    r"""Compute the median distance between two points, a common rule of thumb for a length-scale.

    Arguments:
        x: The points, of shape $(N, d)$.
        max_points: The maximum number of points to use; if there are more, evenly spaced rows are used.

    Raises:
        ValueError: If more than half of the pairs have distance zero.
    """

    x = check_points(x, "kernel.lengthscale=median: points", min=2)
    median = float(torch.pdist(thin(x, max_points).double()).median())
    if median == 0:
        raise ValueError("kernel.lengthscale=median: the median distance is 0; set kernel.lengthscale to a number")

    return median


SUBSET = 1500  # approximate number of real points, and of points of the pool, for estimates
PER_OCTAVE = 4  # length-scales that are tried, at least by an estimate, from one to the double of it


def fit_monotone(
    kernel: Kernel,
    parties: Sequence[torch.Tensor],
    synthetic: torch.Tensor,
    low: float = LengthscaleSearch.low,
    high: float = LengthscaleSearch.high,
    iterations: int = LengthscaleSearch.iterations,
    reference: Reference | None = None,
    method: ValuationMethod | str = "auto",
) -> Kernel:
    r"""Compute the smallest length-scale found at which $v_c$ is non-negative and monotone over all coalitions.

    The result is a certificate by computation, for the data at hand: the exact values of all $2^n$ coalitions, compared
    with the reference, satisfy $v(D_i) \geq 0$ for all $i$ and $v_c(C \cup \{i\}) \geq v_c(C)$ for all $C$ and
    $i \notin C$, up to rounding errors (see `negative_increments`). It says nothing about sets of points that are no
    unions of parties' data. Proposition 5 excludes that the sufficient conditions of Proposition 4 and Theorem 1 hold
    together, not that this holds.

    Smaller length-scales than that of `fit_lengthscale` have negative values. If $v_c$ is monotone at that one, it is
    the result. Otherwise larger ones are tried, a quarter of an octave apart: each that an estimate from a subset of
    the points finds monotone, and one in each octave in any case. Between the first that is monotone and the last
    tried one below, which is not, a search as in `fit_lengthscale` finds a point of its grid at which $v_c$ is monotone
    and below which, one step of the grid, it is not.

    Being monotone is no monotone property of the length-scale. For a smooth kernel,
    $k(x, x') = k^* - c \|x - x'\|^2 / \ell^2 + \dots$, and for large $\ell$

    .. math:: v(S) \approx k^* - \frac{2 c}{\ell^2} (\text{Var}(T) + \|\mu_S - \mu_T\|^2)

    with the means $\mu$, so that $v_c$ decreases wherever a party moves the mean of a coalition away from that of $T$.
    So there may be smaller length-scales than the result, between those tried, and often there is none at all.

    One exact test costs $(\sum_i |D_i|)^2 / 2 + |G| \sum_i |D_i|$ kernel evaluations and $2^n n$ additions.

    Arguments:
        kernel: The kernel, with any length-scale.
        parties: The parties' points, each of shape $(N_i, d)$; at most 20 parties.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        low, high, iterations: The range and resolution of the search, see `LengthscaleSearch`.
        reference: The reference that values are compared with; all of $T$, if `None`.
        method: How values are computed, see `ValuationMethod` and `search_method`; or its name.

    Returns:
        The kernel with the length-scale found.

    Raises:
        ValueError: If there are more than 20 parties, if $v_c$ is not monotone at any of the length-scales tried up
            to `high`, or for the reasons of `fit_lengthscale`.

    References:
        Section 5, Proposition 5.
    """

    if len(parties) > MAX_PARTIES:
        raise ValueError(
            f"kernel.lengthscale=fit_monotone: there are {len(parties)} parties, and all 2^{len(parties)} coalitions "
            f"would have to be examined; expected at most {MAX_PARTIES} parties, or kernel.lengthscale=fit"
        )
    parties = check_parties(parties)
    synthetic = check_pool(synthetic, parties)

    fitted = fit_lengthscale(kernel, parties, synthetic, low, high, iterations, reference, method)
    search_range, last, n = LengthscaleSearch(low, high, iterations), 2**iterations, len(parties)
    start = search_range.step(fitted.numeric_lengthscale)

    def at(step: int) -> Kernel:
        return kernel.with_lengthscale(search_range.grid(step))

    blocks, sizes, compared = _blocks(parties, synthetic, reference)
    limits = [max(2, SUBSET // n)] * n + [SUBSET]
    subsets = [thin(x, limit) for x, limit in zip(blocks, limits, strict=True)]

    means = mean_products(search_method(method, at(last), blocks), fitted, blocks)

    @cache
    def estimate(step: int) -> float:
        return _margin(at(step), subsets, sizes, compared)

    @cache
    def margin(step: int) -> float:
        bar.update()
        products = None if means is None else means.at(search_range.grid(step))
        if products is None:
            return _margin(at(step), blocks, sizes, compared)
        s = torch.tensor(sizes, dtype=torch.float64)
        return _margin_of_sums(s[:n, None] * products * s, sizes, compared)

    with progress(PER_OCTAVE + 3, "monotone length-scale") as bar:
        if margin(start) >= 0:
            return at(start)
        false, tried = start, {start: margin(start)}
        for k, step in enumerate(_steps(start, search_range), 1):
            if k % PER_OCTAVE and step < last and estimate(step) < 0:
                continue
            tried[step] = margin(step)
            if tried[step] >= 0:
                return at(search(margin, estimate, false, step, (false + step) // 2))
            false = step

    best = max(tried, key=lambda step: tried[step])
    first, scale = fitted.numeric_lengthscale, at(best).numeric_lengthscale
    raise ValueError(
        f"kernel.lengthscale=fit_monotone: v is not monotone at any of the {len(tried)} length-scales tried from "
        f"{first:.6g}, that of kernel.lengthscale=fit, to kernel_search.high={high:g}; the smallest change of v by a "
        f"party that joins is {tried[best]:.3g} at best, for {scale:.6g}; use kernel.lengthscale=fit or a number, with "
        "which result.json states the share of negative changes"
    )


def _steps(start: int, search_range: LengthscaleSearch) -> Iterator[int]:
    """Yield points of the grid above `start`, a quarter of an octave apart, and then the last one."""

    lengthscale, step, last = search_range.grid(start), start, 2**search_range.iterations
    while step < last:
        lengthscale *= 2 ** (1 / PER_OCTAVE)
        step = min(max(search_range.step(lengthscale), step + 1), last)
        yield step


def _margin(kernel: Kernel, blocks: Sequence[torch.Tensor], sizes: Sequence[int], compared: tuple[int, ...]) -> float:
    r"""Compute the smallest change of $v_c$ by a party that joins, plus what counts as a rounding error.

    Arguments:
        kernel: The kernel, with a number as its length-scale.
        blocks: $D_1, \dots, D_n, G$, or subsets of them.
        sizes: The sizes of the whole blocks.
        compared: The blocks of the reference.
    """

    used = [len(x) for x in blocks]
    *parties, pool = blocks
    n, real = len(parties), torch.cat(parties)
    rows = block_sums(kernel, real, used[:n])  # (N, n)
    if n in compared:
        rows = torch.cat([rows, cross_sums(kernel, real, pool)[:, None]], 1)
    sums = torch.stack([row.sum(0) for row in rows.split(used[:n])]).cpu()  # (n, n) or (n, n + 1)

    for i, (s, m) in enumerate(zip(sizes[:n], used[:n], strict=True)):  # from subsets to whole blocks
        total = float(sums[i, i])
        sums[i] *= s / m * torch.tensor([sizes[b] / used[b] for b in range(sums.shape[1])])
        if m < s:
            sums[i, i] = s * _mean_row(kernel, total, m, s)
    return _margin_of_sums(sums, sizes, compared)


def _margin_of_sums(sums: torch.Tensor, sizes: Sequence[int], compared: tuple[int, ...]) -> float:
    r"""Compute the result of `_margin` from the sums of the kernel over $D_i$ and each block, of shape $(n, b)$."""

    n = len(sums)
    b = (sums[:, :n] + sums[:, :n].T) / 2
    values = coalition_table(sizes[:n], sums[:, list(compared)].sum(1), b, sum(sizes[c] for c in compared))
    return increments(values).smallest + rounding(values)


def resolve_lengthscale(
    kernel: Kernel,
    parties: Sequence[torch.Tensor],
    synthetic: torch.Tensor,
    search: LengthscaleSearch | None = None,
    reference: Reference | None = None,
    method: ValuationMethod | str = "auto",
) -> Kernel:
    r"""Replace a length-scale that is a rule, `"fit"`, `"fit_monotone"` or `"median"`, by a number.

    Arguments:
        kernel: The kernel; if its length-scale is a number, the kernel itself is returned.
        parties: The parties' points, each of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        search: The range of `fit_lengthscale` and `fit_monotone`; the default range, if `None`.
        reference: The reference that values are compared with; all data, if `None`. `"median"` is that of all data.
        method: How values are computed, see `fit_lengthscale`.

    Raises:
        ValueError: If the rule cannot be applied to the points, see `fit_lengthscale`, `fit_monotone` and
            `median_distance`.
    """

    check_profile(kernel)
    if kernel.lengthscale in ("fit", "fit_monotone"):
        search = search or LengthscaleSearch()
        fit = fit_lengthscale if kernel.lengthscale == "fit" else fit_monotone
        return fit(kernel, parties, synthetic, search.low, search.high, search.iterations, reference, method)
    if kernel.lengthscale == "median":
        points = [to_tensor(x, label_of(name)) for name, x in parties_by_name(parties).items()]
        return kernel.with_lengthscale(median_distance(torch.cat([*points, to_tensor(synthetic, "synthetic pool")])))

    return kernel
