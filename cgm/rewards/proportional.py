r"""Rewards proportional to the contributions."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.contributions.base import Contributions
from cgm.rewards.base import Rewards, Scheme, check_room
from cgm.rewards.shapley_fair import TOLERANCE, check_positive, name_left_out
from cgm.valuation.game import Game


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

        own, alpha = game.party_values, contributions.alpha
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
        return Rewards(values, own, upper, details, warnings + name_left_out(left_out, contributions.phi))
