r"""Semivalues: means of what a party adds to coalitions of the others, such as Shapley and Banzhaf values (Sec. 4)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import scipy
import torch

from cgm.contributions.base import Contribution, Contributions
from cgm.contributions.equal_sizes import mean_gains, weighted_mean
from cgm.utils.convert import to_numbers
from cgm.utils.settings import Choice, Integer, Number
from cgm.valuation.game import Game, changes, count_parties
from cgm.valuation.valuation import Valuation

MAX_AUTO = 20  # parties up to which method="auto" computes all 2^n coalition values
MAX_EXACT = 24  # parties up to which method="exact" is possible: 0.85 GB of memory

Method = Annotated[str, Choice(("auto", "exact", "equal_sizes", "sampled"))]
Tolerance = Annotated[float, Number(min=0)]
Draws = Annotated[int, Integer(min=4)]


class Semivalue(Contribution):
    r"""Base class of semivalues: weighted means over the sizes $c$ of the coalitions that a party joins.

    .. math:: \phi_i = \sum_{c = 0}^{n - 1} w_c \binom{n - 1}{c}^{-1} \sum_{C \not\ni i, |C| = c}
        v_c(C \cup \{i\}) - v_c(C)

    A semivalue has the weights $w_c$, and samples coalitions or permutations.

    Arguments:
        method: The method of computation. `"exact"`: from all $2^n$ coalition values, for $n \leq 24$.
            `"equal_sizes"`: in closed form, if all parties have the same number of points. `"sampled"`: from random
            draws. `"auto"`: the first of these that applies, with exact for $n \leq 20$ only. All methods except exact
            require the game to be a `Valuation`.
        tolerance: Sampling stops when the largest standard error is at most this share of the largest
            absolute $\phi_i$.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Value Theory without Efficiency (Dubey, Neyman and Weber, 1981).
    """

    method: Method
    tolerance: Tolerance
    title: ClassVar[str]
    """The name of the values in warnings."""
    draws: ClassVar[str] = "coalitions"
    """What is sampled; the setting of its maximum number is `max_` and this."""

    @abstractmethod
    def weights(self, n: int) -> tuple[np.ndarray, int]:
        """Return numbers proportional to the weights of the sizes 0 to n - 1, of shape (n), and their sum."""

    def coalition_weights(self, n: int) -> torch.Tensor:
        """Return the weight of a coalition of each size, see `Contribution.coalition_weights`."""

        return weights_of_coalitions(*self.weights(n))

    @abstractmethod
    def sample(self, valuation: Valuation, seed: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Return estimates and their standard errors, each of shape (n), float64, and the number of draws."""

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        r"""Compute the semivalue of the parties.

        Arguments:
            game: The game with the values $v_c$.
            seed: The seed of the draws, if any are sampled.

        Raises:
            ValueError: If the method does not apply, or if no party has a positive contribution.
        """

        method = choose_method(self.method, game)
        if method == "exact":
            return Contributions.of(semivalue_exact(game.coalition_values(), *self.weights(game.n)), method)
        assert isinstance(game, Valuation)  # checked by `choose_method`
        if method == "equal_sizes":
            gains = mean_gains(game.a.numpy(), game.b.numpy(), game.sizes[0], game.t)
            return Contributions.of(torch.from_numpy(weighted_mean(gains, *self.weights(game.n))), method)

        phi, stderr, count = self.sample(game, seed)
        error, limit = float(stderr.max()), self.tolerance * float(phi.abs().max())
        warning = (
            f"{self.title}: after contribution.max_{self.draws}={count} the largest standard error is {error:.3g}, "
            f"above {limit:.3g} (contribution.tolerance={self.tolerance:g})"
        )
        return Contributions.of(phi, method, stderr, {self.draws: count}, (warning,) if error > limit else ())


def choose_method(method: str, game: Game) -> str:
    """Replace the method "auto" by one that applies to a game, and check any other one.

    Raises:
        ValueError: If the method does not apply.
    """

    sizes: set[int] = set(game.sizes[:-1]) if isinstance(game, Valuation) else set()
    if method == "auto":
        method = "exact" if game.n <= MAX_AUTO else "equal_sizes" if len(sizes) == 1 else "sampled"

    if method == "exact":
        if game.n > MAX_EXACT:
            raise ValueError(
                f"contribution.method=exact: {game.n} parties have 2^{game.n} coalitions; expected at most "
                f"{MAX_EXACT} parties, use contribution.method=auto"
            )
    elif not isinstance(game, Valuation):
        raise ValueError(
            f"contribution.method={method}: expected a Valuation, got {type(game).__name__}; other games require "
            f"contribution.method=exact, for at most {MAX_EXACT} parties"
        )
    elif method == "equal_sizes" and len(sizes) > 1:
        raise ValueError("contribution.method=equal_sizes: the parties differ in size, use contribution.method=auto")

    return method


def semivalue_exact(values: torch.Tensor, weights: np.ndarray, total: int = 1) -> torch.Tensor:
    r"""Compute a semivalue from the values of all coalitions.

    Arguments:
        values: The coalition values $v_c$, of shape $(2^n)$; the bits of $c$ are the members of coalition number $c$.
        weights: Numbers proportional to the weights of the sizes $0, \dots, n - 1$, of shape $(n)$.
        total: The sum of these numbers.

    Returns:
        The semivalue, of shape $(n)$, float64.
    """

    size = torch.zeros(1, dtype=torch.int64)
    for _ in range(1, len(weights)):
        size = torch.cat([size, size + 1])  # the sizes |C| of the coalitions of the other parties, (2^(n - 1)) at last
    weight = weights_of_coalitions(weights, total)[size]

    return torch.stack([(change.flatten() * weight).sum() for change in changes(values.double())])


def weights_of_coalitions(weights: np.ndarray, total: int = 1) -> torch.Tensor:
    r"""Compute the weight of a coalition of each size, $w_c \binom{n - 1}{c}^{-1}$, of shape (n), float64.

    Arguments:
        weights: Numbers proportional to the weights $w_c$ of the sizes $0, \dots, n - 1$, of shape $(n)$.
        total: The sum of these numbers.
    """

    n = len(weights)
    inverse = torch.ones(n, dtype=torch.float64)
    for c in range(1, n):
        inverse[c] = inverse[c - 1] * c / (n - c)  # 1 / binomial coefficient (n - 1, c)
    return torch.from_numpy(weights) * inverse / total


@dataclass(frozen=True)
class Shapley(Semivalue):
    r"""Shapley values of the parties: the semivalue in which all sizes have the same weight.

    .. math:: \phi_i = \frac{1}{n!} \sum_\pi v_c(C_{\pi, i} \cup \{i\}) - v_c(C_{\pi, i})

    Arguments:
        max_permutations: The maximum number of permutations to sample.

    References:
        Equation (5); A Value for n-person Games (Shapley, 1953).

    Example:
        >>> from cgm.valuation import TableGame
        >>> Shapley().compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0).phi
        tensor([2., 3.], dtype=torch.float64)
    """

    method: Method = "auto"
    tolerance: Tolerance = 0.01
    max_permutations: Draws = 100_000

    title = "Shapley values"
    draws = "permutations"

    def weights(self, n: int) -> tuple[np.ndarray, int]:
        """Return a weight of 1 for each size, see `Semivalue.weights`."""

        return np.ones(n), n

    def sample(self, valuation: Valuation, seed: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Sample permutations, see `Semivalue.sample`."""

        from cgm.contributions.sampled import shapley_sampled

        return shapley_sampled(valuation, self.tolerance, self.max_permutations, seed)


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

    values = to_numbers(values, "shapley_exact: values")
    return semivalue_exact(values, *Shapley().weights(count_parties(values, "shapley_exact")))


@dataclass(frozen=True)
class Banzhaf(Semivalue):
    r"""Banzhaf values of the parties: means of their marginal contributions over all coalitions of the others.

    .. math:: \phi_i = \frac{1}{2^{n - 1}} \sum_{C \not\ni i} v_c(C \cup \{i\}) - v_c(C)

    All coalitions have the same weight, so that those of about half of the parties count most. The values are less
    sensitive to errors of single $v_c(C)$ than those of any other semivalue (Wang and Jia, 2023), but do not add up
    to $v_c(N)$.

    Arguments:
        max_coalitions: The maximum number of coalitions to sample.

    References:
        Weighted Voting Doesn't Work (Banzhaf, 1965); Data Banzhaf (Wang and Jia, 2023).

    Example:
        >>> from cgm.valuation import TableGame
        >>> Banzhaf().compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0).phi
        tensor([2., 3.], dtype=torch.float64)
    """

    method: Method = "auto"
    tolerance: Tolerance = 0.01
    max_coalitions: Draws = 100_000

    title = "Banzhaf values"

    def weights(self, n: int) -> tuple[np.ndarray, int]:
        """Return the shares of the coalitions that have each size, see `Semivalue.weights`."""

        return scipy.stats.binom.pmf(np.arange(n), n - 1, 0.5), 1

    def sample(self, valuation: Valuation, seed: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Sample coalitions, see `Semivalue.sample`."""

        from cgm.contributions.sampled import semivalue_sampled

        weights, _ = self.weights(valuation.n)
        return semivalue_sampled(
            valuation, weights, lambda rng, count: np.full(count, 0.5), self.tolerance, self.max_coalitions, seed
        )


@dataclass(frozen=True)
class BetaShapley(Semivalue):
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
        max_coalitions: The maximum number of coalitions to sample.

    References:
        Beta Shapley: a Unified and Noise-reduced Data Valuation Framework for Machine Learning (Kwon and Zou, 2022).

    Example:
        >>> from cgm.valuation import TableGame
        >>> BetaShapley(alpha=3.0).compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0).phi
        tensor([1.5000, 2.5000], dtype=torch.float64)
    """

    alpha: Annotated[float, Number(min=0, open_min=True)] = 4.0
    beta: Annotated[float, Number(min=0, open_min=True)] = 1.0
    method: Method = "auto"
    tolerance: Tolerance = 0.01
    max_coalitions: Draws = 100_000

    title = "beta Shapley values"

    def weights(self, n: int) -> tuple[np.ndarray, int]:
        """Return the beta-binomial distribution of the sizes, see `Semivalue.weights`."""

        return scipy.stats.betabinom.pmf(np.arange(n), n - 1, self.beta, self.alpha), 1

    def sample(self, valuation: Valuation, seed: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Sample coalitions, see `Semivalue.sample`."""

        from cgm.contributions.sampled import semivalue_sampled

        weights, _ = self.weights(valuation.n)

        def draw(rng: np.random.Generator, count: int) -> np.ndarray:
            return rng.beta(self.beta, self.alpha, count)

        return semivalue_sampled(valuation, weights, draw, self.tolerance, self.max_coalitions, seed)


@dataclass(frozen=True)
class LeaveOneOut(Contribution):
    r"""Leave-one-out contributions: what is lost without a party.

    .. math:: \phi_i = v_c(N) - v_c(N \setminus \{i\})

    They are the semivalue with all weight on the largest size $n - 1$, but need $n + 1$ values only. They ignore all
    smaller coalitions: of two parties with the same data, neither may count, because the other one is still there.
    They do not add up to $v_c(N)$.

    References:
        Data Shapley: Equitable Valuation of Data for Machine Learning (Ghorbani and Zou, 2019).

    Example:
        >>> from cgm.valuation import TableGame
        >>> LeaveOneOut().compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0).phi
        tensor([3., 4.], dtype=torch.float64)
    """

    def coalition_weights(self, n: int) -> torch.Tensor:
        """Return the weight of a coalition of each size, see `Contribution.coalition_weights`."""

        return (torch.arange(n) == n - 1).double()

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute the leave-one-out contributions of the parties, see `Contribution.compute`."""

        n = game.n
        without = [game.coalition(j for j in range(n) if j != i) for i in range(n)]
        return Contributions.of(game.grand_value - torch.tensor(without, dtype=torch.float64), "exact")
