r"""Algorithm 1 of the paper in plain steps, as a reference to read and to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from cgm.rewards.sampling import ROUNDING
from cgm.utils.checks import check_integer, check_points
from cgm.valuation.kernels import Kernel


def probabilities(gains: np.ndarray, beta: float, rounding: float = ROUNDING) -> np.ndarray:
    r"""Compute the probabilities $p(x) \propto \exp(\beta \bar\Delta_x)$ with which a step of Algorithm 1 draws.

    .. math:: \bar\Delta_x = \frac{\Delta_x - \min \Delta}{\max \Delta - \min \Delta}

    Arguments:
        gains: The gains $\Delta_x$ of the points that are left, of shape $(N)$.
        beta: The inverse temperature $\beta$; infinity shares the probability among the points with the largest gain.
        rounding: Gains that differ by at most this are equal.

    Returns:
        The probabilities, of shape $(N)$; all equal, if all gains are.

    Example:
        >>> probabilities(np.array([0.0, 0.1, 0.2]), beta=np.log(4.0))
        array([0.14285714, 0.28571429, 0.57142857])
    """

    low, high = gains.min(), gains.max()
    if high - low <= rounding:
        weights = np.ones(len(gains))
    elif beta == math.inf:
        weights = (gains >= high - rounding).astype(float)
    else:
        weights = np.exp(beta * ((gains - low) / (high - low) - 1))  # the factor exp(-β) prevents an overflow
    return weights / weights.sum()


def algorithm_1(
    kernel: Kernel,
    own: torch.Tensor,
    synthetic: torch.Tensor,
    reference: torch.Tensor,
    target: float,
    beta: float,
    seed: int,
    draw: Callable[[np.ndarray], int] | None = None,
) -> list[int]:
    r"""Draw the reward $G_i$ of a party, with each step as the paper writes it.

    `WeightedSampling` draws with the same probabilities, thousands of times as fast, and adds `patience` and a
    tolerance. Use it for rewards, and this function to read, to teach and to compare with: each step computes $v$ anew
    for every point that is left, from a kernel matrix that is stored.

    Arguments:
        kernel: The kernel $k$.
        own: The party's points $D_i$, of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        reference: The reference dataset $T = D_1 \cup \dots \cup D_n \cup G$, of shape $(t, d)$.
        target: The reward value $r_i$.
        beta: The inverse temperature $\beta$.
        seed: The seed of the draws, not negative.
        draw: Draws a row of $G$, given the probabilities of all rows, 0 for those in $G_i$; by the seed, if `None`.

    Returns:
        The rows of $G$ in $G_i$, in the order in which they were drawn; all of them, if $v$ never reaches $r_i$.

    Raises:
        ValueError: If points are not finite or not of one width, or if the seed is out of range.

    References:
        Section 4.2, Algorithm 1.

    Example:
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> own, synthetic = torch.tensor([[0.0], [0.1]]), torch.tensor([[0.0], [1.0], [2.0]])
        >>> everything = torch.cat([own, synthetic])
        >>> algorithm_1(SquaredExponential(1.0), own, synthetic, everything, target=0.55, beta=8.0, seed=0)
        [2]
    """

    own = check_points(own, "own")
    synthetic = check_points(synthetic, "synthetic", width=own.shape[1])
    reference = check_points(reference, "reference", width=own.shape[1])
    check_integer("seed", seed, min=0)
    rng = np.random.default_rng(seed)
    draw = draw or (lambda p: int(rng.choice(len(p), p=p)))

    points = torch.cat([own, synthetic]).double()
    k = kernel(points, points).numpy()  # (N_i + |G|, N_i + |G|)
    with_reference = kernel(points, reference.double()).numpy().mean(1)  # (N_i + |G|)

    def v(rows: list[int]) -> float:  # equation (2)
        return 2 * float(with_reference[rows].mean()) - float(k[np.ix_(rows, rows)].mean())

    s = list(range(len(own)))  # S = D_i ∪ G_i
    left = list(range(len(own), len(points)))  # G \ G_i
    while left and v(s) < target:
        gains = np.array([v([*s, x]) for x in left]) - v(s)  # Δ_x
        p = np.zeros(len(synthetic))
        p[np.array(left) - len(own)] = probabilities(gains, beta, ROUNDING * kernel.diagonal)
        x = len(own) + draw(p)
        s.append(x)
        left.remove(x)

    return [x - len(own) for x in s[len(own) :]]
