"""Increments of games, against loops over coalitions."""

from itertools import combinations, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cgm.valuation.bounds import Increments, negative_increments
from cgm.valuation.game import Game, TableGame
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation
from tests.contracts.games import seeds, table, valuation
from tests.valuation.common import normal


def plain_increments(game: Game) -> list[float]:
    """v(C with i) - v(C) of all coalitions and parties, by `coalition`."""

    return [
        game.coalition([*others, i]) - game.coalition(others)
        for i in range(game.n)
        for size in range(game.n)
        for others in combinations([j for j in range(game.n) if j != i], size)
    ]


@given(n=st.integers(1, 5), seed=seeds, noise=st.floats(0, 1))
def test_negative_increments_of_random_games(n: int, seed: int, noise: float) -> None:
    values = table(n, seed).coalition_values()
    values[1:] += noise * normal(2**n - 1, seed=seed)
    game = TableGame(values)
    expected = plain_increments(game)

    found = negative_increments(game)
    assert found.negative == sum(x < 0 for x in expected) / len(expected)
    assert found.smallest == pytest.approx(min(expected), abs=1e-14)


def test_negative_increments_of_a_valuation() -> None:
    for seed, lengthscale in product(range(4), (0.1, 1.0, 10.0)):
        parties = [valuation(4, seed).party(i) for i in range(4)]
        game = Valuation(SquaredExponential(lengthscale), parties, valuation(4, seed).synthetic)
        expected = plain_increments(game)
        increments = negative_increments(game)
        assert increments.negative == sum(x < 0 for x in expected) / 32
        assert increments.smallest == pytest.approx(min(expected), abs=1e-14)


def test_rounding_errors_are_not_negative() -> None:
    assert negative_increments(table(4, 0)).negative == 0
    game = TableGame([0.0, 1.0, 1.0, 1.0 - 1e-14])  # as of a party and its copy
    assert negative_increments(game) == Increments(0.0, pytest.approx(-1e-14, rel=0.1))
    assert negative_increments(TableGame([0.0, 1.0, 1.0, 1.0 - 1e-11])).negative == 0.5


def test_the_largest_number_of_parties() -> None:
    v = torch.arange(2**20, dtype=torch.float64)  # additive
    assert negative_increments(TableGame(v)) == Increments(0.0, 1.0)
    with pytest.raises(ValueError, match=r"21 parties .* at most 20"):
        negative_increments(TableGame(torch.arange(2**21)))
