import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgm.data.holdout import check_test_share, hold_out


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


@pytest.mark.parametrize("share", [0, 0.0, 1, 1.5, -0.1, float("nan"), "some", None, True])
def test_bad_test_share(share):
    check_test_share(0.2)
    with pytest.raises(ValueError, match=rf"^dataset\.test_share={share}: expected a number in \(0, 1\)$"):
        check_test_share(share)


def test_too_few_rows_for_the_share():
    with pytest.raises(ValueError, match=r"^dataset\.test_share=0\.001: not possible for 100 rows: "):
        hold_out(np.repeat([0, 1], 50), 0.001, seed=0)
