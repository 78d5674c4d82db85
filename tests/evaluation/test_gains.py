"""Tests of what an attack gains, against the whole kernel matrix in float64."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from cgm.data.attacks import Attack, Clone, Duplicate, Noise, SplitParty
from cgm.data.features.linear import PCA
from cgm.evaluation.entries import AttackGains, Scores
from cgm.evaluation.gains import measure_gains, true_values
from cgm.evaluation.labelled import NO_LABELS, Labelled
from cgm.evaluation.tasks import LabelledReward, Task
from cgm.mediator import Mediator, Settlement
from cgm.rewards.sampling import WeightedSampling
from cgm.valuation.kernels import Laplacian, SquaredExponential
from cgm.valuation.references import LeaveOneOutReference, PoolReference, RealReference
from cgm.valuation.valuation import Valuation
from tests.scores import accuracies

BETAS = (1.0, float("inf"))
PARTIES = [
    shift + torch.randn(30, 2, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    for k, shift in enumerate((0.0, 1.0, 2.0))
]
CLASSES = [torch.arange(30) % 2] * 3
TEST = torch.zeros(4, 2, dtype=torch.float64), torch.tensor([0, 1, 0, 1])
MEDIATOR = Mediator(kernel=SquaredExponential("fit"), sampling=WeightedSampling(BETAS), synthetic_size=200)


@dataclass(frozen=True)
class Recorder(Task):
    """A task that keeps what it is given. The accuracies are made up; there is none for few points."""

    calls: list
    scores = ("accuracy",)

    def evaluate(self, parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled) -> list[Scores]:
        self.calls.append((parties, rewards, test))
        return [accuracies(r.party, r.beta, len(r.x) / 1000, None, "accuracy_before: why") for r in rewards]


def v(s: np.ndarray, t: np.ndarray, lengthscale: float) -> float:
    """The value of a set by its definition, with the whole kernel matrix."""

    def k(x, y):
        return np.exp(-(cdist(x, y) ** 2) / 2 / lengthscale**2)

    return 2 * k(s, t).mean() - k(s, s).mean()


def settle(attack: Attack) -> tuple[Settlement, Settlement, tuple[int, ...]]:
    attacked = attack.apply(PARTIES, CLASSES, seed=0)
    honest = MEDIATOR.settle(PARTIES, seed=0)
    return honest, MEDIATOR.settle(attacked.parties, seed=0, features=honest.features), attacked.identities


def gains_of(
    honest: Settlement, attacked: Settlement, identities: tuple[int, ...], task: Task, labels=(None, None)
) -> AttackGains:
    return measure_gains("mine", identities, honest, attacked, CLASSES, labels, task, TEST)


@pytest.mark.parametrize("attack", [Noise(), SplitParty(party=2, identities=3), Clone(party=3, source=1)], ids=repr)
def test_gains_are_those_of_the_definition(attack):
    honest, attacked, identities = settle(attack)
    gains = gains_of(honest, attacked, identities, Recorder([]))
    i = attack.party - 1
    assert (gains.name, gains.party, gains.identities) == ("mine", i, list(identities))
    for change, before, after in (
        (gains.alpha, honest.contributions.alpha, attacked.contributions.alpha),
        (gains.reward, honest.rewards.values, attacked.rewards.values),
    ):
        numbers = [float(after[a]) for a in identities]
        assert (change.honest, change.max) == (float(before[i]), max(numbers))
        assert change.total == pytest.approx(sum(numbers), abs=1e-12)

    t, lengthscale = honest.game.points.numpy(), float(honest.game.kernel.lengthscale)
    assert float(attacked.game.kernel.lengthscale) != lengthscale  # it matters which game it is
    assert [entry.beta for entry in gains.by_beta] == list(BETAS)
    for entry in gains.by_beta:
        pool = attacked.pool.points.numpy()
        rows = {
            int(row)
            for c in attacked.drawn.values()
            if c.party in identities and c.beta == entry.beta
            for row in c.indices
        }
        own = PARTIES[i].numpy()
        assert entry.size == len(rows)
        assert entry.size_honest == len(honest.reward(i, entry.beta))
        expected = v(np.concatenate([own, pool[sorted(rows)]]), t, lengthscale)
        assert entry.value == pytest.approx(expected, abs=1e-12)
        expected = v(np.concatenate([own, honest.reward(i, entry.beta).numpy()]), t, lengthscale)
        assert entry.value_honest == pytest.approx(expected, abs=1e-12)

        changes = []
        for j in {0, 1, 2} - {i}:
            points = [np.concatenate([PARTIES[j], s.reward(j, entry.beta)]) for s in (attacked, honest)]
            changes.append(v(points[0], t, lengthscale) - v(points[1], t, lengthscale))
        assert entry.others == pytest.approx(changes, abs=1e-12)
        assert entry.others_mean == pytest.approx(np.mean(changes), abs=1e-12)
        assert entry.others_worst == pytest.approx(min(changes), abs=1e-12)
        assert (entry.accuracy, entry.accuracy_honest, entry.reason) == (None, None, NO_LABELS)


def test_without_an_attack_nothing_is_gained():
    honest = MEDIATOR.settle(PARTIES, seed=0)
    again = MEDIATOR.settle(PARTIES, seed=0, features=honest.features)
    gains = gains_of(honest, again, (1,), Recorder([]))
    for change in (gains.alpha, gains.reward):
        assert change.honest == change.total == change.max
    for entry in gains.by_beta:
        assert entry.size == entry.size_honest
        assert entry.value == pytest.approx(entry.value_honest, abs=1e-12)
        assert entry.others == pytest.approx([0, 0], abs=1e-12)


def test_the_union_counts_a_point_once():
    honest, attacked, identities = settle(SplitParty(identities=2))
    changed = {key: replace(reward, indices=torch.tensor([4, 7, key[0]])) for key, reward in attacked.drawn.items()}
    gains = gains_of(honest, replace(attacked, drawn=changed), identities, Recorder([]))

    assert identities == (0, 3)
    assert [entry.size for entry in gains.by_beta] == [4, 4]  # 4, 7, 0, 3


def test_the_task_is_trained_on_honest_data_with_either_reward():
    honest, attacked, identities = settle(SplitParty(party=2))
    task, labels = Recorder([]), (torch.arange(200) % 2, torch.arange(200) % 3)
    gains = gains_of(honest, attacked, identities, task, labels)
    ((parties, rewards, test),) = task.calls
    assert test is TEST
    for (x, y), own, classes in zip(parties, PARTIES, CLASSES, strict=True):
        assert torch.equal(x, own)
        assert torch.equal(y, classes)
    assert [(reward.party, reward.beta) for reward in rewards] == [(1, beta) for beta in BETAS for _ in range(2)]
    for k, entry in enumerate(gains.by_beta):
        with_honest, with_attack = rewards[2 * k : 2 * k + 2]
        chain = next(c for c in honest.drawn.values() if (c.party, c.beta) == (1, entry.beta))
        assert torch.equal(with_honest.x, honest.pool.points[chain.indices])
        assert torch.equal(with_honest.y, labels[0][chain.indices])
        rows = torch.cat(
            [c.indices for c in attacked.drawn.values() if c.party in identities and c.beta == entry.beta]
        ).unique()
        assert torch.equal(with_attack.x, attacked.pool.points[rows])
        assert torch.equal(with_attack.y, labels[1][rows])
        assert (entry.accuracy_honest, entry.accuracy) == (entry.size_honest / 1000, entry.size / 1000)
        assert entry.reason is None  # both accuracies exist: those before rewards do not matter


def test_a_party_alone_harms_nobody():
    honest = MEDIATOR.settle(PARTIES[:1], seed=0)
    attacked = MEDIATOR.settle(Duplicate().apply(PARTIES[:1], CLASSES[:1], 0).parties, seed=0, features=honest.features)
    gains = measure_gains("mine", (0,), honest, attacked, CLASSES[:1], (None, None), Recorder([]), TEST)
    assert [(entry.others, entry.others_mean, entry.others_worst) for entry in gains.by_beta] == [([], None, None)] * 2


def test_settlements_in_other_features_are_refused():
    one = replace(MEDIATOR, features=PCA(1))
    honest, attacked = one.settle(PARTIES), one.settle(PARTIES)
    with pytest.raises(ValueError, match="the settlements have features of their own, in which values cannot be"):
        gains_of(honest, attacked, (0,), Recorder([]))


@given(sizes=st.lists(st.integers(0, 40), max_size=6), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_true_values(sizes, seed):
    random = torch.Generator().manual_seed(seed)
    kernel = (SquaredExponential(0.7), Laplacian(0.7))[seed % 2]
    game = Valuation(kernel, PARTIES, torch.randn(50, 2, generator=random, dtype=torch.float64))
    pool = torch.randn(40, 2, generator=random, dtype=torch.float64)
    rewards = [(k % 3, torch.randperm(40, generator=random)[:size]) for k, size in enumerate(sizes)]
    found = true_values(game, pool, rewards)
    expected = [game.value(torch.cat([PARTIES[party], pool[rows]])) for party, rows in rewards]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("reference", [PoolReference(), RealReference(), LeaveOneOutReference()])
def test_true_values_compare_with_the_reference_of_the_game(reference):
    game = Valuation(SquaredExponential(1.0), PARTIES, torch.cat(PARTIES)[::2] + 0.1, reference=reference)
    rewards = [(0, torch.arange(5)), (2, torch.arange(20, 45))]
    found = true_values(game, game.synthetic, rewards)
    expected = [game.value(torch.cat([PARTIES[i], game.synthetic[rows]])) for i, rows in rewards]
    assert found == pytest.approx(expected, abs=1e-12)
