"""Estimates of contributions from random pairs of permutations or coalitions, with a control variate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numba import njit

from cgm.contributions.equal_sizes import equal_sizes_game, mean_gains
from cgm.utils.run import progress, workers
from cgm.valuation.valuation import Valuation

ROUND = 1024  # pairs between two checks of the standard errors
CHUNK = 64  # pairs in one task of a thread

Observe = Callable[[int], tuple[np.ndarray, np.ndarray]]


def estimate(
    observe: Observe,
    known: np.ndarray,
    z_mean: np.ndarray,
    tolerance: float,
    max_pairs: int,
    total: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor, int]:
    r"""Estimate $\phi_i = f_i + \mathbb{E} X_i$ from random observations of $X_i$, and of $Z_i$ with a known mean.

    For any constant $\gamma_i$,

    .. math:: \phi_i = f_i + \gamma_i \mathbb{E} Z_i + \mathbb{E} [X_i - \gamma_i Z_i]

    The variance is smallest if $\gamma_i$ is the slope of the regression of $X_i$ on $Z_i$. The slope is fitted to a
    first round of observations, which is not used for anything else, so that it does not depend on all others.

    If $\sum_i \phi_i$ is known, the difference between it and the sum of the estimates is distributed equally among
    the parties, and an observation is $X_i - \gamma_i Z_i$ minus its mean over $i$.

    Arguments:
        observe: Draws a number of pairs, and returns $X$ and $Z$, each of shape (pairs, $n$).
        known: The known parts $f_i$, of shape $(n)$.
        z_mean: $\mathbb{E} Z_i$, of shape $(n)$.
        tolerance: The estimation stops when the largest standard error is at most this share of the largest absolute
            estimate.
        max_pairs: The maximum number of pairs, without those of the first round; at least 2.
        total: $\sum_i \phi_i$, if known.

    Returns:
        The estimates and their standard errors, each of shape $(n)$, float64, and the number of pairs.
    """

    n = len(known)
    x, z = observe(ROUND)
    z -= z.mean(0)
    variance = (z**2).mean(0)  # zero if there is no third party
    slope = ((x - x.mean(0)) * z).mean(0) / np.where(variance > 0, variance, 1)

    pairs, mean, scatter = 0, np.zeros(n), np.zeros(n)
    while True:
        x, z = observe(min(ROUND, max_pairs - pairs))
        y = x - slope * z
        if total is not None:
            y -= y.mean(1, keepdims=True)
        # the mean and the sum of squared deviations from it, updated by each round
        shift = y.mean(0) - mean
        scatter += ((y - y.mean(0)) ** 2).sum(0) + shift**2 * pairs * len(y) / (pairs + len(y))
        mean += shift * len(y) / (pairs + len(y))
        pairs += len(y)

        phi = known + slope * z_mean + mean
        if total is not None:
            phi += (total - phi.sum()) / n
        stderr = np.sqrt(scatter / (pairs - 1) / pairs)
        if stderr.max() <= tolerance * np.abs(phi).max() or pairs >= max_pairs:
            break

    return torch.from_numpy(phi), torch.from_numpy(stderr), pairs


def shapley_sampled(
    valuation: Valuation, tolerance: float, max_permutations: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, int]:
    r"""Estimate Shapley values from random permutations.

    $\phi_i$ is the mean over permutations $\pi$ of the gain of $i$, $v_c(C_{\pi, i} \cup \{i\}) - v_c(C_{\pi, i})$.
    Four techniques reduce the standard error; none of them adds a bias.

    **Strata.** Gains vary most among the first parties of a permutation. Party $i$ is first with probability $1 / n$,
    and second with probability $1 / n$, and its mean gains in these places are known:

    .. math:: f_i = \frac{1}{n} \Big[ v_c(\{i\}) + \frac{1}{n - 1} \sum_{j \neq i} v_c(\{i, j\}) - v_c(\{j\}) \Big]

    So only the gains from the third place on are sampled, and $\phi_i = f_i + \mathbb{E} X_i$, where $X_i$ is the gain
    of $i$, or 0 if $i$ is first or second.

    **Antithetic pairs.** $X_i$ is the mean over a random permutation and its reverse.

    **Control variate.** $Z_i$ is computed as $X_i$, for the same pair, in a game of parties of equal sizes: $a_i$ is
    replaced by $a_i \bar{N} / N_i$ and $B_{ij}$ by $B_{ij} \bar{N}^2 / (N_i N_j)$, as if each party had
    $\bar{N} = \sum_i N_i / n$ points with the distribution of its own points. $\mathbb{E} Z_i$ is known, see
    `shapley_equal_sizes`, and for any constant $\gamma_i$

    .. math:: \phi_i = f_i + \gamma_i \mathbb{E} Z_i + \mathbb{E} [X_i - \gamma_i Z_i]

    The variance is smallest if $\gamma_i$ is the slope of the regression of $X_i$ on $Z_i$. The slope is fitted to a
    first round of permutations, which is not used for anything else, so that it does not depend on all others.

    **Efficiency.** $\sum_i \phi_i = v_c(N)$ is known as well: the difference between $v_c(N)$ and the sum of the
    estimates is distributed equally among the parties.

    A pair gives one observation, $X_i - \gamma_i Z_i$ minus its mean over $i$; the standard error is that of the mean
    of these independent observations. If all parties have equal sizes, $X = Z$, and the estimates are exact.

    A pair costs $O(n^2)$. The results do not depend on the number of threads.

    Arguments:
        valuation: The valuation with the sums $a$ and $B$.
        tolerance: Sampling stops when the largest standard error is at most this share of the largest absolute
            estimate.
        max_permutations: The maximum number of permutations, without those of the first round; at least 4.
        seed: The seed of the permutations.

    Returns:
        The estimates and their standard errors, each of shape $(n)$, float64, and the number of permutations.

    References:
        Sampling Permutations for Shapley Value Estimation (Mitchell et al., 2022).
    """

    n, t = valuation.n, valuation.t
    a, b = valuation.a.numpy(), np.ascontiguousarray(valuation.b.numpy())
    sizes = np.asarray(valuation.sizes[:-1], dtype=np.float64)
    rng = np.random.default_rng(seed)

    equals = equal_sizes_game(a, b, sizes)
    known = first_gains(a, b, sizes, t)
    z_mean = mean_gains(*equals[:2], sizes.mean(), t)[2:].sum(0) / n
    grand = 2 * a.sum() / (sizes.sum() * t) - b.sum() / sizes.sum() ** 2

    with workers() as threads, progress(max_permutations + 2 * ROUND, "Shapley permutations") as bar:

        def observe(pairs: int) -> tuple[np.ndarray, np.ndarray]:  # X and Z, each (pairs, n)
            chunks = (min(CHUNK, pairs - k) for k in range(0, pairs, CHUNK))
            orders = (rng.permuted(np.tile(np.arange(n), (chunk, 1)), axis=1) for chunk in chunks)
            games = threads.map(lambda o: (later_gains(o, a, b, sizes, t), later_gains(o, *equals, t)), orders)
            x, z = zip(*games, strict=True)
            bar.update(2 * pairs)
            return np.concatenate(x), np.concatenate(z)

        phi, stderr, pairs = estimate(observe, known, z_mean, tolerance, max_permutations // 2, grand)

    return phi, stderr, 2 * pairs


def first_gains(a: np.ndarray, b: np.ndarray, sizes: np.ndarray, t: int) -> np.ndarray:
    r"""Compute $f_i$, the part of $\phi_i$ from the permutations in which party $i$ is first or second, see
    `shapley_sampled`.

    Arguments:
        a, b, sizes, t: The game, $B$ symmetric.

    Returns:
        The parts $f_i$, of shape $(n)$.
    """

    alone, second = gains_of_first_two(a, b, sizes, t)

    return (alone + second) / len(a)


def gains_of_first_two(a: np.ndarray, b: np.ndarray, sizes: np.ndarray, t: int) -> np.ndarray:
    r"""Compute the mean gains of parties that join no party, and that join one other party.

    Arguments:
        a, b, sizes, t: The game, $B$ symmetric.

    Returns:
        $v_c(\{i\})$ and the mean of $v_c(\{i, j\}) - v_c(\{j\})$ over $j \neq i$, of shape $(2, n)$.
    """

    n = len(a)
    diagonal = b.diagonal()
    alone = 2 * a / (sizes * t) - diagonal / sizes**2
    points = np.add.outer(sizes, sizes)
    two = 2 * np.add.outer(a, a) / (points * t) - (np.add.outer(diagonal, diagonal) + 2 * b) / points**2
    second = two - alone  # (n, n), the gain of the row's party when it joins the column's party
    np.fill_diagonal(second, 0)

    return np.stack([alone, second.sum(1) / max(n - 1, 1)])


@njit(nogil=True, cache=True)
def later_gains(orders: np.ndarray, a: np.ndarray, b: np.ndarray, sizes: np.ndarray, t: int) -> np.ndarray:
    r"""Compute gains in permutations from the third place on, each the mean over a permutation and its reverse.

    Arguments:
        orders: The permutations, of shape $(m, n)$.
        a, b, sizes, t: The game, $B$ symmetric.

    Returns:
        The gains, of shape $(m, n)$ (permutation, party).
    """

    m, n = orders.shape
    gains = np.zeros((m, n))
    rest = np.empty(n)  # sum of B_ij over j != i
    for i in range(n):
        rest[i] = b[i].sum() - b[i, i]
    sums, cross = np.empty(n), np.empty(n)

    for k in range(m):
        sums[:] = 0  # sum of B_ij over the j so far
        for i in orders[k]:
            cross[i] = sums[i]
            row = b[i]
            for j in range(n):
                sums[j] += row[j]
        for backwards in range(2):
            points, linear, quadratic, before = 0.0, 0.0, 0.0, 0.0
            for place in range(n):
                i = orders[k, n - 1 - place if backwards else place]
                points += sizes[i]
                linear += a[i]
                quadratic += 2 * (rest[i] - cross[i] if backwards else cross[i]) + b[i, i]
                value = 2 * linear / (points * t) - quadratic / points**2
                if place >= 2:
                    gains[k, i] += (value - before) / 2
                before = value

    return gains
