"""Estimates of contributions from random pairs of permutations or coalitions, with a control variate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

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
