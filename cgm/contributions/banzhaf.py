r"""Banzhaf values."""

from dataclasses import dataclass

import numpy as np
import scipy

from cgm.contributions.base import Contribution, Contributions
from cgm.contributions.semivalues import check_settings, semivalue
from cgm.valuation.game import Game


@dataclass(frozen=True)
class Banzhaf(Contribution):
    r"""Banzhaf values of the parties: means of their marginal contributions over all coalitions of the others.

    .. math:: \phi_i = \frac{1}{2^{n - 1}} \sum_{C \not\ni i} v_c(C \cup \{i\}) - v_c(C)

    All coalitions have the same weight, so that those of about half of the parties count most. The values are less
    sensitive to errors of single $v_c(C)$ than those of any other semivalue (Wang and Jia, 2023), but do not add up
    to $v_c(N)$.

    Arguments:
        method: The method of computation. `"exact"`: from all $2^n$ coalition values, for $n \leq 24$.
            `"equal_sizes"`: in closed form, if all parties have the same number of points. `"sampled"`: from random
            coalitions. `"auto"`: the first of these that applies, with exact for $n \leq 20$ only. All methods except
            exact require the game to be a `Valuation`.
        tolerance: Sampling stops when the largest standard error is at most this share of the largest
            absolute $\phi_i$.
        max_coalitions: The maximum number of coalitions to sample.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Weighted Voting Doesn't Work (Banzhaf, 1965); Data Banzhaf (Wang and Jia, 2023).

    Example:
        >>> from cgm.valuation import TableGame
        >>> Banzhaf().compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0).phi
        tensor([2., 3.], dtype=torch.float64)
    """

    method: str = "auto"
    tolerance: float = 0.01
    max_coalitions: int = 100_000

    def __post_init__(self) -> None:
        check_settings(self.method, self.tolerance, "max_coalitions", self.max_coalitions)

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute the Banzhaf values of the parties, see `Contribution.compute`."""

        n = game.n
        shares = scipy.stats.binom.pmf(np.arange(n), n - 1, 0.5)  # of the sizes |C|
        return semivalue(
            game,
            shares,
            lambda rng, count: np.full(count, 0.5),
            "Banzhaf values",
            self.method,
            self.tolerance,
            self.max_coalitions,
            seed,
        )
