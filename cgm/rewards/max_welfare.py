r"""Rewards of maximum welfare."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.contributions.base import Contributions
from cgm.rewards.base import Rewards, Scheme, check_room
from cgm.valuation.game import Game


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

        own = game.party_values
        check_room(own, upper)
        return Rewards(upper.clone(), own, upper, {"v_star": float(upper.max())})
