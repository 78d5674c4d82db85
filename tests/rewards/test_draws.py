"""The probabilities with which weighted sampling draws points, by chi-squared tests."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare

from cgm.rewards import steps
from cgm.rewards.sampling import Draws, PoolArrays, sample_rewards
from cgm.valuation.kernels import Kernel, Laplacian, SquaredExponential, Sum
from cgm.valuation.valuation import Valuation
from tests.rewards.chains import FAR, INF, Plain, assert_chain, problem, squared_exponential

SUM = Sum([SquaredExponential(0.5), SquaredExponential(2.0)], lengthscale=0.9)


def profile_of_sum(q: np.ndarray) -> np.ndarray:
    return np.exp(-q / (2 * 0.45**2)) + np.exp(-q / (2 * 1.8**2))


def nearly(beta: float, count: int) -> list[float]:
    """List β's with different random streams, for which p differs by less than 1e-8."""

    return [beta + k * 1e-12 for k in range(count)]


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_first_points_have_their_probabilities(beta: float) -> None:
    valuation = problem(size=9, n=2)
    plain = Plain(valuation, squared_exponential(0.9))
    counts = np.zeros((2, 9))
    for seed in range(50):
        for chain in sample_rewards(valuation, [FAR, FAR], nearly(beta, 40), seed, patience=1e-9):
            counts[chain.party, int(chain.indices[0])] += 1

    for party in range(2):
        p = plain.probabilities(party, [], beta)
        assert beta or p == pytest.approx([1 / 9] * 9)
        assert chisquare(counts[party], p * 2000).pvalue > 1e-3
        if beta:  # the test detects draws with the probabilities of the other party, and uniform draws
            other = plain.probabilities(1 - party, [], beta)
            assert chisquare(counts[party], other * 2000).pvalue < 1e-6
            assert chisquare(counts[party], [2000 / 9] * 9).pvalue < 1e-6


def test_second_points_have_their_probabilities_given_the_first() -> None:
    valuation = problem(size=5, n=1)
    plain = Plain(valuation, squared_exponential(0.9))
    counts = np.zeros((5, 5))
    for seed in range(40):
        for chain in sample_rewards(valuation, [FAR], nearly(2.0, 100), seed, patience=None):
            counts[tuple(chain.indices[:2].tolist())] += 1

    for first in range(5):
        p = plain.probabilities(0, [first], 2.0)
        assert counts[first, first] == 0
        others = [x for x in range(5) if x != first]
        assert counts[first].sum() > 100
        assert chisquare(counts[first, others], p[others] * counts[first].sum()).pvalue > 1e-3


@pytest.mark.parametrize("beta", [0.0, 1.0, 8.0, 60.0])
def test_points_deep_in_a_chain_have_their_probabilities(beta: float) -> None:
    """Many points are drawn from each of several states of a chain."""

    valuation = problem(size=600, n=2)
    plain = Plain(valuation, squared_exponential(0.9))
    state = Draws(PoolArrays(valuation), 1, beta, seed=0)
    order = state.arrays.order
    for accepted in (0, 1, 50, 300, 590):
        while len(state.accepted) < accepted:
            state.accept(state.draw())
        taken = order[state.accepted].tolist()
        counts = np.bincount([order[state.draw()] for _ in range(8000)], minlength=600)
        p = plain.probabilities(1, taken, beta)
        assert counts[p == 0].sum() == 0
        assert goodness(counts, p) > 1e-3
        if beta:  # the test detects uniform draws, and draws with another β
            assert goodness(counts, (p > 0) / (p > 0).sum()) < 1e-6
            assert accepted == 590 or goodness(counts, plain.probabilities(1, taken, 2 * beta)) < 1e-3


def goodness(counts: np.ndarray, p: np.ndarray) -> float:
    """Compute the p-value of counts; those with an expectation below 5 are merged."""

    expected = p * counts.sum()
    rare = expected < 5
    counts, expected = (np.append(x[~rare], x[rare].sum()) for x in (counts, expected))
    return chisquare(counts[expected > 0], expected[expected > 0]).pvalue


@pytest.mark.parametrize(("kernel", "k"), [(SquaredExponential(0.9), squared_exponential(0.9)), (SUM, profile_of_sum)])
@pytest.mark.parametrize("stale", [1, 20, 63])
def test_draws_from_bounds_have_their_probabilities(
    stale: int, kernel: Kernel, k: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Each draw starts from a state in which no block is up to date, as after the acceptance of a point."""

    valuation = problem(size=1500, n=2, kernel=kernel)
    plain = Plain(valuation, k)
    state = Draws(PoolArrays(valuation), 1, 6.0, seed=0)
    for _ in range(stale):
        state.accept(state.draw())
    state = fresh(state)
    counts = np.zeros(1500)
    for _ in range(6000):
        counts[state.arrays.order[copy_of(state).draw()]] += 1
    taken = state.arrays.order[state.accepted].tolist()
    assert goodness(counts, plain.probabilities(1, taken, 6.0)) > 1e-3
    assert goodness(counts, plain.probabilities(1, taken, 12.0)) < 1e-3


def fresh(state: Draws) -> Draws:
    """Accept the points of a chain without draws, so that no block is brought up to date."""

    new = Draws(state.arrays, state.party, state.beta, seed=0)
    for x in state.accepted:
        new.accept(x)
    assert new.recent == len(state.accepted) > new.sums.seen.max() == 0
    return new


def copy_of(state: Draws) -> Draws:
    """Copy a state, but for its random stream."""

    new = copy.copy(state)
    new.sums = steps.Sums(*(x.copy() for x in state.sums))
    return new


@pytest.mark.parametrize("kernel", [SquaredExponential(0.9), Laplacian(0.9), SUM])
@pytest.mark.parametrize("size", [200, 700])
def test_sums_and_extremes_deep_in_a_chain(kernel: Kernel, size: int) -> None:
    """u equals plain sums, and the extremes of each block are those of the h of its points."""

    valuation = problem(size=size, n=2, kernel=kernel)
    k = kernel(valuation.points, valuation.points).numpy()
    state = Draws(PoolArrays(valuation), 0, 2.0, seed=0)
    order = state.arrays.order
    live = np.ones(size, dtype=bool)  # in the order of the blocks
    for accepted in (0, 1, 120):
        while len(state.accepted) < accepted:
            state.accept(state.draw())
        live[state.accepted] = False
        taken = [*range(valuation.sizes[0]), *(valuation.t - size + order[x] for x in state.accepted)]
        u = k[-size:, taken].sum(1)[order]
        steps.update_all(state.arrays.pool, state.sums, state.recent, state.m)
        assert state.sums.u[live] == pytest.approx(u[live], rel=1e-12)
        assert np.all(state.sums.u[~live] == INF)

        h = k[-size:].sum(1)[order] / valuation.t - u / (len(taken) + 1)
        exact = state.arrays.pool.mean_a - state.sums.u * (1 / (len(taken) + 1))
        assert exact[live] == pytest.approx(h[live], abs=1e-13)
        for b, (high, low) in enumerate(zip(state.sums.upper, state.sums.lower, strict=True)):
            block = slice(b * steps.BLOCK, (b + 1) * steps.BLOCK)
            assert high == exact[block].max()
            assert low == exact[block][live[block]].min()


def test_block_without_live_points() -> None:
    valuation = problem(size=300, n=1)
    state = Draws(PoolArrays(valuation), 0, 0.0, seed=0)
    for x in range(256, 300):
        state.accept(x)
    steps.update_all(state.arrays.pool, state.sums, state.recent, state.m)
    assert (state.sums.upper[1], state.sums.lower[1]) == (-INF, INF)
    assert state.sums.upper[0] > state.sums.lower[0] > -INF
    assert {state.draw() // 256 for _ in range(1000)} == {0}


def test_streams_of_seeds_parties_and_betas_are_independent() -> None:
    """The first points of two streams, drawn uniformly from 4, are independent."""

    valuation = problem(size=4, n=2)
    firsts = np.array(
        [
            [int(chain.indices[0]) for chain in sample_rewards(valuation, [FAR, FAR], [0.0, 1e-12], seed)]
            for seed in range(400)
        ]
    )  # (seeds, 4), by party and β
    pairs = {
        "parties": (firsts[:, 0], firsts[:, 2]),
        "betas": (firsts[:, 0], firsts[:, 1]),
        "seeds": (firsts[:-1, 0], firsts[1:, 0]),
        "seed 1 of party 0, seed 0 of party 1": (firsts[1:, 0], firsts[:-1, 2]),
    }
    for name, (x, y) in pairs.items():
        table = np.zeros((4, 4))
        np.add.at(table, (x, y), 1)
        assert chi2_contingency(table).pvalue > 1e-3, name


def test_greedy_draws_any_of_the_best_points() -> None:
    """Each point is twice in G."""

    twice = problem(size=6, n=2)
    valuation = Valuation(twice.kernel, [twice.party(i) for i in range(2)], torch.cat([twice.synthetic] * 2))
    plain = Plain(valuation, squared_exponential(0.9))
    firsts = []
    for seed in range(40):
        chains = sample_rewards(valuation, [FAR, FAR], [INF], seed, patience=None)
        firsts.append([int(chain.indices[0]) for chain in chains])
        if seed < 5:
            for chain in chains:
                assert_chain(plain, chain)
    for party in range(2):
        best = set(np.flatnonzero(plain.probabilities(party, [], INF)))
        assert len(best) == 2
        assert {first[party] for first in firsts} == best
        assert 8 < [first[party] for first in firsts].count(min(best)) < 32


def test_a_large_beta_is_greedy() -> None:
    """Even if its exponents are beyond the range of floating-point numbers."""

    valuation = problem(size=12)
    greedy = sample_rewards(valuation, [FAR] * 3, [INF], seed=0, patience=None)
    for beta in (1e9, 1e200, 1e308, np.finfo(np.float64).max):
        for chain, other in zip(
            sample_rewards(valuation, [FAR] * 3, [beta], seed=0, patience=None), greedy, strict=True
        ):
            assert torch.equal(chain.indices, other.indices)


@pytest.mark.parametrize("beta", [0.0, 1.0, 1000.0, INF])
def test_equal_points_are_drawn_uniformly(beta: float) -> None:
    parties = [problem().party(i) for i in range(2)]
    valuation = Valuation(SquaredExponential(0.9), parties, torch.full((5, 2), 0.3, dtype=torch.float64))
    plain = Plain(valuation, squared_exponential(0.9))
    counts = np.zeros((2, 5))
    for seed in range(100):
        chains = sample_rewards(valuation, [FAR, FAR], [beta], seed, patience=None)
        for chain in chains:
            counts[chain.party, int(chain.indices[0])] += 1
            if seed == 0:
                assert_chain(plain, chain)
    assert all(chisquare(count).pvalue > 1e-3 for count in counts)


@pytest.mark.parametrize("beta", [8.0, INF])
def test_equally_good_points_are_drawn_uniformly(beta: float) -> None:
    """A point and its mirror image add the same to symmetric data, up to rounding errors."""

    rng = np.random.default_rng(0)
    for _ in range(8):
        x, g = torch.from_numpy(rng.standard_normal((5, 2))), torch.from_numpy(rng.standard_normal((1, 2)))
        valuation = Valuation(SquaredExponential(1.0), [torch.cat([x, -x])], torch.cat([g, -g]))
        firsts = [int(sample_rewards(valuation, [FAR], [beta], seed)[0].indices[0]) for seed in range(30)]
        assert 5 < sum(firsts) < 25
