r"""Shares the value of the grand coalition by Shapley values (Sec. 4, equation 5)."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .checks import check_whole
from .progress import progress
from .valuation import Valuation

METHODS = ("auto", "exact", "equal_sizes", "sampled")
MOST_EXACT = 20  # parties whose 2^n coalition values are listed


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
        method: How to compute them. `"exact"`: from all $2^n$ coalition values, for $n \leq 20$.
            `"equal_sizes"`: in closed form, if all parties have as many points. `"sampled"`: from random
            permutations. `"auto"`: the first of these that applies.
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
        if valuation.n > MOST_EXACT:
            raise ValueError(
                f"shapley.method=exact: {valuation.n} parties have 2^{valuation.n} coalitions; it serves up to "
                f"{MOST_EXACT} parties, use 'auto'"
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

    n, t, size = valuation.n, valuation.t, valuation.sizes[0]
    a, b = valuation.a, valuation.b  # (n), (n, n)

    diagonal = b.diagonal()
    cross = b.sum(1) - diagonal  # (n), sum of B_ij over j != i
    a_rest = a.sum() - a
    d_rest = diagonal.sum() - diagonal
    o_rest = cross.sum() - 2 * cross

    c = torch.arange(n, dtype=torch.float64)[:, None]  # (n, 1)
    p = c / max(n - 1, 1)
    q = p * (c - 1) / max(n - 2, 1)
    linear, quadratic = p * a_rest, p * d_rest + q * o_rest  # (n, n): coalition size, party
    without = 2 * linear / (c * size * t) - quadratic / (c * size) ** 2
    without[0] = 0  # the empty coalition
    linear, quadratic = linear + a, quadratic + diagonal + 2 * p * cross
    c = c + 1
    with_i = 2 * linear / (c * size * t) - quadratic / (c * size) ** 2

    return (with_i - without).mean(0)


def shapley_sampled(
    valuation: Valuation, tolerance: float = 0.01, most_permutations: int = 100_000, seed: int = 0
) -> tuple[Tensor, Tensor, int]:
    r"""Estimates Shapley values from random permutations, each taken forwards and backwards.

    The mean over a permutation and its reverse (antithetic sampling) is one observation of $\phi_i$; the
    standard error is that of the mean of such observations.

    Arguments:
        valuation: The valuation that holds $a$ and $B$.
        tolerance: Stop when the greatest standard error is at most this share of the greatest absolute estimate.
        most_permutations: Stop at this number of permutations anyway.
        seed: The seed of the permutations.

    Returns:
        The estimates and their standard errors, each of shape $(n)$, float64, and the number of permutations.

    References:
        Sampling Permutations for Shapley Value Estimation (Mitchell et al., 2022).
    """

    ShapleyMethod("sampled", tolerance, most_permutations)  # refuses what is out of range

    n, t = valuation.n, valuation.t
    a, b = valuation.a.numpy(), valuation.b.numpy()
    sizes = np.asarray(valuation.sizes[:-1], dtype=np.float64)
    rng = np.random.default_rng(seed)
    batch = max(2, min(most_permutations // 2, 2**22 // n**2))  # pairs at once, some tens of MB

    def marginals(order: np.ndarray) -> np.ndarray:  # (pairs, n) -> (pairs, n)
        s = sizes[order].cumsum(1)
        upper = np.tril(b[order[:, :, None], order[:, None, :]]).sum(2)  # B_ij over the parties j up to i
        quadratic = (2 * upper - b[order, order]).cumsum(1)
        values = 2 * a[order].cumsum(1) / (s * t) - quadratic / s**2
        gains = np.diff(values, axis=1, prepend=0)
        out = np.empty_like(gains)
        np.put_along_axis(out, order, gains, axis=1)
        return out

    pairs, mean, scatter = 0, np.zeros(n), np.zeros(n)
    with progress(most_permutations, "Shapley permutations") as bar:
        while True:
            order = rng.permuted(np.tile(np.arange(n), (min(batch, most_permutations // 2 - pairs), 1)), axis=1)
            x = (marginals(order) + marginals(order[:, ::-1])) / 2
            # the mean and the sum of squares about it, brought up to date by a batch at a time
            shift = x.mean(0) - mean
            scatter += ((x - x.mean(0)) ** 2).sum(0) + shift**2 * pairs * len(x) / (pairs + len(x))
            mean += shift * len(x) / (pairs + len(x))
            pairs += len(x)
            bar.update(2 * len(x))

            stderr = np.sqrt(scatter / (pairs - 1) / pairs)
            if stderr.max() <= tolerance * np.abs(mean).max() or pairs >= most_permutations // 2:
                break

    return torch.from_numpy(mean), torch.from_numpy(stderr), 2 * pairs
