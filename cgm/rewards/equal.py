r"""Equal rewards."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.contributions.base import Contributions
from cgm.rewards.base import Rewards, Scheme, check_room
from cgm.rewards.shapley_fair import TOLERANCE
from cgm.valuation.game import Game


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

        own = game.party_values
        check_room(own, upper)
        v_star = float(upper.min())
        clipped = torch.nonzero(own > v_star + TOLERANCE * abs(v_star)).flatten().tolist()
        warnings = tuple(
            f"party {i + 1} keeps r_i = v(D_i) = {float(own[i]):.6g}, which is above the {v_star:.6g} of the others"
            for i in clipped
        )
        details = {"v_star": v_star, "rho": 0.0, "clipped": clipped}
        return Rewards(own.clamp(min=v_star), own, upper, details, warnings)
