"""Games that are given by the values of their coalitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgm.valuation.game import Game, TableGame, check_members

TABLES = hnp.arrays(np.float64, st.integers(1, 6).map(lambda n: 2**n), elements=st.integers(-1000, 1000))


@given(values=TABLES)
def test_table_game(values: np.ndarray) -> None:
    values[0] = 0
    game = TableGame(torch.from_numpy(values))
    n = len(values).bit_length() - 1
    assert isinstance(game, Game)
    assert game.n == n
    assert torch.equal(game.coalition_values(), torch.from_numpy(values))
    assert game.grand_value == values[-1] == game.coalition(range(n))
    assert game.party_values.tolist() == [values[2**i] for i in range(n)]
    assert game.party_values.dtype == game.coalition_values().dtype == torch.float64
    for number in range(2**n):
        members = [i for i in range(n) if number >> i & 1]
        assert game.coalition(members) == game.coalition(members[::-1] * 2) == values[number]


def test_values_of_any_type() -> None:
    numbers = [0, 1, 2, 5]
    for values in (numbers, np.array(numbers, dtype=float), torch.tensor(numbers), torch.tensor(numbers).float()):
        assert TableGame(values).coalition_values().tolist() == numbers


def test_values_are_not_rounded() -> None:
    assert TableGame([0.0, 0.1, 0.2, 0.7]).coalition_values().tolist() == [0.0, 0.1, 0.2, 0.7]


def test_values_cannot_be_changed_from_outside() -> None:
    values = torch.tensor([0.0, 1, 2, 5], dtype=torch.float64)
    game = TableGame(values)
    values[3] = game.coalition_values()[1] = game.party_values[1] = 9.0
    assert game.coalition_values().tolist() == [0, 1, 2, 5]


def test_bad_values() -> None:
    for values, message in (
        ([], r"expected 2\^n values for n >= 1, got shape \(0,\)"),
        ([0.0], r"expected 2\^n values for n >= 1, got shape \(1,\)"),
        ([0.0, 1.0, 2.0], r"expected 2\^n values for n >= 1, got shape \(3,\)"),
        (torch.zeros(2, 2), r"expected 2\^n values for n >= 1, got shape \(2, 2\)"),
        (torch.tensor(0.0), r"expected 2\^n values for n >= 1, got shape \(\)"),
        ([0.0, math.nan], "the values must be finite"),
        ([0.0, 1.0, -math.inf, 2.0], "the values must be finite"),
        ([0.5, 1.0], "expected the value 0 for the empty coalition, got 0.5"),
    ):
        with pytest.raises(ValueError, match=rf"^game: {message}$"):
            TableGame(values)


def test_bad_coalition() -> None:
    for members in ([2], [-1], [0, 7]):
        with pytest.raises(ValueError, match=r"coalition: members=.*numbered 0 to 1"):
            TableGame([0.0, 1.0, 2.0, 5.0]).coalition(members)


def test_members_are_sorted_and_distinct() -> None:
    assert check_members(iter([3, 1, 3, 0]), 4) == [0, 1, 3]
    assert check_members([], 4) == []
