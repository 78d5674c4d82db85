r"""Leave-one-out contributions."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.contributions.base import Contribution, Contributions
from cgm.valuation.game import Game


@dataclass(frozen=True)
class LeaveOneOut(Contribution):
    r"""Leave-one-out contributions: what is lost without a party.

    .. math:: \phi_i = v_c(N) - v_c(N \setminus \{i\})

    They need $n + 1$ values only, but ignore all smaller coalitions: of two parties with the same data, neither
    may count, because the other one is still there. They do not add up to $v_c(N)$.

    References:
        Data Shapley: Equitable Valuation of Data for Machine Learning (Ghorbani and Zou, 2019).

    Example:
        >>> from cgm.valuation import TableGame
        >>> LeaveOneOut().compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0).phi
        tensor([3., 4.], dtype=torch.float64)
    """

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute the leave-one-out contributions of the parties, see `Contribution.compute`."""

        n = game.n
        without = [game.coalition(j for j in range(n) if j != i) for i in range(n)]
        return Contributions.of(game.grand_value - torch.tensor(without, dtype=torch.float64), "exact")
