import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgm.data import Unequal
from cgm.data.splits import counts

# The paper's matrices, as published.
UNEQUAL_5 = [
    [0.20, 0.20, 0.20, 0.20, 0.20],
    [0.20, 0.20, 0.20, 0.20, 0.20],
    [0.58, 0.39, 0.01, 0.01, 0.01],
    [0.01, 0.20, 0.58, 0.20, 0.01],
    [0.01, 0.01, 0.01, 0.39, 0.58],
]
UNEQUAL_10 = [
    [0.1] * 10,
    [0.1] * 10,
    [0.29, 0.29, 0.195, 0.195] + [0.005] * 6,
    [0.005, 0.005, 0.1, 0.1, 0.29, 0.29, 0.1, 0.1, 0.005, 0.005],
    [0.005] * 6 + [0.195, 0.195, 0.29, 0.29],
]


@pytest.mark.parametrize("matrix", [UNEQUAL_5, UNEQUAL_10])
def test_paper_matrices(matrix):
    np.testing.assert_allclose(Unequal().shares(len(matrix[0])), matrix, rtol=0, atol=1e-15)


@pytest.mark.parametrize("matrix", [UNEQUAL_5, UNEQUAL_10])
@pytest.mark.parametrize("points", [1000, 5000])
def test_paper_counts(matrix, points):
    expected = [[int(share * points) for share in row] for row in matrix]

    np.testing.assert_array_equal(counts(Unequal().shares(len(matrix[0])), points), expected)


@given(n=st.integers(3, 12), m=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_unequal_balances_classes(n, m):
    shares = Unequal(n_parties=n).shares(m)
    uniform = {3: 1, 4: 2, 5: 2, 6: 2, 7: 3, 8: 3, 9: 4, 10: 4, 11: 4, 12: 5}[n]

    np.testing.assert_allclose(shares.sum(axis=0), n / m, rtol=0, atol=1e-12)
    np.testing.assert_allclose(shares[:uniform], 1 / m, rtol=0, atol=1e-15)
    if m > 2:  # of two classes, the middle one of three windows has half each
        assert (shares[uniform:].max(axis=1) > 1 / m + 1e-9).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_parties": 2}, r"split\.n_parties=2: expected an integer >= 3"),
        ({"points_per_party": 0}, r"split\.points_per_party=0: expected an integer >= 2"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Unequal(**settings)
