r"""The smallest length-scale at which the value of data is non-negative and monotone (Sec. 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import torch

from cgm.utils.checks import check_parties
from cgm.utils.progress import progress
from cgm.valuation.kernels.base import Kernel
from cgm.valuation.lengthscale import LengthscaleSearch, fit_lengthscale
from cgm.valuation.mmd import block_sums, cross_sums
from cgm.valuation.monotone import MAX_PARTIES, increments, rounding
from cgm.valuation.references.all import AllReference
from cgm.valuation.references.base import Reference, check_blocks
from cgm.valuation.search import search, thin
from cgm.valuation.valuation import coalition_table

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
    check_parties(parties, synthetic)

    fitted = fit_lengthscale(kernel, parties, synthetic, low, high, iterations, reference)
    last = 2**iterations
    start = round((fitted.numeric_lengthscale - low) / (high - low) * last)

    def at(step: int) -> Kernel:
        return kernel.with_lengthscale(low + (high - low) * step / last)

    blocks = [x.double() for x in (*parties, synthetic)]  # the precision of `Valuation`
    sizes, n = [len(x) for x in blocks], len(parties)
    reference = AllReference() if reference is None else reference
    compared = check_blocks(reference, reference.blocks(n), n)
    limits = [max(2, SUBSET // n)] * n + [SUBSET]
    subsets = [thin(x, limit) for x, limit in zip(blocks, limits, strict=True)]

    @cache
    def estimate(step: int) -> float:
        return _margin(at(step), subsets, sizes, compared)

    @cache
    def margin(step: int) -> float:
        bar.update()
        return _margin(at(step), blocks, sizes, compared)

    with progress(PER_OCTAVE + 3, "monotone length-scale") as bar:
        if margin(start) >= 0:
            return at(start)
        false, tried = start, {start: margin(start)}
        for k, step in enumerate(_steps(start, last, low, high), 1):
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


def _steps(start: int, last: int, low: float, high: float) -> Iterator[int]:
    """Yield points of the grid above `start`, a quarter of an octave apart, and then the last one."""

    lengthscale, step = low + (high - low) * start / last, start
    while step < last:
        lengthscale *= 2 ** (1 / PER_OCTAVE)
        step = min(max(round((lengthscale - low) / (high - low) * last), step + 1), last)
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
        own = float(sums[i, i])
        sums[i] *= s / m * torch.tensor([sizes[b] / used[b] for b in range(sums.shape[1])])
        if m < s:  # a point with itself is one of s pairs in D_i, but one of m pairs in the subset
            sums[i, i] = s * (kernel.diagonal + (s - 1) * (own - m * kernel.diagonal) / (m * (m - 1)))

    b = (sums[:, :n] + sums[:, :n].T) / 2
    values = coalition_table(sizes[:n], sums[:, list(compared)].sum(1), b, sum(sizes[c] for c in compared))
    return increments(values).smallest + rounding(values)
