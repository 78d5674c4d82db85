import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cgm.generators.columns import MAX_VALUES, Cells

X = np.array([[0.0, 1.5, 7.0], [1.0, 2.5, 7.0], [4.0, 0.5, 7.0], [1.0, 9.5, 7.0], [0.0, 3.5, 7.0]])


def test_cells_end_half_way_to_the_next_value():
    cells = Cells.of(X)
    low, high = cells.limits(X)

    assert cells.discrete.tolist() == [True, False, True]
    assert [v.tolist() for v in cells.values] == [[0, 1, 4], [0.5, 9.5], [7]]
    assert low[:, 0].tolist() == [-0.5, 0.5, 2.5, 0.5, -0.5]
    assert high[:, 0].tolist() == [0.5, 2.5, 5.5, 2.5, 0.5]
    for end in (low, high):
        assert (end[:, 1:] == X[:, 1:]).all()


def test_rounding():
    found = Cells.of(X).rounded(np.array([[-3.0, -3.0, -3.0], [0.4, 0.4, 9.0], [0.6, 4.4, 7.0], [99.0, 99.0, 99.0]]))

    assert found.tolist() == [[0, 0.5, 7], [0, 0.5, 7], [1, 4.4, 7], [4, 9.5, 7]]


@given(arrays(float, (30, 3), elements=st.integers(-5, 5).map(float) | st.floats(-1e6, 1e6)), st.integers(0, 99))
def test_rounding_undoes_the_draw_from_a_cell(x, seed):
    cells = Cells.of(x)
    low, high = cells.limits(x)
    points = low + (high - low) * np.random.default_rng(seed).uniform(0.01, 0.99, size=x.shape)

    assert (low <= x).all()
    assert (x <= high).all()
    np.testing.assert_allclose(cells.rounded(points), x, rtol=1e-12)


def test_columns_with_many_values_are_continuous_and_cells_can_be_stored():
    x = np.arange(2.0 * MAX_VALUES + 2)[:, None] // [[2, 4]]
    cells = Cells.of(x)
    restored = Cells.joined(np.concatenate(cells.values), np.array([2.0, 501.0]), cells.discrete.astype(float))

    assert cells.discrete.tolist() == restored.discrete.tolist() == [False, True]
    assert [v.tolist() for v in restored.values] == [[0, 1000], list(range(501))]
