r"""Shapley values in closed form for parties of one size."""

import numpy as np
import torch
from torch import Tensor

from cgm.valuation.valuation import Valuation


def shapley_equal_sizes(valuation: Valuation) -> Tensor:
    r"""Compute Shapley values in $O(n^2)$ when all parties have the same number $N$ of points.

    Given its size $c$, the value of a coalition is then a linear plus a quadratic form,

    .. math:: v_c(C) = \frac{2}{c N t} \sum_{j \in C} a_j - \frac{1}{c^2 N^2} \sum_{j, k \in C} B_{jk}

    and $\phi_i$ is the mean over $c = 0, \dots, n - 1$ of the mean of $v_c(C \cup \{i\}) - v_c(C)$ over all $C$ of
    $c$ of the $n - 1$ others. Such a $C$ holds a given other party with probability $p = c / (n - 1)$ and two
    given ones with $q = c (c - 1) / ((n - 1) (n - 2))$, so that the forms have the means

    .. math::
        \mathbb{E} \sum_{j \in C} a_j & = p \, a_{-i} & a_{-i} & = \sum_{j \neq i} a_j \\
        \mathbb{E} \sum_{j, k \in C} B_{jk} & = p \, D_{-i} + q \, O_{-i} & D_{-i} & = \sum_{j \neq i} B_{jj},
            \quad O_{-i} = \sum_{j \neq k, \, j \neq i, \, k \neq i} B_{jk}

    and with $i$ in it, $a_i$ and $B_{ii} + 2 p \sum_{j \neq i} B_{ij}$ more.

    Arguments:
        valuation: The valuation that holds $a$ and $B$.

    Returns:
        The Shapley values, of shape $(n)$, float64.
    """

    gains = mean_gains(valuation.a.numpy(), valuation.b.numpy(), valuation.sizes[0], valuation.t)
    return torch.from_numpy(gains.mean(0))


def mean_gains(a: np.ndarray, b: np.ndarray, size: float, t: int) -> np.ndarray:
    """Compute the mean gains of parties of one size, see `shapley_equal_sizes`: (n, n), for each |C| and party."""

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
