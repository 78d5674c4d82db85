r"""Exact discrete Gaussian noise from the entropy of the operating system.

Noise in floating point gives away in its last bits what it should hide; the noise here is a whole number of steps of a
grid, on which what it is added to lies as well. All decisions are made with integers, by `secrets`: there is no seed,
and nobody can draw the same noise again. The time that a draw takes depends on the noise, and is not hidden.

References:
    | The Discrete Gaussian for Differential Privacy (Canonne, Kamath & Steinke, 2020), Algorithms 1 to 3
    | On Significance of the Least Significant Bits for Differential Privacy (Mironov, 2012)
"""

from __future__ import annotations

import secrets

from cgm.utils.checks import check_integer

below = secrets.randbelow


def bernoulli_exp(numerator: int, denominator: int) -> bool:
    r"""Draw whether an event with the probability $\exp(-\gamma)$ happens, $\gamma$ = numerator / denominator >= 0."""

    while numerator > denominator:  # exp(-γ) = exp(-1) exp(-(γ - 1))
        if not _unit(1, 1):
            return False
        numerator -= denominator
    return _unit(numerator, denominator)


def _unit(numerator: int, denominator: int) -> bool:
    r"""Draw as `bernoulli_exp` for $\gamma \leq 1$: an alternating series of the probabilities of runs."""

    k = 1
    while below(k * denominator) < numerator:
        k += 1
    return k % 2 == 1


def discrete_laplace(scale: int) -> int:
    r"""Draw $y \in \mathbb{Z}$ with a probability proportional to $\exp(-|y| / s)$, for a whole scale $s$."""

    while True:
        rest = below(scale)
        if not _unit(rest, scale):
            continue
        times = 0
        while _unit(1, 1):
            times += 1
        size, negative = rest + scale * times, below(2)
        if size or not negative:  # 0 has one sign
            return -size if negative else size


def discrete_gaussian(sigma: int) -> int:
    r"""Draw $y \in \mathbb{Z}$ with a probability proportional to $\exp(-y^2 / 2 \sigma^2)$, for a whole $\sigma$."""

    scale, square = sigma + 1, sigma**2
    while True:
        y = discrete_laplace(scale)
        if bernoulli_exp((abs(y) * scale - square) ** 2, 2 * square * scale**2):
            return y


def noise(count: int, sigma: int) -> list[int]:
    """Draw independent numbers of the discrete Gaussian distribution, 100,000 in some seconds.

    Arguments:
        count: How many.
        sigma: The standard deviation in steps of the grid, a whole number; from 2 on, it is that of the numbers to more
            than 15 digits.

    Example:
        >>> len(noise(5, sigma=1000)), all(isinstance(y, int) for y in noise(5, sigma=1000))
        (5, True)
    """

    check_integer("count", count, min=0)
    check_integer("sigma", sigma, min=1)
    return [discrete_gaussian(sigma) for _ in range(count)]
