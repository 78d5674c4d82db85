"""Tests of the evaluation of a settlement as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from cgm.evaluation.entries import Missing, Scores
from cgm.evaluation.evaluate import Evaluation, evaluate
from cgm.evaluation.labelled import NO_LABELS, Labelled
from cgm.evaluation.metrics import paper_metrics
from cgm.evaluation.tasks import LabelledReward, NoTask, Task
from cgm.mediator import Mediator, Settlement
from cgm.rewards.sampling import WeightedSampling
from cgm.utils.run import Clock
from cgm.valuation.kernels import SquaredExponential
from tests.scores import accuracies

CORRELATED = [*(f"neg_{name}" for name in paper_metrics()), "size", "accuracy"]
BETAS, N = (1.0, 2.0, 8.0), 3
CLASSES = [torch.arange(30) % 2] * N


@dataclass(frozen=True)
class Recorder(Task):
    """A task that keeps what it is given, and whose accuracies are made up."""

    calls: list
    scores = ("accuracy",)

    def evaluate(self, parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled) -> list[Scores]:
        self.calls.append((parties, rewards, test))
        return [
            accuracies(r.party, r.beta, 0.1 * (r.party + r.beta) if r.party else None, 0.5, None if r.party else "why")
            for r in rewards
        ]


@pytest.fixture(scope="module")
def settlement() -> Settlement:
    generator = torch.Generator().manual_seed(0)
    parties = [torch.randn(30, 2, generator=generator, dtype=torch.float64) + shift for shift in (0.0, 1.0, 2.0)]
    sampling = WeightedSampling(BETAS)
    return Mediator(kernel=SquaredExponential(1.0), sampling=sampling, synthetic_size=300).settle(parties, seed=0)


@pytest.fixture(scope="module")
def test_set() -> Labelled:
    return torch.zeros(4, 2, dtype=torch.float64), torch.tensor([0, 1, 0, 1])


def run(settlement: Settlement, task: Task, test_set: Labelled, labels: torch.Tensor | None) -> Evaluation:
    with Clock() as clock:
        evaluation = evaluate(settlement, CLASSES, labels, 2, paper_metrics(), task, test_set)
    assert list(clock.seconds) == ["metrics", "downstream"]
    return evaluation


def test_the_task_gets_labelled_points_of_parties_and_rewards(settlement, test_set):
    task, labels = Recorder([]), torch.arange(300) % 2
    evaluation = run(settlement, task, test_set, labels)
    ((parties, rewards, test),) = task.calls
    assert test is test_set
    for (x, y), own, classes in zip(parties, settlement.parties, CLASSES, strict=True):
        assert torch.equal(x, own)
        assert torch.equal(y, classes)
    for reward, chain in zip(rewards, settlement.drawn.values(), strict=True):
        assert (reward.party, reward.beta) == (chain.party, chain.beta)
        assert torch.equal(reward.x, settlement.pool.points[chain.indices])
        assert torch.equal(reward.y, labels[chain.indices])

    rows = {row[:3]: row.value for row in evaluation.metrics}
    assert len(rows) == len(evaluation.metrics) == len(settlement.drawn.values()) * 9
    for entry in evaluation.scores:
        assert rows[entry.party, entry.beta, "accuracy"] == entry.accuracy
        assert rows[entry.party, entry.beta, "accuracy_before"] == entry.accuracy_before
    assert evaluation.missing == [Missing(0, beta, "accuracy", "why") for beta in BETAS]
    assert list(evaluation.correlations) == CORRELATED
    assert all(len(entry.by_beta) == len(BETAS) for entry in evaluation.correlations.values())
    assert list(evaluation.beta_correlations) == CORRELATED
    assert all(len(entry.by_party) == N for entry in evaluation.beta_correlations.values())


def test_one_common_reason_replaces_those_of_each_beta(settlement, test_set):
    accuracy = run(settlement, Recorder([]), test_set, torch.arange(300) % 2).correlations["accuracy"]
    assert (accuracy.mean, accuracy.by_beta, accuracy.reasons) == (None, [None] * 3, ["why"])
    none = run(settlement, NoTask(), test_set, torch.arange(300) % 2).correlations["accuracy"]
    assert none.reasons == ["downstream=none"]
    assert none.spearman.reasons[0] == "beta=1: y has no value at 0, 1, 2 (counted from 0)"


def test_without_labels_no_task_is_run(settlement, test_set):
    task = Recorder([])
    evaluation = run(settlement, task, test_set, None)
    assert task.calls == []
    assert evaluation.scores == [accuracies(c.party, c.beta, None, None, NO_LABELS) for c in settlement.drawn.values()]
    missing = {"neg_class_imbalance", "accuracy", "accuracy_before"}
    assert {(entry.metric, entry.reason) for entry in evaluation.missing} == {(name, NO_LABELS) for name in missing}
    assert len(evaluation.missing) == len(missing) * len(settlement.drawn.values())
    for name in ("neg_class_imbalance", "accuracy"):
        assert evaluation.correlations[name].mean is None
        assert evaluation.correlations[name].reasons == [NO_LABELS]
    assert evaluation.correlations["neg_mmd2_unbiased"].mean is not None
