r"""The base class of reward schemes, their results, and the bounds of reward values (Sec. 4.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from cgm.contributions.base import Contributions
from cgm.utils.checks import check_details, check_number, check_values
from cgm.utils.plain import NOT_WRITTEN
from cgm.utils.settings import Settings
from cgm.utils.shown import Shown, counted
from cgm.valuation.bounds import MAX_PARTIES, rounding
from cgm.valuation.game import Game

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-9  # the rounding error that conditions may have, as a share of v*


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


@dataclass(frozen=True, repr=False)
class Rewards(Shown):
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

    def to_frame(self) -> pd.DataFrame:
        """Return the reward values as a table of pandas: `party`, `reward_value`, and its bounds `lower`, `upper`."""

        import pandas as pd

        columns = {"reward_value": self.values, "lower": self.lower, "upper": self.upper}
        return pd.DataFrame({"party": range(len(self.values)), **{name: x.numpy() for name, x in columns.items()}})

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        numbers = {name: x for name in self.details if (x := self.number(name)) is not None} | {"spread": self.spread}
        parts = [self.name, counted(len(self.values), "party"), *(f"{name} = {x:.4g}" for name, x in numbers.items())]
        return f"{type(self).__name__}: {', '.join(filter(None, parts))}", self.to_frame(), " ".join(self.warnings)

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
            f"{float(upper[i]):.10g}; a larger synthetic_size, another generator or reference=all may help"
        )


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

    References:
        Section 4.1, Propositions 3b and 3c.
    """

    own, phi = game.party_values, check_values("phi", phi, game.n)
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
