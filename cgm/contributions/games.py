"""Contributions of parties that are computed in different games."""

from __future__ import annotations

from typing import Any

import torch

from cgm.contributions.base import Contribution, Contributions
from cgm.utils.checks import check_instance, check_values
from cgm.valuation.valuation import Valuation


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
    if len(games) == 1:
        return results[0]

    details: dict[str, Any] = {name: [result.details.get(name) for result in results] for name in results[0].details}
    return Contributions.of(
        torch.stack([result.phi[i] for i, result in enumerate(results)]),
        ", ".join(dict.fromkeys(result.method for result in results)),
        torch.stack([result.stderr[i] for i, result in enumerate(results)]),
        details,
        tuple(dict.fromkeys(warning for result in results for warning in result.warnings)),
    )
