"""Weighted sampling, step by step against full kernel matrices; see test_draws.py for the probabilities."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from cgm.mediator import Mediator
from cgm.rewards.sampling import WeightedSampling, increasing_share, sample_rewards
from cgm.rewards.schemes.others import MaxWelfare
from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential, Sum
from cgm.valuation.mmd import mmd2_biased, mmd2_unbiased
from cgm.valuation.valuation import Valuation
from tests.rewards.chains import FAR, INF, Plain, assert_chain, assert_same, halfway, problem, squared_exponential

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
    """A kernel of a user, which is not monotone in the distance."""

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        return torch.exp(-q / 2) * torch.cos(3 * q)


class Wider(SquaredExponential):
    """A subclass of the squared exponential kernel with another profile."""

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
        (
            Sum([SquaredExponential(0.5), SquaredExponential(2.0)], lengthscale=0.8),
            lambda q: np.exp(-q / 0.64 / 0.5) + np.exp(-q / 0.64 / 8),
        ),
        (Ripple(1.1), lambda q: np.exp(-q / 2.42) * np.cos(3 * q / 1.21)),
        (Wider(0.5), lambda q: np.exp(-q / 2)),
    ],
    ids=["laplacian", "rational_quadratic", "sum", "sum of squared exponentials", "not monotone", "derived"],
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


# --- single chains, several chains, and the same chains again ---

BETAS = [0.0, 0.5, 2.0, 8.0, INF]


def test_a_chain_does_not_depend_on_other_chains() -> None:
    valuation = problem(size=333)
    targets = halfway(valuation, 0.97)
    chains = sample_rewards(valuation, targets, BETAS, seed=3)
    assert len({len(chain.indices) for chain in chains}) > 5  # they end at different steps
    for betas in ([0.5], [8.0], [INF], [8.0, 0.0], [2.0, INF, 0.5]):
        some = [chains[i * len(BETAS) + BETAS.index(beta)] for i in range(3) for beta in betas]
        assert_same(sample_rewards(valuation, targets, betas, seed=3), some)
    for party in range(3):
        alone = [target if i == party else -10.0 for i, target in enumerate(targets)]
        some = sample_rewards(valuation, alone, BETAS[1:4], seed=3)
        rows = slice(3 * party, 3 * party + 3)
        assert_same(some[rows], chains[5 * party + 1 : 5 * party + 4])
        assert all(len(chain.indices) == 0 for chain in some[: rows.start] + some[rows.stop :])


@pytest.mark.processor
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


def test_global_random_state_is_not_used() -> None:
    valuation = problem()
    before = torch.get_rng_state(), np.random.get_state()[1:3]  # noqa: NPY002
    sample_rewards(valuation, halfway(valuation), [1.0, INF], seed=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    keys, position = np.random.get_state()[1:3]  # noqa: NPY002
    assert np.array_equal(keys, before[1][0])
    assert position == before[1][1]


def test_valuation_is_not_changed() -> None:
    valuation = problem()
    before = [x.clone() for x in (valuation.points, valuation.sums, valuation.a, valuation.b)]
    sample_rewards(valuation, halfway(valuation), [1.0, INF], seed=0)
    for x, y in zip(before, (valuation.points, valuation.sums, valuation.a, valuation.b), strict=True):
        assert torch.equal(x, y)


# --- the end of a chain ---


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


def test_target_that_requires_the_whole_pool_is_reached() -> None:
    """The sums that a chain updates may differ from those in v(D_i ∪ G) by rounding errors."""

    for seed in range(20):
        valuation = problem(size=40, seed=seed)
        chains = sample_rewards(valuation, valuation.with_synthetic, [0.0, 3.0, INF], seed=0, patience=None)
        for chain in chains:
            assert chain.reached
            assert len(set(chain.indices.tolist())) == len(chain.indices)


def test_chain_ends_with_the_point_that_reaches_the_target() -> None:
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


# --- the attributes of a chain ---


def test_mmd_of_a_reward() -> None:
    valuation = problem(size=50)
    for chain in sample_rewards(valuation, halfway(valuation), [0.0, 4.0], seed=0):
        s = torch.cat([valuation.party(chain.party), valuation.synthetic[chain.indices]])
        assert chain.mmd2_biased == pytest.approx(mmd2_biased(valuation.kernel, s, valuation.points), abs=1e-13)
        assert chain.mmd2_unbiased == pytest.approx(mmd2_unbiased(valuation.kernel, s, valuation.points), abs=1e-13)
        assert chain.value == pytest.approx(valuation.value(s), abs=1e-13)


def test_share_of_points_that_increased_the_value() -> None:
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

    assert increasing_share(0.25, torch.empty(0, dtype=torch.float64)) is None
    assert increasing_share(0.25, torch.tensor([0.3, 0.3, 0.2, 0.4], dtype=torch.float64)) == 0.5


# --- bad settings ---


class Broken(Kernel):
    """A kernel that is not a number for points that are far apart."""

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
        ({"betas": "fast"}, r"sampling\.betas='fast': expected a list of numbers"),
        ({"betas": 2.0}, r"sampling\.betas=2\.0: expected a list of numbers"),
        ({"betas": [1.0, -0.5]}, r"sampling\.betas=\[1.0, -0.5\].*non-negative"),
        ({"betas": [math.nan]}, r"sampling\.betas=\[nan\]"),
        ({"betas": [-INF]}, r"sampling\.betas=\[-inf\]"),
        ({"betas": [2, 1.0, 2.0]}, r"sampling\.betas=.*twice"),
        ({"betas": [INF, INF]}, r"sampling\.betas=.*twice"),
        ({"seed": -1}, "seed=-1"),
        ({"patience": 0}, r"sampling\.patience=0"),
        ({"patience": -0.1}, r"sampling\.patience=-0.1"),
        ({"patience": 1.01}, r"sampling\.patience=1.01"),
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


def test_tolerance() -> None:
    """Nobody is drawn beyond the share 1 - τ of its possible gain; all else is as without a tolerance."""

    valuation = problem()
    own, upper = valuation.party_values, valuation.with_synthetic
    wanted = own + torch.tensor([0.3, 0.97, 1.0], dtype=torch.float64) * (upper - own)
    sampling = WeightedSampling([8.0], patience=None, tolerance=0.1)
    targets = sampling.targets(valuation, wanted)
    assert ((targets - own) / (upper - own)).tolist() == pytest.approx([0.3, 0.9, 0.9])
    rewards = sampling.draw(valuation, wanted, seed=0)
    assert [reward.target for reward in rewards] == targets.tolist()
    assert [reward.promised for reward in rewards] == wanted.tolist()
    assert [reward.upper for reward in rewards] == upper.tolist()
    exact = WeightedSampling([8.0], patience=None)
    assert_same(rewards, exact.draw(valuation, targets, seed=0))
    assert torch.equal(exact.targets(valuation, wanted), wanted)
    for reward, share in zip(rewards, [0.3, 0.9, 0.9], strict=True):
        assert reward.reached
        assert share - 1e-6 <= reward.share_of_gain <= 1.02
        value = (reward.value - reward.start) / (reward.upper - reward.start)
        assert reward.share_of_gain == pytest.approx(value)


def test_tolerance_where_nothing_can_be_gained() -> None:
    class Worse(Valuation):
        """A valuation whose pool lowers all values."""

        @property
        def with_synthetic(self) -> torch.Tensor:
            return self.party_values - 0.1

    good = problem()
    valuation = Worse(good.kernel, [good.party(i) for i in range(3)], good.synthetic)
    own = valuation.party_values
    sampling = WeightedSampling([1.0], tolerance=0.5)
    assert torch.equal(sampling.targets(valuation, own + 0.2), own)
    for reward in sampling.draw(valuation, own, seed=0):
        assert reward.reached
        assert len(reward.indices) == 0
        assert reward.share_of_gain == 1


def test_incentives_of_the_targets() -> None:
    """Incentives are checked of the reward values and of the smaller values that rewards are drawn to."""

    random = torch.Generator().manual_seed(0)
    parties = [torch.randn(40, 2, generator=random) + i for i in range(3)]
    one, two = (
        Mediator(synthetic_size=400, scheme=MaxWelfare(), sampling=WeightedSampling([8.0], None, tolerance)).settle(
            parties, seed=0
        )
        for tolerance in (0, 0.2)
    )
    assert torch.equal(one.rewards.values, two.rewards.values)
    assert one.incentives == two.incentives == one.target_incentives
    assert two.incentives["R3"].holds
    assert two.target_incentives["R3"].holds is False
    for reward in two.drawn.values():
        assert reward.promised == pytest.approx(reward.upper)
        assert reward.target == pytest.approx(reward.start + 0.8 * (reward.upper - reward.start))
        assert 0.8 - 1e-6 <= reward.share_of_gain < 1
