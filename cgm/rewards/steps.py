r"""Takes the steps of weighted sampling, compiled to machine code: adds a point to a party's data, draws the next.

With $S = D_i \cup G_i$, $m = |S| + 1$, $a_x = \sum_{x' \in T} k(x, x')$ and $u_x = \sum_{x' \in S} k(x, x')$, a point
$x \in G \setminus G_i$ is to be drawn with probability

.. math::
    p(x) \propto w_x = \exp\left(\beta \frac{h_x - \max h}{\max h - \min h}\right), \qquad
    h_x = \frac{a_x}{t} - \frac{u_x}{m}

(see `cgm.sampling`). An accepted point $y$ changes every $h_x$: it adds $k(x, y)$ to $u_x$, and 1 to $m$. So each step
goes through all of $G$, but only once, and computes no more than it must: the kernel, the new $u$, the extremes of $h$.

**The extremes.** $G$ is cut into blocks of consecutive points, and the pass finds the greatest and the least $h$ of
each block; those of $G$ follow. A point that has been drawn has $u = \infty$, thus $h = -\infty$ and $w = 0$.

**The draw.** The weights are not summed up, which would take another exponential for each point of $G$. A point is
proposed instead: first a block $b$ with a probability $\propto |b| \max_b w$, known from its greatest $h$; then any of
its $|b|$ points. It is accepted with probability $w_x / \max_b w$, else there is another proposal. What is accepted is
$x$ with a probability

.. math:: \propto |b| \max_b w \cdot \frac{1}{|b|} \cdot \frac{w_x}{\max_b w} = w_x

that is, $p(x)$ exactly. The mean number of proposals, $\sum_b |b| \max_b w / \sum_x w_x$, is at most $|b|$, whatever
the kernel, $\beta$ and the order of the points; each takes some nanoseconds.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BLOCK = 256  # points; the arrays of a block stay in the fastest cache
PROPOSALS = 1_000_000  # for one point; so many are needed with a probability below exp(-3,000)


@njit(nogil=True, cache=True)
def add_kernel_row(
    k: np.ndarray, mean_a: np.ndarray, u: np.ndarray, m: int, greatest: np.ndarray, least: np.ndarray
) -> None:
    r"""Adds a row of the kernel to $u$, and finds the extremes of $h$.

    Arguments:
        k: The row $k(x, y)$ of the accepted point $y$, of shape $(|G|)$.
        mean_a: $a_x / t$, of shape $(|G|)$.
        u: $u_x$, of shape $(|G|)$; is changed.
        m: $|S| + 1$, with the accepted point in $S$.
        greatest, least: The extremes of $h$ over the live points of each block; are written. A block without any
            gets $-\infty$ and $\infty$.
    """

    for b in range(len(greatest)):
        start, stop = b * BLOCK, min((b + 1) * BLOCK, len(u))
        greatest[b], least[b] = _add(k[start:stop], mean_a[start:stop], u[start:stop], 1 / m)


@njit(nogil=True, cache=True)
def add_squared_exponential(
    g: np.ndarray, y: np.ndarray, mean_a: np.ndarray, u: np.ndarray, m: int, greatest: np.ndarray, least: np.ndarray
) -> None:
    r"""Does the same as `add_kernel_row` for the squared exponential kernel, whose row never leaves the cache.

    Arguments:
        g: $G$ in units of the length-scale, column by column, of shape $(d, |G|)$.
        y: The accepted point, of shape $(d)$.
        mean_a, u, m, greatest, least: As in `add_kernel_row`.
    """

    row = np.empty(BLOCK)
    for b in range(len(greatest)):
        start, stop = b * BLOCK, min((b + 1) * BLOCK, len(u))
        k = row[: stop - start]
        k[:] = 0
        for j in range(len(g)):
            _add_squares(g[j, start:stop], y[j], k)
        half_exponential(k)
        greatest[b], least[b] = _add(k, mean_a[start:stop], u[start:stop], 1 / m)


@njit(nogil=True, cache=True)
def squared_distances(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    r"""Computes $\|x - y\|^2$ by differences, whose error is a rounding error of the distance itself.

    Arguments:
        g: Points $x$, column by column, of shape $(d, N)$.
        y: A point, of shape $(d)$.

    Returns:
        The squared distances, of shape $(N)$.
    """

    q = np.zeros(g.shape[1])
    for j in range(len(g)):
        _add_squares(g[j], y[j], q)
    return q


@njit(nogil=True, cache=True)
def draw(
    rng: np.random.Generator,
    mean_a: np.ndarray,
    u: np.ndarray,
    m: int,
    greatest: np.ndarray,
    least: np.ndarray,
    beta: float,
    noise: float,
) -> int:
    r"""Draws a point of $G \setminus G_i$ with probability $p(x)$; changes nothing but the random stream.

    Arguments:
        rng: The random stream.
        mean_a, u, m, greatest, least: As `add_kernel_row` has left them.
        beta: The inverse temperature $\beta$; if it is infinite, a point with the greatest $h$ is drawn.
        noise: $h$'s that differ by no more than this are equal but for rounding.

    Returns:
        The point's place in $G$, or -1 if $h$ is not a number.
    """

    high, low = greatest.max(), least.min()
    greedy = beta == math.inf
    # a huge β must not make inf · 0 of the best point; the limit changes no other weight
    scale = min(beta / (high - low), 1e300) if high - low > noise else 0.0
    if greedy and scale > 0:
        scale = 0.0
        floor = high - noise  # all points below have weight 0, and all others 1
    else:
        floor = -math.inf

    ends = np.empty(len(greatest))  # running sums of |b| max_b w
    total = 0.0
    for b in range(len(greatest)):
        if greatest[b] > -math.inf and greatest[b] >= floor:
            total += min(BLOCK, len(u) - b * BLOCK) * math.exp((greatest[b] - high) * scale)
        ends[b] = total

    for _ in range(PROPOSALS):
        b = np.searchsorted(ends, rng.random() * total, side="right")
        if b == len(ends):  # a product that is rounded up
            continue
        x = b * BLOCK + int(rng.random() * min(BLOCK, len(u) - b * BLOCK))
        h = _gain(mean_a[x], u[x], 1 / m)
        if h > -math.inf and h >= floor and rng.random() < math.exp((h - greatest[b]) * scale):
            return x

    return -1


@njit(fastmath={"contract"}, cache=True)
def half_exponential(q: np.ndarray) -> None:
    r"""Replaces $q \geq 0$ by $\exp(-q / 2)$, to a relative error below 1e-15; what is below 1e-307 becomes 3e-308.

    The compiler turns this into vector instructions, which it cannot do with a call of the library's `exp`. With
    $-q / 2 = n \ln 2 + r$, $|r| \leq \ln(2) / 2$, it is $2^n$ times the Taylor polynomial of $e^r$, of degree 12.
    """

    for i in range(len(q)):
        x = max(-0.5 * q[i], -708.0)
        # the last bits of a double near 1.5 · 2^52 are an integer: adding that number rounds, and n can be read off
        shifted = x * 1.4426950408889634 + 6755399441055744.0
        n = shifted - 6755399441055744.0
        r = x - n * 6.93147180369123816490e-01  # ln 2 in two parts: n times the first one is exact
        r = r - n * 1.90821492927058770002e-10
        r2 = r * r
        r4 = r2 * r2
        p0 = (1.0 + r) + r2 * (1 / 2 + r * (1 / 6))
        p1 = (1 / 24 + r * (1 / 120)) + r2 * (1 / 720 + r * (1 / 5040))
        p2 = (1 / 40320 + r * (1 / 362880)) + r2 * (1 / 3628800 + r * (1 / 39916800))
        p = p0 + r4 * (p1 + r4 * (p2 + r4 * (1 / 479001600)))
        # n goes into the exponent's bits
        q[i] = np.int64(np.float64(p).view(np.int64) + (np.float64(shifted).view(np.int64) << 52)).view(np.float64)


@njit(fastmath={"contract"}, cache=True)
def _add_squares(x: np.ndarray, y: float, q: np.ndarray) -> None:
    for i in range(len(q)):
        q[i] += (x[i] - y) * (x[i] - y)


@njit(cache=True)
def _gain(mean_a: float, u: float, inverse: float) -> float:
    """Computes h; everywhere by the same operations, so that a block's greatest h is that of a point, to the bit."""

    return mean_a - u * inverse


@njit(cache=True)
def _add(k: np.ndarray, mean_a: np.ndarray, u: np.ndarray, inverse: float) -> tuple[float, float]:
    """Adds k to u, and returns the greatest and the least h, in one block."""

    # the compiler makes vector instructions of an extreme of integers, but not of numbers that may be NaN
    infinity = np.int64(0x7FF0000000000000)
    greatest, least = _ordered(np.float64(-math.inf).view(np.int64)), infinity
    for i in range(len(u)):
        u[i] += k[i]
        h = _gain(mean_a[i], u[i], inverse)
        place = _ordered(np.float64(h).view(np.int64))
        greatest = max(greatest, place)
        least = min(least, place if h > -math.inf else infinity)

    return np.int64(_ordered(greatest)).view(np.float64), np.int64(_ordered(least)).view(np.float64)


@njit(cache=True)
def _ordered(bits: int) -> int:
    """Maps the bits of doubles to integers that are ordered as the doubles are, and these back to bits."""

    return bits ^ ((bits >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))
