import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cgm.data import EqualDisjoint
from cgm.data.splits import counts

# The paper's matrices, as published.
EQUAL_5 = [[0.96 if c == i else 0.01 for c in range(5)] for i in range(5)]
EQUAL_10 = [[0.48 if c // 2 == i else 0.005 for c in range(10)] for i in range(5)]


def test_paper_matrices():
    for matrix in [EQUAL_5, EQUAL_10]:
        np.testing.assert_allclose(EqualDisjoint().shares(len(matrix[0])), matrix, rtol=0, atol=1e-15)


def test_paper_counts():
    for matrix in [EQUAL_5, EQUAL_10]:
        for points in [1000, 5000]:
            expected = [[int(share * points) for share in row] for row in matrix]

            np.testing.assert_array_equal(counts(EqualDisjoint().shares(len(matrix[0])), points), expected)


@given(n=st.integers(1, 8), k=st.integers(1, 4), majority=st.floats(0.01, 1.0))
@settings(max_examples=60, deadline=None)
def test_equal_disjoint_balances_classes(n, k, majority):
    shares = EqualDisjoint(n_parties=n, majority=majority).shares(n * k)

    np.testing.assert_allclose(shares.sum(axis=0), 1 / k, rtol=0, atol=1e-12)
    if n > 1:
        own = np.kron(np.eye(n, dtype=bool), np.ones((1, k), dtype=bool))
        np.testing.assert_allclose(shares[own].reshape(n, k).sum(axis=1), majority, rtol=0, atol=1e-12)
