"""Rewards that share out what each party can gain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch

from cgm.contributions.base import Contributions
from cgm.rewards.schemes.base import (
    Condition,
    InfeasibleScheme,
    RhoRewards,
    Scheme,
    bounds_note,
    check_room,
    lower_bounds,
    name_left_out,
)
from cgm.utils.checks import check_values
from cgm.utils.settings import Number
from cgm.valuation.game import Game

MIN_RHO = 1e-9  # the rewards of a smaller ρ are equal up to rounding
ALPHA_ROUNDING = 1e-12  # a smaller α is 0 up to rounding


@dataclass(frozen=True)
class Gain(Scheme):
    r"""Rewards that share out gains: each party gets the share $\alpha_i^\rho$ of the way from its own value to $v^*$.

    With $v_i = v(D_i)$, $u_i = v(D_i \cup G)$ and $v_i^{\min}$ of `lower_bounds`, over the parties with $\phi_i > 0$,

    .. math::
        r_i & = v_i + \alpha_i^\rho (v^* - v_i) \\
        v^*(\rho) & = \min_i \left[ v_i + \frac{u_i - v_i}{\alpha_i^\rho} \right] \\
        \rho & = \max \left\{ \rho \in (0, 1] : v^*(\rho) \geq \max_i \left[ v_i + \frac{v_i^{\min} - v_i}
            {\alpha_i^\rho} \right] \right\}

    The condition of $\rho$ is $r_i \geq v_i^{\min}$, and implies $v^* \geq v_i$. A party whose $\phi_i$ is not
    positive, or is 0 up to rounding (1e-12 of the largest), keeps $r_i = v_i$. $v^*(\rho)$ does not decrease, so that
    the largest $\rho$ has the largest $v^*$ as well. Values need not be positive. "The mathematics" in the
    documentation proves R1 to R6 and F1 to F4, with their conditions.

    Arguments:
        stable: Whether the lower bounds guarantee stability (R6), see `lower_bounds`.
        rho: The exponent $\rho$, above 0 and up to 1; the largest that is feasible, if `None`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> from cgm.contributions import Shapley
        >>> from cgm.valuation import TableGame
        >>> game, upper = TableGame([0.0, 1.0, 2.0, 2.5]), torch.tensor([3.0, 4.0], dtype=torch.float64)
        >>> rewards = Gain().solve(Shapley().compute(game), game, upper)
        >>> rewards.rho, round(rewards.v_star, 6), [round(r, 6) for r in rewards.values.tolist()]
        (1.0, 4.0, [2.285714, 4.0])
    """

    stable: bool = True
    rho: Annotated[float, Number(min=0, max=1, open_min=True)] | None = None

    def solve(self, contributions: Contributions, game: Game, upper: torch.Tensor) -> GainRewards:
        r"""Compute the reward values of the parties, see `Scheme.solve`.

        The details are `v_star`, `rho`, `stable`, and `left_out`, the parties (from 0) that keep $v(D_i)$.
        """

        own, alpha, upper = game.party_values, contributions.alpha, check_values("scheme: upper", upper, game.n)
        lower = lower_bounds(game, contributions.phi, self.stable)
        members = alpha > ALPHA_ROUNDING
        check_room(own, torch.where(members, upper, math.inf))
        crossing = _Crossing(alpha, lower, upper, own, members)
        rho = crossing.largest_rho() if self.rho is None else float(self.rho)
        if rho is None or crossing.missing(rho):
            raise InfeasibleScheme(crossing.describe(self.rho, self.stable))

        v_star = crossing.v_star(rho)
        share = torch.where(members, alpha, 0.0) ** rho
        values = torch.maximum(own, own + share * (v_star - own))
        left_out = torch.nonzero(~members).flatten().tolist()
        details = {"v_star": v_star, "rho": rho, "stable": self.stable, "left_out": left_out}
        warnings = name_left_out(left_out, contributions.phi) + bounds_note(game.n, self.stable)
        return GainRewards(torch.where(members, values, own), lower, upper, details, warnings)


class GainRewards(RhoRewards):
    r"""Rewards $v_i + \alpha_i^\rho (v^* - v_i)$ of `Gain`, with the details `v_star` and `rho` as attributes."""

    def monotonicity(self, alpha: torch.Tensor) -> Condition:
        """Return the condition for F4, which "The mathematics" proves, see `Rewards.monotonicity`."""

        # for α_i < 1, r_i < v* is the same as v_i < v*
        holds = bool((alpha > ALPHA_ROUNDING).all()) and bool(((self.values < self.v_star) | (alpha == 1)).all())
        return Condition(holds, "the condition of scheme=gain (φ_i > 0 for all i, and v(D_i) < v* where α_i < 1)")


class _Crossing:
    r"""The bounds of $v^*$ as functions of $\rho$, for the members of `Gain`.

    With $c_i = -\log \alpha_i$, the ceiling is the minimum of $F_i(\rho) = v_i + (u_i - v_i) e^{c_i \rho}$, and the
    floor the maximum of $G_j(\rho) = v_j + (v_j^{\min} - v_j) e^{c_j \rho}$. $\rho$ is feasible if no $F_i$ is
    below a $G_j$.
    """

    def __init__(
        self, alpha: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor, own: torch.Tensor, members: torch.Tensor
    ) -> None:
        self.members = torch.nonzero(members).flatten().numpy()
        self.own, self.lower, self.upper, alpha_ = (x[members].numpy() for x in (own, lower, upper, alpha))
        self.c = -np.log(alpha_)
        self.rounding = 1e-12 * max(np.abs(self.upper).max(), np.abs(self.lower).max())

    def ceilings(self, rho: float) -> np.ndarray:
        """Compute F_i(ρ), of shape (members)."""

        return self.own + (self.upper - self.own) * np.exp(self.c * rho)

    def floors(self, rho: float) -> np.ndarray:
        """Compute G_j(ρ), of shape (members)."""

        return self.own + (self.lower - self.own) * np.exp(self.c * rho)

    def v_star(self, rho: float) -> float:
        r"""Compute $v^*(\rho)$."""

        return float(self.ceilings(rho).min())

    def missing(self, rho: float) -> float:
        """Compute by how much the lowest ceiling is below the highest floor; 0 if ρ is feasible."""

        missing = float(self.floors(rho).max()) - self.v_star(rho)
        return missing if missing > self.rounding else 0.0

    def largest_rho(self) -> float | None:
        r"""Search the largest feasible $\rho$; `None`, if there is none.

        The feasible set need not be an interval. From $\rho = 1$ down: while the lowest ceiling $F_i$ is below the
        highest floor $G_j$, go on at the next smaller $\rho$ at which this pair does not cross. The pair crosses
        everywhere in between, so that no feasible $\rho$ is passed over. A pair crosses on two intervals at most, see
        `_next`, so that the search ends after two steps for each pair.
        """

        rho = 1.0
        while self.missing(rho):
            lower_rho = self._next(int(self.ceilings(rho).argmin()), int(self.floors(rho).argmax()), rho)
            if lower_rho is None or lower_rho < MIN_RHO:
                return None
            rho = lower_rho
        return rho

    def _next(self, i: int, j: int, rho: float) -> float | None:
        """Return the largest smaller ρ at which F_i is not below G_j; `None`, if there is none.

        F_i - G_j = const + p exp(c_i ρ) - q exp(c_j ρ) has the slope c_i p exp(c_i ρ) - c_j q exp(c_j ρ), which is 0 at
        one ρ at most. On each side of this turning point the difference is monotone, and bisection finds its root.
        """

        def feasible(x: float) -> bool:
            return bool(self.floors(x)[j] - self.ceilings(x)[i] <= self.rounding)

        p, q = self.c[i] * (self.upper - self.own)[i], self.c[j] * (self.lower - self.own)[j]
        ends = [0.0]
        if p > 0 and q > 0 and self.c[i] != self.c[j]:
            turning = math.log(p / q) / (self.c[j] - self.c[i])
            ends = [turning, 0.0] if 0 < turning < rho else ends
        low = next((end for end in ends if feasible(end)), None)
        if low is None:
            return None
        high = rho if low == ends[0] else ends[0]
        while low < (middle := (low + high) / 2) < high:
            low, high = (middle, high) if feasible(middle) else (low, middle)
        return low

    def describe(self, rho: float | None, stable: bool) -> str:
        """Return the message of an infeasible scheme: the bounds that cross where their distance is smallest."""

        near = min(np.linspace(0, 1, 1001)[1:], key=self.missing) if rho is None else float(rho)
        i, j = int(self.ceilings(near).argmin()), int(self.floors(near).argmax())
        where = f"ρ={near:.3g}, where their distance is smallest" if rho is None else f"scheme.rho={rho:g}"
        remedies = ["a larger synthetic_size"]
        remedies += ["scheme.stable=false"] if stable else []
        remedies += [] if rho is None else ["scheme.rho=null"]
        return (
            f"scheme: no reward values satisfy their bounds: party {self.members[j] + 1} must be offered v_min = "
            f"{self.lower[j]:.10g}, which requires v* >= {self.floors(near)[j]:.10g}, and party "
            f"{self.members[i] + 1}'s upper bound v(D_i ∪ G) = {self.upper[i]:.10g} allows v* <= "
            f"{self.ceilings(near)[i]:.10g} at {where}; {', '.join(remedies)}, or another scheme may help"
        )
