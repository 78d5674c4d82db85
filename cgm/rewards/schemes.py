r"""Reward schemes, which turn contributions into reward values (Sec. 4.1)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, NamedTuple

import numpy as np
import scipy
import torch

from cgm.contributions.base import Contributions
from cgm.utils.checks import check_details, check_number, check_values
from cgm.utils.plain import NOT_WRITTEN
from cgm.utils.settings import Number, Settings
from cgm.valuation.bounds import MAX_PARTIES, rounding
from cgm.valuation.game import Game


class InfeasibleScheme(ValueError):
    """Raised when no reward values satisfy their bounds; a larger synthetic pool may help."""


class Condition(NamedTuple):
    """A condition under which strict monotonicity (F4) holds in comparison with a game with the same v* and ρ.

    Attributes:
        holds: Whether it is met.
        text: The condition.
    """

    holds: bool
    text: str


@dataclass(frozen=True)
class Rewards:
    r"""Reward values of the parties and their bounds.

    Attributes:
        values: The reward values $r_i$, of shape $(n)$, float64.
        lower: The lower bounds $v_i^{\min}$, of shape $(n)$.
        upper: The upper bounds $v_i^{\max} = v(D_i \cup G)$, of shape $(n)$.
        details: Further results of the scheme, by name, such as `v_star` and `rho`; values that JSON can represent.
        warnings: Messages for the user, such as a party that was left out.
        name: The name of the scheme.

    Raises:
        ValueError: If the values or bounds are not finite or differ in number, or if the details are not as described,
            or have one of the names `name`, `rewards` and `spread`, beside which `result.json` has them.
    """

    values: torch.Tensor
    lower: torch.Tensor
    upper: torch.Tensor
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=(), metadata=NOT_WRITTEN)  # those of the result have them
    name: str = ""

    def __post_init__(self) -> None:
        values = check_values("scheme: reward values", self.values)
        object.__setattr__(self, "values", values)
        for name in ("lower", "upper"):
            bounds = check_values(f"scheme: {name} bounds", getattr(self, name), len(values))
            object.__setattr__(self, name, bounds)
        check_details("scheme: details", self.details)
        if taken := {"name", "rewards", "spread"} & self.details.keys():
            raise ValueError(
                f"scheme: details: {', '.join(sorted(taken))} are keys of every scheme; rename the details"
            )
        for name in ("v_star", "rho"):
            check_number(f"scheme: details.{name}", self.details.get(name), optional=True)

    @property
    def rewards(self) -> torch.Tensor:
        """The reward values $r_i$, the same as `values`."""

        return self.values

    @property
    def spread(self) -> float:
        r"""The spread of the rewards, $\max_i r_i - \min_i r_i$."""

        return float(self.values.max() - self.values.min())

    def number(self, name: str) -> float | None:
        """Return a number among the details, or `None` if the scheme does not report it."""

        value = self.details.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def monotonicity(self, alpha: torch.Tensor) -> Condition | None:
        r"""Return the scheme's condition for F4, and whether it is met; `None` if the scheme states none.

        Arguments:
            alpha: The normalised contributions $\alpha_i$, of shape $(n)$.
        """

        return None


class RhoRewards(Rewards):
    r"""Rewards that depend on $v^*$ and $\alpha_i^\rho$, with the details `v_star` and `rho` as attributes."""

    @property
    def v_star(self) -> float:
        """The largest reward value $v^*$."""

        return self.details["v_star"]

    @property
    def rho(self) -> float:
        r"""The exponent $\rho$."""

        return self.details["rho"]

    @property
    def tolerance(self) -> float:
        """The rounding error that conditions may have."""

        return TOLERANCE * max(abs(self.v_star), float(self.values.abs().max()))

    def monotonicity(self, alpha: torch.Tensor) -> Condition:
        r"""Return Proposition 3b's condition for $r_i = \max \{v_c(\{i\}), \alpha_i^\rho v^*\}$."""

        members = alpha > 0
        slack = float((alpha[members] ** self.rho * self.v_star - self.lower[members]).min())
        holds = self.rho > 0 and slack >= -self.tolerance and bool(members.all())
        return Condition(holds, "Proposition 3b's condition (ρ > 0 and v_min <= v* α_i^ρ for all i)")


class Scheme(Settings, ABC):
    """Base class of reward schemes.

    A scheme is a frozen dataclass of its settings with one method, `solve`.
    """

    section = "scheme"

    @abstractmethod
    def solve(self, contributions: Contributions, game: Game, upper: torch.Tensor) -> Rewards:
        r"""Compute the reward values of the parties.

        Arguments:
            contributions: The contributions of the parties.
            game: The game with the values $v_c$.
            upper: The largest possible rewards $v(D_i \cup G)$, of shape $(n)$.

        Raises:
            InfeasibleScheme: If no reward values satisfy their bounds.
        """


def check_room(own: torch.Tensor, upper: torch.Tensor) -> None:
    r"""Check that each party's reward can be at least the value of its own data.

    Arguments:
        own: The values $v(D_i)$, of shape $(n)$.
        upper: The largest possible rewards $v(D_i \cup G)$, of shape $(n)$.

    Raises:
        InfeasibleScheme: If an upper bound is smaller than the value.
    """

    i = int((upper - own).argmin())
    if upper[i] < own[i]:
        raise InfeasibleScheme(
            f"scheme: party {i + 1}'s own value v(D_i) = {float(own[i]):.10g} is above its upper bound v(D_i ∪ G) = "
            f"{float(upper[i]):.10g}; a larger synthetic_size may help"
        )


TOLERANCE = 1e-9  # the rounding error that conditions may have, as a share of v*


@dataclass(frozen=True)
class ShapleyFair(Scheme):
    r"""Rectified $\rho$-Shapley fair rewards with optimised $v^*$ and $\rho$.

    The linear program, in $(\log v^*, \rho)$, and the rewards are

    .. math::
        \max_{v^*, \rho} \; & \log v^* + \epsilon \rho \quad \text{subject to} \quad
            v_i^{\min} \leq v^* \alpha_i^\rho \leq v_i^{\max}, \quad 0 \leq \rho \leq 1 \\
        r_i & = \max \{v_c(\{i\}), \alpha_i^\rho v^*\}

    A lower bound that is not positive has no effect. A party with $\alpha_i \leq 0$ is left out of the program and
    keeps $r_i = v_c(\{i\})$. For a given $\rho$, $v^*$ is the largest value with $v^* \alpha_i^\rho \leq v_i^{\max}$
    for all $i$ (Proposition 3a). The lower bounds are then only required as $v_i^{\min} \leq v^*$, and
    `check_incentives` reports which incentives are violated.

    Arguments:
        stable: Whether the lower bounds guarantee stability (R6), see `lower_bounds`.
        epsilon: The weight $\epsilon$ of $\rho$.
        rho: The exponent $\rho$, from 0 to 1; optimised, if `None`.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Section 4.1, equation (6).
    """

    stable: bool = True
    epsilon: Annotated[float, Number(min=0)] = 1e-3
    rho: Annotated[float, Number(min=0, max=1)] | None = None

    def solve(self, contributions: Contributions, game: Game, upper: torch.Tensor) -> FairRewards:
        r"""Compute the reward values of the parties, see `Scheme.solve`.

        The details are `v_star`, `rho`, `epsilon` (`None` if $\rho$ was given), `stable`, and `left_out`, the parties
        (from 0) with $\alpha_i \leq 0$.
        """

        lower = lower_bounds(game, contributions.phi, self.stable)
        rewards = self._solve(contributions.alpha, lower, upper, game.party_values)
        warnings = name_left_out(rewards.left_out, contributions.phi) + bounds_note(game.n, self.stable)
        return replace(rewards, warnings=warnings)

    def _solve(self, alpha: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor, own: torch.Tensor) -> FairRewards:
        alpha, lower, upper, own = (torch.as_tensor(x).double() for x in (alpha, lower, upper, own))
        if not alpha.shape == lower.shape == upper.shape == own.shape or alpha.dim() != 1:
            raise ValueError("scheme: expected alpha, lower, upper and party_values of the same shape (n,)")
        if not all(torch.isfinite(x).all() for x in (alpha, lower, upper, own)):
            raise ValueError("scheme: alpha, lower, upper and party_values must be finite")
        if not (alpha > 0).any():
            raise ValueError("scheme: no party has a positive contribution, there is nothing to share")

        members = torch.nonzero(alpha > 0).flatten()
        check_positive(members, upper)
        if self.rho is None:
            epsilon: float | None = self.epsilon
            log_v, rho = _solve_program(alpha, lower, upper, self.epsilon, members)
            v_star = float(np.exp(log_v))
        else:
            epsilon, rho = None, self.rho
            largest = upper[members] / alpha[members] ** rho
            v_star = float(largest.min())
            above = lower[members] - v_star
            if above.max() > TOLERANCE * v_star:
                i, j = int(members[above.argmax()]), int(members[largest.argmin()])
                raise InfeasibleScheme(_crossing(i, j, lower, upper, f"scheme.rho={rho}"))

        values = own.clone()
        values[members] = torch.maximum(own[members], alpha[members] ** rho * v_star)
        details = {
            "v_star": v_star,
            "rho": float(rho),
            "epsilon": epsilon,
            "stable": self.stable,
            "left_out": torch.nonzero(alpha <= 0).flatten().tolist(),
        }
        return FairRewards(values, lower, upper, details)


class FairRewards(RhoRewards):
    """Rewards of `ShapleyFair`, with its details as attributes."""

    @property
    def epsilon(self) -> float | None:
        r"""The weight $\epsilon$ of $\rho$; `None` if $\rho$ was given."""

        return self.details["epsilon"]

    @property
    def left_out(self) -> tuple[int, ...]:
        r"""The parties (from 0) with $\alpha_i \leq 0$, which keep their own value $v_c(\{i\})$."""

        return tuple(self.details["left_out"])


def solve_scheme(
    alpha: torch.Tensor,
    lower: torch.Tensor,
    upper: torch.Tensor,
    epsilon: float = ShapleyFair.epsilon,
    rho: float | None = ShapleyFair.rho,
    party_values: torch.Tensor | None = None,
) -> FairRewards:
    r"""Compute the rewards of `ShapleyFair` from given bounds.

    Arguments:
        alpha: The normalised contributions $\alpha_i$, of shape $(n)$.
        lower: The lower bounds $v_i^{\min}$, of shape $(n)$.
        upper: The upper bounds $v_i^{\max} = v(D_i \cup G)$, of shape $(n)$.
        epsilon, rho: As in `ShapleyFair`.
        party_values: The values $v_c(\{i\})$, of shape $(n)$; the lower bounds, if `None`.

    Raises:
        InfeasibleScheme: If no $v^*$ and $\rho$ satisfy the bounds. The message names two bounds that cross.
        ValueError: If a setting is out of range, or if the tensors differ in shape, are not finite, or have no
            positive contribution.

    Example:
        >>> alpha, lower, upper = torch.tensor([[0.5, 1.0], [0.1, 0.4], [0.9, 0.8]])
        >>> solve_scheme(alpha, lower, upper).values
        tensor([0.4000, 0.8000], dtype=torch.float64)
    """

    own = lower if party_values is None else party_values
    return ShapleyFair(epsilon=epsilon, rho=rho)._solve(alpha, lower, upper, own)


def lower_bounds(game: Game, phi: torch.Tensor, stable: bool = True) -> torch.Tensor:
    r"""Compute the lower bounds $v_i^{\min}$ of the reward values.

    Without stability (Proposition 3b), $v_i^{\min} = v_c(\{i\})$. With stability,

    .. math:: v_i^{\min} = \max_{i \in C \subseteq C_i} v_c(C), \qquad C_i = \{j : \phi_j \leq \phi_i\}

    which are the coalitions in which party $i$ has the largest contribution: R6 holds by its definition, for any
    $v_c$. For a monotone $v_c$ the maximum is $v_c(C_i)$, as in Proposition 3c. For more than 20 parties not all
    coalitions can be compared: $v_i^{\min} = \max(v_c(C_i), v_c(\{i\}))$, see `bounds_note`.

    Arguments:
        game: The game with the values $v_c$.
        phi: The contributions $\phi_i$, of shape $(n)$.
        stable: Whether stability (R6) is required.

    Returns:
        The lower bounds, of shape $(n)$, float64.
    """

    own = game.party_values
    if not stable:
        return own

    coalitions = [torch.nonzero(allowed).flatten().tolist() for allowed in not_larger(phi)]
    bounds = torch.maximum(own, own.new_tensor([game.coalition(members) for members in coalitions]))
    if game.n > MAX_PARTIES:
        return bounds
    values = game.coalition_values()
    largest = stable_values(values, phi)
    # v_c(C_i) itself is kept where it is the maximum up to rounding: two ways to compute it differ in the last bits
    return torch.where(largest > bounds + rounding(values), largest, bounds)


def not_larger(phi: torch.Tensor) -> torch.Tensor:
    r"""Return which parties $j$ are in $C_i = \{j : \phi_j \leq \phi_i\}$, up to rounding, of shape $(n, n)$ (i, j)."""

    return phi <= phi[:, None] + 1e-12 * float(phi.abs().max())


def stable_values(values: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    r"""Compute the largest $v_c(C)$ over the coalitions $i \in C \subseteq C_i$ of each party.

    Arguments:
        values: The values $v_c$ of all coalitions, of shape $(2^n)$; party $i$ is bit $i$ of a coalition's number.
        phi: The contributions $\phi_i$, of shape $(n)$.

    Returns:
        The maxima, of shape $(n)$, float64.
    """

    maxima = []
    for i, allowed in enumerate(not_larger(phi).tolist()):
        best = values
        for j in range(len(phi)):  # of each pair (without j, with j), keep the allowed or the larger value
            pairs = best.reshape(-1, 2)
            best = pairs[:, 1] if j == i else pairs.amax(1) if allowed[j] else pairs[:, 0]
        maxima.append(best)
    return torch.cat(maxima)


def bounds_note(n: int, stable: bool) -> tuple[str, ...]:
    """Return a warning if the stable lower bounds of n parties guarantee R6 for a monotone v only."""

    if not stable or n <= MAX_PARTIES:
        return ()
    return (
        f"stability (R6) is guaranteed for a monotone v only: the 2^{n} coalitions of {n} parties are too many to "
        "compare them all",
    )


def check_positive(members: torch.Tensor, upper: torch.Tensor) -> None:
    r"""Check that the upper bounds of some parties are positive.

    Arguments:
        members: The parties, from 0.
        upper: The largest possible rewards $v(D_i \cup G)$, of shape $(n)$.

    Raises:
        InfeasibleScheme: If an upper bound is not positive.
    """

    for i in members.tolist():
        if upper[i] <= 0:
            raise InfeasibleScheme(
                f"scheme: party {i + 1} has the upper bound v(D_i ∪ G) = {float(upper[i]):.6g}, which is not positive; "
                "a larger kernel.lengthscale makes values positive"
            )


def name_left_out(left_out: Iterable[int], phi: torch.Tensor) -> tuple[str, ...]:
    r"""Return a warning for each party that is left out because its contribution $\phi_i$ is not positive."""

    return tuple(
        f"party {i + 1} has the contribution {float(phi[i]):.3g}, which is not positive: it is left out and "
        "keeps r_i = v(D_i)"
        for i in left_out
    )


def _solve_program(
    alpha: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor, epsilon: float, members: torch.Tensor
) -> tuple[float, float]:
    """Solve the linear program for (log v*, ρ), written as min cᵀx subject to A x <= b (Sec. 4.1)."""

    bounded = [int(i) for i in members if lower[i] > 0]  # parties with a lower bound that has an effect
    log_alpha = alpha.log().numpy()
    a = np.array([[1, log_alpha[i]] for i in members] + [[-1, -log_alpha[i]] for i in bounded])
    b = np.array([float(upper[i].log()) for i in members] + [-float(lower[i].log()) for i in bounded])
    solution = scipy.optimize.linprog(
        [-1, -epsilon],
        A_ub=a,
        b_ub=b,
        bounds=[(None, None), (0, 1)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},  # the smallest allowed
    )
    if solution.status == 0:
        return solution.x[0], min(max(solution.x[1], 0.0), 1.0)
    if solution.status != 2:
        raise RuntimeError(f"scheme: the linear program was not solved: {solution.message}")

    # The bounds that cross are those that are active if all may be violated by the same amount, as small as possible.
    relaxed = np.column_stack([a, -np.ones(len(a))])
    x = scipy.optimize.linprog(
        [0, 0, 1], A_ub=relaxed, b_ub=b, bounds=[(None, None), (0, 1), (0, None)], method="highs"
    ).x
    excess = a @ x[:2] - b
    j = int(members[excess[: len(members)].argmax()])
    i = bounded[int(excess[len(members) :].argmax())]
    raise InfeasibleScheme(_crossing(i, j, lower, upper, f"ρ={x[1]:.3g}, where their distance is smallest"))


def _crossing(i: int, j: int, lower: torch.Tensor, upper: torch.Tensor, where: str) -> str:
    return (
        f"scheme: no reward values satisfy their bounds: party {i + 1}'s lower bound v_min = {float(lower[i]):.10g} "
        f"and party {j + 1}'s upper bound v(D_i ∪ G) = {float(upper[j]):.10g} cross at {where}; a larger "
        "synthetic_size, scheme.stable=false, a given scheme.rho, or another scheme may help"
    )


MIN_RHO = 1e-9  # the rewards of a smaller ρ are equal up to rounding
ALPHA_ROUNDING = 1e-12  # a smaller α is 0 up to rounding


@dataclass(frozen=True)
class Gain(Scheme):
    r"""Rewards that share out gains: each party gets the share $\alpha_i^\rho$ of the way from its own value to $v^*$.

    With $v_i = v(D_i)$, $u_i = v(D_i \cup G)$ and $v_i^{\min}$ of `lower_bounds`, over the parties with $\phi_i > 0$,

    .. math::
        r_i & = v_i + \alpha_i^\rho (v^* - v_i) \\
        v^*(\rho) & = \min_i \left[ v_i + \frac{u_i - v_i}{\alpha_i^\rho} \right] \\
        \rho & = \max \left\{ \rho \in (0, 1] : v^*(\rho) \geq \max_i \left[ v_i + \frac{v_i^{\min} - v_i}
            {\alpha_i^\rho} \right] \right\}

    The condition of $\rho$ is $r_i \geq v_i^{\min}$, and implies $v^* \geq v_i$. A party whose $\phi_i$ is not
    positive, or is 0 up to rounding (1e-12 of the largest), keeps $r_i = v_i$. $v^*(\rho)$ does not decrease, so that
    the largest $\rho$ has the largest $v^*$ as well. Values need not be positive. "The mathematics" in the
    documentation proves R1 to R6 and F1 to F4, with their conditions.

    Arguments:
        stable: Whether the lower bounds guarantee stability (R6), see `lower_bounds`.
        rho: The exponent $\rho$, above 0 and up to 1; the largest that is feasible, if `None`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> from cgm.contributions import Shapley
        >>> from cgm.valuation import TableGame
        >>> game, upper = TableGame([0.0, 1.0, 2.0, 2.5]), torch.tensor([3.0, 4.0], dtype=torch.float64)
        >>> rewards = Gain().solve(Shapley().compute(game), game, upper)
        >>> rewards.rho, round(rewards.v_star, 6), [round(r, 6) for r in rewards.values.tolist()]
        (1.0, 4.0, [2.285714, 4.0])
    """

    stable: bool = True
    rho: Annotated[float, Number(min=0, max=1, open_min=True)] | None = None

    def solve(self, contributions: Contributions, game: Game, upper: torch.Tensor) -> GainRewards:
        r"""Compute the reward values of the parties, see `Scheme.solve`.

        The details are `v_star`, `rho`, `stable`, and `left_out`, the parties (from 0) that keep $v(D_i)$.
        """

        own, alpha = game.party_values, contributions.alpha
        lower = lower_bounds(game, contributions.phi, self.stable)
        members = alpha > ALPHA_ROUNDING
        check_room(own, torch.where(members, upper, math.inf))
        crossing = _Crossing(alpha, lower, upper, own, members)
        rho = crossing.largest_rho() if self.rho is None else float(self.rho)
        if rho is None or crossing.missing(rho):
            raise InfeasibleScheme(crossing.describe(self.rho, self.stable))

        v_star = crossing.v_star(rho)
        share = torch.where(members, alpha, 0.0) ** rho
        values = torch.maximum(own, own + share * (v_star - own))
        left_out = torch.nonzero(~members).flatten().tolist()
        details = {"v_star": v_star, "rho": rho, "stable": self.stable, "left_out": left_out}
        warnings = name_left_out(left_out, contributions.phi) + bounds_note(game.n, self.stable)
        return GainRewards(torch.where(members, values, own), lower, upper, details, warnings)


class GainRewards(RhoRewards):
    r"""Rewards $v_i + \alpha_i^\rho (v^* - v_i)$ of `Gain`, with the details `v_star` and `rho` as attributes."""

    def monotonicity(self, alpha: torch.Tensor) -> Condition:
        """Return the condition for F4, which "The mathematics" proves, see `Rewards.monotonicity`."""

        # for α_i < 1, r_i < v* is the same as v_i < v*
        holds = bool((alpha > ALPHA_ROUNDING).all()) and bool(((self.values < self.v_star) | (alpha == 1)).all())
        return Condition(holds, "the condition of scheme=gain (φ_i > 0 for all i, and v(D_i) < v* where α_i < 1)")


class _Crossing:
    r"""The bounds of $v^*$ as functions of $\rho$, for the members of `Gain`.

    With $c_i = -\log \alpha_i$, the ceiling is the minimum of $F_i(\rho) = v_i + (u_i - v_i) e^{c_i \rho}$, and the
    floor the maximum of $G_j(\rho) = v_j + (v_j^{\min} - v_j) e^{c_j \rho}$. $\rho$ is feasible if no $F_i$ is
    below a $G_j$.
    """

    def __init__(
        self, alpha: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor, own: torch.Tensor, members: torch.Tensor
    ) -> None:
        self.members = torch.nonzero(members).flatten().numpy()
        self.own, self.lower, self.upper, alpha_ = (x[members].numpy() for x in (own, lower, upper, alpha))
        self.c = -np.log(alpha_)
        self.rounding = 1e-12 * max(np.abs(self.upper).max(), np.abs(self.lower).max())

    def ceilings(self, rho: float) -> np.ndarray:
        """Compute F_i(ρ), of shape (members)."""

        return self.own + (self.upper - self.own) * np.exp(self.c * rho)

    def floors(self, rho: float) -> np.ndarray:
        """Compute G_j(ρ), of shape (members)."""

        return self.own + (self.lower - self.own) * np.exp(self.c * rho)

    def v_star(self, rho: float) -> float:
        r"""Compute $v^*(\rho)$."""

        return float(self.ceilings(rho).min())

    def missing(self, rho: float) -> float:
        """Compute by how much the lowest ceiling is below the highest floor; 0 if ρ is feasible."""

        missing = float(self.floors(rho).max()) - self.v_star(rho)
        return missing if missing > self.rounding else 0.0

    def largest_rho(self) -> float | None:
        r"""Search the largest feasible $\rho$; `None`, if there is none.

        The feasible set need not be an interval. From $\rho = 1$ down: while the lowest ceiling $F_i$ is below the
        highest floor $G_j$, go on at the next smaller $\rho$ at which this pair does not cross. The pair crosses
        everywhere in between, so that no feasible $\rho$ is passed over. A pair crosses on two intervals at most, see
        `_next`, so that the search ends after two steps for each pair.
        """

        rho = 1.0
        while self.missing(rho):
            lower_rho = self._next(int(self.ceilings(rho).argmin()), int(self.floors(rho).argmax()), rho)
            if lower_rho is None or lower_rho < MIN_RHO:
                return None
            rho = lower_rho
        return rho

    def _next(self, i: int, j: int, rho: float) -> float | None:
        """Return the largest smaller ρ at which F_i is not below G_j; `None`, if there is none.

        F_i - G_j = const + p exp(c_i ρ) - q exp(c_j ρ) has the slope c_i p exp(c_i ρ) - c_j q exp(c_j ρ), which is 0 at
        one ρ at most. On each side of this turning point the difference is monotone, and bisection finds its root.
        """

        def feasible(x: float) -> bool:
            return bool(self.floors(x)[j] - self.ceilings(x)[i] <= self.rounding)

        p, q = self.c[i] * (self.upper - self.own)[i], self.c[j] * (self.lower - self.own)[j]
        ends = [0.0]
        if p > 0 and q > 0 and self.c[i] != self.c[j]:
            turning = math.log(p / q) / (self.c[j] - self.c[i])
            ends = [turning, 0.0] if 0 < turning < rho else ends
        low = next((end for end in ends if feasible(end)), None)
        if low is None:
            return None
        high = rho if low == ends[0] else ends[0]
        while low < (middle := (low + high) / 2) < high:
            low, high = (middle, high) if feasible(middle) else (low, middle)
        return low

    def describe(self, rho: float | None, stable: bool) -> str:
        """Return the message of an infeasible scheme: the bounds that cross where their distance is smallest."""

        near = min(np.linspace(0, 1, 1001)[1:], key=self.missing) if rho is None else float(rho)
        i, j = int(self.ceilings(near).argmin()), int(self.floors(near).argmax())
        where = f"ρ={near:.3g}, where their distance is smallest" if rho is None else f"scheme.rho={rho:g}"
        remedies = ["a larger synthetic_size"]
        remedies += ["scheme.stable=false"] if stable else []
        remedies += [] if rho is None else ["scheme.rho=null"]
        return (
            f"scheme: no reward values satisfy their bounds: party {self.members[j] + 1} must be offered v_min = "
            f"{self.lower[j]:.10g}, which requires v* >= {self.floors(near)[j]:.10g}, and party "
            f"{self.members[i] + 1}'s upper bound v(D_i ∪ G) = {self.upper[i]:.10g} allows v* <= "
            f"{self.ceilings(near)[i]:.10g} at {where}; {', '.join(remedies)}, or another scheme may help"
        )


ROUNDS = 1000
CONVERGED = 1e-13  # change of v*, as a share of it


@dataclass(frozen=True)
class Spread(Scheme):
    r"""Rectified $\rho$-Shapley fair rewards with the largest $\rho$ that leaves them almost stable.

    .. math::
        \max \rho \quad \text{subject to} \quad
            \max \{v_c(\{i\}), \bar v_i - s v^*\} \leq v^* \alpha_i^\rho \leq
            v(D_i \cup G), \quad 0 \leq \rho \leq 1

    with the stable bounds $\bar v_i$ of `lower_bounds` and the slack $s$: a coalition may get less than its value,
    by at most the share $s$ of $v^*$. With $s = 0$, the rewards are those of `scheme=stable`, and with a large $s$
    those of `scheme=fair`. In between, rewards differ more between the parties, the more a coalition may miss (R6).

    For a given $\rho$, the best $v^*$ is $\min_i v(D_i \cup G) / \alpha_i^\rho$, which grows with $\rho$. So the linear
    program of `ShapleyFair` has the largest feasible $\rho$ as its solution for any $\epsilon > 0$. Here, its lower
    bounds depend on $v^*$ as well: it is solved with the largest possible $v^*$ in them, and again with the $v^*$ of
    the solution until that does not change. The sequence decreases to the largest $v^*$, and thus the largest $\rho$,
    for which both are the same.

    Arguments:
        slack: The slack $s$, from 0 to 1.

    Raises:
        ValueError: If the slack is out of range.
    """

    slack: Annotated[float, Number(min=0, max=1)] = 0.1

    def solve(self, contributions: Contributions, game: Game, upper: torch.Tensor) -> Rewards:
        r"""Compute the reward values of the parties, see `Scheme.solve`.

        The details are `v_star`, `rho`, `slack`, `shortfall`, the largest $v_c(C) - r_i$ of a stable bound as a
        share of $v^*$ (0 if none is positive), and `left_out`, the parties (from 0) with $\alpha_i \leq 0$.
        """

        own, alpha = game.party_values, contributions.alpha
        stable, members = lower_bounds(game, contributions.phi), alpha > 0
        v_star = float((upper[members] / alpha[members]).min())
        for _ in range(ROUNDS):
            lower = torch.maximum(own, stable - self.slack * v_star)
            rewards = solve_scheme(alpha, lower, upper, party_values=own)
            change, v_star = v_star - rewards.v_star, rewards.v_star
            if self.slack == 0 or change <= CONVERGED * v_star:
                break

        missed = float((stable - rewards.values)[members].max()) / v_star
        details = {
            "v_star": v_star,
            "rho": rewards.rho,
            "slack": float(self.slack),
            "shortfall": max(missed, 0.0),
            "left_out": list(rewards.left_out),
        }
        warnings = name_left_out(rewards.left_out, contributions.phi) + bounds_note(game.n, True)
        return RhoRewards(rewards.values, lower, upper, details, warnings)


class FrontierPoint(NamedTuple):
    r"""A point on the frontier between stability and proportionality.

    Attributes:
        slack: The slack $s$.
        rho: The exponent $\rho$; 1 for rewards proportional to the contributions.
        v_star: The largest reward value $v^*$.
        spread: $\max_i r_i - \min_i r_i$.
        shortfall: The largest $\bar v_i - r_i$ of a stable bound, as a share of $v^*$; 0 for stable rewards.
    """

    slack: float
    rho: float
    v_star: float
    spread: float
    shortfall: float


def frontier(
    contributions: Contributions, game: Game, upper: torch.Tensor, slacks: Sequence[float]
) -> list[FrontierPoint]:
    r"""Compute the frontier between stability and proportionality.

    Arguments:
        contributions: The contributions of the parties.
        game: The game with the values $v_c$.
        upper: The largest possible rewards $v(D_i \cup G)$, of shape $(n)$.
        slacks: The slacks $s$ of `Spread`.

    Returns:
        A point for each slack for which there are rewards, in the given order.

    Raises:
        InfeasibleScheme: If there are no rewards for any slack.
        ValueError: If a slack is out of range.

    Example:
        >>> from cgm.contributions import Shapley
        >>> from cgm.valuation import TableGame
        >>> game, upper = TableGame([0.0, 1.0, 2.0, 3.5]), torch.tensor([4.0, 4.0], dtype=torch.float64)
        >>> [round(point.rho, 2) for point in frontier(Shapley().compute(game), game, upper, [0.0, 0.5])]
        [1.0, 1.0]
    """

    points, error = [], InfeasibleScheme("scheme: no slacks")
    for slack in slacks:
        try:
            rewards = Spread(slack).solve(contributions, game, upper)
        except InfeasibleScheme as reason:
            error = reason
            continue
        rho, v_star, shortfall = (rewards.details[name] for name in ("rho", "v_star", "shortfall"))
        points.append(FrontierPoint(slack, rho, v_star, rewards.spread, shortfall))
    if not points:
        raise error

    return points


@dataclass(frozen=True)
class Proportional(Scheme):
    r"""Rewards proportional to the contributions, as large as the upper bounds allow.

    .. math:: r_i = \max \{v_c(\{i\}), \alpha_i v^*\}, \qquad v^* = \min_i v(D_i \cup G) / \alpha_i

    They are those of `ShapleyFair` with $\rho = 1$, except that there are rewards for any $v^*$: a party whose share
    $\alpha_i v^*$ is below the value of its own data keeps this value, and a warning names it. A party with
    $\alpha_i \leq 0$ keeps $v_c(\{i\})$ as well.

    No coalition has a guarantee of its value, so that stability (R6) may be lost; and if a party keeps its own value,
    so may fairness (R5).
    """

    def solve(self, contributions: Contributions, game: Game, upper: torch.Tensor) -> Rewards:
        r"""Compute the reward values of the parties, see `Scheme.solve`.

        The details are `v_star`, `rho` (1), `clipped`, the parties (from 0) whose share is below their own value, and
        `left_out`, those with $\alpha_i \leq 0$.
        """

        own, alpha = game.party_values, contributions.alpha
        check_room(own, upper)
        members = torch.nonzero(alpha > 0).flatten()
        check_positive(members, upper)

        v_star = float((upper[members] / alpha[members]).min())
        values = own.clone()
        values[members] = torch.maximum(own[members], alpha[members] * v_star)
        clipped = [i for i in members.tolist() if alpha[i] * v_star < own[i] - TOLERANCE * v_star]
        left_out = torch.nonzero(alpha <= 0).flatten().tolist()
        warnings = tuple(
            f"party {i + 1} keeps r_i = v(D_i) = {float(own[i]):.6g}: its proportional share is "
            f"{float(alpha[i]) * v_star:.6g}"
            for i in clipped
        )
        details = {"v_star": v_star, "rho": 1.0, "clipped": clipped, "left_out": left_out}
        return RhoRewards(values, own, upper, details, warnings + name_left_out(left_out, contributions.phi))


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
        return RhoRewards(own.clamp(min=v_star), own, upper, details, warnings)


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
