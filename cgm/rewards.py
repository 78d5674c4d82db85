r"""Turns contributions into reward values that guarantee incentives (Sec. 4.1)."""

from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from .shapley import MOST_EXACT, ShapleyValues
from .valuation import Valuation

TOLERANCE = 1e-9  # how far, as a share of v*, a condition may be missed by rounding


class InfeasibleScheme(ValueError):
    """Says that no maximum reward and no ρ keep every reward between its bounds; a larger G may help."""


@dataclass(frozen=True)
class Scheme:
    r"""Holds the reward values.

    Attributes:
        v_star: The maximum reward value $v^*$.
        rho: The exponent $\rho$.
        rewards: The reward values $r_i$, of shape $(n)$, float64.
        epsilon: The weight $\epsilon$ of $\rho$ in the linear program; `None` if $\rho$ was given.
        left_out: The parties (from 0) with $\alpha_i \leq 0$, which have no logarithm: they keep their own value.
    """

    v_star: float
    rho: float
    rewards: Tensor
    epsilon: float | None
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True)
class RewardScheme:
    r"""Holds how rewards are computed.

    Arguments:
        stable: Whether the lower bounds ask for stability (R6), see `lower_bounds`.
        epsilon: The weight $\epsilon$ of $\rho$ in the linear program.
        rho: The exponent $\rho$; optimised, if `None`.
        growth: The factor by which $G$ grows while there is no solution (Sec. 4.1).
        most_growth: The most that $G$ may grow to, as a multiple of its first size; 1 for not at all.
    """

    stable: bool = True
    epsilon: float = 1e-3
    rho: float | None = None
    growth: float = 2.0
    most_growth: float = 8.0

    def __post_init__(self) -> None:
        """Refuses settings that are out of range."""

        for name in ("epsilon", "growth", "most_growth", "rho"):
            value = getattr(self, name)
            if not isinstance(value, Real) and not (name == "rho" and value is None):
                raise ValueError(f"scheme.{name}={value!r}: must be a number")
        if not 0 <= self.epsilon < np.inf:
            raise ValueError(f"scheme.epsilon={self.epsilon}: must be finite and not negative")
        if self.rho is not None and not 0 <= self.rho <= 1:
            raise ValueError(f"scheme.rho={self.rho}: must lie between 0 and 1, or be null to be optimised")
        if not 1 < self.growth < np.inf:
            raise ValueError(f"scheme.growth={self.growth}: must be above 1")
        if not 1 <= self.most_growth < np.inf:
            raise ValueError(f"scheme.most_growth={self.most_growth}: must be at least 1")

    def sizes(self, first: int) -> list[int]:
        """Lists the sizes of G to be tried, one after the other."""

        sizes = [first]
        while max(sizes[-1] * self.growth, sizes[-1] + 1) <= self.most_growth * first:
            sizes.append(max(int(sizes[-1] * self.growth), sizes[-1] + 1))
        return sizes

    def solve(self, shapley: ShapleyValues, valuation: Valuation) -> tuple[Scheme, Tensor]:
        """Computes the rewards, see `solve_scheme`, and the lower bounds that they were to keep."""

        lower = lower_bounds(valuation, shapley.phi, self.stable)
        scheme = solve_scheme(
            shapley.alpha, lower, valuation.with_synthetic, self.epsilon, self.rho, valuation.party_values
        )
        return scheme, lower


def lower_bounds(valuation: Valuation, phi: Tensor, stable: bool = True) -> Tensor:
    r"""Computes the least reward $v_i^{\min}$ that each party may be offered.

    Arguments:
        valuation: The valuation that holds $v_c$.
        phi: The Shapley values $\phi_i$, of shape $(n)$.
        stable: Whether to ask for stability (R6, Proposition 3c): $\max(v_c(C_i), v_c(\{i\}))$ with
            $C_i = \{j : \phi_j \leq \phi_i\}$. Else (Proposition 3b) $v_c(\{i\})$. For a monotone $v_c$ the maximum
            is $v_c(C_i)$; else it keeps R5 along with R6.

    Returns:
        The lower bounds, of shape $(n)$, float64.
    """

    own = valuation.party_values
    if not stable:
        return own

    tie = 1e-12 * float(phi.abs().max())
    coalitions = [torch.nonzero(phi <= phi_i + tie).flatten().tolist() for phi_i in phi]
    return torch.maximum(own, own.new_tensor([valuation.coalition(members) for members in coalitions]))


def solve_scheme(
    alpha: Tensor,
    lower: Tensor,
    upper: Tensor,
    epsilon: float = 1e-3,
    rho: float | None = None,
    party_values: Tensor | None = None,
) -> Scheme:
    r"""Computes the rectified $\rho$-Shapley fair rewards with optimised $v^*$ and $\rho$.

    The linear program, in $(\log v^*, \rho)$, and the rewards are

    .. math::
        \max_{v^*, \rho} \; & \log v^* + \epsilon \rho \quad \text{subject to} \quad
            v_i^{\min} \leq v^* \alpha_i^\rho \leq v_i^{\max}, \quad 0 \leq \rho \leq 1 \\
        r_i & = \max \{v_c(\{i\}), \alpha_i^\rho v^*\}

    A lower bound that is not positive binds nothing. A party with $\alpha_i \leq 0$ is left out of the program and
    keeps $r_i = v_c(\{i\})$. With a given $\rho$, $v^*$ is the greatest one that keeps every
    $v^* \alpha_i^\rho \leq v_i^{\max}$ (Proposition 3a); the lower bounds then bind only as $v_i^{\min} \leq v^*$,
    and `check_incentives` tells which incentives are lost.

    Arguments:
        alpha: The normalised Shapley values $\alpha_i$, of shape $(n)$.
        lower: The lower bounds $v_i^{\min}$, of shape $(n)$.
        upper: The upper bounds $v_i^{\max} = v(D_i \cup G)$, of shape $(n)$.
        epsilon: The weight $\epsilon$ of $\rho$.
        rho: The exponent $\rho$, from 0 to 1; optimised if `None`.
        party_values: The values $v_c(\{i\})$, of shape $(n)$; the lower bounds, if `None`.

    Raises:
        InfeasibleScheme: If no $v^*$ and $\rho$ will do. The message names the bounds that cross.

    References:
        Section 4.1, equation (6).

    Example:
        >>> alpha, lower, upper = torch.tensor([[0.5, 1.0], [0.1, 0.4], [0.9, 0.8]])
        >>> solve_scheme(alpha, lower, upper).rewards
        tensor([0.4000, 0.8000], dtype=torch.float64)
    """

    alpha, lower, upper = (torch.as_tensor(x).double() for x in (alpha, lower, upper))
    own = lower if party_values is None else torch.as_tensor(party_values).double()
    if not alpha.shape == lower.shape == upper.shape == own.shape or alpha.dim() != 1:
        raise ValueError("scheme: alpha, lower, upper and party_values must all have the same shape (n,)")
    if not all(torch.isfinite(x).all() for x in (alpha, lower, upper, own)):
        raise ValueError("scheme: alpha, lower, upper and party_values must be finite")
    RewardScheme(epsilon=epsilon, rho=rho)  # refuses what is out of range
    if not (alpha > 0).any():
        raise ValueError("scheme: no party has a positive Shapley value, there is nothing to share")

    members = torch.nonzero(alpha > 0).flatten()
    _refuse_nonpositive(members, upper)
    if rho is None:
        log_v, rho = _solve_program(alpha, lower, upper, epsilon, members)
        v_star = float(np.exp(log_v))
    else:
        epsilon = None
        v_star = float((upper[members] / alpha[members] ** rho).min())
        above = lower[members] - v_star
        if above.max() > TOLERANCE * v_star:
            i, j = (
                int(members[above.argmax()]),
                int(members[(upper[members] / alpha[members] ** rho).argmin()]),
            )
            raise InfeasibleScheme(_crossing(i, j, lower, upper, f"scheme.rho={rho}"))

    rewards = own.clone()
    rewards[members] = torch.maximum(own[members], alpha[members] ** rho * v_star)
    return Scheme(v_star, float(rho), rewards, epsilon, tuple(torch.nonzero(alpha <= 0).flatten().tolist()))


def _solve_program(alpha: Tensor, lower: Tensor, upper: Tensor, epsilon: float, members: Tensor) -> tuple[float, float]:
    """Solves the linear program for (log v*, ρ), written as min cᵀx subject to A x <= b (Sec. 4.1)."""

    bound = [int(i) for i in members if lower[i] > 0]
    log_alpha = alpha.log().numpy()
    a = [[1, log_alpha[i]] for i in members] + [[-1, -log_alpha[i]] for i in bound]
    b = [float(upper[i].log()) for i in members] + [-float(lower[i].log()) for i in bound]
    solution = linprog(
        [-1, -epsilon],
        A_ub=a,
        b_ub=b,
        bounds=[(None, None), (0, 1)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},  # the least there are
    )
    if solution.status == 0:
        return solution.x[0], min(max(solution.x[1], 0.0), 1.0)
    if solution.status != 2:
        raise RuntimeError(f"scheme: the linear program was not solved: {solution.message}")

    # Which bounds cross? Those that bind when each may be missed by as little as possible.
    a, b = np.asarray(a), np.asarray(b)
    relaxed = np.column_stack([a, -np.ones(len(a))])
    x = linprog([0, 0, 1], A_ub=relaxed, b_ub=b, bounds=[(None, None), (0, 1), (0, None)], method="highs").x
    excess = a @ x[:2] - b
    j = int(members[excess[: len(members)].argmax()])
    i = bound[int(excess[len(members) :].argmax())]
    raise InfeasibleScheme(_crossing(i, j, lower, upper, f"ρ={x[1]:.3g}, where they come closest"))


def _refuse_nonpositive(members: Tensor, upper: Tensor) -> None:
    for i in members.tolist():
        if upper[i] <= 0:
            raise InfeasibleScheme(
                f"scheme: party {i + 1} could at most reach v(D_i ∪ G) = {float(upper[i]):.6g}, which is not "
                "positive; a larger kernel.lengthscale makes values positive"
            )


def _crossing(i: int, j: int, lower: Tensor, upper: Tensor, where: str) -> str:
    return (
        f"scheme: no reward values fit their bounds: party {i + 1}'s lower bound v_min = {float(lower[i]):.10g} and "
        f"party {j + 1}'s upper bound v(D_i ∪ G) = {float(upper[j]):.10g} cross at {where}; a larger synthetic_size, "
        "scheme.stable=false or a given scheme.rho may help"
    )


class Incentive(NamedTuple):
    """Tells whether an incentive is held.

    Attributes:
        holds: Whether it is held; `None` if that cannot be told.
        slack: By how much, in units of v, it is held (or missed, if negative); `None` if no comparison applies.
        note: What was compared, or why it cannot be told.
    """

    holds: bool | None
    slack: float | None
    note: str


def check_incentives(
    scheme: Scheme, shapley: ShapleyValues, valuation: Valuation, lower: Tensor | None = None
) -> dict[str, Incentive]:
    r"""Checks which incentives a reward scheme holds, by their definitions.

    R1 non-negativity, R2 feasibility (Definition 1), R3 weak efficiency (Definition 2), R4 individual rationality,
    R5 fairness (F1 uselessness, F2 symmetry, F3 strict desirability; F4, Definition 3, compares two games), R6
    stability. F1 to F3 and R6 are checked over all coalitions, for up to 20 parties; for more, R6 is checked for
    the coalitions $C_i = \{j : \phi_j \leq \phi_i\}$ and F1 to F3 cannot be told.

    Arguments:
        scheme: The reward values.
        shapley: The Shapley values.
        valuation: The valuation that holds $v$ and $v_c$.
        lower: The lower bounds that the scheme was to keep, of shape $(n)$, for F4; $v_c(\{i\})$, if `None`.

    Returns:
        An `Incentive` for each of R1, R2, R3, R4, R5, F1, F2, F3, F4, R6.

    References:
        Sections 4 and 4.1; Collaborative Machine Learning with Incentive-Aware Model Rewards (Sim et al., 2020).
    """

    r, own = scheme.rewards, valuation.party_values
    lower = own if lower is None else lower
    tolerance = TOLERANCE * max(abs(scheme.v_star), float(r.abs().max()))

    def at_least_zero(slack: Tensor | float, note: str) -> Incentive:
        slack = float(slack) + 0.0  # -0.0 would read oddly
        return Incentive(slack >= -tolerance, slack, note)

    checks = {
        "R1": at_least_zero(r.min(), "least r_i"),
        "R2": at_least_zero((valuation.with_synthetic - r).min(), "least v(D_i ∪ G) - r_i"),
        "R3": at_least_zero(-abs(scheme.v_star - r.max()), "minus |v* - greatest r_i|"),
        "R4": at_least_zero((r - own).min(), "least r_i - v_c({i})"),
    }

    if valuation.n <= MOST_EXACT:
        values = valuation.coalition_values()
        fairness = _fairness(values, r, tolerance)
        stability = at_least_zero(
            _stability_slack(values, shapley.phi, r),
            "least r_i - v_c(C) over all C and all i in C with the greatest φ_i",
        )
    else:
        why = f"needs the values of all 2^{valuation.n} coalitions"
        fairness = {f: Incentive(None, None, why) for f in ("F1", "F2", "F3")}
        slack = float((r - lower_bounds(valuation, shapley.phi)).min())
        holds = None if slack >= -tolerance else False
        stability = Incentive(holds, slack, "least r_i - v_c(C_i); all other coalitions are too many to check")

    kept = shapley.alpha > 0
    kept_slack = float((shapley.alpha[kept] ** scheme.rho * scheme.v_star - lower[kept]).min())
    guaranteed = scheme.rho > 0 and kept_slack >= -tolerance and not scheme.left_out
    fairness["F4"] = Incentive(
        None,
        None,
        "compares two games; Proposition 3b's condition (ρ > 0 and v_min <= v* α_i^ρ for all i) is "
        + ("met: it holds against a game with the same v* and ρ" if guaranteed else "not met"),
    )

    told = [fairness[f] for f in ("F1", "F2", "F3")]
    slacks = [f.slack for f in told if f.slack is not None]
    holds = False if any(f.holds is False for f in told) else None if any(f.holds is None for f in told) else True
    checks["R5"] = Incentive(holds, min(slacks) if slacks else None, "F1, F2 and F3 together")
    return checks | fairness | {"R6": stability}


def _fairness(values: Tensor, r: Tensor, tolerance: float) -> dict[str, Incentive]:
    """Checks F1 to F3 over all coalitions."""

    n = len(r)
    useless, symmetric, desirable = [], [], []
    for i in range(n):
        without, with_i = values.reshape(-1, 2, 2**i).unbind(1)
        if (with_i - without).abs().max() <= tolerance:
            useless.append(-abs(float(r[i])))
        for j in range(i):
            game = values.reshape(-1, 2, 2 ** (i - j - 1), 2, 2**j)  # bits: above i, i, between, j, below j
            gap = game[:, 1, :, 0] - game[:, 0, :, 1]  # v_c(C + i) - v_c(C + j)
            low, high = float(gap.min()), float(gap.max())
            if max(-low, high) <= tolerance:
                symmetric.append(-abs(float(r[i] - r[j])))
            elif low >= 0:
                desirable.append(float(r[i] - r[j]))
            elif high <= 0:
                desirable.append(float(r[j] - r[i]))

    def worst(slacks: list[float], note: str, strict: bool = False) -> Incentive:
        if not slacks:
            return Incentive(True, None, f"applies to none: {note}")
        slack = min(slacks)
        return Incentive(slack > 0 if strict else slack >= -tolerance, slack, f"{len(slacks)} x {note}")

    return {
        "F1": worst(useless, "a party that adds nothing to any coalition; minus |r_i|"),
        "F2": worst(symmetric, "two parties that add the same to every coalition; minus |r_i - r_j|"),
        "F3": worst(desirable, "party i adds at least as much as j always, more once; r_i - r_j", strict=True),
    }


def _stability_slack(values: Tensor, phi: Tensor, r: Tensor) -> float:
    """Computes the least r_i - v_c(C) over all non-empty C and all i in C with the greatest φ."""

    tie = 1e-12 * float(phi.abs().max())
    slacks = []
    for i in range(len(phi)):
        allowed = phi <= phi[i] + tie  # the coalitions of those whose φ is no greater than i's, and i
        best = values
        for j in range(len(phi)):  # keeps of each pair (without j, with j) what is allowed, or the better one
            pairs = best.reshape(-1, 2)
            best = pairs[:, 1] if j == i else pairs.amax(1) if allowed[j] else pairs[:, 0]
        slacks.append(float(r[i]) - float(best))
    return min(slacks)
