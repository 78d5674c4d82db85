r"""Checks of the incentives R1 to R6 by their definitions (Sec. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from cgm.contributions.base import Contribution, Contributions, compute_contributions
from cgm.contributions.semivalues import MAX_AUTO
from cgm.rewards.schemes.base import TOLERANCE, Rewards, Scheme, lower_bounds, stable_values
from cgm.utils.shown import Shown
from cgm.utils.text import listed
from cgm.valuation.bounds import MAX_PARTIES, negative_increments
from cgm.valuation.game import Game
from cgm.valuation.kernels import RULES, Kernel, Lengthscale
from cgm.valuation.lengthscale import LengthscaleSearch, resolve_lengthscale
from cgm.valuation.method import ValuationMethod
from cgm.valuation.references import Reference
from cgm.valuation.valuation import Valuation

if TYPE_CHECKING:
    import pandas as pd


STATES = {True: "held", False: "NOT held", None: "unknown"}  # of an incentive


@dataclass(frozen=True)
class Incentive:
    """Result of the check of an incentive.

    Attributes:
        holds: Whether the incentive holds; `None` if this is unknown.
        slack: The margin, in units of v, by which it holds, or is violated if negative; `None` if nothing was compared.
        note: The comparison, or the reason why the result is unknown.
    """

    holds: bool | None
    slack: float | None
    note: str


class Incentives(Shown, dict[str, Incentive]):
    """Results of the checks of incentives by their names, such as `R6`: a dict."""

    def to_frame(self) -> pd.DataFrame:
        """Return the results as a table of pandas: `incentive`, `holds` (true, false or none), `slack`, `note`."""

        import pandas as pd

        rows = [(name, entry.holds, entry.slack, entry.note) for name, entry in self.items()]
        frame = pd.DataFrame(rows, columns=["incentive", "holds", "slack", "note"])
        return frame.astype({"slack": float})

    def summary(self) -> str:
        """Say in a sentence which incentives hold, which do not, and of which this is unknown."""

        groups = {state: [name for name, entry in self.items() if entry.holds is state] for state in STATES}
        return "; ".join(f"{listed(names)} {STATES[state]}" for state, names in groups.items() if names)

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        return f"Incentives: {self.summary()}", self.to_frame(), ""


def check_incentives(rewards: Rewards, contributions: Contributions, game: Game) -> Incentives:
    r"""Check which incentives hold for some rewards, by their definitions.

    R1 non-negativity, R2 feasibility (Definition 1), R3 weak efficiency (Definition 2), R4 individual rationality,
    R5 fairness (F1 uselessness, F2 symmetry, F3 strict desirability; F4, Definition 3, compares two games), R6
    stability. F1 to F3 and R6 are checked over all coalitions, for at most 20 parties; for more parties, R6 is checked
    for the coalitions $C_i = \{j : \phi_j \leq \phi_i\}$ only, and F1 to F3 are unknown. R3 depends on `v_star`, and is
    unknown for a scheme without this detail. F4's note has the scheme's own condition, see `Rewards.monotonicity`.

    Arguments:
        rewards: The reward values.
        contributions: The contributions of the parties.
        game: The game with the values $v_c$.

    Returns:
        An `Incentive` for each of R1, R2, R3, R4, R5, F1, F2, F3, F4, R6.

    References:
        Section 4, Definitions 1 to 3; Collaborative Machine Learning with Incentive-Aware Model Rewards (Sim et al.,
        2020).
    """

    r, own, phi = rewards.values, game.party_values, contributions.phi
    v_star = rewards.details.get("v_star")
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
            (r - stable_values(values, phi)).min(),
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

    condition = rewards.monotonicity(contributions.alpha)
    if condition is None:
        note = "the scheme does not have a condition for it"
    else:
        met = "met: it holds in comparison with a game with the same v* and ρ" if condition.holds else "not met"
        note = f"{condition.text} is {met}"
    fairness["F4"] = Incentive(None, None, f"compares two games; {note}")

    known = [fairness[f] for f in ("F1", "F2", "F3")]
    slacks = [f.slack for f in known if f.slack is not None]
    holds = False if any(f.holds is False for f in known) else None if any(f.holds is None for f in known) else True
    checks["R5"] = Incentive(holds, min(slacks) if slacks else None, "F1, F2 and F3 together")
    return Incentives(checks | fairness | {"R6": stability})


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


class LengthscaleSpread(NamedTuple):
    r"""Differences between parties with one length-scale.

    What could not be computed is `None`.

    Attributes:
        rule: The rule, or the length-scale as it was given.
        lengthscale: The length-scale $\ell$.
        negative: The share of negative changes of $v$, see `negative_increments`; `None` for more than 20 parties.
        alpha: $\max_i \alpha_i - \min_i \alpha_i$.
        reward: $\max_i r_i - \min_i r_i$.
        reason: Why numbers are missing; empty if none is.
    """

    rule: Lengthscale
    lengthscale: float | None = None
    negative: float | None = None
    alpha: float | None = None
    reward: float | None = None
    reason: str = ""


def compare_lengthscales(
    kernel: Kernel,
    parties: Sequence[torch.Tensor],
    synthetic: torch.Tensor,
    contribution: Contribution,
    scheme: Scheme,
    rules: Sequence[Lengthscale] = RULES,
    search: LengthscaleSearch | None = None,
    reference: Reference | None = None,
    seed: int = 0,
    method: ValuationMethod | str = "auto",
) -> list[LengthscaleSpread]:
    r"""Compute how much contributions and reward values differ between parties, for several length-scales.

    Each costs a search for the length-scale, where there is one, and a pass over the kernel. No rewards are drawn.

    Arguments:
        kernel: The kernel, with any length-scale.
        parties: The parties' points, each of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        contribution: The contribution concept.
        scheme: The scheme of the reward values.
        rules: The length-scales: rules or numbers.
        search: The range of the searches; the default range, if `None`.
        reference: The reference that values are compared with; all data, if `None`.
        seed: The seed of the contributions.
        method: How values are computed, see `ValuationMethod`; or its name.

    Example:
        >>> import torch
        >>> from cgm.contributions import Shapley
        >>> from cgm.rewards import ShapleyFair
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> random = torch.Generator().manual_seed(0)
        >>> parties = [torch.randn(30, 2, generator=random) + shift for shift in (0.0, 1.0, 3.0)]
        >>> pool = torch.cat([torch.randn(100, 2, generator=random) + shift for shift in (0.0, 1.0, 3.0)])
        >>> rows = compare_lengthscales(SquaredExponential(), parties, pool, Shapley(), ShapleyFair())
        >>> [row.rule for row in rows]
        ['fit', 'fit_monotone', 'median']
    """

    def spread(rule: Lengthscale) -> LengthscaleSpread:
        found = LengthscaleSpread(rule)
        try:
            resolved = resolve_lengthscale(kernel.with_lengthscale(rule), parties, synthetic, search, reference, method)
            found = found._replace(lengthscale=resolved.numeric_lengthscale)
            game = Valuation(resolved, parties, synthetic, reference=reference, method=method)
            if game.n <= MAX_PARTIES:
                found = found._replace(negative=negative_increments(game).negative)
            contributions = compute_contributions(contribution, game, seed)
            found = found._replace(alpha=float(contributions.alpha.max() - contributions.alpha.min()))
            return found._replace(reward=scheme.solve(contributions, game, game.with_synthetic).spread)
        except ValueError as error:  # no such length-scale, no positive contribution, or no feasible rewards
            return found._replace(reason=str(error))

    return [spread(rule) for rule in rules]
