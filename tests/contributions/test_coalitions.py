"""Semivalues estimated from coalitions, against all coalitions."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import roots_jacobi
from scipy.stats import betabinom

from cgm.contributions.equal_sizes import weighted_mean
from cgm.contributions.sampled import gains_of_first_two, pair_gains, semivalue_sampled
from cgm.contributions.semivalues import semivalue_exact
from cgm.valuation.valuation import Valuation
from tests.contributions.common import valuation_of


def sampled(valuation: Valuation, alpha: float, beta: float, coalitions: int, seed: int) -> tuple:
    weights = betabinom.pmf(np.arange(valuation.n), valuation.n - 1, beta, alpha)
    return semivalue_sampled(valuation, weights, lambda rng, m: rng.beta(beta, alpha, m), 0, coalitions, seed)


def exact(valuation: Valuation, alpha: float, beta: float) -> torch.Tensor:
    weights = betabinom.pmf(np.arange(valuation.n), valuation.n - 1, beta, alpha)
    return semivalue_exact(valuation.coalition_values(), weights)


@pytest.mark.parametrize("sizes", [[5], [3, 8], [3, 8, 2], [3, 8, 2, 5], [4, 4, 4, 4, 4]], ids=str)
@pytest.mark.parametrize(("alpha", "beta"), [(4, 1), (2, 5)])
def test_parts_of_the_estimator_over_all_coalitions(sizes: list[int], alpha: int, beta: int) -> None:
    """The known part and the mean of the sampled gains, over all pairs of coalitions and an exact quadrature of p."""

    valuation = valuation_of(sizes)
    n, t = valuation.n, valuation.t
    a, b, numbers = valuation.a.numpy(), valuation.b.numpy().copy(), np.array(sizes, dtype=np.float64)
    x, weights = roots_jacobi(2 * n, alpha - 1, beta - 1)  # exact for polynomials of degree 4 n - 1
    weights = weights / weights.sum()
    mean = np.zeros(n)
    for p, weight in zip((1 + x) / 2, weights, strict=True):
        # a party is a member of the first coalition only, of the second only, or of none (p < 1/2) or both (p > 1/2)
        side, rest = min(p, 1 - p), abs(1 - 2 * p)
        states = [(side / 2, side), (1 - side / 2, side), (0.5, rest)]
        pairs = list(itertools.product(states, repeat=n))
        u = np.array([[state[0] for state in pair] for pair in pairs])
        probability = np.array([math.prod(state[1] for state in pair) for pair in pairs])
        mean += weight * probability @ pair_gains(np.full(len(u), p), u, a, b, numbers, t)

    shares = betabinom.pmf(np.arange(n), n - 1, beta, alpha)
    known = weighted_mean(gains_of_first_two(a, b, numbers, t)[:n], shares[:2], 1)
    np.testing.assert_allclose(known + mean, exact(valuation, alpha, beta), rtol=1e-10, atol=1e-13)


def test_first_two() -> None:
    valuation = valuation_of([3, 8, 2, 5])
    v = valuation.coalition
    gains = gains_of_first_two(valuation.a.numpy(), valuation.b.numpy(), np.array([3, 8, 2, 5]), valuation.t)
    np.testing.assert_allclose(gains[0], valuation.party_values, rtol=1e-12)
    second = [np.mean([v([i, j]) - v([j]) for j in range(4) if j != i]) for i in range(4)]
    np.testing.assert_allclose(gains[1], second, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_of_up_to_two_others_is_exact_for_equal_sizes(n: int) -> None:
    """The control variate is then the game itself."""

    valuation = valuation_of([4] * n)
    phi, stderr, coalitions = sampled(valuation, 2, 3, 20, seed=0)
    np.testing.assert_allclose(phi, exact(valuation, 2, 3), rtol=1e-11)
    assert stderr.max() < 1e-15
    assert coalitions == 20


def test_standard_errors_are_accurate() -> None:
    """Over many seeds, there is no bias, and the squared errors agree with the standard errors."""

    valuation = valuation_of([3, 8, 2, 5, 20, 4])
    expected = exact(valuation, 3, 1)
    phi, stderr = (
        torch.stack(x) for x in zip(*(sampled(valuation, 3, 1, 60, seed=seed)[:2] for seed in range(300)), strict=True)
    )
    # 300 seeds of 30 pairs each: the ratio is known to about 1 / sqrt(150)
    ratio = ((phi - expected) ** 2).mean(0) / (stderr**2).mean(0)
    assert ratio.min() > 0.7
    assert ratio.max() < 1.4
    bias = (phi.mean(0) - expected).abs() / (phi.std(0) / math.sqrt(300))
    assert bias.max() < 4


@pytest.mark.parametrize("n", [5, 60])
def test_threads_and_chunks_do_not_matter(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    valuation = valuation_of([2 + i % 7 for i in range(n)])
    threads = torch.get_num_threads()
    results = []
    for number in (1, 3):
        torch.set_num_threads(number)
        try:
            results.append(sampled(valuation, 1, 1, 600, seed=0))
        finally:
            torch.set_num_threads(threads)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(sampled(valuation, 1, 1, 600, seed=1)[0], results[0][0])
