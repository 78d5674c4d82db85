r"""Shares the value of the grand coalition by Shapley values (Sec. 4, equation 5)."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from torch import Tensor

from .checks import check_whole
from .progress import progress
from .threads import workers
from .valuation import Valuation

METHODS = ("auto", "exact", "equal_sizes", "sampled")
MOST_EXACT = 20  # parties whose 2^n coalition values are listed without being asked for
MOST_ASKED = 24  # the same if method="exact" asks for them: 0.85 GB while they are computed
ROUND, CHUNK = 1024, 64  # pairs of permutations between two looks at the standard errors, and for one thread at once


@dataclass(frozen=True)
class ShapleyValues:
    r"""Holds the parties' Shapley values.

    Attributes:
        phi: The Shapley values $\phi_i$, of shape $(n)$, float64.
        alpha: The normalised Shapley values $\alpha_i = \phi_i / \phi^*$ with $\phi^* = \max_i \phi_i$.
        stderr: The standard errors of $\phi_i$; zero if the method is exact.
        method: `"exact"`, `"equal_sizes"` or `"sampled"`.
        permutations: The number of permutations drawn; zero if the method is exact.
    """

    phi: Tensor
    alpha: Tensor
    stderr: Tensor
    method: str
    permutations: int = 0


@dataclass(frozen=True)
class ShapleyMethod:
    """Holds how Shapley values are computed; the arguments are those of `shapley_values`."""

    method: str = "auto"
    tolerance: float = 0.01
    most_permutations: int = 100_000

    def __post_init__(self) -> None:
        """Refuses settings that are out of range."""

        if self.method not in METHODS:
            raise ValueError(f"shapley.method={self.method!r}: expected one of {', '.join(METHODS)}")
        if not 0 <= self.tolerance < math.inf:
            raise ValueError(f"shapley.tolerance={self.tolerance}: must be finite and not negative")
        check_whole("shapley.most_permutations", self.most_permutations, least=4)

    def compute(self, valuation: Valuation, seed: int) -> ShapleyValues:
        """Computes the Shapley values of the parties, see `shapley_values`."""

        return shapley_values(valuation, self.method, self.tolerance, self.most_permutations, seed)


def shapley_values(
    valuation: Valuation,
    method: str = "auto",
    tolerance: float = 0.01,
    most_permutations: int = 100_000,
    seed: int = 0,
) -> ShapleyValues:
    r"""Computes the Shapley values of the parties.

    .. math:: \phi_i = \frac{1}{n!} \sum_\pi v_c(C_{\pi, i} \cup \{i\}) - v_c(C_{\pi, i})

    Arguments:
        valuation: The valuation that holds $v_c$.
        method: How to compute them. `"exact"`: from all $2^n$ coalition values, for $n \leq 24$.
            `"equal_sizes"`: in closed form, if all parties have as many points. `"sampled"`: from random
            permutations. `"auto"`: exact for $n \leq 20$, else equal_sizes if it applies, else sampled.
        tolerance: Sampling stops when the greatest standard error is at most this share of the greatest
            absolute $\phi_i$.
        most_permutations: Sampling stops at this number of permutations anyway.
        seed: The seed of the permutations.

    Raises:
        ValueError: If the method does not apply, or if no party has a positive Shapley value, so that there is
            nothing to normalise by.

    References:
        Equation (5).
    """

    ShapleyMethod(method, tolerance, most_permutations)  # refuses what is out of range

    equal = len(set(valuation.sizes[:-1])) == 1
    if method == "auto":
        method = "exact" if valuation.n <= MOST_EXACT else "equal_sizes" if equal else "sampled"

    stderr, permutations = torch.zeros(valuation.n, dtype=torch.float64), 0
    if method == "exact":
        if valuation.n > MOST_ASKED:
            raise ValueError(
                f"shapley.method=exact: {valuation.n} parties have 2^{valuation.n} coalitions; it serves up to "
                f"{MOST_ASKED} parties, use 'auto'"
            )
        phi = shapley_exact(valuation.coalition_values())
    elif method == "equal_sizes":
        if not equal:
            raise ValueError("shapley.method=equal_sizes: the parties differ in size, use 'auto'")
        phi = shapley_equal_sizes(valuation)
    else:
        phi, stderr, permutations = shapley_sampled(valuation, tolerance, most_permutations, seed)

    if phi.max() <= 0:
        raise ValueError(
            f"no party has a positive Shapley value (the greatest is {float(phi.max()):.3g}), so there is nothing "
            "to share; a larger kernel.lengthscale makes values positive"
        )
    return ShapleyValues(phi, phi / phi.max(), stderr, method, permutations)


def shapley_exact(values: Tensor) -> Tensor:
    r"""Computes Shapley values from the values of all coalitions.

    .. math:: \phi_i = \sum_{C \not\ni i} \frac{|C|! (n - 1 - |C|)!}{n!} [v_c(C \cup \{i\}) - v_c(C)]

    Arguments:
        values: The coalition values $v_c$, of shape $(2^n)$; the members of coalition number $c$ are the bits
            of $c$.

    Returns:
        The Shapley values, of shape $(n)$, float64.

    References:
        A Value for n-person Games (Shapley, 1953).

    Example:
        >>> shapley_exact(torch.tensor([0.0, 1.0, 2.0, 5.0]))
        tensor([2., 3.], dtype=torch.float64)
    """

    n = len(values).bit_length() - 1
    if values.dim() != 1 or n < 1 or len(values) != 2**n:
        raise ValueError(f"shapley_exact: expected 2^n values for n >= 1, got shape {tuple(values.shape)}")

    size = torch.zeros(1, dtype=torch.int64)
    for _ in range(n - 1):
        size = torch.cat([size, size + 1])  # (2^(n - 1)), the sizes |C| of the coalitions of the others
    weight = torch.ones(n, dtype=torch.float64)
    for c in range(1, n):  # 1 / (n (n - 1 choose c))
        weight[c] = weight[c - 1] * c / (n - c)
    weight = (weight / n)[size]

    phi = torch.empty(n, dtype=torch.float64)
    for i in range(n):
        pairs = values.double().reshape(-1, 2, 2**i)  # without and with i
        phi[i] = ((pairs[:, 1] - pairs[:, 0]).flatten() * weight).sum()

    return phi


def shapley_equal_sizes(valuation: Valuation) -> Tensor:
    r"""Computes Shapley values in $O(n^2)$ when all parties have the same number $N$ of points.

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

    gains = _gains_of_equals(valuation.a.numpy(), valuation.b.numpy(), valuation.sizes[0], valuation.t)
    return torch.from_numpy(gains.mean(0))


def shapley_sampled(
    valuation: Valuation, tolerance: float = 0.01, most_permutations: int = 100_000, seed: int = 0
) -> tuple[Tensor, Tensor, int]:
    r"""Estimates Shapley values from random permutations.

    $\phi_i$ is the mean over permutations $\pi$ of the gain of $i$, $v_c(C_{\pi, i} \cup \{i\}) - v_c(C_{\pi, i})$.
    Four things make the standard error small; none of them adds a bias.

    **Strata.** Gains vary most among the first parties of a permutation. Party $i$ comes first, or second, with
    probability $1 / n$ each, and its mean gains there are known:

    .. math:: f_i = \frac{1}{n} \Big[ v_c(\{i\}) + \frac{1}{n - 1} \sum_{j \neq i} v_c(\{i, j\}) - v_c(\{j\}) \Big]

    So only the gains from the third place on are sampled, and $\phi_i = f_i + \mathbb{E} X_i$, where $X_i$ is the gain
    of $i$, or 0 if $i$ comes first or second.

    **Antithetic pairs.** $X_i$ is the mean over a random permutation and its reverse.

    **Control variate.** Let $Z_i$ be what $X_i$ is, for the same pair, in a game of parties of equal size: $a_i$
    becomes $a_i \bar{N} / N_i$ and $B_{ij}$ becomes $B_{ij} \bar{N}^2 / (N_i N_j)$, as if each party had
    $\bar{N} = \sum_i N_i / n$ points that are distributed like its own. $\mathbb{E} Z_i$ is known, see
    `shapley_equal_sizes`, and for any constant $\gamma_i$

    .. math:: \phi_i = f_i + \gamma_i \mathbb{E} Z_i + \mathbb{E} [X_i - \gamma_i Z_i]

    The variance is least for the slope $\gamma_i$ of the regression of $X_i$ on $Z_i$. It is fitted to a first round
    of permutations that serves nothing else, so that it is a constant to all others.

    **Efficiency.** $\sum_i \phi_i = v_c(N)$ is known as well: what the estimates miss of it is dealt out equally.

    A pair gives one observation, $X_i - \gamma_i Z_i$ less its mean over $i$; the standard error is that of the mean of
    these independent observations. If all parties are of one size, $X = Z$, and nothing is left to chance.

    A pair costs $O(n^2)$. The results do not depend on the number of threads.

    Arguments:
        valuation: The valuation that holds $a$ and $B$.
        tolerance: Stop when the greatest standard error is at most this share of the greatest absolute estimate.
        most_permutations: Stop at this number of permutations anyway, not counting those of the first round.
        seed: The seed of the permutations.

    Returns:
        The estimates and their standard errors, each of shape $(n)$, float64, and the number of permutations.

    References:
        Sampling Permutations for Shapley Value Estimation (Mitchell et al., 2022).
    """

    ShapleyMethod("sampled", tolerance, most_permutations)  # refuses what is out of range

    n, t = valuation.n, valuation.t
    a, b = valuation.a.numpy(), np.ascontiguousarray(valuation.b.numpy())
    sizes = np.asarray(valuation.sizes[:-1], dtype=np.float64)
    rng = np.random.default_rng(seed)

    common = sizes.mean()
    scale = common / sizes
    equals = a * scale, b * np.outer(scale, scale), np.full(n, common)
    known = _first_gains(a, b, sizes, t)
    z_mean = _gains_of_equals(*equals[:2], common, t)[2:].sum(0) / n
    grand = 2 * a.sum() / (sizes.sum() * t) - b.sum() / sizes.sum() ** 2

    with workers() as threads, progress(most_permutations, "Shapley permutations") as bar:

        def observe(pairs: int) -> tuple[np.ndarray, np.ndarray]:  # X and Z, each (pairs, n)
            chunks = (min(CHUNK, pairs - k) for k in range(0, pairs, CHUNK))
            orders = (rng.permuted(np.tile(np.arange(n), (chunk, 1)), axis=1) for chunk in chunks)
            games = threads.map(lambda o: (_later_gains(o, a, b, sizes, t), _later_gains(o, *equals, t)), orders)
            x, z = zip(*games, strict=True)
            return np.concatenate(x), np.concatenate(z)

        x, z = observe(ROUND)
        z -= z.mean(0)
        variance = (z**2).mean(0)  # zero where there is no third place
        slope = ((x - x.mean(0)) * z).mean(0) / np.where(variance > 0, variance, 1)

        pairs, mean, scatter = 0, np.zeros(n), np.zeros(n)
        while True:
            x, z = observe(min(ROUND, most_permutations // 2 - pairs))
            y = x - slope * z
            y -= y.mean(1, keepdims=True)
            # the mean and the sum of squares about it, brought up to date by a round at a time
            shift = y.mean(0) - mean
            scatter += ((y - y.mean(0)) ** 2).sum(0) + shift**2 * pairs * len(y) / (pairs + len(y))
            mean += shift * len(y) / (pairs + len(y))
            pairs += len(y)
            bar.update(2 * len(y))

            phi = known + slope * z_mean + mean
            phi += (grand - phi.sum()) / n
            stderr = np.sqrt(scatter / (pairs - 1) / pairs)
            if stderr.max() <= tolerance * np.abs(phi).max() or pairs >= most_permutations // 2:
                break

    return torch.from_numpy(phi), torch.from_numpy(stderr), 2 * pairs


def _gains_of_equals(a: np.ndarray, b: np.ndarray, size: float, t: int) -> np.ndarray:
    """Computes the mean gains of parties of one size, see `shapley_equal_sizes`: (n, n), for each |C| and party."""

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


def _first_gains(a: np.ndarray, b: np.ndarray, sizes: np.ndarray, t: int) -> np.ndarray:
    """Computes what the gains of each party as the first and as the second of a permutation add to its φ: (n)."""

    n = len(a)
    diagonal = b.diagonal()
    alone = 2 * a / (sizes * t) - diagonal / sizes**2
    points = np.add.outer(sizes, sizes)
    two = 2 * np.add.outer(a, a) / (points * t) - (np.add.outer(diagonal, diagonal) + 2 * b) / points**2
    second = two - alone  # (n, n), the gain of a row's party when it joins a column's
    np.fill_diagonal(second, 0)

    return (alone + second.sum(1) / max(n - 1, 1)) / n


@njit(nogil=True, cache=True)
def _later_gains(orders: np.ndarray, a: np.ndarray, b: np.ndarray, sizes: np.ndarray, t: int) -> np.ndarray:
    r"""Computes gains in permutations from the third place on, each the mean over a permutation and its reverse.

    Arguments:
        orders: The permutations, of shape $(m, n)$.
        a, b, sizes, t: The game, $B$ symmetric.

    Returns:
        The gains, of shape $(m, n)$ (permutation, party).
    """

    m, n = orders.shape
    gains = np.zeros((m, n))
    rest = np.empty(n)  # sum of B_ij over j != i
    for i in range(n):
        rest[i] = b[i].sum() - b[i, i]
    sums, cross = np.empty(n), np.empty(n)

    for k in range(m):
        sums[:] = 0  # sum of B_ij over the j so far
        for i in orders[k]:
            cross[i] = sums[i]
            row = b[i]
            for j in range(n):
                sums[j] += row[j]
        for backwards in range(2):
            points, linear, quadratic, before = 0.0, 0.0, 0.0, 0.0
            for place in range(n):
                i = orders[k, n - 1 - place if backwards else place]
                points += sizes[i]
                linear += a[i]
                quadratic += 2 * (rest[i] - cross[i] if backwards else cross[i]) + b[i, i]
                value = 2 * linear / (points * t) - quadratic / points**2
                if place >= 2:
                    gains[k, i] += (value - before) / 2
                before = value

    return gains
