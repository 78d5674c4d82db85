"""Estimates of contributions from random pairs of permutations or coalitions, with a control variate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import njit

from cgm.contributions.equal_sizes import equal_sizes_game, mean_gains, weighted_mean
from cgm.utils.run import progress, workers
from cgm.valuation.valuation import Valuation, value_from_sums

ROUND = 1024  # pairs between two checks of the standard errors
CHUNK = 64  # pairs in one task of a thread

Observe = Callable[[int], tuple[np.ndarray, np.ndarray]]
Draw = Callable[[np.random.Generator, int], np.ndarray]

_value: Any = njit(nogil=True, inline="always")(value_from_sums)


def estimate(
    observe: Observe,
    fixed: np.ndarray,
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
    the parties, and an observation is $X_i - \gamma_i Z_i$ minus its mean over $i$. The standard error is that of the
    mean of these independent observations.

    Arguments:
        observe: Draws a number of pairs, and returns $X$ and $Z$, each of shape (pairs, $n$).
        fixed: The known parts $f_i$, of shape $(n)$.
        z_mean: $\mathbb{E} Z_i$, of shape $(n)$.
        tolerance: The estimation stops when the largest standard error is at most this share of the largest absolute
            estimate.
        max_pairs: The maximum number of pairs, without those of the first round; at least 2.
        total: $\sum_i \phi_i$, if known.

    Returns:
        The estimates and their standard errors, each of shape $(n)$, float64, and the number of pairs.
    """

    n = len(fixed)
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

        phi = fixed + slope * z_mean + mean
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

    **Control variate.** $Z_i$ is computed as $X_i$, for the same pair, in a game of parties of equal sizes, see
    `equal_sizes_game`. $\mathbb{E} Z_i$ is known, see `mean_gains`, and `estimate` has the rest.

    **Efficiency.** $\sum_i \phi_i = v_c(N)$ is known as well. If all parties have equal sizes, $X = Z$, and the
    estimates are exact.

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

    n, rng = valuation.n, np.random.default_rng(seed)

    def observations(pairs: int) -> tuple[np.ndarray]:
        return (rng.permuted(np.tile(np.arange(n), (pairs, 1)), axis=1),)

    weights, title = np.ones(n), "Shapley permutations"
    return _sampled(valuation, weights, n, observations, later_gains, tolerance, max_permutations, title, True)


def semivalue_sampled(
    valuation: Valuation, weights: np.ndarray, draw: Draw, tolerance: float, max_coalitions: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, int]:
    r"""Estimate a semivalue from random coalitions.

    Many semivalues are a mean over a random probability $p$: each other party is a member of the coalition $C$ that
    $i$ joins with probability $p$, independently of all others (Owen, 1972). $p = 1/2$ gives the Banzhaf values,
    and a uniform $p$ the Shapley values. If all $n$ parties are members of a coalition $S$ with probability $p$, then
    $S \setminus \{i\}$ is such a $C$ for every $i$: one coalition gives a gain of each party, from the sums of $B$'s
    rows over $S$. The techniques that reduce the standard error are those of `shapley_sampled`:

    **Strata.** The mean gains of $i$ when it joins no party or one party are known; they are $f_i$, weighted by $w_0$
    and $w_1$. $X_i$ is the gain of $i$, or 0 if it joins fewer than two parties.

    **Antithetic pairs.** $X_i$ is the mean over two coalitions: $j \in S$ if $u_j < p$ for uniform $u_j$, and then
    $j \in S$ if $1 - u_j < p$.

    **Control variate.** $Z_i$ is computed as $X_i$, in a game of parties of equal sizes.

    A pair costs $O(n^2)$. The results do not depend on the number of threads.

    Arguments:
        valuation: The valuation with the sums $a$ and $B$.
        weights: The weights $w_c$ of the sizes $|C| = 0, \dots, n - 1$, of shape $(n)$.
        draw: Draws a number of probabilities $p$ from the distribution that gives the sizes these weights.
        tolerance: Sampling stops when the largest standard error is at most this share of the largest absolute
            estimate.
        max_coalitions: The maximum number of coalitions, without those of the first round; at least 4.
        seed: The seed of the coalitions.

    Returns:
        The estimates and their standard errors, each of shape $(n)$, float64, and the number of coalitions.

    References:
        Multilinear Extensions of Games (Owen, 1972).
    """

    rng = np.random.default_rng(seed)

    def observations(pairs: int) -> tuple[np.ndarray, np.ndarray]:
        return draw(rng, pairs), rng.random((pairs, valuation.n))

    return _sampled(valuation, weights, 1, observations, pair_gains, tolerance, max_coalitions, "coalitions")


def _sampled(
    valuation: Valuation,
    weights: np.ndarray,
    total: int,
    draw: Callable[[int], tuple[np.ndarray, ...]],
    gains: Callable[..., np.ndarray],
    tolerance: float,
    maximum: int,
    title: str,
    efficient: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, int]:
    r"""Estimate a semivalue from draws in pairs, with the known part and the control variate of `shapley_sampled`.

    Arguments:
        valuation: The valuation with the sums $a$ and $B$.
        weights, total: Numbers proportional to the weights of the sizes, of shape $(n)$, and their sum.
        draw: Draws a number of pairs of permutations or coalitions.
        gains: Computes the gains of parties that join at least two others in these pairs, of shape (pairs, $n$), from
            what `draw` returns and from a game, $a$, $B$, the sizes and $t$.
        tolerance, maximum: When sampling stops; the maximum number of draws, two for each pair.
        title: What is drawn, for the progress bar.
        efficient: Whether $\sum_i \phi_i = v_c(N)$.

    Returns:
        The estimates and their standard errors, each of shape $(n)$, float64, and the number of draws.
    """

    t = valuation.t
    a, b = valuation.a.numpy(), np.ascontiguousarray(valuation.b.numpy())
    sizes = np.asarray(valuation.sizes[:-1], dtype=np.float64)
    equals = equal_sizes_game(a, b, sizes)
    fixed = weighted_mean(gains_of_first_two(a, b, sizes, t)[: len(a)], weights[:2], total)
    z_mean = weighted_mean(mean_gains(*equals[:2], sizes.mean(), t)[2:], weights[2:], total)
    grand = value_from_sums(a.sum(), b.sum(), sizes.sum(), t) if efficient else None

    with workers() as threads, progress(maximum + 2 * ROUND, title) as bar:

        def observe(pairs: int) -> tuple[np.ndarray, np.ndarray]:  # X and Z, each (pairs, n)
            draws = (draw(min(CHUNK, pairs - k)) for k in range(0, pairs, CHUNK))
            games = threads.map(lambda d: (gains(*d, a, b, sizes, t), gains(*d, *equals, t)), draws)
            x, z = zip(*games, strict=True)
            bar.update(2 * pairs)
            return np.concatenate(x), np.concatenate(z)

        phi, stderr, pairs = estimate(observe, fixed, z_mean, tolerance, maximum // 2, grand)

    return phi, stderr, 2 * pairs


def gains_of_first_two(a: np.ndarray, b: np.ndarray, sizes: np.ndarray, t: int) -> np.ndarray:
    r"""Compute the mean gains of parties that join no party, and that join one other party.

    Arguments:
        a, b, sizes, t: The game, $B$ symmetric.

    Returns:
        $v_c(\{i\})$ and the mean of $v_c(\{i, j\}) - v_c(\{j\})$ over $j \neq i$, of shape $(2, n)$.
    """

    n = len(a)
    diagonal = b.diagonal()
    alone = value_from_sums(a, diagonal, sizes, t)
    two = value_from_sums(np.add.outer(a, a), np.add.outer(diagonal, diagonal) + 2 * b, np.add.outer(sizes, sizes), t)
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
                value = _value(linear, quadratic, points, t)
                if place >= 2:
                    gains[k, i] += (value - before) / 2
                before = value

    return gains


@njit(nogil=True, cache=True)
def pair_gains(p: np.ndarray, u: np.ndarray, a: np.ndarray, b: np.ndarray, sizes: np.ndarray, t: int) -> np.ndarray:
    r"""Compute gains of all parties that join at least two others, each the mean over two coalitions.

    Arguments:
        p: The probabilities $p$, of shape $(m)$.
        u: The uniform numbers $u_j$, of shape $(m, n)$.
        a, b, sizes, t: The game, $B$ symmetric.

    Returns:
        The gains, of shape $(m, n)$ (pair, party).
    """

    m, n = u.shape
    gains = np.zeros((m, n))
    inside, sums = np.empty(n), np.empty(n)

    for k in range(m):
        for mirrored in range(2):
            sums[:] = 0  # sum of B_ij over the members j of S
            members, points, linear, quadratic = 0.0, 0.0, 0.0, 0.0
            for j in range(n):
                inside[j] = 1.0 if (1 - u[k, j] if mirrored else u[k, j]) < p[k] else 0.0
                if inside[j]:
                    members += 1
                    points += sizes[j]
                    linear += a[j]
                    row = b[j]
                    for i in range(n):
                        sums[i] += row[i]
            for j in range(n):
                quadratic += inside[j] * sums[j]
            for i in range(n):
                if members - inside[i] < 2:
                    continue
                cross = sums[i] - inside[i] * b[i, i]  # sum of B_ij over the members j != i
                # C = S without i, and then C with i
                c_points, c_linear = points - inside[i] * sizes[i], linear - inside[i] * a[i]
                c_quadratic = quadratic - inside[i] * (2 * cross + b[i, i])
                without = _value(c_linear, c_quadratic, c_points, t)
                c_points += sizes[i]
                c_quadratic += 2 * cross + b[i, i]
                with_i = _value(c_linear + a[i], c_quadratic, c_points, t)
                gains[k, i] += (with_i - without) / 2

    return gains
