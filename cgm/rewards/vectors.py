r"""Elementary operations on arrays, compiled to vector instructions: the inner loops of `cgm.rewards.steps`."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def squared_distances(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Compute $\|x - y\|^2$ from differences, so that the error is a rounding error of the distance itself.

    Arguments:
        g: Points $x$, column by column, of shape $(d, N)$.
        y: A point, of shape $(d)$.

    Returns:
        The squared distances, of shape $(N)$.
    """

    q = np.zeros(g.shape[1])
    for j in range(len(g)):
        add_squares(g[j], y[j], q)
    return q


@njit(fastmath={"contract"}, cache=True)
def half_exponential(q: np.ndarray) -> None:
    r"""Replace $q \geq 0$ by $\exp(-q / 2)$, with a relative error below 1e-15; results below 1e-307 become 3e-308.

    The compiler turns this into vector instructions, which is not possible with a call of the library's `exp`. With
    $-q / 2 = n \ln 2 + r$, $|r| \leq \ln(2) / 2$, the result is $2^n$ times the Taylor polynomial of $e^r$, whose
    degree is 12.
    """

    for i in range(len(q)):
        x = max(-0.5 * q[i], -708.0)
        # the last bits of a double near 1.5 · 2^52 are an integer: adding this number rounds x / ln 2 to the integer n
        shifted = x * 1.4426950408889634 + 6755399441055744.0
        n = shifted - 6755399441055744.0
        r = x - n * 6.93147180369123816490e-01  # ln 2 in two parts: n times the first part is exact
        r = r - n * 1.90821492927058770002e-10
        r2 = r * r
        r4 = r2 * r2
        p0 = (1.0 + r) + r2 * (1 / 2 + r * (1 / 6))
        p1 = (1 / 24 + r * (1 / 120)) + r2 * (1 / 720 + r * (1 / 5040))
        p2 = (1 / 40320 + r * (1 / 362880)) + r2 * (1 / 3628800 + r * (1 / 39916800))
        p = p0 + r4 * (p1 + r4 * (p2 + r4 * (1 / 479001600)))
        # add n to the bits of the exponent
        q[i] = np.int64(np.float64(p).view(np.int64) + (np.float64(shifted).view(np.int64) << 52)).view(np.float64)


@njit(fastmath={"contract"}, cache=True)
def add_squares(x: np.ndarray, y: float, q: np.ndarray) -> None:
    """Add the squared distances of a coordinate."""

    for i in range(len(q)):
        q[i] += (x[i] - y) * (x[i] - y)


@njit(cache=True)
def add(k: np.ndarray, u: np.ndarray) -> None:
    """Add k to u."""

    for i in range(len(u)):
        u[i] += k[i]


@njit(fastmath={"contract"}, cache=True)
def add_box_distances(y: float, low: np.ndarray, high: np.ndarray, near: np.ndarray, far: np.ndarray) -> None:
    """Add the squared distances of a coordinate from the nearest and the farthest point of each box."""

    for b in range(len(low)):
        below, above = low[b] - y, y - high[b]
        outside = max(max(below, above), 0.0)
        inside = max(abs(below), abs(above))
        near[b] += outside * outside
        far[b] += inside * inside


@njit(cache=True)
def live_extremes(values: np.ndarray, u: np.ndarray) -> tuple[float, float]:
    """Return the largest and the smallest value of the points with a finite u."""

    # the compiler creates vector instructions for extremes of integers, but not for those of floats, which may be NaN
    infinity = np.int64(0x7FF0000000000000)
    minus_infinity = _ordered(np.float64(-math.inf).view(np.int64))
    largest, smallest = minus_infinity, infinity
    for i in range(len(u)):
        key, live = _ordered(np.float64(values[i]).view(np.int64)), u[i] != math.inf
        largest = max(largest, key if live else minus_infinity)
        smallest = min(smallest, key if live else infinity)

    return np.int64(_ordered(largest)).view(np.float64), np.int64(_ordered(smallest)).view(np.float64)


@njit(cache=True)
def _ordered(bits: int) -> int:
    """Map the bits of doubles to integers in the same order as the doubles, and such integers back to bits."""

    return bits ^ ((bits >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))


@njit(cache=True)
def argmax(values: np.ndarray) -> int:
    """Return the first position of the largest value."""

    best = 0
    for b in range(len(values)):
        if values[b] > values[best]:
            best = b
    return best


@njit(cache=True)
def argmin(values: np.ndarray) -> int:
    """Return the first position of the smallest value."""

    best = 0
    for b in range(len(values)):
        if values[b] < values[best]:
            best = b
    return best
