import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cgm.data.features import ARD
from cgm.valuation.bounds import kernel_bounds
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation

X = torch.randn(60, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_columns_are_divided_by_median_differences():
    x = X[:7].numpy()  # 21 pairs: one is in the middle
    differences = [[abs(x[i, j] - x[k, j]) for i in range(7) for k in range(i)] for j in range(5)]
    z = ARD().fit(X[:7], seed=0).transform(X)
    torch.testing.assert_close(z, X / torch.from_numpy(np.median(differences, axis=1)))


@given(st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=5), st.floats(-10, 10))
def test_units_do_not_matter(scales, shift):
    z = ARD().fit(X, seed=0).transform(X)
    other = X * torch.tensor(scales, dtype=torch.float64) + shift
    again = ARD().fit(other, seed=0).transform(other)
    torch.testing.assert_close(again - again[:1], z - z[:1], rtol=1e-6, atol=1e-6)


def test_the_kernel_has_a_length_scale_for_each_column():
    features = ARD().fit(X, seed=0)
    z, scales = features.transform(X), features.fitted()["scales"]
    expected = torch.exp(-((X[:, None] - X) / scales).square().sum(2) / (2 * 1.7**2))
    torch.testing.assert_close(SquaredExponential(1.7)(z, z), expected)


def test_columns_with_mostly_one_value():
    x = X[:, :3].clone()
    x[:, 1] = 0
    x[:5, 1] = 3.0  # median difference 0
    x[:, 2] = 0.1  # constant
    scales = ARD().fit(x, seed=0).fitted()["scales"]
    torch.testing.assert_close(scales[1], x[:, 1].std(correction=0))
    assert scales[2] == 1


def test_a_subset_of_the_points():
    torch.testing.assert_close(ARD(points=30).fit(X[:59], seed=0).fitted(), ARD().fit(X[:59:2], seed=0).fitted())


def test_proposition_4_holds_for_the_scaled_points():
    """Its bounds are those of the kernel on the scaled points, and sets of the sizes it lists have values >= 0."""

    x = X * torch.tensor([1.0, 10.0, 100.0, 1e3, 1e4])
    z = ARD().fit(x, seed=0).transform(x)
    valuation = Valuation(SquaredExponential(12.0), [z[:12], z[12:20]], z[20:])
    ranges = kernel_bounds(valuation).nonnegative
    assert ranges
    assert ranges[0][0] < len(z) / 2  # more than what holds for any positive kernel
    random = torch.Generator().manual_seed(0)
    for first, last in ranges:
        for s in range(first, last + 1):
            assert valuation.value(z[torch.randperm(len(z), generator=random)[:s]]) >= 0


def test_bad_points_and_files(tmp_path):
    with pytest.raises(ValueError, match="all 9 are equal"):
        ARD().fit(torch.ones(9, 4), seed=0)
    features = ARD().fit(X, seed=0)
    features.state["scales"][2] = 0
    features.save(tmp_path / "features")
    with pytest.raises(ValueError, match="scales that are not positive"):
        ARD().load(tmp_path / "features")
