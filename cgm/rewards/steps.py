r"""The steps of weighted sampling, compiled to vector instructions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

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


@njit(fastmath={"contract"}, cache=True)
def sum_of_exponentials(q: np.ndarray, rates: np.ndarray) -> None:
    r"""Replace $q \geq 0$ by $\sum_j \exp(-r_j q / 2)$.

    Arguments:
        q: Numbers, of shape $(N)$; replaced in place.
        rates: The rates $r_j > 0$, of shape $(J)$.
    """

    if len(rates) == 1 and rates[0] == 1:
        half_exponential(q)
        return
    total = np.zeros(len(q))
    for rate in rates:
        part = rate * q
        half_exponential(part)
        add(part, total)
    q[:] = total


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


@njit(fastmath={"contract"}, cache=True)
def add_by_series(x: np.ndarray, y: np.ndarray, centre: np.ndarray, rate: float, orders: int, u: np.ndarray) -> None:
    r"""Add the sums of a squared exponential kernel with some points $y$ to $u$, for points $x$ near a centre $c$.

    With coordinates relative to the centre,

    .. math:: e^{-r \|x - y\|^2 / 2}
        = e^{-r \|x\|^2 / 2} \, e^{-r \|y\|^2 / 2} \prod_j \sum_a \frac{(r y_j)^a}{a!} x_j^a

    so that the sum over $y$ is a polynomial of $x$. Its coefficients are computed once for all $x$.

    Arguments:
        x: Points, of shape $(d, N)$, $d \leq 3$.
        y: Points, of shape $(d, M)$.
        centre: The centre, of shape $(d)$.
        rate: The rate $r$.
        orders: Terms of total order below this are added, see `series_orders`.
        u: The sums, of shape $(N)$; updated in place.

    References:
        The Fast Gauss Transform (Greengard & Strain, 1991)
    """

    d, n = x.shape
    second, third = orders if d > 1 else 1, orders if d > 2 else 1
    coefficients, powers = np.zeros((third, second, orders)), np.ones((3, orders))
    for m in range(y.shape[1]):
        q_y = 0.0
        for j in range(d):
            q_y += (y[j, m] - centre[j]) ** 2
        weight = math.exp(-0.5 * rate * q_y)
        if weight == 0:
            continue  # powers might be infinite
        for j in range(d):
            for a in range(1, orders):
                powers[j, a] = powers[j, a - 1] * (rate * (y[j, m] - centre[j]) / a)
        for c in range(third):
            of_third = weight * powers[2, c] if d > 2 else weight
            for b in range(min(second, orders - c)):
                factor = of_third * powers[1, b] if d > 1 else of_third
                row = coefficients[c, b]
                for a in range(orders - c - b):
                    row[a] += factor * powers[0, a]

    q, total, inner, line = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    shifted = np.empty((d, n))
    for j in range(d):
        shifted[j] = x[j] - centre[j]
        add_squares(shifted[j], 0.0, q)
    q *= rate
    half_exponential(q)
    for c in range(third - 1, -1, -1):  # Horner's method in each coordinate
        inner[:] = 0
        for b in range(min(second, orders - c) - 1, -1, -1):
            line[:] = 0
            for a in range(orders - c - b - 1, -1, -1):
                multiply_and_add(line, shifted[0], coefficients[c, b, a])
            if d > 1:
                inner *= shifted[1]
            add(line, inner)
        if d > 2:
            total *= shifted[2]
        add(inner, total)
    for i in range(n):
        u[i] += q[i] * total[i]


@njit(fastmath={"contract"}, cache=True)
def multiply_and_add(values: np.ndarray, x: np.ndarray, number: float) -> None:
    """Multiply values by x and add a number."""

    for i in range(len(values)):
        values[i] = values[i] * x[i] + number


BLOCK = 256  # points; the arrays of a block stay in the fastest cache
RECENT = 64  # accepted points after which all blocks are brought up to date
FAR = 60.0  # squared distance, in units of the largest length-scale, above which k is below 1e-13 and is taken for 0
MAX_TERMS = 220  # of a series
MIN_SERIES = 8  # points whose kernel values are summed by a series
MAX_PROPOSALS = 1_000_000  # for one point; the probability that they are not enough is below exp(-3,000)


class Pool(NamedTuple):
    r"""What does not change during a chain. Blocks are `BLOCK` consecutive points of $G$.

    Attributes:
        g: $G$ in units of the length-scale, column by column, of shape $(d, |G|)$.
        a: $a_x$, of shape $(|G|)$.
        mean_a: $a_x / t$, of shape $(|G|)$.
        with_all: $\sum_{x' \in T} k(x, x')$, of shape $(|G|)$; $a_x$, if the reference is all of $T$.
        low, high: The corners of the box of each block, of shape $(d, \text{blocks})$.
        rates: The rates $r_j$ of the kernel $\sum_j \exp(-r_j \|x - x'\|^2 / 2)$, of shape $(J)$; for any other kernel,
            there are none, and rows of it are added by `add_kernel_row`.
        orders: The number of orders of the series by which kernel values are summed in each block, see `add_by_series`,
            of shape $(J, \text{blocks})$; 0, if they are computed one by one.
    """

    g: np.ndarray
    a: np.ndarray
    mean_a: np.ndarray
    with_all: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rates: np.ndarray
    orders: np.ndarray


class Sums(NamedTuple):
    r"""What changes during a chain.

    Attributes:
        u: $u_x$ as of when the block of $x$ was brought up to date, of shape $(|G|)$; infinite for the points in $G_i$.
        recent: The points accepted since all blocks were brought up to date, of shape $(d, \text{RECENT})$.
        near: Whether they are near a block, so that their kernel is not 0 there, of shape $(\text{RECENT}, blocks)$.
        seen: The number of them that $u$ includes, for each block.
        inverse: $1 / m_b$.
        h_max, h_min, u_max, u_min: The extremes over the points of each block that were not in $G_i$ when it was
            brought up to date; $-\infty$, $\infty$, 0 and 0 for a block without such points.
        e_low, e_high: $E_{low}$ and $E_{high}$.
        upper, lower: The bounds of $h$.
    """

    u: np.ndarray
    recent: np.ndarray
    near: np.ndarray
    seen: np.ndarray
    inverse: np.ndarray
    h_max: np.ndarray
    h_min: np.ndarray
    u_max: np.ndarray
    u_min: np.ndarray
    e_low: np.ndarray
    e_high: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


def order_by_blocks(x: np.ndarray) -> np.ndarray:
    r"""Order points so that blocks of consecutive points are small in space: the leaves of a k-d tree.

    Arguments:
        x: Points, of shape $(N, d)$.

    Returns:
        The rows of the points in this order, of shape $(N)$.
    """

    def split(rows: np.ndarray) -> list[np.ndarray]:
        if len(rows) <= BLOCK:
            return [rows]
        points = x[rows]
        rows = rows[np.argsort(points[:, np.ptp(points, axis=0).argmax()], kind="stable")]
        middle = BLOCK * math.ceil(len(rows) / BLOCK / 2)  # all blocks but the last are full
        return split(rows[:middle]) + split(rows[middle:])

    return np.concatenate(split(np.arange(len(x))))


def make_pool(g: np.ndarray, a: np.ndarray, t: int, with_all: np.ndarray, rates: Sequence[float]) -> Pool:
    """Create a `Pool` from its points and sums, the size of the reference and the rates of the kernel, see there."""

    starts = np.arange(0, g.shape[1], BLOCK)
    low, high = np.minimum.reduceat(g, starts, axis=1), np.maximum.reduceat(g, starts, axis=1)
    r = np.array(rates, dtype=float)
    return Pool(g, a, a / t, with_all, low, high, r, series_orders(low, high, r))


def series_orders(low: np.ndarray, high: np.ndarray, rates: np.ndarray) -> np.ndarray:
    r"""Choose the orders of `add_by_series`, so that what the series lack of a kernel value is below 1e-16.

    With the distances $R$ and $\rho$ of two points from the centre of a block, the terms from order $p$ on are at most

    .. math:: e^{-\rho^2 / 2} \, \frac{(R \rho)^p}{p!} \, e^{R \rho}

    in units of the length-scale, which is largest for $\rho = (R + \sqrt{R^2 + 4 p}) / 2$.

    Arguments:
        low, high: The corners of the box of each block, of shape $(d, \text{blocks})$.
        rates: The rates of the kernel, of shape $(J)$.

    Returns:
        The orders, of shape $(J, \text{blocks})$; 0, if the series would have more than `MAX_TERMS` terms.
    """

    radii = np.sqrt(rates)[:, None] * np.linalg.norm(high - low, axis=0) / 2 + 1e-300
    orders, d = np.zeros(radii.shape, dtype=np.int64), len(low)
    if d > 3:
        return orders
    p = max(k for k in range(MAX_TERMS + 1) if math.comb(k + d - 1, d) <= MAX_TERMS)
    while p > 0:
        rho = (radii + np.sqrt(radii**2 + 4 * p)) / 2
        largest = p * np.log(radii * rho) - math.lgamma(p + 1) + radii * rho - rho**2 / 2
        orders[largest < math.log(1e-16)] = p
        p -= 1
    return orders


def make_sums(pool: Pool, u: np.ndarray, m: int) -> Sums:
    """Create the `Sums` of the first step of a chain."""

    d, blocks = pool.low.shape
    near = np.zeros((RECENT, blocks), dtype=np.bool_)
    sums = Sums(u, np.empty((d, RECENT)), near, np.zeros(blocks, dtype=np.int64), *np.zeros((9, blocks)))
    update_all(pool, sums, 0, m)
    return sums


@njit(nogil=True, cache=True)
def update_all(pool: Pool, sums: Sums, count: int, m: int) -> None:
    """Bring all blocks up to date.

    Arguments:
        pool: The pool.
        sums: The sums; updated in place.
        count: The number of recent points.
        m: $|S| + 1$.
    """

    for b in range(len(sums.seen)):
        _update(b, pool, sums, count, m)


@njit(nogil=True, cache=True)
def add_kernel_row(k: np.ndarray, pool: Pool, sums: Sums, m: int) -> None:
    r"""Add a row $k(x, y)$ of any kernel to $u$, of shape $(|G|)$. There must be no recent points.

    Arguments:
        k: The row of the accepted point $y$.
        pool, sums: As in `update_all`.
        m: $|S| + 1$, with the accepted point in $S$.
    """

    add(k, sums.u)
    update_all(pool, sums, 0, m)


@njit(nogil=True, cache=True)
def add_point(x: int, pool: Pool, sums: Sums, count: int, m: int) -> int:
    r"""Add a point of $G$ to $G_i$, for a sum of squared exponential kernels.

    Arguments:
        x: The row of the accepted point in $G$; $u_x$ is infinite already.
        pool, sums, count: As in `update_all`.
        m: $|S| + 1$, with the accepted point in $S$.

    Returns:
        The number of recent points; 0, if all blocks were brought up to date.
    """

    blocks = len(sums.seen)
    near, far = np.zeros(blocks), np.zeros(blocks)  # squared distances from the boxes
    for j in range(len(pool.g)):
        add_box_distances(pool.g[j, x], pool.low[j], pool.high[j], near, far)
    sums.recent[:, count] = pool.g[:, x]
    sums.near[count] = near * pool.rates.min() < FAR
    count += 1
    if count == RECENT:
        update_all(pool, sums, count, m)
        sums.seen[:] = 0
        return 0

    sum_of_exponentials(near, pool.rates)
    sum_of_exponentials(far, pool.rates)
    inverse = 1 / m
    for b in range(blocks):
        sums.e_low[b] += far[b]
        sums.e_high[b] += near[b]
        drift = sums.inverse[b] - inverse
        sums.upper[b] = sums.h_max[b] + drift * sums.u_max[b] - sums.e_low[b] * inverse
        sums.lower[b] = sums.h_min[b] + drift * sums.u_min[b] - sums.e_high[b] * inverse
    return count


@njit(nogil=True, cache=True)
def sum_at(x: int, pool: Pool, sums: Sums, count: int) -> float:
    r"""Compute $u_x$ of a point of $G$, with all recent points; the arguments are those of `update_all`."""

    first = sums.seen[x // BLOCK]
    if first == count:
        return sums.u[x]
    k = np.zeros(count - first)
    for j in range(len(pool.g)):
        add_squares(sums.recent[j, first:count], pool.g[j, x], k)
    sum_of_exponentials(k, pool.rates)
    return sums.u[x] + k.sum()


@njit(nogil=True, cache=True)
def draw(rng: np.random.Generator, pool: Pool, sums: Sums, count: int, m: int, beta: float, noise: float) -> int:
    r"""Draw a point of $G \setminus G_i$ with probability $p(x)$.

    Arguments:
        rng: The random stream.
        pool, sums, count, m: As in `update_all`.
        beta: The inverse temperature $\beta$; if it is infinite, a point with the largest $h$ is drawn.
        noise: Values of $h$ that differ by at most this are considered equal.

    Returns:
        The row of the point in $G$, or -1 if $h$ is not a number.
    """

    high, low = _extremes(pool, sums, count, m)
    if not high - low < math.inf:
        return -1
    greedy = beta == math.inf
    # the limit avoids inf · 0 for the best point if β is huge; it changes no other weight
    scale = min(beta / (high - low), 1e300) if high - low > noise else 0.0
    if greedy and scale > 0:
        scale = 0.0
        floor = high - noise  # points below have the weight 0, all others the weight 1
    else:
        floor = -math.inf

    weights = np.empty(len(sums.upper))  # |b| w_b
    for b in range(len(weights)):
        weights[b] = _weight(b, sums, high, scale, floor)
    ends = np.cumsum(weights)

    for _ in range(MAX_PROPOSALS):
        b = int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))
        if b == len(ends):  # the product was rounded up
            continue
        x = b * BLOCK + int(rng.random() * min(BLOCK, len(sums.u) - b * BLOCK))
        if sums.u[x] < math.inf:
            h = _gain(pool.mean_a[x], sum_at(x, pool, sums, count), 1 / m)
            if h >= floor and rng.random() < math.exp((h - sums.upper[b]) * scale):
                return x
        if sums.seen[b] < count:
            _update(b, pool, sums, count, m)
            weights[b] = _weight(b, sums, high, scale, floor)
            ends = np.cumsum(weights)

    return -1


@njit(nogil=True, cache=True)
def advance(
    rng: np.random.Generator,
    pool: Pool,
    sums: Sums,
    totals: np.ndarray,
    count: int,
    t: int,
    beta: float,
    noise: float,
    target: float,
    points: np.ndarray,
    values: np.ndarray,
) -> tuple[int, int]:
    r"""Draw and accept points, for a sum of squared exponential kernels, until $v(S)$ reaches a target.

    Arguments:
        rng, pool, sums, count, beta, noise: As in `draw`.
        totals: $|S|$ and the sums of the kernel over $S \times S$, $S \times$ reference, and $S \times T$; updated in
            place.
        t: The size of the reference.
        target: The value to be reached.
        points: Receives the accepted points, of shape $(N)$, for at most $N$ points.
        values: Receives $v(S)$ after each of them, of shape $(N)$.

    Returns:
        The number of accepted points, and the number of recent points.
    """

    for i in range(len(points)):
        x = draw(rng, pool, sums, count, int(totals[0]) + 1, beta, noise)
        if x < 0:
            return -1, count
        u = sum_at(x, pool, sums, count)
        points[i], values[i] = x, add_to_totals(x, u, float(len(pool.rates)), pool, totals, t)
        sums.u[x] = math.inf  # has probability 0 from now on
        count = add_point(x, pool, sums, count, int(totals[0]) + 1)
        if values[i] >= target:
            return i + 1, count

    return len(points), count


@njit(nogil=True, cache=True)
def add_to_totals(x: int, u: float, diagonal: float, pool: Pool, totals: np.ndarray, t: int) -> float:
    r"""Add a point to the sums of the kernel over $S$.

    Arguments:
        x: The point.
        u: $u_x$, before the point is in $S$.
        diagonal: $k^*$.
        pool, totals, t: As in `advance`.

    Returns:
        $v(S)$ with the point.
    """

    # S x S gains the pairs of the new point with S, twice, and the pair of the new point with itself
    totals[0] += 1
    totals[1] += 2 * u + diagonal
    totals[2] += pool.a[x]
    totals[3] += pool.with_all[x]
    return value(totals, t)


@njit(nogil=True, cache=True)
def value(totals: np.ndarray, t: int) -> float:
    """Compute the value $v(S)$ from the sums of the kernel, see `advance`."""

    return 2 * totals[2] / (totals[0] * t) - totals[1] / totals[0] ** 2


@njit(cache=True)
def _update(b: int, pool: Pool, sums: Sums, count: int, m: int) -> None:
    """Bring a block up to date."""

    start, stop = b * BLOCK, min((b + 1) * BLOCK, len(sums.u))
    u, k = sums.u[start:stop], np.empty(stop - start)
    if count - sums.seen[b] >= MIN_SERIES and pool.orders.size > 0 and pool.orders[:, b].min() > 0:
        recent = sums.recent[:, sums.seen[b] : count]
        centre = (pool.low[:, b] + pool.high[:, b]) / 2
        for r in range(len(pool.rates)):
            add_by_series(pool.g[:, start:stop], recent, centre, pool.rates[r], pool.orders[r, b], u)
    else:
        for c in range(sums.seen[b], count):
            if not sums.near[c, b]:
                continue
            k[:] = 0
            for j in range(len(pool.g)):
                add_squares(pool.g[j, start:stop], sums.recent[j, c], k)
            sum_of_exponentials(k, pool.rates)
            add(k, u)

    sums.seen[b], sums.inverse[b] = count, 1 / m
    for i in range(len(k)):
        k[i] = _gain(pool.mean_a[start + i], u[i], sums.inverse[b])
    sums.h_max[b], sums.h_min[b] = live_extremes(k, u)
    sums.u_max[b], sums.u_min[b] = live_extremes(u, u)
    if sums.h_max[b] == -math.inf:
        sums.u_max[b] = sums.u_min[b] = 0.0
    sums.e_low[b] = sums.e_high[b] = 0.0
    sums.upper[b], sums.lower[b] = sums.h_max[b], sums.h_min[b]


@njit(cache=True)
def _extremes(pool: Pool, sums: Sums, count: int, m: int) -> tuple[float, float]:
    """Return the largest and the smallest h of G."""

    high = argmax(sums.upper)
    while sums.seen[high] < count:
        _update(high, pool, sums, count, m)
        high = argmax(sums.upper)

    low = argmin(sums.lower)
    while sums.seen[low] < count:
        _update(low, pool, sums, count, m)
        low = argmin(sums.lower)

    return sums.upper[high], sums.lower[low]


@njit(cache=True)
def _weight(b: int, sums: Sums, high: float, scale: float, floor: float) -> float:
    """Compute |b| w_b."""

    if sums.upper[b] == -math.inf or sums.upper[b] < floor:
        return 0.0
    return min(BLOCK, len(sums.u) - b * BLOCK) * math.exp((sums.upper[b] - high) * scale)


@njit(cache=True)
def _gain(mean_a: float, u: float, inverse: float) -> float:
    """Compute h, by the same operations everywhere, so that the largest h of a block equals that of a point exactly."""

    return mean_a - u * inverse
