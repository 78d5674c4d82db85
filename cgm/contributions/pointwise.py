r"""Contributions as sums of the Shapley values of single points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cgm.contributions.base import Contribution, Contributions
from cgm.valuation.game import Game
from cgm.valuation.valuation import Valuation


@dataclass(frozen=True)
class Pointwise(Contribution):
    r"""Sums of the Shapley values of the parties' points, in the game whose players are all real points.

    .. math:: \phi_i = \sum_{x \in D_i} \phi_x

    A point's value does not depend on who owns it. A party that appears as several, each with a part of its data, thus
    has the same contribution in total, and the others have what they had before. The values add up to $v_c(N)$. Parties
    are not players: two that add the same to all coalitions of parties may differ.

    The game must be a `Valuation`, see `pointwise_values` for the closed form.

    References:
        Data Shapley: Equitable Valuation of Data for Machine Learning (Ghorbani and Zou, 2019).
    """

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute the sums of the Shapley values of the parties' points, see `Contribution.compute`."""

        if not isinstance(game, Valuation):
            raise ValueError(
                f"contribution=pointwise: expected a Valuation, got {type(game).__name__}; other games have parties, "
                "but no points that could be players, use contribution=shapley"
            )
        parts = pointwise_values(game).split(game.sizes[:-1])
        return Contributions.of(torch.stack([part.sum() for part in parts]), "exact")


def pointwise_values(valuation: Valuation) -> torch.Tensor:
    r"""Compute the Shapley values of all real points, in $O(M)$ for $M$ points.

    The players are the points of $D_1, \dots, D_n$. With $a_x = \sum_{x' \in T} k(x, x')$, a set $S$ of $s \geq 1$
    points has the value

    .. math:: v(S) = \frac{2}{s t} \sum_{x \in S} a_x - \frac{k^*}{s} - \frac{1}{s^2} \sum_{x \neq y \in S} k(x, y)

    and $v(\emptyset) = 0$, as in the game of the parties: the empty set's value is not a limit of this formula, but
    that of a party without data. So the first point adds $v(\{x\}) = 2 a_x / t - k^*$.

    **Derivation.** $\phi_x$ is the mean of $v(S \cup \{x\}) - v(S)$ over the sizes $c = 0, \dots, M - 1$ of $S$ and all
    $S \not\ni x$ of this size. Such an $S$ contains a given other point with probability $p = c / (M - 1)$, and two
    given other points with probability $q = c (c - 1) / ((M - 1) (M - 2))$. The three terms of $v$ are:

    With $A = \sum_y a_y$ and $H = \sum_{j = 1}^M 1 / j$, the mean over $S$ of $\sum_{y \in S} a_y$ is $p (A - a_x)$:

    .. math:: \frac{2}{M t} \sum_{c = 0}^{M - 1} \frac{p (A - a_x) + a_x}{c + 1} - \frac{p (A - a_x)}{c}
        = \frac{2}{M t} \left[ a_x + h (M a_x - A) \right], \qquad h = \frac{H - 1}{M - 1}

    because $p / c - p / (c + 1) = 1 / ((M - 1) (c + 1))$; the second fraction is 0 for $c = 0$, here and below.

    The diagonal term is the same for all points, so that each has $1 / M$ of it: $-k^* / M^2$.

    With $r_x = \sum_{y \neq x} k(x, y)$ and $O = \sum_y r_y$, the sums of $k$ over pairs in $S$ have the mean
    $q (O - 2 r_x)$, and $x$ adds $2 p r_x$:

    .. math:: -\frac{1}{M} \sum_{c = 0}^{M - 1} \frac{q (O - 2 r_x) + 2 p r_x}{(c + 1)^2} - \frac{q (O - 2 r_x)}{c^2}
        = -\frac{1}{M} \left[ 2 (e - f) r_x + f O \right]

    where, with $H_2 = \sum_{j = 1}^M 1 / j^2$,

    .. math:: e = \sum_c \frac{p}{(c + 1)^2} = \frac{H - H_2}{M - 1}, \qquad
        f = \sum_c \frac{q}{(c + 1)^2} - \frac{q}{c^2} = \frac{1 / M - 2 e}{M - 2}

    For $M = 2$, $O = 2 r_x$, and $f$ has no effect. The second form of $f$ follows from efficiency: the three terms,
    summed over $x$, are those of $v(D_1 \cup \dots \cup D_n)$.

    Arguments:
        valuation: The valuation with the block sums of the real points.

    Returns:
        $\phi_x$ of the points of $D_1, \dots, D_n$, in this order, of shape $(M)$, float64.
    """

    diagonal, t, m = valuation.kernel.diagonal, valuation.t, valuation.real.stop
    a = valuation.point_sums(valuation.real).cpu()  # (M)
    r = valuation.sums[valuation.real, : valuation.n].sum(1).cpu() - diagonal  # (M)

    j = np.arange(1, m + 1, dtype=np.float64)
    harmonic, squares = (1 / j).sum(), (1 / j**2).sum()
    h = (harmonic - 1) / (m - 1)
    e = (harmonic - squares) / (m - 1)
    f = (1 / m - 2 * e) / (m - 2) if m > 2 else 0.0

    linear = 2 / (m * t) * (a + h * (m * a - a.sum()))
    return linear - diagonal / m**2 - (2 * (e - f) * r + f * r.sum()) / m
