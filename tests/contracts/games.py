"""Random games and plain computations, for the contract tests of contributions and schemes."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from cgm.contributions.base import Contribution, Contributions
from cgm.valuation.game import Game, TableGame
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation

seeds = st.integers(0, 2**32 - 1)


class OwnValues(Contribution):
    """A contribution of a user: the values of the parties' own data."""

    def compute(self, game: Game, seed: int) -> Contributions:
        return Contributions.of(game.party_values, "own_values")


def table(n: int, seed: int) -> TableGame:
    """A random monotone game with positive values."""

    rng = np.random.default_rng(seed)
    weights, pairs = rng.uniform(0.1, 1, n), np.triu(rng.uniform(0, 0.3, (n, n)), 1)
    members = (np.arange(2**n)[:, None] >> np.arange(n)) & 1  # (2^n, n)
    values = (members @ weights) ** rng.uniform(0.5, 2) + np.einsum("ci,ij,cj->c", members, pairs, members)
    return TableGame(torch.from_numpy(values))


def renamed(game: Game, order: list[int]) -> TableGame:
    """The same game, in which party i is party order[i] of the given game."""

    numbers = [sum(2 ** order[i] for i in range(game.n) if c >> i & 1) for c in range(2**game.n)]
    return TableGame(game.coalition_values()[numbers])


def valuation(n: int, seed: int) -> Valuation:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n, 2))
    parties = [torch.from_numpy(c + rng.standard_normal((rng.integers(3, 9), 2))) for c in centres]
    pool = centres[rng.integers(n, size=60)] + rng.standard_normal((60, 2))
    return Valuation(SquaredExponential(3.0), parties, torch.from_numpy(pool))


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
