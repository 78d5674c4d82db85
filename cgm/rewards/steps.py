r"""The steps of weighted sampling, compiled to machine code: adding a point to a reward and drawing the next one.

With $S = D_i \cup G_i$, $m = |S| + 1$, $a_x = \sum_{x' \in T} k(x, x')$ and $u_x = \sum_{x' \in S} k(x, x')$, the
probability of drawing a point $x \in G \setminus G_i$ is

.. math::
    p(x) \propto w_x = \exp\left(\beta \frac{h_x - \max h}{\max h - \min h}\right), \qquad
    h_x = \frac{a_x}{t} - \frac{u_x}{m}

(see `cgm.rewards.sampling.WeightedSampling`). An accepted point $y$ changes every $h_x$: it adds $k(x, y)$ to $u_x$,
and 1 to $m$. So each step passes over all of $G$, but only once, and computes only what is necessary: the kernel, the
new $u$ and the extremes of $h$.

**The extremes.** $G$ is divided into blocks of consecutive points, and the pass computes the largest and the smallest
$h$ of each block, from which those of $G$ follow. A point in $G_i$ has $u = \infty$, thus $h = -\infty$ and $w = 0$.

**The draw.** Computing the sum of all weights would require another exponential for each point of $G$. Instead, a
point is proposed: first a block $b$ with a probability $\propto |b| \max_b w$, which follows from the largest $h$ in
the block, then one of its $|b|$ points, with equal probabilities. The proposal is accepted with probability
$w_x / \max_b w$; otherwise there is another proposal. The accepted point is $x$ with a probability

.. math:: \propto |b| \max_b w \cdot \frac{1}{|b|} \cdot \frac{w_x}{\max_b w} = w_x

that is, $p(x)$ exactly. The mean number of proposals, $\sum_b |b| \max_b w / \sum_x w_x$, is at most $|b|$ for any
kernel, any $\beta$ and any order of the points; a proposal takes a few nanoseconds.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BLOCK = 256  # points; the arrays of a block stay in the fastest cache
MAX_PROPOSALS = 1_000_000  # for one point; the probability that they are not enough is below exp(-3,000)


@njit(nogil=True, cache=True)
def add_kernel_row(
    k: np.ndarray, mean_a: np.ndarray, u: np.ndarray, m: int, block_max: np.ndarray, block_min: np.ndarray
) -> None:
    r"""Add a row of the kernel to $u$, and compute the extremes of $h$.

    Arguments:
        k: The row $k(x, y)$ of the accepted point $y$, of shape $(|G|)$.
        mean_a: $a_x / t$, of shape $(|G|)$.
        u: $u_x$, of shape $(|G|)$; updated in place.
        m: $|S| + 1$, with the accepted point in $S$.
        block_max, block_min: The extremes of $h$ over the points of each block that are not in $G_i$, of shape
            $(\lceil |G| / \text{BLOCK} \rceil)$; overwritten. They are $-\infty$ and $\infty$ for a block without such
            points.
    """

    for b in range(len(block_max)):
        start, stop = b * BLOCK, min((b + 1) * BLOCK, len(u))
        block_max[b], block_min[b] = _add(k[start:stop], mean_a[start:stop], u[start:stop], 1 / m)


@njit(nogil=True, cache=True)
def add_squared_exponential(
    g: np.ndarray,
    y: np.ndarray,
    mean_a: np.ndarray,
    u: np.ndarray,
    m: int,
    block_max: np.ndarray,
    block_min: np.ndarray,
) -> None:
    r"""Compute a row of the squared exponential kernel, block by block in the cache, and add it as `add_kernel_row`.

    Arguments:
        g: $G$ in units of the length-scale, column by column, of shape $(d, |G|)$.
        y: The accepted point, of shape $(d)$.
        mean_a, u, m, block_max, block_min: As in `add_kernel_row`.
    """

    row = np.empty(BLOCK)
    for b in range(len(block_max)):
        start, stop = b * BLOCK, min((b + 1) * BLOCK, len(u))
        k = row[: stop - start]
        k[:] = 0
        for j in range(len(g)):
            _add_squares(g[j, start:stop], y[j], k)
        half_exponential(k)
        block_max[b], block_min[b] = _add(k, mean_a[start:stop], u[start:stop], 1 / m)


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
        _add_squares(g[j], y[j], q)
    return q


@njit(nogil=True, cache=True)
def draw(
    rng: np.random.Generator,
    mean_a: np.ndarray,
    u: np.ndarray,
    m: int,
    block_max: np.ndarray,
    block_min: np.ndarray,
    beta: float,
    noise: float,
) -> int:
    r"""Draw a point of $G \setminus G_i$ with probability $p(x)$.

    Arguments:
        rng: The random stream.
        mean_a, u, m, block_max, block_min: As updated by `add_kernel_row`.
        beta: The inverse temperature $\beta$; if it is infinite, a point with the largest $h$ is drawn.
        noise: Values of $h$ that differ by at most this are considered equal.

    Returns:
        The row of the point in $G$, or -1 if $h$ is not a number.
    """

    high, low = block_max.max(), block_min.min()
    greedy = beta == math.inf
    # the limit avoids inf · 0 for the best point if β is huge; it changes no other weight
    scale = min(beta / (high - low), 1e300) if high - low > noise else 0.0
    if greedy and scale > 0:
        scale = 0.0
        floor = high - noise  # points below have the weight 0, all others the weight 1
    else:
        floor = -math.inf

    ends = np.empty(len(block_max))  # cumulative sums of |b| max_b w
    total = 0.0
    for b in range(len(block_max)):
        if block_max[b] > -math.inf and block_max[b] >= floor:
            total += min(BLOCK, len(u) - b * BLOCK) * math.exp((block_max[b] - high) * scale)
        ends[b] = total

    for _ in range(MAX_PROPOSALS):
        block = np.searchsorted(ends, rng.random() * total, side="right")
        if block == len(ends):  # the product was rounded up
            continue
        x = block * BLOCK + int(rng.random() * min(BLOCK, len(u) - block * BLOCK))
        h = _gain(mean_a[x], u[x], 1 / m)
        if h > -math.inf and h >= floor and rng.random() < math.exp((h - block_max[block]) * scale):
            return x

    return -1


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
def _add_squares(x: np.ndarray, y: float, q: np.ndarray) -> None:
    for i in range(len(q)):
        q[i] += (x[i] - y) * (x[i] - y)


@njit(cache=True)
def _gain(mean_a: float, u: float, inverse: float) -> float:
    """Compute h, by the same operations everywhere, so that the largest h of a block equals that of a point exactly."""

    return mean_a - u * inverse


@njit(cache=True)
def _add(k: np.ndarray, mean_a: np.ndarray, u: np.ndarray, inverse: float) -> tuple[float, float]:
    """Add k to u, and return the largest and the smallest h of one block."""

    # the compiler creates vector instructions for extremes of integers, but not for those of floats, which may be NaN
    infinity = np.int64(0x7FF0000000000000)
    largest, smallest = _ordered(np.float64(-math.inf).view(np.int64)), infinity
    for i in range(len(u)):
        u[i] += k[i]
        h = _gain(mean_a[i], u[i], inverse)
        key = _ordered(np.float64(h).view(np.int64))
        largest = max(largest, key)
        smallest = min(smallest, key if h > -math.inf else infinity)

    return np.int64(_ordered(largest)).view(np.float64), np.int64(_ordered(smallest)).view(np.float64)


@njit(cache=True)
def _ordered(bits: int) -> int:
    """Map the bits of doubles to integers in the same order as the doubles, and such integers back to bits."""

    return bits ^ ((bits >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))
