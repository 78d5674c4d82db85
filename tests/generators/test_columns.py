"""Columns as networks see them: one-hot codes are found, numbers become normal scores, and all of it is undone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cgm.generators.columns import Cells, Columns, check_columns, one_hot_blocks

RANDOM = np.random.default_rng(0)
ZERO = RANDOM.normal(size=300)
TABLE = np.column_stack(
    [
        ZERO,
        np.where(ZERO > 0, np.exp(2 * ZERO), 0.0),  # many zeros and a long tail
        1.5 * np.eye(3)[np.arange(300) % 3],
        np.full(300, 7.0),
        0.7 * np.eye(2)[RANDOM.integers(2, size=300)],
        RANDOM.integers(4, size=300),
    ]
)


def test_one_hot_codes_are_found():
    one, two = np.eye(3)[[0, 1, 2, 0, 1]], 2.0 * np.eye(2)[[0, 0, 1, 1, 0]]
    noise = np.arange(5.0)[:, None]
    for x, blocks in [
        (np.hstack([one, two]), [1, 1, 1, 2, 2]),
        (np.hstack([noise, one, noise]), [0, 1, 1, 1, 0]),
        (np.hstack([one[:, :1], np.zeros((5, 1)), one[:, 1:]]), [1, 0, 1, 1]),  # a level that does not occur
        (np.hstack([one, one]), [1, 1, 1, 2, 2, 2]),  # two categories of the same height
        (one[:, :2], [0, 0]),
        (np.hstack([one[:, :1], noise, one[:, 1:]]), [0, 0, 0, 0]),
        (-one, [0, 0, 0]),
        (np.hstack([one[:, :2], 2 * one[:, 2:]]), [0, 0, 0]),  # of different heights
        (np.hstack([two[:, :1], one]), [0, 1, 1, 1]),
    ]:
        assert one_hot_blocks(x).tolist() == blocks


def test_coordinates():
    columns = Columns.of(TABLE)
    z = columns.encode(TABLE, seed=0).numpy()

    assert columns.groups == [1, 1, 1, 3, 2]
    assert z.shape == (300, sum(columns.groups))
    assert abs(z[:, :3].mean(0)).max() < 0.1
    assert abs(z[:, :3].std(0) - 1).max() < 0.1
    assert (z[:, 3:6].sum(1) == 1).all()
    zeros = TABLE[:, 1] == 0
    assert len(np.unique(z[zeros, 1])) > 100
    assert z[zeros, 1].max() < z[~zeros, 1].min()
    assert columns.has_atoms
    assert not Columns.of(TABLE[:, :1]).has_atoms


def test_points_come_back():
    columns = Columns.of(TABLE)
    found = columns.decode(columns.encode(TABLE, seed=1).double().numpy())

    inside = np.argsort(TABLE[:, 0])[1:-1]  # the largest and the smallest number are half a level away
    np.testing.assert_allclose(found[inside, :2], TABLE[inside, :2], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found[:, 2:], TABLE[:, 2:])


@given(st.integers(0, 1000))
def test_whatever_a_network_draws_is_a_row(seed):
    columns = Columns.of(TABLE)
    found = columns.decode(20 * np.random.default_rng(seed).normal(size=(50, sum(columns.groups))))

    assert (found.min(0) >= TABLE.min(0)).all()
    assert (found.max(0) <= TABLE.max(0)).all()
    assert (found[:, 2:5].sum(1) == 1.5).all()
    assert (found[:, 6:8].sum(1) == 0.7).all()
    assert set(found[:, 8]) <= {0.0, 1.0, 2.0, 3.0}


def test_state():
    columns = Columns.of(TABLE)
    state = columns.state()
    check_columns(state, columns.groups)
    z = columns.encode(TABLE, seed=0)

    assert torch.equal(Columns.restored(state).encode(TABLE, seed=0), z)
    for name, value in [("blocks", -1.0), ("blocks", 0.5), ("lengths", 0.0), ("lower", 0.5)]:
        with pytest.raises(ValueError, match=r"blocks are not|lengths are not|levels or values"):
            check_columns({**state, name: torch.full_like(state[name], value)}, columns.groups)
    with pytest.raises(ValueError, match=r"not those of groups of \[1, 1\]"):
        check_columns(state, [1, 1])


def test_rounded_categories_have_exactly_one_level():
    """Rounded column by column, as before, a row could have no level or several, and the first was taken."""

    cells = Cells.of(TABLE)
    found = cells.rounded(RANDOM.normal(size=(200, TABLE.shape[1])))

    assert (found[:, 2:5].sum(1) == 1.5).all()
    assert (found[:, 6:8].sum(1) == 0.7).all()
    assert len(set(found[:, 2:5].argmax(1))) == 3
    again = Cells.joined(np.concatenate(cells.values), np.array([len(v) for v in cells.values]), cells.kinds)
    np.testing.assert_array_equal(again.blocks, cells.blocks)
    np.testing.assert_array_equal(again.discrete, cells.discrete)
