r"""The interface of contributions: shares of the parties in the value of the grand coalition (Sec. 4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from cgm.utils.checks import check_details, check_instance, check_values
from cgm.utils.plain import NOT_WRITTEN, snake
from cgm.utils.settings import Settings
from cgm.utils.shown import Shown, counted
from cgm.valuation.game import Game
from cgm.valuation.valuation import Valuation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Contributions(Shown):
    r"""Contributions of the parties.

    Attributes:
        phi: The contributions $\phi_i$, of shape $(n)$, float64.
        alpha: The normalised contributions $\alpha_i = \phi_i / \max_j \phi_j$.
        stderr: The standard errors of $\phi_i$; zero if the method is exact.
        method: The name of the method that computed them.
        details: Further results of the method, by name; values that JSON can represent.
        warnings: Messages for the user, such as a tolerance that was not reached.
        name: The name of the contribution concept, see `compute_contributions`.
    """

    phi: torch.Tensor
    alpha: torch.Tensor
    stderr: torch.Tensor
    method: str
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=(), metadata=NOT_WRITTEN)  # those of the result have them
    name: str = ""

    @classmethod
    def of(
        cls,
        phi: torch.Tensor | Sequence[float],
        method: str,
        stderr: torch.Tensor | Sequence[float] | None = None,
        details: Mapping[str, Any] | None = None,
        warnings: tuple[str, ...] = (),
    ) -> Contributions:
        r"""Normalise contributions $\phi$ by the largest one.

        Arguments:
            phi: The contributions $\phi_i$, of shape $(n)$.
            method, stderr, details, warnings: The attributes; the standard errors are zero, if `None`.

        Raises:
            ValueError: If a contribution is not finite, or if none is positive, so that there is nothing to share.
        """

        phi = check_values("contribution: phi", phi)
        if phi.max() <= 0:
            raise ValueError(
                f"no party has a positive contribution (the largest is {float(phi.max()):.3g}), so there is nothing to "
                "share; a larger kernel.lengthscale makes values positive"
            )

        stderr = torch.zeros_like(phi) if stderr is None else check_values("contribution: stderr", stderr, len(phi))
        check_details("contribution: details", details or {})
        return cls(phi, phi / phi.max(), stderr, method, details or {}, warnings)

    def to_frame(self) -> pd.DataFrame:
        """Return the contributions as a table of pandas, a row for each party: `party`, `phi`, `alpha`, `stderr`."""

        import pandas as pd

        columns = {"phi": self.phi, "alpha": self.alpha, "stderr": self.stderr}
        return pd.DataFrame({"party": range(len(self.phi)), **{name: x.numpy() for name, x in columns.items()}})

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        name = ", ".join(filter(None, (self.name, self.method)))
        return f"Contributions: {name}, {counted(len(self.phi), 'party')}", self.to_frame(), " ".join(self.warnings)


class Contribution(Settings, ABC):
    """Base class of contributions.

    A contribution is a frozen dataclass of its settings with one method, `compute`.
    """

    section = "contribution"

    @abstractmethod
    def compute(self, game: Game, seed: int) -> Contributions:
        r"""Compute the contributions of the parties.

        Arguments:
            game: The game with the values $v_c$.
            seed: The seed of all random numbers.

        Raises:
            ValueError: If the method does not apply to the game, or if no party has a positive contribution.
        """

    def coalition_weights(self, n: int) -> torch.Tensor | None:
        r"""Return the weights of a semivalue; `None` if the contributions are none.

        .. math:: \phi_i = \sum_{C \not\ni i} p_{|C|} [v_c(C \cup \{i\}) - v_c(C)]

        Arguments:
            n: The number of parties.

        Returns:
            The weights $p_0, \dots, p_{n - 1}$, of shape $(n)$, float64.
        """

        return None


def compute_contributions(contribution: Contribution, valuation: Valuation, seed: int) -> Contributions:
    r"""Compute the contributions of the parties, each in the game of its own reference.

    Arguments:
        contribution: The contribution concept.
        valuation: The valuation. If its reference differs between parties, $\phi_i$ is that of party $i$ in its own
            game; the details are then lists with an entry for each party.
        seed: The seed of all random numbers, the same in all games.

    Raises:
        ValueError: If the concept does not apply, if its result is not a `Contributions` of all parties, or if no
            party has a positive contribution, in all games or in the game of a party.
    """

    games = valuation.contribution_games()
    results = []
    for i, game in enumerate(games):
        try:
            result = contribution.compute(game, seed)
        except ValueError as error:
            if len(games) == 1:
                raise
            raise ValueError(f"in the game of party {i + 1}'s own reference: {error}") from error
        check_instance("contribution: the result of compute", result, Contributions)
        check_values("contribution: phi", result.phi, valuation.n)
        results.append(result)
    name = snake(type(contribution).__name__)
    if len(games) == 1:
        return replace(results[0], name=name)

    details: dict[str, Any] = {name: [result.details.get(name) for result in results] for name in results[0].details}
    combined = Contributions.of(
        torch.stack([result.phi[i] for i, result in enumerate(results)]),
        ", ".join(dict.fromkeys(result.method for result in results)),
        torch.stack([result.stderr[i] for i, result in enumerate(results)]),
        details,
        tuple(dict.fromkeys(warning for result in results for warning in result.warnings)),
    )
    return replace(combined, name=name)


@dataclass(frozen=True)
class EqualShares(Contribution):
    r"""Equal shares of the value of all data, a baseline that ignores what a party contributes.

    .. math:: \phi_i = \frac{v_c(N)}{n}

    Example:
        >>> from cgm.valuation import TableGame
        >>> EqualShares().compute(TableGame([0.0, 1.0, 2.0, 5.0]), seed=0).phi
        tensor([2.5000, 2.5000], dtype=torch.float64)
    """

    def compute(self, game: Game, seed: int = 0) -> Contributions:
        """Compute equal contributions, see `Contribution.compute`."""

        return Contributions.of(torch.full((game.n,), game.grand_value / game.n, dtype=torch.float64), "exact")
