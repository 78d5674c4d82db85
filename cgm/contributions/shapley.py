r"""Shapley values (Sec. 4, equation 5)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cgm.contributions.base import Contribution, Contributions
from cgm.contributions.equal_sizes import shapley_equal_sizes
from cgm.contributions.permutations import shapley_sampled
from cgm.utils.checks import check_choice, check_integer, check_number
from cgm.valuation.game import Game
from cgm.valuation.valuation import Valuation

METHODS = ("auto", "exact", "equal_sizes", "sampled")
MAX_AUTO = 20  # parties up to which method="auto" computes all 2^n coalition values
MAX_EXACT = 24  # parties up to which method="exact" is possible: 0.85 GB of memory


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
        check_choice("contribution.method", self.method, METHODS)
        check_number("contribution.tolerance", self.tolerance, min=0)
        check_integer("contribution.max_permutations", self.max_permutations, min=4)

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        r"""Compute the Shapley values of the parties.

        Arguments:
            game: The game with the values $v_c$.
            seed: The seed of the permutations, if any are sampled.

        Raises:
            ValueError: If the method does not apply, or if no party has a positive Shapley value.
        """

        sizes: set[int] = set(game.sizes[:-1]) if isinstance(game, Valuation) else set()
        method = self.method
        if method == "auto":
            method = "exact" if game.n <= MAX_AUTO else "equal_sizes" if len(sizes) == 1 else "sampled"

        if method == "exact":
            if game.n > MAX_EXACT:
                raise ValueError(
                    f"contribution.method=exact: {game.n} parties have 2^{game.n} coalitions; expected at most "
                    f"{MAX_EXACT} parties, use contribution.method=auto"
                )
            return Contributions.of(shapley_exact(game.coalition_values()), method)

        if not isinstance(game, Valuation):
            raise ValueError(
                f"contribution.method={method}: expected a Valuation, got {type(game).__name__}; other games require "
                f"contribution.method=exact, for at most {MAX_EXACT} parties"
            )
        if method == "equal_sizes":
            if len(sizes) > 1:
                raise ValueError(
                    "contribution.method=equal_sizes: the parties differ in size, use contribution.method=auto"
                )
            return Contributions.of(shapley_equal_sizes(game), method)

        phi, stderr, permutations = shapley_sampled(game, self.tolerance, self.max_permutations, seed)
        error, limit = float(stderr.max()), self.tolerance * float(phi.abs().max())
        warnings: tuple[str, ...] = ()
        if error > limit:
            warnings = (
                f"Shapley values: after contribution.max_permutations={permutations} the largest standard error is "
                f"{error:.3g}, above {limit:.3g} (contribution.tolerance={self.tolerance:g})",
            )
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


def shapley_exact(values: Tensor) -> Tensor:
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
        >>> shapley_exact(torch.tensor([0.0, 1.0, 2.0, 5.0]))
        tensor([2., 3.], dtype=torch.float64)
    """

    n = values.numel().bit_length() - 1
    if values.dim() != 1 or n < 1 or len(values) != 2**n:
        raise ValueError(f"shapley_exact: expected 2^n values for n >= 1, got shape {tuple(values.shape)}")

    size = torch.zeros(1, dtype=torch.int64)
    for _ in range(n - 1):
        size = torch.cat([size, size + 1])  # (2^(n - 1)), the sizes |C| of the coalitions of the other parties
    weight = torch.ones(n, dtype=torch.float64)
    for c in range(1, n):  # 1 / (n (n - 1 choose c))
        weight[c] = weight[c - 1] * c / (n - c)
    weight = (weight / n)[size]

    phi = torch.empty(n, dtype=torch.float64)
    for i in range(n):
        pairs = values.double().reshape(-1, 2, 2**i)  # without and with i
        phi[i] = ((pairs[:, 1] - pairs[:, 0]).flatten() * weight).sum()

    return phi
