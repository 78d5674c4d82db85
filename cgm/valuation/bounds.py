r"""Values data by its maximum mean discrepancy to everything there is (Sec. 3 and 5)."""

from typing import NamedTuple

import numpy as np

from cgm.valuation.valuation import Valuation


def nonnegative_bound(s: np.ndarray | int, t: int, eta: float, diagonal: float = 1.0) -> np.ndarray | float:
    r"""Computes the least $\gamma$ that, as a lower bound of the kernel on $T$, makes $v(S) \geq 0$ certain.

    .. math:: \gamma = \frac{(t - 2 s) (k^* + (s - 1) \eta)}{2 s (t - s)}

    Arguments:
        s: The size of $S$, below $t$.
        t: The size of $T$.
        eta: An upper bound $\eta$ of the kernel's off-diagonal values.
        diagonal: The kernel's diagonal $k^*$.

    References:
        Proposition 4, equation (7).
    """

    return (t - 2 * s) * (diagonal + (s - 1) * eta) / (2 * s * (t - s))


def monotone_bound(s: np.ndarray | int, t: int, diagonal: float = 1.0) -> np.ndarray | float:
    r"""Computes the greatest $\eta$ that, as an upper bound of the kernel on $T$, makes it certain that no point
    more lowers $v(S)$.

    .. math:: \eta = \frac{t k^*}{(s + 1) (s (t - 2) + t)}

    Arguments:
        s: The size of $S$, below $t$.
        t: The size of $T$.
        diagonal: The kernel's diagonal $k^*$.

    References:
        Theorem 1, equation (8); Examples are not Enough, Learn to Criticize! (Kim et al., 2016).
    """

    return t * diagonal / ((s + 1) * (s * (t - 2) + t))


class KernelBounds(NamedTuple):
    r"""Tells for which set sizes $s$ the sufficient bounds of Sec. 5 hold on $T$.

    Attributes:
        gamma: $\gamma$, the smallest off-diagonal kernel value on $T$.
        eta: $\eta$, the largest one.
        nonnegative: Runs [first, last] of sizes $s < t$ for which Proposition 4 makes $v(S) \geq 0$ certain.
        monotone: Runs [first, last] of sizes $s < t$ for which Theorem 1 makes $v$ monotone for certain.
    """

    gamma: float
    eta: float
    nonnegative: list[list[int]]
    monotone: list[list[int]]


def kernel_bounds(valuation: Valuation) -> KernelBounds:
    """Tells for which set sizes the sufficient bounds of Proposition 4 and Theorem 1 hold."""

    t, gamma, eta, diagonal = valuation.t, valuation.gamma, valuation.eta, valuation.kernel.diagonal
    s = np.arange(1, t, dtype=np.float64)
    return KernelBounds(
        gamma,
        eta,
        _runs(gamma >= nonnegative_bound(s, t, eta, diagonal)),
        _runs(eta <= monotone_bound(s, t, diagonal)),
    )


def _runs(holds: np.ndarray) -> list[list[int]]:
    """Lists the runs [first, last] of sizes s = 1, 2, ... for which holds[s - 1] is true."""

    edges = np.flatnonzero(np.diff(np.concatenate([[0], holds.astype(int), [0]])))
    return [[int(first) + 1, int(last)] for first, last in edges.reshape(-1, 2)]
