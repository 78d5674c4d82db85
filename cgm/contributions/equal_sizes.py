r"""Shapley values in closed form for parties of equal sizes."""

from __future__ import annotations

import numpy as np
import torch

from cgm.valuation.valuation import Valuation


def shapley_equal_sizes(valuation: Valuation) -> torch.Tensor:
    r"""Compute Shapley values in $O(n^2)$ for parties that all have the same number $N$ of points.

    The value of a coalition of $c$ parties is then the sum of a linear and a quadratic form,

    .. math:: v_c(C) = \frac{2}{c N t} \sum_{j \in C} a_j - \frac{1}{c^2 N^2} \sum_{j, k \in C} B_{jk}

    and $\phi_i$ is the mean over $c = 0, \dots, n - 1$ of the mean of $v_c(C \cup \{i\}) - v_c(C)$ over all coalitions
    $C$ of $c$ of the other $n - 1$ parties. Such a $C$ contains a given other party with probability $p = c / (n - 1)$,
    and two given other parties with probability $q = c (c - 1) / ((n - 1) (n - 2))$, so that the forms have the means

    .. math::
        \mathbb{E} \sum_{j \in C} a_j & = p \, a_{-i} & a_{-i} & = \sum_{j \neq i} a_j \\
        \mathbb{E} \sum_{j, k \in C} B_{jk} & = p \, D_{-i} + q \, O_{-i} & D_{-i} & = \sum_{j \neq i} B_{jj},
            \quad O_{-i} = \sum_{j \neq k, \, j \neq i, \, k \neq i} B_{jk}

    If $i$ joins $C$, these means grow by $a_i$ and by $B_{ii} + 2 p \sum_{j \neq i} B_{ij}$.

    Arguments:
        valuation: The valuation with the sums $a$ and $B$.

    Returns:
        The Shapley values, of shape $(n)$, float64.
    """

    gains = mean_gains(valuation.a.numpy(), valuation.b.numpy(), valuation.sizes[0], valuation.t)
    return torch.from_numpy(gains.mean(0))


def mean_gains(a: np.ndarray, b: np.ndarray, size: float, t: int) -> np.ndarray:
    r"""Compute the mean gains $v_c(C \cup \{i\}) - v_c(C)$ of parties of equal sizes, see `shapley_equal_sizes`.

    Arguments:
        a: The sums $a_i$, of shape $(n)$.
        b: The sums $B_{ij}$, of shape $(n, n)$, symmetric.
        size: The number of points of each party.
        t: The number of points in $T$.

    Returns:
        The mean over all coalitions of each size, of shape $(n, n)$ (coalition size $|C|$, party $i$).
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
    points = np.maximum(c, 1) * size  # the empty coalition: 0 / 1
    without = 2 * linear / (points * t) - quadratic / points**2
    linear, quadratic = linear + a, quadratic + diagonal + 2 * p * cross
    points = (c + 1) * size
    with_i = 2 * linear / (points * t) - quadratic / points**2

    return with_i - without


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
