r"""Checks of the incentives R1 to R6 by their definitions (Sec. 4)."""

from __future__ import annotations

from typing import NamedTuple

import torch

from cgm.contributions.base import Contributions
from cgm.contributions.semivalues import MAX_AUTO
from cgm.rewards.base import Rewards
from cgm.rewards.shapley_fair import TOLERANCE, lower_bounds
from cgm.valuation.game import Game


class Incentive(NamedTuple):
    """Result of the check of an incentive.

    Attributes:
        holds: Whether the incentive holds; `None` if this is unknown.
        slack: The margin, in units of v, by which it holds, or is violated if negative; `None` if nothing was compared.
        note: The comparison, or the reason why the result is unknown.
    """

    holds: bool | None
    slack: float | None
    note: str


def check_incentives(
    rewards: Rewards, contributions: Contributions, game: Game, lower: torch.Tensor | None = None
) -> dict[str, Incentive]:
    r"""Check which incentives hold for some rewards, by their definitions.

    R1 non-negativity, R2 feasibility (Definition 1), R3 weak efficiency (Definition 2), R4 individual rationality,
    R5 fairness (F1 uselessness, F2 symmetry, F3 strict desirability; F4, Definition 3, compares two games), R6
    stability. F1 to F3 and R6 are checked over all coalitions, for at most 20 parties; for more parties, R6 is checked
    for the coalitions $C_i = \{j : \phi_j \leq \phi_i\}$ only, and F1 to F3 are unknown. R3 and F4 depend on `v_star`
    and `rho`, and are unknown for a scheme without these details.

    Arguments:
        rewards: The reward values.
        contributions: The contributions of the parties.
        game: The game with the values $v_c$.
        lower: The lower bounds for the condition of Proposition 3b, of shape $(n)$; those of the rewards, if `None`.

    Returns:
        An `Incentive` for each of R1, R2, R3, R4, R5, F1, F2, F3, F4, R6.

    References:
        Sections 4 and 4.1; Collaborative Machine Learning with Incentive-Aware Model Rewards (Sim et al., 2020).
    """

    r, own, phi = rewards.values, game.party_values, contributions.phi
    lower = rewards.lower if lower is None else lower
    v_star, rho = (rewards.details.get(name) for name in ("v_star", "rho"))
    tolerance = TOLERANCE * max(abs(v_star or 0.0), float(r.abs().max()))

    def at_least_zero(slack: torch.Tensor | float, note: str) -> Incentive:
        slack = float(slack) + 0.0  # replaces -0.0 by 0.0
        return Incentive(slack >= -tolerance, slack, note)

    checks = {
        "R1": at_least_zero(r.min(), "smallest r_i"),
        "R2": at_least_zero((rewards.upper - r).min(), "smallest v(D_i ∪ G) - r_i"),
        "R3": Incentive(None, None, "compares with v*, which the scheme does not have"),
        "R4": at_least_zero((r - own).min(), "smallest r_i - v_c({i})"),
    }
    if v_star is not None:
        checks["R3"] = at_least_zero(-abs(v_star - r.max()), "minus |v* - largest r_i|")

    if game.n <= MAX_AUTO:
        values = game.coalition_values()
        fairness = _fairness(values, r, tolerance)
        stability = at_least_zero(
            _stability_slack(values, phi, r),
            "smallest r_i - v_c(C) over all C and all i in C with the largest φ_i",
        )
    else:
        note = f"requires the values of all 2^{game.n} coalitions"
        fairness = {f: Incentive(None, None, note) for f in ("F1", "F2", "F3")}
        slack = float((r - lower_bounds(game, phi)).min())
        holds = None if slack >= -tolerance else False
        stability = Incentive(
            holds, slack, "smallest r_i - v_c(C_i); there are too many other coalitions to check them"
        )

    if v_star is None or rho is None:
        note = "Proposition 3b's condition uses v* and ρ, which the scheme does not have"
    else:
        kept = contributions.alpha > 0
        kept_slack = float((contributions.alpha[kept] ** rho * v_star - lower[kept]).min())
        guaranteed = rho > 0 and kept_slack >= -tolerance and bool(kept.all())
        note = "Proposition 3b's condition (ρ > 0 and v_min <= v* α_i^ρ for all i) is " + (
            "met: it holds in comparison with a game with the same v* and ρ" if guaranteed else "not met"
        )
    fairness["F4"] = Incentive(None, None, f"compares two games; {note}")

    known = [fairness[f] for f in ("F1", "F2", "F3")]
    slacks = [f.slack for f in known if f.slack is not None]
    holds = False if any(f.holds is False for f in known) else None if any(f.holds is None for f in known) else True
    checks["R5"] = Incentive(holds, min(slacks) if slacks else None, "F1, F2 and F3 together")
    return checks | fairness | {"R6": stability}


def _fairness(values: torch.Tensor, r: torch.Tensor, tolerance: float) -> dict[str, Incentive]:
    """Check F1 to F3 over all coalitions."""

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
            return Incentive(True, None, f"0 x {note}")
        slack = min(slacks)
        return Incentive(slack > 0 if strict else slack >= -tolerance, slack, f"{len(slacks)} x {note}")

    return {
        "F1": worst(useless, "a party i that adds nothing to any coalition; minus |r_i|"),
        "F2": worst(symmetric, "two parties i and j that add the same to every coalition; minus |r_i - r_j|"),
        "F3": worst(
            desirable,
            "a party i that adds at least as much as j to every coalition and more to one; r_i - r_j",
            strict=True,
        ),
    }


def _stability_slack(values: torch.Tensor, phi: torch.Tensor, r: torch.Tensor) -> float:
    """Compute the smallest r_i - v_c(C) over all non-empty C and all i in C with the largest φ."""

    tie = 1e-12 * float(phi.abs().max())
    slacks = []
    for i in range(len(phi)):
        allowed = phi <= phi[i] + tie  # coalitions that contain i, and otherwise only parties with φ_j <= φ_i
        best = values
        for j in range(len(phi)):  # of each pair (without j, with j), keep the allowed or the larger value
            pairs = best.reshape(-1, 2)
            best = pairs[:, 1] if j == i else pairs.amax(1) if allowed[j] else pairs[:, 0]
        slacks.append(float(r[i]) - float(best))
    return min(slacks)
