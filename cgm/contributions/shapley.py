r"""Shapley values (Sec. 4, equation 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.contributions.base import Contribution, Contributions
from cgm.contributions.equal_sizes import shapley_equal_sizes
from cgm.contributions.semivalues import (
    check_settings,
    choose_method,
    inverse_binomials,
    missed_tolerance,
    semivalue_exact,
)
from cgm.valuation.game import Game
from cgm.valuation.valuation import Valuation


@dataclass(frozen=True)
class Shapley(Contribution):
    r"""Shapley values of the parties.

    .. math:: \phi_i = \frac{1}{n!} \sum_\pi v_c(C_{\pi, i} \cup \{i\}) - v_c(C_{\pi, i})

    Arguments:
        method: The method of computation. `"exact"`: from all $2^n$ coalition values, for $n \leq 24$.
            `"equal_sizes"`: in closed form, if all parties have the same number of points. `"sampled"`: from random
            permutations. `"auto"`: the first of these that applies, with exact for $n \leq 20$ only. All methods except
            exact require the game to be a `Valuation`.
        tolerance: Sampling stops when the largest standard error is at most this share of the largest
            absolute $\phi_i$.
        max_permutations: The maximum number of permutations to sample.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Equation (5); A Value for n-person Games (Shapley, 1953).

    Example:
        >>> from cgm.valuation import TableGame
        >>> Shapley().compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0).phi
        tensor([2., 3.], dtype=torch.float64)
    """

    method: str = "auto"
    tolerance: float = 0.01
    max_permutations: int = 100_000

    def __post_init__(self) -> None:
        check_settings(self.method, self.tolerance, "max_permutations", self.max_permutations)

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        r"""Compute the Shapley values of the parties.

        Arguments:
            game: The game with the values $v_c$.
            seed: The seed of the permutations, if any are sampled.

        Raises:
            ValueError: If the method does not apply, or if no party has a positive Shapley value.
        """

        from cgm.contributions.permutations import shapley_sampled

        method = choose_method(self.method, game)
        if method == "exact":
            return Contributions.of(shapley_exact(game.coalition_values()), method)
        assert isinstance(game, Valuation)  # checked by `choose_method`
        if method == "equal_sizes":
            return Contributions.of(shapley_equal_sizes(game), method)

        phi, stderr, permutations = shapley_sampled(game, self.tolerance, self.max_permutations, seed)
        what = f"Shapley values: after contribution.max_permutations={permutations}"
        warnings = missed_tolerance(what, phi, stderr, self.tolerance)
        return Contributions.of(phi, method, stderr, {"permutations": permutations}, warnings)


def shapley_values(
    game: Game,
    method: str = Shapley.method,
    tolerance: float = Shapley.tolerance,
    max_permutations: int = Shapley.max_permutations,
    seed: int = 0,
) -> Contributions:
    """Compute the Shapley values of the parties, see `Shapley`."""

    return Shapley(method, tolerance, max_permutations).compute(game, seed)


def shapley_exact(values: torch.Tensor) -> torch.Tensor:
    r"""Compute Shapley values from the values of all coalitions.

    .. math:: \phi_i = \sum_{C \not\ni i} \frac{|C|! (n - 1 - |C|)!}{n!} [v_c(C \cup \{i\}) - v_c(C)]

    Arguments:
        values: The coalition values $v_c$, of shape $(2^n)$; the bits of $c$ are the members of coalition number $c$.

    Returns:
        The Shapley values, of shape $(n)$, float64.

    Raises:
        ValueError: If the number of values is not a power of 2, or is 1.

    References:
        A Value for n-person Games (Shapley, 1953).

    Example:
        >>> import torch
        >>> shapley_exact(torch.tensor([0.0, 1.0, 2.0, 5.0]))
        tensor([2., 3.], dtype=torch.float64)
    """

    n = values.numel().bit_length() - 1
    if values.dim() != 1 or n < 1 or len(values) != 2**n:
        raise ValueError(f"shapley_exact: expected 2^n values for n >= 1, got shape {tuple(values.shape)}")

    return semivalue_exact(values, inverse_binomials(n) / n)
