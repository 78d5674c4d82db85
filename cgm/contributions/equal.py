r"""Equal contributions."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.contributions.base import Contribution, Contributions
from cgm.valuation.game import Game


@dataclass(frozen=True)
class EqualShares(Contribution):
    r"""Equal shares of the value of all data, a baseline that ignores what a party contributes.

    .. math:: \phi_i = \frac{v_c(N)}{n}

    Example:
        >>> from cgm.valuation import TableGame
        >>> EqualShares().compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0).phi
        tensor([2.5000, 2.5000], dtype=torch.float64)
    """

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute equal contributions, see `Contribution.compute`."""

        return Contributions.of(torch.full((game.n,), game.grand_value / game.n, dtype=torch.float64), "exact")
