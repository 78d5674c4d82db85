r"""Semivalues estimated from random coalitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from numba import njit

from cgm.contributions.base import Contribution, Contributions
from cgm.contributions.equal_sizes import equal_sizes_game, mean_gains, shapley_equal_sizes
from cgm.contributions.sampled import CHUNK, ROUND, estimate, gains_of_first_two
from cgm.utils.checks import check_choice, check_integer, check_number
from cgm.utils.run import progress, workers
from cgm.valuation.game import Game
from cgm.valuation.valuation import Valuation

Draw = Callable[[np.random.Generator, int], np.ndarray]


def semivalue_sampled(
    valuation: Valuation, shares: np.ndarray, draw: Draw, tolerance: float, max_coalitions: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, int]:
    r"""Estimate a semivalue from random coalitions.

    Many semivalues are a mean over a random probability $p$: each other party is a member of the coalition $C$ that
    $i$ joins with probability $p$, independently of all others (Owen, 1972). $p = 1/2$ gives the Banzhaf values,
    and a uniform $p$ the Shapley values. If all $n$ parties are members of a coalition $S$ with probability $p$, then
    $S \setminus \{i\}$ is such a $C$ for every $i$: one coalition gives a gain of each party, from the sums of $B$'s
    rows over $S$. The techniques that reduce the standard error are those of `shapley_sampled`:

    **Strata.** The mean gains of $i$ when it joins no party or one party are known; they are $f_i$, weighted by $w_0$
    and $w_1$. $X_i$ is the gain of $i$, or 0 if it joins fewer than two parties.

    **Antithetic pairs.** $X_i$ is the mean over two coalitions: $j \in S$ if $u_j < p$ for uniform $u_j$, and then
    $j \in S$ if $1 - u_j < p$.

    **Control variate.** $Z_i$ is computed as $X_i$, in a game of parties of equal sizes.

    A pair costs $O(n^2)$. The results do not depend on the number of threads.

    Arguments:
        valuation: The valuation with the sums $a$ and $B$.
        shares: The probabilities $w_c$ of the sizes $|C| = 0, \dots, n - 1$, of shape $(n)$.
        draw: Draws a number of probabilities $p$ from the distribution that gives the sizes these probabilities.
        tolerance: Sampling stops when the largest standard error is at most this share of the largest absolute
            estimate.
        max_coalitions: The maximum number of coalitions, without those of the first round; at least 4.
        seed: The seed of the coalitions.

    Returns:
        The estimates and their standard errors, each of shape $(n)$, float64, and the number of coalitions.

    References:
        Multilinear Extensions of Games (Owen, 1972).
    """

    n, t = valuation.n, valuation.t
    a, b = valuation.a.numpy(), np.ascontiguousarray(valuation.b.numpy())
    sizes = np.asarray(valuation.sizes[:-1], dtype=np.float64)
    rng = np.random.default_rng(seed)

    equals = equal_sizes_game(a, b, sizes)
    known = shares[:2] @ gains_of_first_two(a, b, sizes, t)[: len(shares)]
    z_mean = shares[2:] @ mean_gains(*equals[:2], sizes.mean(), t)[2:]

    with workers() as threads, progress(max_coalitions + 2 * ROUND, "coalitions") as bar:

        def observe(pairs: int) -> tuple[np.ndarray, np.ndarray]:  # X and Z, each (pairs, n)
            chunks = (min(CHUNK, pairs - k) for k in range(0, pairs, CHUNK))
            drawn = ((draw(rng, chunk), rng.random((chunk, n))) for chunk in chunks)
            games = threads.map(
                lambda d: (pair_gains(d[0], d[1], a, b, sizes, t), pair_gains(d[0], d[1], *equals, t)), drawn
            )
            x, z = zip(*games, strict=True)
            bar.update(2 * pairs)
            return np.concatenate(x), np.concatenate(z)

        phi, stderr, pairs = estimate(observe, known, z_mean, tolerance, max_coalitions // 2)

    return phi, stderr, 2 * pairs


@njit(nogil=True, cache=True)
def pair_gains(p: np.ndarray, u: np.ndarray, a: np.ndarray, b: np.ndarray, sizes: np.ndarray, t: int) -> np.ndarray:
    r"""Compute gains of all parties that join at least two others, each the mean over two coalitions.

    Arguments:
        p: The probabilities $p$, of shape $(m)$.
        u: The uniform numbers $u_j$, of shape $(m, n)$.
        a, b, sizes, t: The game, $B$ symmetric.

    Returns:
        The gains, of shape $(m, n)$ (pair, party).
    """

    m, n = u.shape
    gains = np.zeros((m, n))
    inside, sums = np.empty(n), np.empty(n)

    for k in range(m):
        for mirrored in range(2):
            sums[:] = 0  # sum of B_ij over the members j of S
            members, points, linear, quadratic = 0.0, 0.0, 0.0, 0.0
            for j in range(n):
                inside[j] = 1.0 if (1 - u[k, j] if mirrored else u[k, j]) < p[k] else 0.0
                if inside[j]:
                    members += 1
                    points += sizes[j]
                    linear += a[j]
                    row = b[j]
                    for i in range(n):
                        sums[i] += row[i]
            for j in range(n):
                quadratic += inside[j] * sums[j]
            for i in range(n):
                if members - inside[i] < 2:
                    continue
                cross = sums[i] - inside[i] * b[i, i]  # sum of B_ij over the members j != i
                # C = S without i, and then C with i
                c_points, c_linear = points - inside[i] * sizes[i], linear - inside[i] * a[i]
                c_quadratic = quadratic - inside[i] * (2 * cross + b[i, i])
                without = 2 * c_linear / (c_points * t) - c_quadratic / c_points**2
                c_points += sizes[i]
                c_quadratic += 2 * cross + b[i, i]
                with_i = 2 * (c_linear + a[i]) / (c_points * t) - c_quadratic / c_points**2
                gains[k, i] += (with_i - without) / 2

    return gains


METHODS = ("auto", "exact", "equal_sizes", "sampled")
MAX_AUTO = 20  # parties up to which method="auto" computes all 2^n coalition values
MAX_EXACT = 24  # parties up to which method="exact" is possible: 0.85 GB of memory


def semivalue(
    game: Game,
    shares: np.ndarray,
    draw: Draw,
    name: str,
    method: str,
    tolerance: float,
    max_coalitions: int,
    seed: int,
) -> Contributions:
    r"""Compute a semivalue of the parties.

    Arguments:
        game: The game with the values $v_c$.
        shares: The probabilities $w_c$ of the sizes $|C| = 0, \dots, n - 1$, of shape $(n)$.
        draw: Draws the probabilities of members, see `semivalue_sampled`.
        name: The name of the semivalue, for warnings.
        method: The method of computation, one of `METHODS`.
        tolerance, max_coalitions: When sampling stops, see `semivalue_sampled`.
        seed: The seed of the coalitions, if any are sampled.

    Raises:
        ValueError: If the method does not apply, or if no party has a positive contribution.
    """

    method = choose_method(method, game)
    if method == "exact":
        weights = torch.from_numpy(shares) * inverse_binomials(game.n)
        return Contributions.of(semivalue_exact(game.coalition_values(), weights), method)

    assert isinstance(game, Valuation)  # checked by `choose_method`
    if method == "equal_sizes":
        gains = mean_gains(game.a.numpy(), game.b.numpy(), game.sizes[0], game.t)
        return Contributions.of(torch.from_numpy(shares @ gains), method)

    phi, stderr, coalitions = semivalue_sampled(game, shares, draw, tolerance, max_coalitions, seed)
    warnings = missed_tolerance(f"{name}: after contribution.max_coalitions={coalitions}", phi, stderr, tolerance)
    return Contributions.of(phi, method, stderr, {"coalitions": coalitions}, warnings)


def check_settings(method: str, tolerance: float, max_name: str, max_value: int) -> None:
    """Check the settings that all semivalues have.

    Raises:
        ValueError: If a setting is out of range.
    """

    check_choice("contribution.method", method, METHODS)
    check_number("contribution.tolerance", tolerance, min=0)
    check_integer(f"contribution.{max_name}", max_value, min=4)


def choose_method(method: str, game: Game) -> str:
    """Replace the method "auto" by one that applies to a game, and check any other one.

    Arguments:
        method: One of `METHODS`.
        game: The game.

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


def missed_tolerance(what: str, phi: torch.Tensor, stderr: torch.Tensor, tolerance: float) -> tuple[str, ...]:
    """Return a warning if the largest standard error is above the tolerance.

    Arguments:
        what: What was computed, and how long.
        phi, stderr: The estimates and their standard errors.
        tolerance: The tolerance, as a share of the largest absolute estimate.
    """

    error, limit = float(stderr.max()), tolerance * float(phi.abs().max())
    if error <= limit:
        return ()
    return (
        f"{what} the largest standard error is {error:.3g}, above {limit:.3g} (contribution.tolerance={tolerance:g})",
    )


def inverse_binomials(n: int) -> torch.Tensor:
    r"""Compute $\binom{n - 1}{c}^{-1}$ for $c = 0, \dots, n - 1$, of shape $(n)$, float64."""

    inverse = torch.ones(n, dtype=torch.float64)
    for c in range(1, n):
        inverse[c] = inverse[c - 1] * c / (n - c)
    return inverse


def semivalue_exact(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    r"""Compute a semivalue from the values of all coalitions.

    .. math:: \phi_i = \sum_{C \not\ni i} p_{|C|} [v_c(C \cup \{i\}) - v_c(C)]

    Arguments:
        values: The coalition values $v_c$, of shape $(2^n)$; the bits of $c$ are the members of coalition number $c$.
        weights: The weights $p_0, \dots, p_{n - 1}$ of a coalition of each size, of shape $(n)$.

    Returns:
        The semivalue, of shape $(n)$, float64.
    """

    n = len(weights)
    size = torch.zeros(1, dtype=torch.int64)
    for _ in range(n - 1):
        size = torch.cat([size, size + 1])  # (2^(n - 1)), the sizes |C| of the coalitions of the other parties
    weight = weights[size]

    phi = torch.empty(n, dtype=torch.float64)
    for i in range(n):
        pairs = values.double().reshape(-1, 2, 2**i)  # without and with i
        phi[i] = ((pairs[:, 1] - pairs[:, 0]).flatten() * weight).sum()

    return phi


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

    def weights(self, n: int) -> torch.Tensor:
        """Return the weights of a coalition of each size, see `Contribution.weights`."""

        return inverse_binomials(n) / n

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        r"""Compute the Shapley values of the parties.

        Arguments:
            game: The game with the values $v_c$.
            seed: The seed of the permutations, if any are sampled.

        Raises:
            ValueError: If the method does not apply, or if no party has a positive Shapley value.
        """

        from cgm.contributions.sampled import shapley_sampled

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

    def shares(self, n: int) -> np.ndarray:
        """Compute the probabilities of the sizes |C| = 0, ..., n - 1."""

        return scipy.stats.binom.pmf(np.arange(n), n - 1, 0.5)

    def weights(self, n: int) -> torch.Tensor:
        """Return the weights of a coalition of each size, see `Contribution.weights`."""

        return torch.from_numpy(self.shares(n)) * inverse_binomials(n)

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute the Banzhaf values of the parties, see `Contribution.compute`."""

        return semivalue(
            game,
            self.shares(game.n),
            lambda rng, count: np.full(count, 0.5),
            "Banzhaf values",
            self.method,
            self.tolerance,
            self.max_coalitions,
            seed,
        )


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

    def shares(self, n: int) -> np.ndarray:
        """Compute the probabilities of the sizes |C| = 0, ..., n - 1."""

        return scipy.stats.betabinom.pmf(np.arange(n), n - 1, self.beta, self.alpha)

    def weights(self, n: int) -> torch.Tensor:
        """Return the weights of a coalition of each size, see `Contribution.weights`."""

        return torch.from_numpy(self.shares(n)) * inverse_binomials(n)

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute the beta Shapley values of the parties, see `Contribution.compute`."""

        return semivalue(
            game,
            self.shares(game.n),
            lambda rng, count: rng.beta(self.beta, self.alpha, count),
            "beta Shapley values",
            self.method,
            self.tolerance,
            self.max_coalitions,
            seed,
        )


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

    def weights(self, n: int) -> torch.Tensor:
        """Return the weights of a coalition of each size, see `Contribution.weights`."""

        return (torch.arange(n) == n - 1).double()

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute the leave-one-out contributions of the parties, see `Contribution.compute`."""

        n = game.n
        without = [game.coalition(j for j in range(n) if j != i) for i in range(n)]
        return Contributions.of(game.grand_value - torch.tensor(without, dtype=torch.float64), "exact")
