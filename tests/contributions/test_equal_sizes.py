"""Shapley values in closed form for parties of equal sizes, against all coalitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgm.contributions.equal_sizes import mean_gains
from cgm.contributions.semivalues import shapley_exact, shapley_values
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation
from tests.contributions.common import by_subsets, normal, tabulate, valuation_of, written_out


@pytest.mark.parametrize("n", range(1, 11))
@pytest.mark.parametrize("size", [2, 5])
def test_equal_sizes_is_exact(n: int, size: int) -> None:
    valuation = valuation_of([size] * n, seed=n)
    result = shapley_values(valuation, "equal_sizes")
    assert result.phi.shape == (n,)
    assert result.phi.dtype == torch.float64
    np.testing.assert_allclose(result.phi, shapley_exact(valuation.coalition_values()), rtol=0, atol=1e-13)
    assert result.method == "equal_sizes"
    assert result.stderr.tolist() == [0] * n
    assert result.details == {}


@settings(max_examples=40)
@given(n=st.integers(1, 7), seed=st.integers(0, 10**6), t=st.integers(20, 60), size=st.integers(1, 4))
def test_equal_sizes_of_any_sums(n: int, seed: int, t: int, size: int) -> None:
    """For any a and B, against v_c from its formula; the rows of B need not add up to a."""

    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=(n, n))
    b = b + b.T
    phi = mean_gains(a, b, size, t).mean(0)
    np.testing.assert_allclose(phi, by_subsets(tabulate(written_out(a, b, [size] * n, t), n)), rtol=0, atol=1e-11)


def test_equal_sizes_of_many() -> None:
    """Efficiency and symmetry, for too many parties to list the coalitions."""

    n, x = 200, normal(40, 2)
    parties = [x[i % 40] + normal(3, 2, seed=i // 2) for i in range(n)]
    parties[1] = parties[0].clone()
    valuation = Valuation(SquaredExponential(1.0), parties, normal(50, 2, seed=-1))
    phi = shapley_values(valuation, "equal_sizes").phi
    assert float(phi.sum()) == pytest.approx(valuation.grand_value, rel=1e-11)
    assert float(phi[0]) == pytest.approx(float(phi[1]), rel=1e-10)
    assert float(phi.std()) > 1e-5
