r"""The interface of reward schemes, which turn contributions into reward values (Sec. 4.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from cgm.contributions.base import Contributions
from cgm.utils.checks import check_details, check_number, check_values
from cgm.valuation.game import Game


class InfeasibleScheme(ValueError):
    """Raised when no reward values satisfy their bounds; a larger synthetic pool may help."""


@dataclass(frozen=True)
class Rewards:
    r"""Reward values of the parties and their bounds.

    Attributes:
        values: The reward values $r_i$, of shape $(n)$, float64.
        lower: The lower bounds $v_i^{\min}$, of shape $(n)$.
        upper: The upper bounds $v_i^{\max} = v(D_i \cup G)$, of shape $(n)$.
        details: Further results of the scheme, by name, such as `v_star` and `rho`; values that JSON can represent.
        warnings: Messages for the user, such as a party that was left out.

    Raises:
        ValueError: If the values or bounds are not finite or differ in number, or if the details are not as described.
    """

    values: torch.Tensor
    lower: torch.Tensor
    upper: torch.Tensor
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = check_values("scheme: reward values", self.values)
        object.__setattr__(self, "values", values)
        for name in ("lower", "upper"):
            bounds = check_values(f"scheme: {name} bounds", getattr(self, name), len(values))
            object.__setattr__(self, name, bounds)
        check_details("scheme: details", self.details)
        for name in ("v_star", "rho"):
            check_number(f"scheme: details.{name}", self.details.get(name), optional=True)

    @property
    def spread(self) -> float:
        r"""The spread of the rewards, $\max_i r_i - \min_i r_i$."""

        return float(self.values.max() - self.values.min())


class Scheme(ABC):
    """Base class of reward schemes.

    A scheme is a frozen dataclass of its settings with one method, `solve`.
    """

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
