"""Reward schemes to compare with: less stable ones, proportional and equal rewards, the largest rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch

from cgm.contributions.base import Contributions
from cgm.rewards.schemes.base import (
    TOLERANCE,
    InfeasibleScheme,
    Rewards,
    RhoRewards,
    Scheme,
    bounds_note,
    check_positive,
    check_room,
    lower_bounds,
    name_left_out,
)
from cgm.rewards.schemes.shapley_fair import solve_scheme
from cgm.utils.checks import check_values
from cgm.utils.settings import Number
from cgm.valuation.game import Game

ROUNDS = 1000
CONVERGED = 1e-13  # change of v*, as a share of it


@dataclass(frozen=True)
class Spread(Scheme):
    r"""Rectified $\rho$-Shapley fair rewards with the largest $\rho$ that leaves them almost stable.

    .. math::
        \max \rho \quad \text{subject to} \quad
            \max \{v_c(\{i\}), \bar v_i - s v^*\} \leq v^* \alpha_i^\rho \leq
            v(D_i \cup G), \quad 0 \leq \rho \leq 1

    with the stable bounds $\bar v_i$ of `lower_bounds` and the slack $s$: a coalition may get less than its value,
    by at most the share $s$ of $v^*$. With $s = 0$, the rewards are those of `scheme=stable`, and with a large $s$
    those of `scheme=fair`. In between, rewards differ more between the parties, the more a coalition may miss (R6).

    For a given $\rho$, the best $v^*$ is $\min_i v(D_i \cup G) / \alpha_i^\rho$, which grows with $\rho$. So the linear
    program of `ShapleyFair` has the largest feasible $\rho$ as its solution for any $\epsilon > 0$. Here, its lower
    bounds depend on $v^*$ as well: it is solved with the largest possible $v^*$ in them, and again with the $v^*$ of
    the solution until that does not change. The sequence decreases to the largest $v^*$, and thus the largest $\rho$,
    for which both are the same.

    Arguments:
        slack: The slack $s$, from 0 to 1.

    Raises:
        ValueError: If the slack is out of range.
    """

    slack: Annotated[float, Number(min=0, max=1)] = 0.1

    def solve(self, contributions: Contributions, game: Game, upper: torch.Tensor) -> Rewards:
        r"""Compute the reward values of the parties, see `Scheme.solve`.

        The details are `v_star`, `rho`, `slack`, `shortfall`, the largest $v_c(C) - r_i$ of a stable bound as a
        share of $v^*$ (0 if none is positive), and `left_out`, the parties (from 0) with $\alpha_i \leq 0$.
        """

        own, alpha, upper = game.party_values, contributions.alpha, check_values("scheme: upper", upper, game.n)
        stable, members = lower_bounds(game, contributions.phi), alpha > 0
        v_star = float((upper[members] / alpha[members]).min())
        for _ in range(ROUNDS):
            lower = torch.maximum(own, stable - self.slack * v_star)
            rewards = solve_scheme(alpha, lower, upper, party_values=own)
            change, v_star = v_star - rewards.v_star, rewards.v_star
            if self.slack == 0 or change <= CONVERGED * v_star:
                break

        missed = float((stable - rewards.values)[members].max()) / v_star
        details = {
            "v_star": v_star,
            "rho": rewards.rho,
            "slack": float(self.slack),
            "shortfall": max(missed, 0.0),
            "left_out": list(rewards.left_out),
        }
        warnings = name_left_out(rewards.left_out, contributions.phi) + bounds_note(game.n, True)
        return RhoRewards(rewards.values, lower, upper, details, warnings)


class FrontierPoint(NamedTuple):
    r"""A point on the frontier between stability and proportionality.

    Attributes:
        slack: The slack $s$.
        rho: The exponent $\rho$; 1 for rewards proportional to the contributions.
        v_star: The largest reward value $v^*$.
        spread: $\max_i r_i - \min_i r_i$.
        shortfall: The largest $\bar v_i - r_i$ of a stable bound, as a share of $v^*$; 0 for stable rewards.
    """

    slack: float
    rho: float
    v_star: float
    spread: float
    shortfall: float


def frontier(
    contributions: Contributions, game: Game, upper: torch.Tensor, slacks: Sequence[float]
) -> list[FrontierPoint]:
    r"""Compute the frontier between stability and proportionality.

    Arguments:
        contributions: The contributions of the parties.
        game: The game with the values $v_c$.
        upper: The largest possible rewards $v(D_i \cup G)$, of shape $(n)$.
        slacks: The slacks $s$ of `Spread`.

    Returns:
        A point for each slack for which there are rewards, in the given order.

    Raises:
        InfeasibleScheme: If there are no rewards for any slack.
        ValueError: If a slack is out of range.

    Example:
        >>> from cgm.contributions import Shapley
        >>> from cgm.valuation import TableGame
        >>> game, upper = TableGame([0.0, 1.0, 2.0, 3.5]), torch.tensor([4.0, 4.0], dtype=torch.float64)
        >>> [round(point.rho, 2) for point in frontier(Shapley().compute(game), game, upper, [0.0, 0.5])]
        [1.0, 1.0]
    """

    points, error = [], InfeasibleScheme("scheme: no slacks")
    for slack in slacks:
        try:
            rewards = Spread(slack).solve(contributions, game, upper)
        except InfeasibleScheme as reason:
            error = reason
            continue
        rho, v_star, shortfall = (rewards.details[name] for name in ("rho", "v_star", "shortfall"))
        points.append(FrontierPoint(slack, rho, v_star, rewards.spread, shortfall))
    if not points:
        raise error

    return points


@dataclass(frozen=True)
class Proportional(Scheme):
    r"""Rewards proportional to the contributions, as large as the upper bounds allow.

    .. math:: r_i = \max \{v_c(\{i\}), \alpha_i v^*\}, \qquad v^* = \min_i v(D_i \cup G) / \alpha_i

    They are those of `ShapleyFair` with $\rho = 1$, except that there are rewards for any $v^*$: a party whose share
    $\alpha_i v^*$ is below the value of its own data keeps this value, and a warning names it. A party with
    $\alpha_i \leq 0$ keeps $v_c(\{i\})$ as well.

    No coalition has a guarantee of its value, so that stability (R6) may be lost; and if a party keeps its own value,
    so may fairness (R5).
    """

    def solve(self, contributions: Contributions, game: Game, upper: torch.Tensor) -> Rewards:
        r"""Compute the reward values of the parties, see `Scheme.solve`.

        The details are `v_star`, `rho` (1), `clipped`, the parties (from 0) whose share is below their own value, and
        `left_out`, those with $\alpha_i \leq 0$.
        """

        own, alpha, upper = game.party_values, contributions.alpha, check_values("scheme: upper", upper, game.n)
        check_room(own, upper)
        members = torch.nonzero(alpha > 0).flatten()
        check_positive(members, upper)

        v_star = float((upper[members] / alpha[members]).min())
        values = own.clone()
        values[members] = torch.maximum(own[members], alpha[members] * v_star)
        clipped = [i for i in members.tolist() if alpha[i] * v_star < own[i] - TOLERANCE * v_star]
        left_out = torch.nonzero(alpha <= 0).flatten().tolist()
        warnings = tuple(
            f"party {i + 1} keeps r_i = v(D_i) = {float(own[i]):.6g}: its proportional share is "
            f"{float(alpha[i]) * v_star:.6g}"
            for i in clipped
        )
        details = {"v_star": v_star, "rho": 1.0, "clipped": clipped, "left_out": left_out}
        return RhoRewards(values, own, upper, details, warnings + name_left_out(left_out, contributions.phi))


@dataclass(frozen=True)
class EqualRewards(Scheme):
    r"""The same reward value for all parties, as large as the upper bounds allow: a baseline without contributions.

    .. math:: r_i = \max \{v_c(\{i\}), v^*\}, \qquad v^* = \min_i v(D_i \cup G)

    A party whose own data is worth more than $v^*$ keeps its value, and a warning names it. Fairness (R5) is lost,
    since parties with different contributions have the same reward.
    """

    def solve(self, contributions: Contributions, game: Game, upper: torch.Tensor) -> Rewards:
        """Compute the reward values of the parties, see `Scheme.solve`.

        The details are `v_star`, `rho` (0) and `clipped`, the parties (from 0) whose own value is larger.
        """

        own, upper = game.party_values, check_values("scheme: upper", upper, game.n)
        check_room(own, upper)
        v_star = float(upper.min())
        clipped = torch.nonzero(own > v_star + TOLERANCE * abs(v_star)).flatten().tolist()
        warnings = tuple(
            f"party {i + 1} keeps r_i = v(D_i) = {float(own[i]):.6g}, which is above the {v_star:.6g} of the others"
            for i in clipped
        )
        details = {"v_star": v_star, "rho": 0.0, "clipped": clipped}
        return RhoRewards(own.clamp(min=v_star), own, upper, details, warnings)


@dataclass(frozen=True)
class MaxWelfare(Scheme):
    r"""The largest possible reward for each party: the whole synthetic pool.

    .. math:: r_i = v(D_i \cup G)

    It maximises $\sum_i r_i$, the group welfare (R7), but does not depend on contributions, so that fairness (R5) is
    lost.
    """

    def solve(self, contributions: Contributions, game: Game, upper: torch.Tensor) -> Rewards:
        """Compute the reward values of the parties, see `Scheme.solve`.

        The detail is `v_star`, the largest reward.
        """

        own, upper = game.party_values, check_values("scheme: upper", upper, game.n)
        check_room(own, upper)
        return Rewards(upper.clone(), own, upper, {"v_star": float(upper.max())})
