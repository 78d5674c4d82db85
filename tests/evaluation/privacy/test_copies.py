"""Tests of counting copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgm.evaluation.privacy.membership import ROUNDING, Copies

grids = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12).map(
    lambda rows: np.array(rows, dtype=float).reshape(-1, 2)
)


@given(st.lists(grids, min_size=1, max_size=4), grids)
def test_counts_from_plain_loops(sets, points):
    copies = Copies(sets)
    groups = [[s] for s in range(len(sets))] + [list(range(len(sets))), []]
    expected = [sum(any((x == row).all() for s in group for row in sets[s]) for x in points) for group in groups]
    assert copies.count(points, *groups) == expected


@pytest.mark.parametrize("d", [1, 4, 30])
def test_equal_up_to_rounding(d):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, d)) * np.geomspace(1e-3, 1e3, d)
    single = rows.astype(np.float32).astype(np.float64)
    shifted = rows[:100] + 10 * ROUNDING * rows.std(0)
    assert Copies([rows]).count(single, [0]) == [500]
    if d > 1:
        assert Copies([rows]).count(shifted, [0]) == [0]
    assert Copies([rows[:0], rows]).count(rows[:7], [0], [1]) == [0, 7]


def test_constant_dimensions_and_many_equal_rows():
    rows = np.zeros((20_000, 3))
    assert Copies([rows, rows + 1]).count(np.repeat(rows[:1], 5000, axis=0), [0], [1]) == [5000, 0]
