import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgm.data.holdout import hold_out, match_parties


@given(share=st.floats(0.1, 0.9), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_hold_out(share, seed):
    y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [200, 100, 50]))
    train, test = hold_out(y, share, seed)

    assert sorted([*train, *test]) == list(range(350))
    assert abs(len(test) - share * 350) <= 1
    assert (np.abs(np.bincount(y[test], minlength=3) - share * np.array([200, 100, 50])) <= 1.5).all()
    assert (hold_out(y, share, seed)[1] == test).all()
    assert len(test) != len(hold_out(y, share, seed + 1)[1]) or (hold_out(y, share, seed + 1)[1] != test).any()


def test_hold_out_needs_two_of_each_class():
    with pytest.raises(ValueError, match=r"^class 1 has only one row, but each class needs at least two"):
        hold_out(np.array([0, 0, 0, 0, 1]), 0.5, seed=0)


def test_too_few_rows_for_the_share():
    with pytest.raises(ValueError, match=r"^dataset\.test_share=0\.001: not possible for 100 rows: "):
        hold_out(np.repeat([0, 1], 50), 0.001, seed=0)


counts = st.lists(st.lists(st.integers(0, 60), min_size=3, max_size=3), min_size=1, max_size=4).filter(
    lambda rows: all(map(sum, rows))
)


@given(counts, st.lists(st.integers(1, 90), min_size=3, max_size=3), st.integers(0, 99))
def test_held_out_rows_match_the_parties(sizes, there, seed):
    """Each party has ratio * N_ik rows of class k, up to rounding, with the largest ratio that the rows allow."""

    y = torch.from_numpy(np.random.default_rng(seed).permutation(np.repeat([0, 1, 2], there)))
    parties = [torch.arange(3).repeat_interleave(torch.tensor(row)) for row in sizes]
    chosen = match_parties(y, parties, seed)
    needed = np.sum(sizes, axis=0)
    ratio = min(a / b for a, b in zip(there, needed, strict=True) if b)
    for rows, row in zip(chosen, sizes, strict=True):
        assert rows.tolist() == sorted(rows.tolist())
        assert (np.abs(np.bincount(y[rows], minlength=3) - ratio * np.array(row)) <= 1).all()
    together = torch.cat(chosen).tolist()
    assert len(set(together)) == len(together)
    totals = np.bincount(y[together], minlength=3) if together else np.zeros(3)
    assert (np.abs(totals - ratio * needed) <= 0.5 + 1e-9).all()
    assert all(torch.equal(a, b) for a, b in zip(chosen, match_parties(y, parties, seed), strict=True))


def test_every_held_out_row_can_be_drawn():
    y, parties = torch.tensor([0] * 20 + [1] * 2), [torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0])]
    draws = [match_parties(y, parties, seed) for seed in range(100)]
    assert all([len(rows) for rows in chosen] == [10, 2] for chosen in draws)  # two for each row
    for party in (0, 1):
        drawn = torch.cat([chosen[party] for chosen in draws])
        assert set(drawn.tolist()) >= set(range(20))


def test_a_class_without_held_out_rows_leaves_none():
    chosen = match_parties(torch.tensor([0, 0, 2]), [torch.tensor([0, 1]), torch.tensor([0, 0])], seed=0)
    assert [len(rows) for rows in chosen] == [0, 0]
