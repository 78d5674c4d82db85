import numpy as np
import pytest

from cgm.data import Shares


def test_shares_are_normalised():
    shares = Shares([[0.3333333, 0.3333333, 0.3333333]]).shares(3)

    np.testing.assert_allclose(shares, 1 / 3, rtol=0, atol=1e-16)


def test_bad_arguments():
    for arguments, message in [
        (([],), r"split\.matrix: has no rows"),
        (([0.5, 0.5],), r"split\.matrix=.*rows of numbers"),
        (([["a", "b"]],), r"split\.matrix=.*rows of numbers"),
        (([[0.5, 0.5], [1.0]],), r"split\.matrix: row 1 has 1 entries, row 0 has 2"),
        (([[1.5, -0.5]],), r"split\.matrix: row 0 .*negative"),
        (([[float("nan"), 1.0]],), r"split\.matrix: row 0 .*NaN"),
        (([[0.5, 0.5], [0.5, 0.49]],), r"split\.matrix: row 1 sums to 0.99"),
    ]:
        with pytest.raises(ValueError, match=message):
            Shares(*arguments)


def test_other_number_of_classes():
    with pytest.raises(ValueError, match=r"split\.matrix: has 2 columns, but the dataset has 3 classes"):
        Shares([[0.5, 0.5]]).shares(3)
