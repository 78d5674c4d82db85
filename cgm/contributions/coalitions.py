r"""Semivalues estimated from random coalitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numba import njit

from cgm.contributions.equal_sizes import equal_sizes_game, mean_gains
from cgm.contributions.estimator import CHUNK, ROUND, estimate
from cgm.contributions.permutations import gains_of_first_two
from cgm.utils.progress import progress
from cgm.utils.threads import workers
from cgm.valuation.valuation import Valuation

Draw = Callable[[np.random.Generator, int], np.ndarray]


def semivalue_sampled(
    valuation: Valuation, shares: np.ndarray, draw: Draw, tolerance: float, max_coalitions: int, seed: int
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
        shares: The probabilities $w_c$ of the sizes $|C| = 0, \dots, n - 1$, of shape $(n)$.
        draw: Draws a number of probabilities $p$ from the distribution that gives the sizes these probabilities.
        tolerance: Sampling stops when the largest standard error is at most this share of the largest absolute
            estimate.
        max_coalitions: The maximum number of coalitions, without those of the first round; at least 4.
        seed: The seed of the coalitions.

    Returns:
        The estimates and their standard errors, each of shape $(n)$, float64, and the number of coalitions.

    References:
        Multilinear Extensions of Games (Owen, 1972).
    """

    n, t = valuation.n, valuation.t
    a, b = valuation.a.numpy(), np.ascontiguousarray(valuation.b.numpy())
    sizes = np.asarray(valuation.sizes[:-1], dtype=np.float64)
    rng = np.random.default_rng(seed)

    equals = equal_sizes_game(a, b, sizes)
    known = shares[:2] @ gains_of_first_two(a, b, sizes, t)[: len(shares)]
    z_mean = shares[2:] @ mean_gains(*equals[:2], sizes.mean(), t)[2:]

    with workers() as threads, progress(max_coalitions + 2 * ROUND, "coalitions") as bar:

        def observe(pairs: int) -> tuple[np.ndarray, np.ndarray]:  # X and Z, each (pairs, n)
            chunks = (min(CHUNK, pairs - k) for k in range(0, pairs, CHUNK))
            drawn = ((draw(rng, chunk), rng.random((chunk, n))) for chunk in chunks)
            games = threads.map(
                lambda d: (pair_gains(d[0], d[1], a, b, sizes, t), pair_gains(d[0], d[1], *equals, t)), drawn
            )
            x, z = zip(*games, strict=True)
            bar.update(2 * pairs)
            return np.concatenate(x), np.concatenate(z)

        phi, stderr, pairs = estimate(observe, known, z_mean, tolerance, max_coalitions // 2)

    return phi, stderr, 2 * pairs


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
                without = 2 * c_linear / (c_points * t) - c_quadratic / c_points**2
                c_points += sizes[i]
                c_quadratic += 2 * cross + b[i, i]
                with_i = 2 * (c_linear + a[i]) / (c_points * t) - c_quadratic / c_points**2
                gains[k, i] += (with_i - without) / 2

    return gains
