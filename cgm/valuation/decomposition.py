r"""Quantity and closeness, of which the value of data consists (Proposition 1 and Corollary 1)."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch

from cgm.utils.checks import check_points
from cgm.valuation.mmd import block_sums, cross_sums, unbiased
from cgm.valuation.valuation import Valuation


class Decomposition(NamedTuple):
    r"""The parts of which $v(S)$ is the sum.

    .. math:: v(S) = \frac{\sigma_S - k^*}{s - 1} - \text{MMD}_u^2(S, T) + c

    Attributes:
        quantity: $(\sigma_S - k^*) / (s - 1)$, with the mean $\sigma_S$ of the kernel over $S \times S$: at most 0,
            and nearly 0 for large $S$.
        closeness: $-\text{MMD}_u^2(S, T)$, how close $S$ is to the reference.
        constant: $c$, the mean of the kernel over all pairs of different points of the reference: the same for all $S$.

    References:
        Proposition 1, equation (3).
    """

    quantity: float
    closeness: float
    constant: float

    @property
    def value(self) -> float:
        """The value $v(S)$, the sum of the parts."""

        return self.quantity + self.closeness + self.constant


def decompose(valuation: Valuation, points: torch.Tensor) -> Decomposition:
    r"""Compute what quantity and closeness add to the value $v(S)$ of a set of points.

    It holds for every reference, with the reference in place of $T$.

    Arguments:
        valuation: The valuation.
        points: The set $S$, of shape $(s, d)$, at least two points.

    Raises:
        ValueError: If the points are not finite, or of another width, or fewer than two.

    References:
        Proposition 1, equation (3).

    Example:
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> valuation = Valuation(SquaredExponential(1.0), [torch.tensor([[0.0], [1.0]])], torch.tensor([[2.0]]))
        >>> parts = decompose(valuation, valuation.party(0))
        >>> f"{parts.quantity:.3f} + {parts.closeness:.3f} + {parts.constant:.3f} = {parts.value:.3f}"
        '-0.197 + 0.262 + 0.449 = 0.515'
        >>> round(valuation.value(valuation.party(0)), 3)
        0.515
    """

    s = check_points(points, "decompose: points", width=valuation.points.shape[1], min=2).to(valuation.points)
    n, t, diagonal = len(s), valuation.t, valuation.kernel.diagonal
    ss = float(block_sums(valuation.kernel, s, [n]).sum())
    st = float(cross_sums(valuation.kernel, s, valuation.reference_points).sum())
    tt = sum(float(valuation.point_sums(valuation.block(b)).sum()) for b in valuation.reference_blocks)
    return Decomposition(
        quantity=(ss / n**2 - diagonal) / (n - 1),
        closeness=-unbiased(ss, st, tt, n, t, diagonal),
        constant=(tt - t * diagonal) / (t * (t - 1)),
    )


def value_bounds(valuation: Valuation, points: torch.Tensor) -> tuple[float, float]:
    r"""Compute bounds of the value $v(S)$ that increase with the size of $S$ and with its closeness to the reference.

    .. math:: \frac{\gamma - k^*}{s} - \text{MMD}_u^2(S, T) + c \leq v(S) \leq
        \frac{\eta - k^*}{s} - \text{MMD}_u^2(S, T) + c

    Arguments:
        valuation: The valuation; $\gamma$ and $\eta$ are its smallest and its largest off-diagonal kernel value.
        points: The set $S$, a subset of all points $T$, of shape $(s, d)$, at least two points.

    Returns:
        The lower and the upper bound.

    Raises:
        ValueError: If the points are not a subset of $T$, or fewer than two.

    References:
        Corollary 1, equation (4).

    Example:
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> valuation = Valuation(SquaredExponential(1.0), [torch.tensor([[0.0], [1.0]])], torch.tensor([[2.0]]))
        >>> low, high = value_bounds(valuation, valuation.party(0))
        >>> f"{low:.3f} <= {valuation.value(valuation.party(0)):.3f} <= {high:.3f}"
        '0.279 <= 0.515 <= 0.515'
    """

    t = valuation.points
    points = check_points(points, "value_bounds: points", width=t.shape[1], min=2).to(t)
    parts = decompose(valuation, points)
    extra = Counter(map(tuple, points.tolist())) - Counter(map(tuple, t.tolist()))
    if extra:
        raise ValueError(
            f"value_bounds: points: {sum(extra.values())} of {len(points)} are not in T, for example "
            f"{list(next(iter(extra)))}; γ and η bound the kernel of points of T only"
        )
    diagonal, other = valuation.kernel.diagonal, parts.closeness + parts.constant
    low, high = ((extreme - diagonal) / len(points) + other for extreme in (valuation.gamma, valuation.eta))
    return low, high
