r"""Sufficient bounds on the kernel for non-negative and for monotone values (Sec. 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cgm.utils.plain import snake
from cgm.valuation.game import Game, changes
from cgm.valuation.valuation import ROUNDING, Valuation


def nonnegative_bound(s: np.ndarray | int, t: int, eta: float, diagonal: float = 1.0) -> np.ndarray | float:
    r"""Compute the smallest lower bound $\gamma$ of the kernel on $T$ that guarantees $v(S) \geq 0$.

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
    r"""Compute the largest upper bound $\eta$ of the kernel on $T$ that guarantees that adding a point to $S$ does not
    lower $v(S)$.

    .. math:: \eta = \frac{t k^*}{(s + 1) (s (t - 2) + t)}

    Arguments:
        s: The size of $S$, below $t$.
        t: The size of $T$.
        diagonal: The kernel's diagonal $k^*$.

    References:
        Theorem 1, equation (8); Examples are not Enough, Learn to Criticize! (Kim et al., 2016).
    """

    return t * diagonal / ((s + 1) * (s * (t - 2) + t))


@dataclass(frozen=True)
class KernelBounds:
    r"""The kernel of a valuation, and set sizes $s$ for which the sufficient bounds of Sec. 5 hold on $T$.

    Attributes:
        name: The name of the kernel.
        lengthscale: Its length-scale $\ell$.
        min, max: $\gamma$ and $\eta$, the smallest and the largest off-diagonal kernel value on $T$.
        nonnegative: Ranges [first, last] of sizes $s < t$ for which Proposition 4 guarantees $v(S) \geq 0$.
        monotone: Ranges [first, last] of sizes $s < t$ for which Theorem 1 guarantees that $v$ is monotone.
    """

    name: str
    lengthscale: float
    min: float
    max: float
    nonnegative: list[list[int]]
    monotone: list[list[int]]


def kernel_bounds(valuation: Valuation) -> KernelBounds:
    r"""Compute the set sizes for which the sufficient bounds of Proposition 4 and Theorem 1 hold.

    Both compare values with all of $T$; there are no such sizes for another reference.
    """

    kernel, t, gamma, eta = valuation.kernel, valuation.t, valuation.gamma, valuation.eta
    nonnegative: list[list[int]] = []
    monotone: list[list[int]] = []
    if t == len(valuation.points):
        s = np.arange(1, t, dtype=np.float64)
        nonnegative = _ranges(np.asarray(gamma >= nonnegative_bound(s, t, eta, kernel.diagonal)))
        monotone = _ranges(np.asarray(eta <= monotone_bound(s, t, kernel.diagonal)))
    return KernelBounds(snake(kernel.name), kernel.numeric_lengthscale, gamma, eta, nonnegative, monotone)


def _ranges(holds: np.ndarray) -> list[list[int]]:
    """List the ranges [first, last] of sizes s = 1, 2, ... for which holds[s - 1] is true."""

    edges = np.flatnonzero(np.diff(np.concatenate([[0], holds.astype(int), [0]])))
    return [[int(first) + 1, int(last)] for first, last in edges.reshape(-1, 2)]


MAX_PARTIES = 20
"""The largest number of parties for which all coalitions are examined."""


@dataclass(frozen=True)
class Increments:
    r"""The changes $v_c(C \cup \{i\}) - v_c(C)$ over all coalitions $C$ and all parties $i \notin C$.

    Attributes:
        negative: The share of them that is negative; 0 if $v_c$ is non-negative and monotone.
        smallest: The smallest of them.
    """

    negative: float
    smallest: float

    @property
    def share(self) -> float:
        """The share of negative changes, the same as `negative`."""

        return self.negative


def negative_increments(game: Game) -> Increments:
    r"""Compute which share of the changes $v_c(C \cup \{i\}) - v_c(C)$ is negative, over all coalitions.

    There are $n 2^{n - 1}$ of them, those of the empty coalition, $v(D_i)$, among them. The share is 0 if and only if
    $v_c$ is non-negative and monotone on the coalitions of the game, up to rounding errors: a decrease by at most
    1e-12 of the largest absolute value does not count.

    Arguments:
        game: The game, of at most 20 parties.

    Raises:
        ValueError: If there are more parties.

    Example:
        >>> from cgm.valuation import TableGame
        >>> negative_increments(TableGame([0.0, 2.0, 1.0, 1.5]))
        Increments(negative=0.25, smallest=-0.5)
    """

    if game.n > MAX_PARTIES:
        raise ValueError(
            f"negative_increments: {game.n} parties have {game.n} * 2^{game.n - 1} changes of value; expected at most "
            f"{MAX_PARTIES} parties"
        )

    return increments(game.coalition_values())


def increments(values: torch.Tensor) -> Increments:
    r"""Compute the share of negative changes and the smallest one from the values of all coalitions.

    Arguments:
        values: The values $v_c$, of shape $(2^n)$; party $i$ is bit $i$ of a coalition's number.
    """

    n = len(values).bit_length() - 1
    tolerance = rounding(values)
    negative, smallest = 0, torch.inf
    for change in changes(values):
        negative += int((change < -tolerance).sum())
        smallest = min(smallest, float(change.min()))

    return Increments(negative / (n * 2 ** (n - 1)), smallest)


def rounding(values: torch.Tensor) -> float:
    """Return the size of a change of value that counts as a rounding error."""

    return ROUNDING * float(values.abs().max())
