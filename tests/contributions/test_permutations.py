"""Shapley values estimated from permutations, against all coalitions and all permutations."""

import itertools
import math

import numpy as np
import pytest
import torch

from cgm.contributions.equal_sizes import mean_gains, weighted_mean
from cgm.contributions.sampled import ROUND, gains_of_first_two, later_gains, shapley_sampled
from cgm.contributions.semivalues import shapley_exact, shapley_values
from tests.contributions.common import Values, by_subsets, tabulate, valuation_of, written_out


@pytest.mark.parametrize("n", [1, 2, 3])
def test_sampling_of_up_to_three_is_exact(n: int) -> None:
    """Two have no third place; the gain in the third of three places is a multiple of the control variate's."""

    valuation = valuation_of([3, 6, 2][:n])
    phi, stderr, permutations = shapley_sampled(valuation, tolerance=0, max_permutations=8, seed=0)
    np.testing.assert_allclose(phi, shapley_exact(valuation.coalition_values()), rtol=1e-12)
    assert stderr.max() < 1e-16
    assert permutations == 8


@pytest.mark.parametrize("sizes", [[3, 8, 2, 5], [2, 30, 3, 9, 4, 4, 12, 2], [*range(5, 17)], [2] * 9 + [200]], ids=str)
def test_sampling_meets_exact(sizes: list[int]) -> None:
    valuation = valuation_of(sizes)
    exact = shapley_exact(valuation.coalition_values())
    phi, stderr, permutations = shapley_sampled(valuation, tolerance=0, max_permutations=4000, seed=1)
    assert permutations == 4000
    assert phi.shape == stderr.shape == exact.shape
    assert phi.dtype == stderr.dtype == torch.float64
    assert ((phi - exact).abs() < 4 * stderr).all()
    assert stderr.max() < 0.05 * exact.abs().max()  # small enough for the comparison to be meaningful
    assert float(phi.sum()) == pytest.approx(valuation.grand_value, rel=1e-11)


@pytest.mark.parametrize("n", [3, 30])
def test_sampling_of_equal_sizes_is_exact(n: int) -> None:
    """The game of the control variate is then the game itself."""

    valuation = valuation_of([3] * n)
    result = shapley_values(valuation, "sampled", tolerance=0, max_permutations=40)
    assert result.method == "sampled"
    assert result.details == {"permutations": 40}
    np.testing.assert_allclose(result.phi, shapley_values(valuation, "equal_sizes").phi, rtol=1e-11)
    assert result.stderr.max() < 1e-16


@pytest.mark.parametrize("sizes", [[5], [3, 8], [3, 8, 2], [3, 8, 2, 5, 20], [4, 4, 4, 4, 4]], ids=str)
def test_parts_of_the_estimator_over_all_permutations(sizes: list[int]) -> None:
    """The known and the mean of the sampled gains add up to φ; for parties of equal sizes, both are known."""

    valuation = valuation_of(sizes)
    n, t = valuation.n, valuation.t
    a, b = valuation.a.numpy(), valuation.b.numpy().copy()
    orders = np.array(list(itertools.permutations(range(n))))
    later = later_gains(orders, a, b, np.array(sizes, dtype=np.float64), t).mean(0)
    phi = weighted_mean(gains_of_first_two(a, b, np.array(sizes), t)[:n], np.ones(min(n, 2)), n) + later
    np.testing.assert_allclose(phi, shapley_exact(valuation.coalition_values()), rtol=1e-10, atol=1e-13)
    if len(set(sizes)) == 1:
        np.testing.assert_allclose(later, mean_gains(a, b, sizes[0], t)[2:].sum(0) / n, rtol=1e-10, atol=1e-13)


def pair_gains(game: Values, order: np.ndarray, first: int) -> np.ndarray:
    """The gains from place `first` on, each the mean over a permutation and its reverse."""

    gains = np.zeros(len(order))
    for direction in (order.tolist(), order[::-1].tolist()):
        for place, i in enumerate(direction[first:], first):
            gains[i] += (game(frozenset(direction[: place + 1])) - game(frozenset(direction[:place]))) / 2
    return gains


def test_sampling_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimator of the docstring, with the games from their formulas; the last round is shorter."""

    monkeypatch.setattr("cgm.contributions.sampled.ROUND", 8)
    monkeypatch.setattr("cgm.contributions.sampled.CHUNK", 3)
    valuation = valuation_of([3, 8, 2, 5, 20])
    n, t, sizes = 5, valuation.t, valuation.sizes[:-1]
    a, b = valuation.a.numpy(), valuation.b.numpy()
    scale = np.mean(sizes) / np.array(sizes)
    game = valuation.coalition
    equals = written_out(a * scale, b * scale * scale[:, None], [np.mean(sizes)] * n, t)

    def first(game: Values) -> np.ndarray:  # from the first and the second place
        second = [[game(frozenset([i, j])) - game(frozenset([j])) for j in range(n) if j != i] for i in range(n)]
        return np.array([game(frozenset([i])) + np.mean(second[i]) for i in range(n)]) / n

    rng = np.random.default_rng(7)
    orders = [rng.permuted(np.arange(n)) for _ in range(8 + 19)]
    x, z = (np.array([pair_gains(g, order, first=2) for order in orders]) for g in (game, equals))
    slope = [np.polyfit(z[:8, i], x[:8, i], 1)[0] for i in range(n)]
    y = x[8:] + slope * (by_subsets(tabulate(equals, n)) - first(equals) - z[8:]) + first(game)
    y += (game(range(n)) - y.sum(1, keepdims=True)) / n

    phi, stderr, permutations = shapley_sampled(valuation, tolerance=0, max_permutations=2 * 19, seed=7)
    assert permutations == 2 * 19
    np.testing.assert_allclose(phi, y.mean(0), rtol=1e-9)
    np.testing.assert_allclose(stderr, y.std(0, ddof=1) / math.sqrt(19), rtol=1e-9)


@pytest.mark.parametrize(("sizes", "gain"), [([18, 19, 20, 21, 22] * 2, 100), ([5, 20, 40, 60, 80] * 2, 10)])
def test_variance_reduction(sizes: list[int], gain: int) -> None:
    """Antithetic pairs alone would need `gain` times as many permutations for the same standard error."""

    valuation = valuation_of(sizes)
    rng = np.random.default_rng(0)
    known = valuation.coalition_values().tolist()
    plain = [pair_gains(lambda c: known[sum(2**i for i in c)], rng.permutation(10), first=0) for _ in range(1000)]
    stderr = shapley_sampled(valuation, tolerance=0, max_permutations=2000, seed=0)[1]
    assert np.std(plain, axis=0).max() ** 2 / 1000 > gain * float(stderr.max()) ** 2


@pytest.mark.parametrize("n", [5, 90])
def test_threads_and_chunks_do_not_matter(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    valuation = valuation_of([2 + i % 7 for i in range(n)])
    threads = torch.get_num_threads()
    results = []
    for number, chunk in ((1, 64), (3, 64), (2, 50)):
        monkeypatch.setattr("cgm.contributions.sampled.CHUNK", chunk)
        torch.set_num_threads(number)
        try:
            results.append(shapley_sampled(valuation, tolerance=0, max_permutations=4444, seed=0))
        finally:
            torch.set_num_threads(threads)
    for phi, stderr, permutations in results[1:]:
        assert torch.equal(phi, results[0][0])
        assert torch.equal(stderr, results[0][1])
        assert permutations == 4444


def test_standard_errors_are_accurate() -> None:
    """Over many seeds, there is no bias, and the squared errors agree with the standard errors."""

    valuation = valuation_of([3, 8, 2, 5, 20, 4])
    exact = shapley_exact(valuation.coalition_values())
    phi, stderr = (
        torch.stack(x)
        for x in zip(
            *(shapley_sampled(valuation, 0, max_permutations=60, seed=seed)[:2] for seed in range(300)), strict=True
        )
    )
    # 300 seeds of 30 pairs each: the ratio is known to about 1 / sqrt(150)
    ratio = ((phi - exact) ** 2).mean(0) / (stderr**2).mean(0)
    assert ratio.min() > 0.7
    assert ratio.max() < 1.4
    bias = (phi.mean(0) - exact).abs() / (phi.std(0) / math.sqrt(300))
    assert bias.max() < 4


def test_tolerance() -> None:
    """Sampling stops in the first round in which the largest standard error is small enough."""

    valuation = valuation_of([2, 3, 9] * 20)
    phi, stderr, permutations = shapley_sampled(valuation, tolerance=0.01, max_permutations=60_000, seed=0)
    assert 4 * ROUND < permutations < 60_000
    assert stderr.max() <= 0.01 * phi.abs().max()
    phi, stderr, before = shapley_sampled(valuation, tolerance=0, max_permutations=permutations - 2 * ROUND, seed=0)
    assert before == permutations - 2 * ROUND
    assert stderr.max() > 0.01 * phi.abs().max()


@pytest.mark.parametrize(("maximum", "used"), [(4, 4), (5, 4), (100, 100), (101, 100), (3000, 3000)])
def test_max_permutations(maximum: int, used: int) -> None:
    valuation = valuation_of([3, 8, 2, 5])
    assert shapley_sampled(valuation, tolerance=0, max_permutations=maximum, seed=0)[2] == used


def test_the_same_seed_gives_the_same_numbers() -> None:
    valuation = valuation_of([3, 8, 2, 5])
    first, again, other = (
        shapley_values(valuation, "sampled", 0, max_permutations=200, seed=seed) for seed in (3, 3, 4)
    )
    assert torch.equal(first.phi, again.phi)
    assert torch.equal(first.stderr, again.stderr)
    assert not torch.equal(first.phi, other.phi)
    assert first.details == other.details == {"permutations": 200}
