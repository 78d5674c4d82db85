import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare

from cgm.rewards import steps
from cgm.rewards.sampling import Chain, WeightedSampling, _Pool, _Reward, sample_rewards
from cgm.valuation.kernels.base import Kernel
from cgm.valuation.kernels.laplacian import Laplacian
from cgm.valuation.kernels.rational_quadratic import RationalQuadratic
from cgm.valuation.kernels.squared_exponential import SquaredExponential
from cgm.valuation.kernels.sum import Sum
from cgm.valuation.mmd import mmd2_biased, mmd2_unbiased
from cgm.valuation.valuation import Valuation

INF = math.inf
FAR = 1e9  # a target that no chain reaches


class Plain:
    """Computes everything from scratch, from the full kernel matrix of T."""

    def __init__(self, valuation: Valuation, k: Callable[[np.ndarray], np.ndarray]) -> None:
        """k is the kernel, as a function of the squared distance."""

        x = valuation.points.numpy()
        self.k = k(((x[:, None] - x[None]) ** 2).sum(-1))  # (t, t)
        self.sums = self.k.sum(1)
        self.t, self.size = len(x), valuation.sizes[-1]
        ends = np.cumsum(valuation.sizes)
        self.parties = [list(range(end - n, end)) for end, n in zip(ends, valuation.sizes, strict=True)][:-1]
        self.g = self.t - self.size  # G's first row

    def rows(self, party: int, taken: Sequence[int]) -> list[int]:
        return self.parties[party] + [self.g + x for x in taken]

    def v(self, rows: list[int]) -> float:
        return 2 * self.sums[rows].mean() / self.t - self.k[np.ix_(rows, rows)].mean()

    def mmd2(self, rows: list[int]) -> tuple[float, float]:
        s, t = len(rows), self.t
        ss, st = self.k[np.ix_(rows, rows)], self.k[rows]
        biased = ss.mean() - 2 * st.mean() + self.k.mean()
        off = (ss.sum() - np.trace(ss)) / (s * (s - 1)), (self.k.sum() - np.trace(self.k)) / (t * (t - 1))
        return biased, off[0] - 2 * st.mean() + off[1]

    def probabilities(self, party: int, taken: Sequence[int], beta: float) -> np.ndarray:
        """Computes p(x) for all of G, 0 for what is taken."""

        rows = self.rows(party, taken)
        left = [x for x in range(self.size) if x not in set(taken)]
        before = self.v(rows)
        delta = np.array([self.v([*rows, self.g + x]) - before for x in left])
        low, high = delta.min(), delta.max()
        p = np.zeros(self.size)
        if high - low < 1e-13:
            p[left] = 1
        elif beta == INF:
            p[left] = delta > high - 1e-13
        else:
            p[left] = np.exp(beta * (delta - low) / (high - low))
        return p / p.sum()


def squared_exponential(lengthscale: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda q: np.exp(-q / (2 * lengthscale**2))


def problem(size: int = 24, n: int = 3, d: int = 2, seed: int = 0, kernel: Kernel | None = None) -> Valuation:
    rng = np.random.default_rng(seed)
    centres = 1.2 * rng.standard_normal((n, d))
    parties = [torch.from_numpy(c + 0.6 * rng.standard_normal((rng.integers(3, 8), d))) for c in centres]
    synthetic = centres[rng.integers(n, size=size)] + 0.7 * rng.standard_normal((size, d))
    return Valuation(kernel or SquaredExponential(0.9), parties, torch.from_numpy(synthetic))


def assert_chain(plain: Plain, chain: Chain, patience: float | None = None) -> None:
    """Follows a chain step by step: each point may be drawn (with β = ∞, is a best one), and v is the formula's."""

    taken = []
    best = value = plain.v(plain.rows(chain.party, []))
    assert chain.start == pytest.approx(value, abs=1e-12)
    since = 0
    for x, told in zip(chain.indices.tolist(), chain.values.tolist(), strict=True):
        assert value < chain.target  # else it would have stopped
        assert patience is None or since < patience * plain.size
        assert plain.probabilities(chain.party, taken, chain.beta)[x] > 0

        taken.append(x)
        value = plain.v(plain.rows(chain.party, taken))
        assert told == pytest.approx(value, abs=1e-12)
        since = 0 if value > best else since + 1
        best = max(best, value)

    assert chain.value == pytest.approx(value, abs=1e-12)
    assert chain.reached == (value >= chain.target - 1e-12)
    if not chain.reached:
        assert len(taken) == plain.size or (patience is not None and since >= patience * plain.size)
    assert (chain.mmd2_biased, chain.mmd2_unbiased) == pytest.approx(plain.mmd2(plain.rows(chain.party, taken)))


def assert_same(chains: Sequence[Chain], others: Sequence[Chain]) -> None:
    """Compares chains bit for bit."""

    for chain, other in zip(chains, others, strict=True):
        assert (chain.party, chain.beta) == (other.party, other.beta)
        assert torch.equal(chain.indices, other.indices)
        assert torch.equal(chain.values, other.values)
        assert (chain.start, chain.reached) == (other.start, other.reached)
        assert (chain.mmd2_biased, chain.mmd2_unbiased) == (other.mmd2_biased, other.mmd2_unbiased)


def halfway(valuation: Valuation, share: float = 0.8) -> list[float]:
    return (valuation.party_values + share * (valuation.with_synthetic - valuation.party_values)).tolist()


def nearly(beta: float, count: int) -> list[float]:
    """Lists β's that are one and the same but for the random stream: p differs by less than 1e-8."""

    return [beta + k * 1e-12 for k in range(count)]


# --- every step against the formula ---


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("seed", [0, 7])
def test_every_step(d: int, seed: int) -> None:
    betas = [4.0, 0.0, 1.0, 0.3, 50.0, INF]
    valuation = problem(d=d, seed=seed)
    plain = Plain(valuation, squared_exponential(0.9))
    targets = halfway(valuation)
    chains = sample_rewards(valuation, targets, betas, seed, patience=None)
    assert [(c.party, c.beta) for c in chains] == [(i, beta) for i in range(3) for beta in betas]
    for chain in chains:
        assert chain.target == targets[chain.party]
        assert (chain.indices.dtype, chain.values.dtype) == (torch.int64, torch.float64)
        assert chain.reached
        assert_chain(plain, chain)
    assert 0 < min(len(c.indices) for c in chains) < max(len(c.indices) for c in chains)


class Ripple(Kernel):
    """A user's own kernel, which goes up and down with the distance."""

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        return torch.exp(-q / 2) * torch.cos(3 * q)


class Wider(SquaredExponential):
    """Made from the squared exponential kernel, with a profile of its own."""

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        return torch.exp(-q / 8)


@pytest.mark.parametrize(
    ("kernel", "k"),
    [
        (Laplacian(1.3), lambda q: np.exp(-np.sqrt(q) / 1.3)),
        (RationalQuadratic(0.8, alpha=0.5), lambda q: (1 + q / (2 * 0.5 * 0.64)) ** -0.5),
        (
            Sum([SquaredExponential(0.5), RationalQuadratic(1.0, alpha=2.0)], lengthscale=1.6),
            lambda q: np.exp(-q / 2.56 / (2 * 0.25)) + (1 + q / 2.56 / 4) ** -2,
        ),
        (Ripple(1.1), lambda q: np.exp(-q / 2.42) * np.cos(3 * q / 1.21)),
        (Wider(0.5), lambda q: np.exp(-q / 2)),
    ],
    ids=["laplacian", "rational_quadratic", "sum", "not monotone", "derived"],
)
def test_every_step_with_another_kernel(kernel: Kernel, k: Callable[[np.ndarray], np.ndarray]) -> None:
    valuation = problem(size=15, n=2, kernel=kernel)
    for chain in sample_rewards(valuation, [FAR, FAR], [0.5, 4.0, INF], seed=1, patience=None):
        assert_chain(Plain(valuation, k), chain)


def test_one_party_one_beta() -> None:
    valuation = problem(n=1)
    (chain,) = sample_rewards(valuation, halfway(valuation), [2.0], seed=0, patience=None)
    assert chain.reached
    assert_chain(Plain(valuation, squared_exponential(0.9)), chain)


@pytest.mark.parametrize("size", [256, 257, 513])
def test_several_blocks(size: int) -> None:
    """G is used up, to the last point of each block."""

    betas = [0.0, 3.0, INF]
    valuation = problem(size=size, n=2)
    plain = Plain(valuation, squared_exponential(0.9))
    for chain in sample_rewards(valuation, [FAR, FAR], betas, seed=0, patience=3 / size):
        assert_chain(plain, chain, patience=3 / size)
    for chain in sample_rewards(valuation, [FAR, FAR], betas, seed=0, patience=None):
        assert sorted(chain.indices.tolist()) == list(range(size))
        assert chain.value == pytest.approx(float(valuation.with_synthetic[chain.party]), abs=1e-12)


# --- the distribution of what is drawn ---


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
        if beta:  # the test would see it, were the points drawn with the other party's probabilities, or evenly
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
    """From each of some states, one after another in a chain, many points are drawn."""

    valuation = problem(size=600, n=2)
    plain = Plain(valuation, squared_exponential(0.9))
    reward = _Reward(_Pool(valuation), 1, beta, seed=0)
    for accepted in (0, 1, 50, 300, 590):
        while len(reward.indices) < accepted:
            reward.accept(reward.draw())
        counts = np.bincount([reward.draw() for _ in range(8000)], minlength=600)
        p = plain.probabilities(1, reward.indices, beta)
        assert counts[p == 0].sum() == 0
        assert goodness(counts, p) > 1e-3
        if beta:  # the test would see it, were the points drawn evenly, or with another β
            assert goodness(counts, (p > 0) / (p > 0).sum()) < 1e-6
            assert accepted == 590 or goodness(counts, plain.probabilities(1, reward.indices, 2 * beta)) < 1e-3


def goodness(counts: np.ndarray, p: np.ndarray) -> float:
    """Tells the p-value of counts; those of which less than 5 are expected are taken together."""

    expected = p * counts.sum()
    rare = expected < 5
    counts, expected = (np.append(x[~rare], x[rare].sum()) for x in (counts, expected))
    return chisquare(counts[expected > 0], expected[expected > 0]).pvalue


@pytest.mark.parametrize("kernel", [SquaredExponential(0.9), Laplacian(0.9)])
@pytest.mark.parametrize("size", [200, 700])
def test_sums_and_extremes_deep_in_a_chain(kernel: Kernel, size: int) -> None:
    """u equals plain sums; the extremes of each block are those of its points' h, to the last bit."""

    valuation = problem(size=size, n=2, kernel=kernel)
    k = kernel(valuation.points, valuation.points).numpy()
    reward = _Reward(_Pool(valuation), 0, 2.0, seed=0)
    live = np.ones(size, dtype=bool)
    for accepted in (0, 1, 120):
        while len(reward.indices) < accepted:
            reward.accept(reward.draw())
        live[reward.indices] = False
        taken = [*range(valuation.sizes[0]), *(valuation.t - size + x for x in reward.indices)]
        u = k[-size:, taken].sum(1)
        assert reward.u[live] == pytest.approx(u[live], rel=1e-12)
        assert np.all(reward.u[~live] == INF)

        h = k[-size:].sum(1) / valuation.t - u / (len(taken) + 1)
        exact = reward.pool.mean_a - reward.u * (1 / (len(taken) + 1))
        assert exact[live] == pytest.approx(h[live], abs=1e-13)
        for b, (greatest, least) in enumerate(zip(reward.greatest, reward.least, strict=True)):
            block = slice(b * steps.BLOCK, (b + 1) * steps.BLOCK)
            assert greatest == exact[block].max()
            assert least == exact[block][live[block]].min()


def test_block_without_live_points() -> None:
    valuation = problem(size=300, n=1)
    reward = _Reward(_Pool(valuation), 0, 0.0, seed=0)
    for x in range(256, 300):
        reward.accept(x)
    assert (reward.greatest[1], reward.least[1]) == (-INF, INF)
    assert reward.greatest[0] > reward.least[0] > -INF
    assert {reward.draw() // 256 for _ in range(1000)} == {0}


def test_streams_of_seeds_parties_and_betas_are_independent() -> None:
    """First points, drawn evenly from 4, of pairs of streams: no pair tells of the other."""

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


def test_greedy_takes_the_best_and_any_of_equals() -> None:
    """Each point of G stands there twice."""

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


def test_great_beta_goes_the_greedy_way() -> None:
    """Even one whose exponents are beyond the range of floating-point numbers."""

    valuation = problem(size=12)
    greedy = sample_rewards(valuation, [FAR] * 3, [INF], seed=0, patience=None)
    for beta in (1e9, 1e200, 1e308, np.finfo(np.float64).max):
        for chain, other in zip(
            sample_rewards(valuation, [FAR] * 3, [beta], seed=0, patience=None), greedy, strict=True
        ):
            assert torch.equal(chain.indices, other.indices)


@pytest.mark.parametrize("beta", [0.0, 1.0, 1000.0, INF])
def test_equal_points_are_drawn_evenly(beta: float) -> None:
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
def test_equally_good_points_are_drawn_evenly(beta: float) -> None:
    """A point and its mirror image add the same to data that are their own mirror image, but for rounding."""

    rng = np.random.default_rng(0)
    for _ in range(8):
        x, g = torch.from_numpy(rng.standard_normal((5, 2))), torch.from_numpy(rng.standard_normal((1, 2)))
        valuation = Valuation(SquaredExponential(1.0), [torch.cat([x, -x])], torch.cat([g, -g]))
        firsts = [int(sample_rewards(valuation, [FAR], [beta], seed)[0].indices[0]) for seed in range(30)]
        assert 5 < sum(firsts) < 25


# --- chains alone, in a batch, and again ---

BETAS = [0.0, 0.5, 2.0, 8.0, INF]


def test_chains_alone_go_as_in_a_batch() -> None:
    valuation = problem(size=333)
    targets = halfway(valuation, 0.97)
    chains = sample_rewards(valuation, targets, BETAS, seed=3)
    assert len({len(chain.indices) for chain in chains}) > 5  # they come to their ends at different steps
    for betas in ([0.5], [8.0], [INF], [8.0, 0.0], [2.0, INF, 0.5]):
        some = [chains[i * len(BETAS) + BETAS.index(beta)] for i in range(3) for beta in betas]
        assert_same(sample_rewards(valuation, targets, betas, seed=3), some)
    for party in range(3):
        alone = [target if i == party else -10.0 for i, target in enumerate(targets)]
        some = sample_rewards(valuation, alone, BETAS[1:4], seed=3)
        rows = slice(3 * party, 3 * party + 3)
        assert_same(some[rows], chains[5 * party + 1 : 5 * party + 4])
        assert all(len(chain.indices) == 0 for chain in some[: rows.start] + some[rows.stop :])


def test_number_of_threads_makes_no_difference() -> None:
    valuation = problem(size=9001)
    targets = halfway(valuation, 0.6)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        chains = sample_rewards(valuation, targets, BETAS, seed=0, patience=3 / 9001)
        torch.set_num_threads(2)
        batch = sample_rewards(valuation, targets, BETAS, seed=0, patience=3 / 9001)
        alone = sample_rewards(valuation, targets, [2.0], seed=0, patience=3 / 9001)
    finally:
        torch.set_num_threads(threads)
    assert sum(len(chain.indices) for chain in chains) > 40
    assert_same(batch, chains)
    assert_same(alone, chains[2::5])


def test_seed() -> None:
    valuation = problem(size=60)
    first, again, other = (sample_rewards(valuation, halfway(valuation), [1.0, 4.0], seed) for seed in (1, 1, 2))
    assert_same(first, again)
    for chain, another in zip(first, other, strict=True):
        assert chain.indices.tolist() != another.indices.tolist()
        assert chain.start == another.start
    assert len({tuple(chain.indices.tolist()) for chain in first}) == 6


def test_global_random_state_is_left_alone() -> None:
    valuation = problem()
    before = torch.get_rng_state(), np.random.get_state()[1:3]  # noqa: NPY002 - what must not be touched
    sample_rewards(valuation, halfway(valuation), [1.0, INF], seed=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    keys, position = np.random.get_state()[1:3]  # noqa: NPY002
    assert np.array_equal(keys, before[1][0])
    assert position == before[1][1]


def test_valuation_is_left_as_it_was() -> None:
    valuation = problem()
    before = [x.clone() for x in (valuation.points, valuation.sums, valuation.a, valuation.b)]
    sample_rewards(valuation, halfway(valuation), [1.0, INF], seed=0)
    for x, y in zip(before, (valuation.points, valuation.sums, valuation.a, valuation.b), strict=True):
        assert torch.equal(x, y)


# --- where a chain ends ---


@pytest.mark.parametrize("below", [0.0, 0.3, INF])
def test_target_that_is_reached_already(below: float) -> None:
    valuation = problem()
    targets = valuation.party_values - below
    plain = Plain(valuation, squared_exponential(0.9))
    for chain in sample_rewards(valuation, targets, [0.0, 2.0, INF], seed=0):
        assert len(chain.indices) == len(chain.values) == 0
        assert (chain.indices.dtype, chain.values.dtype) == (torch.int64, torch.float64)
        assert chain.reached
        assert chain.increasing is None
        assert chain.value == chain.start == float(valuation.party_values[chain.party])
        expected = plain.mmd2(plain.rows(chain.party, []))
        assert (chain.mmd2_biased, chain.mmd2_unbiased) == pytest.approx(expected)


@pytest.mark.parametrize("target", [FAR, INF])
def test_synthetic_pool_is_used_up(target: float) -> None:
    valuation = problem()
    for chain in sample_rewards(valuation, [target] * 3, [0.0, 5.0, INF], seed=0, patience=None):
        assert sorted(chain.indices.tolist()) == list(range(24))
        assert chain.reached is False
        assert chain.value == pytest.approx(float(valuation.with_synthetic[chain.party]), abs=1e-12)


def test_target_that_takes_all_of_the_pool_is_reached() -> None:
    """The sums that a chain carries may differ from v(D_i ∪ G) by rounding."""

    for seed in range(20):
        valuation = problem(size=40, seed=seed)
        chains = sample_rewards(valuation, valuation.with_synthetic, [0.0, 3.0, INF], seed=0, patience=None)
        for chain in chains:
            assert chain.reached
            assert len(set(chain.indices.tolist())) == len(chain.indices)


def test_chain_ends_with_the_very_point_that_reaches_the_target() -> None:
    valuation = problem(size=40, n=2)
    for k, whole in enumerate(sample_rewards(valuation, [FAR, FAR], [0.0, 3.0], seed=0, patience=None)):
        peak, at = whole.values.max(0)
        targets = [-1.0, -1.0]
        for above, reached in ((0.0, True), (1e-7, False)):
            targets[whole.party] = float(peak) + above
            chain = sample_rewards(valuation, targets, [0.0, 3.0], seed=0, patience=None)[k]
            assert chain.reached is reached
            assert len(chain.indices) == (int(at) + 1 if reached else 40)
            assert torch.equal(chain.indices, whole.indices[: len(chain.indices)])


@pytest.mark.parametrize("patience", [1e-9, 0.05, 0.21, 1.0])
def test_patience(patience: float) -> None:
    """A chain ends after a share of |G| accepted points, at least one, without a new best value."""

    valuation = problem(size=60)
    enough = max(1, round(patience * 60))
    ended = 0
    for chain in sample_rewards(valuation, [FAR] * 3, [0.0, 1.0, 8.0, INF], seed=0, patience=patience):
        values = [chain.start, *chain.values.tolist()]
        since = 0
        for k in range(1, len(values)):
            assert since < enough
            since = 0 if values[k] > max(values[:k]) else since + 1
        assert chain.reached is False
        assert since == enough or len(chain.indices) == 60
        ended += len(chain.indices) < 60
    assert ended == (12 if patience < 0.1 else 0 if patience == 1 else pytest.approx(4, abs=3))

    whole = sample_rewards(valuation, [FAR] * 3, [1.0], seed=0, patience=None)
    for chain, other in zip(sample_rewards(valuation, [FAR] * 3, [1.0], seed=0, patience=patience), whole, strict=True):
        assert torch.equal(chain.indices, other.indices[: len(chain.indices)])


def test_patience_is_a_tenth_by_default() -> None:
    valuation = problem(size=60)
    default = sample_rewards(valuation, [FAR] * 3, [1.0], seed=0)
    assert_same(default, sample_rewards(valuation, [FAR] * 3, [1.0], seed=0, patience=0.1))
    assert all(len(chain.indices) < 60 for chain in default)


@pytest.mark.parametrize("beta", [0.0, 2.0, INF])
def test_pool_of_one_point(beta: float) -> None:
    valuation = problem(size=1, n=2)
    plain = Plain(valuation, squared_exponential(0.9))
    for chain in sample_rewards(valuation, [FAR, -1], [beta], seed=0):
        assert chain.indices.tolist() == [0][: 1 - chain.party]
        assert_chain(plain, chain)


def test_targets_may_differ_by_party() -> None:
    valuation = problem()
    targets = [-1.0, FAR, halfway(valuation)[2]]
    for form in (targets, torch.tensor(targets), np.array(targets)):
        chains = sample_rewards(valuation, form, [1.0], seed=0, patience=None)
        assert [chain.reached for chain in chains] == [True, False, True]
        assert [len(chain.indices) for chain in chains][:2] == [0, 24]


# --- what a chain tells ---


def test_mmd_of_a_reward() -> None:
    valuation = problem(size=50)
    for chain in sample_rewards(valuation, halfway(valuation), [0.0, 4.0], seed=0):
        s = torch.cat([valuation.party(chain.party), valuation.synthetic[chain.indices]])
        assert chain.mmd2_biased == pytest.approx(mmd2_biased(valuation.kernel, s, valuation.points), abs=1e-13)
        assert chain.mmd2_unbiased == pytest.approx(mmd2_unbiased(valuation.kernel, s, valuation.points), abs=1e-13)
        assert chain.value == pytest.approx(valuation.value(s), abs=1e-13)


def test_share_of_points_that_raised_the_value() -> None:
    valuation = problem()
    plain = Plain(valuation, squared_exponential(0.9))
    shares = set()
    for chain in sample_rewards(valuation, [FAR] * 3, [0.0, 2.0, INF], seed=0, patience=None):
        values = [plain.v(plain.rows(chain.party, chain.indices[:k].tolist())) for k in range(25)]
        share = sum(values[k + 1] > values[k] for k in range(24)) / 24
        assert chain.increasing == pytest.approx(share)
        shares.add(share)
    assert len(shares) > 2
    assert min(shares) < 1

    empty = torch.empty(0, dtype=torch.float64)
    chain = Chain(0, 1.0, 0.5, empty.long(), empty, 0.25, False, 0.1, 0.1)
    assert (chain.value, chain.increasing) == (0.25, None)
    values = torch.tensor([0.3, 0.3, 0.2, 0.4], dtype=torch.float64)
    chain = Chain(0, 1.0, 0.5, torch.arange(4), values, 0.25, False, 0.1, 0.1)
    assert (chain.value, chain.increasing) == (0.4, 0.5)


# --- bad settings ---


class Broken(Kernel):
    """Gives no number for points that are far apart."""

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        return torch.where(q < 4, 1 - q / 8, math.nan)


def test_kernel_that_is_not_finite() -> None:
    valuation = problem()
    valuation.kernel = Broken(0.9)
    with pytest.raises(ValueError, match=r"kernel: Broken\.profile gives values that are not finite"):
        sample_rewards(valuation, [FAR] * 3, [1.0], seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"betas": []}, r"sampling\.betas=\[\]"),
        ({"betas": [1.0, -0.5]}, r"sampling\.betas=\[1.0, -0.5\].*not negative"),
        ({"betas": [math.nan]}, r"sampling\.betas=\[nan\]"),
        ({"betas": [-INF]}, r"sampling\.betas=\[-inf\]"),
        ({"betas": [2, 1.0, 2.0]}, r"sampling\.betas=.*twice"),
        ({"betas": [INF, INF]}, r"sampling\.betas=.*twice"),
        ({"seed": -1}, "seed=-1"),
        ({"patience": 0}, r"sampling\.patience=0"),
        ({"patience": -0.1}, r"sampling\.patience=-0.1"),
        ({"patience": 1.01}, r"sampling\.patience=1.01"),
        ({"patience": math.nan}, r"sampling\.patience=nan"),
        ({"targets": [0.5, 0.5]}, "2 for 3 parties"),
        ({"targets": [0.5] * 4}, "4 for 3 parties"),
        ({"targets": [0.5, math.nan, 0.5]}, "targets.*NaN"),
        ({"targets": torch.tensor([0.5, 0.5, math.nan])}, "targets.*NaN"),
    ],
)
def test_bad_settings(change: dict, message: str) -> None:
    settings = {"targets": [0.1] * 3, "betas": [1.0], "seed": 0} | change
    with pytest.raises(ValueError, match=message):
        sample_rewards(problem(), **settings)
    if not set(change) <= {"betas", "patience"}:
        return
    with pytest.raises(ValueError, match=message):
        WeightedSampling(**change)


def test_weighted_sampling_draws() -> None:
    valuation = problem()
    targets = valuation.with_synthetic * 0.9
    chains = WeightedSampling(betas=[0, 3], patience=0.3).draw(valuation, targets, seed=4)
    assert_same(chains, sample_rewards(valuation, targets, [0.0, 3.0], seed=4, patience=0.3))
    assert WeightedSampling() == WeightedSampling(betas=(1.0, 2.0, 4.0, 8.0), patience=0.1)
