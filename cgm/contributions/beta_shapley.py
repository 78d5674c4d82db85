r"""Beta Shapley values."""

from dataclasses import dataclass

import numpy as np
import scipy

from cgm.contributions.base import Contribution, Contributions
from cgm.contributions.semivalues import check_settings, semivalue
from cgm.utils.checks import check_number
from cgm.valuation.game import Game


@dataclass(frozen=True)
class BetaShapley(Contribution):
    r"""Beta Shapley values of the parties: means of marginal contributions that favour small or large coalitions.

    .. math:: \phi_i = \sum_{C \not\ni i} \frac{\text{B}(|C| + \beta, n - 1 - |C| + \alpha)}{\text{B}(\alpha, \beta)}
        \, [v_c(C \cup \{i\}) - v_c(C)]

    with the beta function B. The size $|C|$ has a beta-binomial distribution. $\alpha = \beta = 1$ gives the Shapley
    values, for which all sizes from 0 to $n - 1$ are equally probable. The larger $\alpha$ in comparison with $\beta$,
    the smaller the coalitions that count, and for $\alpha \to \infty$ the values are those of the parties' own data,
    $v_c(\{i\})$; for $\beta \to \infty$ they are the leave-one-out contributions. The values do not add up to
    $v_c(N)$, except for $\alpha = \beta = 1$.

    Arguments:
        alpha, beta: The parameters $\alpha$ and $\beta$, positive.
        method, tolerance, max_coalitions: As of `Banzhaf`.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Beta Shapley: a Unified and Noise-reduced Data Valuation Framework for Machine Learning (Kwon and Zou, 2022).

    Example:
        >>> from cgm.valuation import TableGame
        >>> BetaShapley(alpha=3.0).compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0).phi
        tensor([1.5000, 2.5000], dtype=torch.float64)
    """

    alpha: float = 4.0
    beta: float = 1.0
    method: str = "auto"
    tolerance: float = 0.01
    max_coalitions: int = 100_000

    def __post_init__(self) -> None:
        check_number("contribution.alpha", self.alpha, min=0, open_min=True)
        check_number("contribution.beta", self.beta, min=0, open_min=True)
        check_settings(self.method, self.tolerance, "max_coalitions", self.max_coalitions)

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute the beta Shapley values of the parties, see `Contribution.compute`."""

        n = game.n
        shares = scipy.stats.betabinom.pmf(np.arange(n), n - 1, self.beta, self.alpha)  # of the sizes |C|
        return semivalue(
            game,
            shares,
            lambda rng, count: rng.beta(self.beta, self.alpha, count),
            "beta Shapley values",
            self.method,
            self.tolerance,
            self.max_coalitions,
            seed,
        )
