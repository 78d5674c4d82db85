"""Attacks on cells: slow references, a generator that copies, and independent rows."""

import numpy as np
import pytest
import torch

from cgm.evaluation.privacy import AllAttacks, CellAttacks, Membership
from cgm.evaluation.privacy.base import audit_rows
from cgm.evaluation.privacy.cells import Columns, _single_owners
from cgm.generators.kde import KDE


def draw(n: int, seed: int) -> torch.Tensor:
    """Draw rows with three numbers, a category that depends on one of them, and one that does not."""

    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=random, dtype=torch.float64)
    levels = torch.randint(0, 4, (n, 1), generator=random)
    return torch.cat([x, (x[:, :1] > 0).double(), levels.double()], 1).round(decimals=4)


PARTIES, HELD_OUT = [draw(150, seed) for seed in (1, 2, 3)], [draw(60, seed) for seed in (4, 5, 6)]


def flagged(reward: torch.Tensor, **settings) -> set[str]:
    (entry,) = CellAttacks(**settings).audit(PARTIES, HELD_OUT, [(0, 1.0, reward)], 0)
    return {f"{guess.name} {guess.column or ''}".strip() for guess in entry.guesses if guess.excess_low > 0}


def test_a_generator_that_copies_is_flagged():
    copies = KDE(1e-9).fit(torch.cat(PARTIES), 0).sample(200, 0).round(decimals=4)
    found = flagged(copies)
    assert {f"attribute_inference {j}" for j in (1, 2, 3, 5)} <= found
    assert {"singling_out_by_one_column", "singling_out_by_several_columns"} <= found
    (entry,) = CellAttacks().audit(PARTIES, HELD_OUT, [(0, 1.0, copies)], 0)
    assert (entry.members, entry.non_members, entry.cells) == (300, 120, 1000)
    assert entry.foreign_cells > 300  # two thirds of 600 numbers


def test_independent_rows_are_not_flagged():
    found = [flagged(draw(200, seed)) for seed in range(10, 22)]
    assert sum(map(len, found)) <= 3  # of 12 rewards and three families of intervals of 95 %
    (entry,) = CellAttacks().audit(PARTIES, HELD_OUT, [(0, 1.0, draw(200, 10))], 0)
    assert entry.foreign_cells < 10


def test_guesses_are_those_of_a_slow_reference():
    rows, source = draw(20, 7).numpy(), draw(30, 8).numpy()
    columns = Columns(np.split(draw(300, 9).numpy(), [100]))
    deviation = draw(300, 9).numpy().std(0)
    right = columns.guessed(rows, source, tolerance=0.3)
    for i, row in enumerate(rows):
        for secret in range(5):
            costs = []
            for other in source:
                cost = 0.0
                for j in range(5):
                    if j != secret:
                        cost += (
                            float(row[j] != other[j]) if j > 2 else min(abs(row[j] - other[j]) / 4 / deviation[j], 1)
                        )
                costs.append(cost)
            guess = source[int(np.argmin(costs)), secret]
            error = abs(guess - row[secret])
            assert right[i, secret] == (error == 0 if secret > 2 else error <= 0.3 * deviation[secret])


def test_predicates_are_those_of_a_slow_reference():
    rows, source = draw(80, 7).numpy(), draw(40, 8).numpy()
    columns = Columns(np.split(draw(300, 9).numpy(), [100]))
    expected = []
    for j in range(5):
        values = source[:, j].tolist()
        expected += [sum(x == value for x in rows[:, j]) == 1 for value in sorted(values) if values.count(value) == 1]
        if j < 3:
            expected += [sum(x <= min(values) for x in rows[:, j]) == 1, sum(x >= max(values) for x in rows[:, j]) == 1]
    found = columns.singled_out(rows, source, 10_000, True, 0.3, np.random.default_rng(0))
    assert found.tolist() == expected

    several = columns._of_several(source, 200, np.random.default_rng(0))
    deviation = draw(300, 9).numpy().std(0)
    for predicate in several:
        assert 2 <= len({j for j, _, _ in predicate}) == len(predicate) <= 4
        assert any(all(row[j] == value for j, _, value in predicate) for row in source)
        for j, sign, _ in predicate:
            assert sign == ("=" if j > 2 else "near")
        holds = [
            all(
                x[j] == value if sign == "=" else abs(x[j] - value) <= 0.3 * deviation[j]
                for j, sign, value in predicate
            )
            for x in rows
        ]
        assert columns._holds(predicate, rows, 0.3).tolist() == holds


def test_values_that_only_one_other_party_has():
    real = [np.array([[1.0], [2.0]]), np.array([[2.0], [3.0], [3.0]]), np.array([[4.0], [5.0]]), np.array([[5.0]])]
    assert [x.tolist() for x in _single_owners(real)[0]] == [[1.0, 3.0, 4.0], [0, 1, 2]]
    reward = torch.tensor([[1.0], [2.0], [3.0], [3.0], [4.0], [5.0], [9.0]], dtype=torch.float64)
    parties = [torch.from_numpy(x) for x in real]
    (entry,) = CellAttacks().audit(parties, [reward], [(0, 1.0, reward)], 0)
    assert (entry.cells, entry.foreign_cells) == (7, 3)


def test_all_attacks_are_one_entry_for_each_reward():
    rewards = [(0, 1.0, draw(50, 10)), (1, 8.0, draw(0, 10))]
    entries = AllAttacks(membership=Membership(attacks=["nearest"])).audit(PARTIES, HELD_OUT, rewards, 0)
    alone = Membership(attacks=["nearest"]).audit(PARTIES, HELD_OUT, rewards, 0)
    cells = CellAttacks().audit(PARTIES, HELD_OUT, rewards, 0)
    assert [entry.attacks for entry in entries] == [entry.attacks for entry in alone]
    assert [entry.guesses for entry in entries] == [entry.guesses for entry in cells]
    assert entries[1].reason == "no point was accepted"
    rows, missing = audit_rows(entries)
    assert {row.metric for row in rows} >= {"auc_nearest", "attribute_inference_5", "foreign_cells"}
    assert len(missing) == 1


def test_what_cannot_be_attacked_has_a_reason():
    for parties, held_out, reason in [
        (PARTIES[:1], HELD_OUT[:1], "there are no other parties"),
        (PARTIES, [x[:0] for x in HELD_OUT], "0 held-out rows, at least 2 are needed"),
        ([PARTIES[0][:0], *PARTIES[1:]], HELD_OUT, "the party has no rows of its own"),
    ]:
        (entry,) = CellAttacks().audit(parties, held_out, [(0, 1.0, draw(20, 10))], 0)
        assert entry.reason == reason
        assert entry.guesses == []
    with pytest.raises(ValueError, match="attacks"):
        CellAttacks(attacks=["guess"])
