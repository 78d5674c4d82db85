r"""Rectified $\rho$-Shapley fair rewards: the linear program of the paper (Sec. 4.1, equation 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import scipy
import torch

from cgm.contributions.base import Contributions
from cgm.rewards.schemes.base import (
    TOLERANCE,
    InfeasibleScheme,
    RhoRewards,
    Scheme,
    bounds_note,
    check_positive,
    lower_bounds,
    name_left_out,
)
from cgm.utils.convert import to_numbers
from cgm.utils.settings import Number
from cgm.valuation.game import Game


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
        alpha, lower, upper, own = (to_numbers(x, "scheme: values") for x in (alpha, lower, upper, own))
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
