r"""Gains in closed form of parties that have equal sizes, for semivalues and for the control variates of estimates."""

from __future__ import annotations

import numpy as np

from cgm.valuation.valuation import value_from_sums


def mean_gains(a: np.ndarray, b: np.ndarray, size: float, t: int) -> np.ndarray:
    r"""Compute the mean gains $v_c(C \cup \{i\}) - v_c(C)$ over all coalitions $C$ of each size, in $O(n^2)$.

    With $N$ points of each party, the value of a coalition of $c$ parties is the sum of a linear and a quadratic form,

    .. math:: v_c(C) = \frac{2}{c N t} \sum_{j \in C} a_j - \frac{1}{c^2 N^2} \sum_{j, k \in C} B_{jk}

    A random $C$ of $c$ parties other than $i$ contains a given one with probability $p = c / (n - 1)$, and two given
    ones with probability $q = c (c - 1) / ((n - 1) (n - 2))$, so that the forms have the means

    .. math::
        \mathbb{E} \sum_{j \in C} a_j & = p \, a_{-i} & a_{-i} & = \sum_{j \neq i} a_j \\
        \mathbb{E} \sum_{j, k \in C} B_{jk} & = p \, D_{-i} + q \, O_{-i} & D_{-i} & = \sum_{j \neq i} B_{jj},
            \quad O_{-i} = \sum_{j \neq k, \, j \neq i, \, k \neq i} B_{jk}

    If $i$ joins $C$, these means grow by $a_i$ and by $B_{ii} + 2 p \sum_{j \neq i} B_{ij}$.

    Arguments:
        a: The sums $a_i$, of shape $(n)$.
        b: The sums $B_{ij}$, of shape $(n, n)$, symmetric.
        size: The number $N$ of points of each party.
        t: The number of points in the reference.

    Returns:
        The mean gains, of shape $(n, n)$ (coalition size $|C|$, party $i$).
    """

    n = len(a)
    diagonal = b.diagonal()
    cross = b.sum(1) - diagonal  # (n), sum of B_ij over j != i
    a_rest = a.sum() - a
    d_rest = diagonal.sum() - diagonal
    o_rest = cross.sum() - 2 * cross

    c = np.arange(n, dtype=np.float64)[:, None]  # (n, 1)
    p = c / max(n - 1, 1)
    q = p * (c - 1) / max(n - 2, 1)
    linear, quadratic = p * a_rest, p * d_rest + q * o_rest  # (n, n): coalition size, party
    without = value_from_sums(linear, quadratic, np.maximum(c, 1) * size, t)  # the empty coalition: 0 / 1
    linear, quadratic = linear + a, quadratic + diagonal + 2 * p * cross
    return value_from_sums(linear, quadratic, (c + 1) * size, t) - without


def weighted_mean(gains: np.ndarray, weights: np.ndarray, total: int) -> np.ndarray:
    """Compute the means of gains, of shape (m, n), over m sizes with weights of shape (m), divided by a total."""

    return (weights[:, None] * gains).sum(0) / total


def equal_sizes_game(a: np.ndarray, b: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Return a game as if each party had the same number $\bar{N}$ of points, with the distribution of its own points.

    $a_i$ is replaced by $a_i \bar{N} / N_i$ and $B_{ij}$ by $B_{ij} \bar{N}^2 / (N_i N_j)$.

    Arguments:
        a, b, sizes: The game.

    Returns:
        The same, with the mean $\bar{N}$ of the sizes in place of each size.
    """

    scale = sizes.mean() / sizes
    return a * scale, b * np.outer(scale, scale), np.full(len(a), sizes.mean())
