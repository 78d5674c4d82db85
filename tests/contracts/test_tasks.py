"""Properties of every downstream task: each class in `cgm.evaluation.tasks`, and each file in `conf/downstream`."""

import dataclasses
import math
from inspect import isabstract, signature

import pytest
import torch
from hydra.utils import get_class, instantiate
from sklearn.datasets import load_digits
from sklearn.tree import DecisionTreeClassifier

import cgm.evaluation.tasks
from cgm.evaluation.entries import Scores
from cgm.evaluation.labelled import Labelled
from cgm.evaluation.tasks import EstimatorTask, LabelledReward, Task, check_task
from tests.contracts.members import check_configuration, classes, configurations, required

CLASSES = classes(cgm.evaluation.tasks, lambda cls: issubclass(cls, Task))
FILES = configurations("downstream")
FILES["random_forest"].estimator.n_estimators = 10  # enough for rules
REQUIRED = {"estimator": DecisionTreeClassifier()}  # random, unless it is given a random state
MEMBERS = {name: cls(**required(cls, REQUIRED)) for name, cls in CLASSES.items()} | {
    f"downstream={name}": instantiate(config, _convert_="all") for name, config in FILES.items()
}
every_task = pytest.mark.parametrize("task", MEMBERS.values(), ids=MEMBERS)
BETAS = (0.0, 2.0, math.inf)


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.from_numpy(x) / 16, torch.from_numpy(y)


@pytest.fixture(scope="module")
def parties(digits) -> list[Labelled]:
    x, y = digits
    return [(x[:80], y[:80]), (x[80:200], y[80:200]), (x[200:230], torch.zeros_like(y[200:230]))]  # the last: one class


@pytest.fixture(scope="module")
def rewards(digits) -> list[LabelledReward]:
    """Rewards of several sizes, one of them empty."""

    x, y = digits
    return [
        LabelledReward(party, beta, x[300 : 300 + 20 * k], y[300 : 300 + 20 * k])
        for party in (2, 0, 1)
        for k, beta in enumerate(BETAS)
    ]


@pytest.fixture(scope="module")
def test_set(digits) -> Labelled:
    return digits[0][1500:], digits[1][1500:]


def test_every_class_has_a_file():
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name):
    if get_class(FILES[name]._target_) is EstimatorTask:  # with estimators and scores that are not its defaults
        assert list(FILES[name]) == ["_target_", *signature(EstimatorTask).parameters]
    else:
        check_configuration(FILES[name], {})


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_a_task_is_a_frozen_dataclass_of_its_settings(cls):
    assert not isabstract(cls)
    assert cls.__dataclass_params__.frozen
    task = cls(**required(cls, REQUIRED))
    assert dataclasses.replace(task) == task


@every_task
def test_rules(task):
    check_task(task)


@every_task
def test_there_is_an_entry_for_each_reward(task, parties, rewards, test_set):
    entries = task.evaluate(parties, rewards, test_set)
    assert all(isinstance(entry, Scores) for entry in entries)
    assert [(entry.party, entry.beta) for entry in entries] == [(reward.party, reward.beta) for reward in rewards]
    for entry in entries:
        assert list(entry.after) == list(entry.before) == list(task.scores)
        for name, score in entry.numbers.items():
            assert score is None or (isinstance(score, float) and score <= 1)
            assert score is None or score >= 0 or name.startswith("r2")


@every_task
def test_a_score_that_does_not_exist_has_a_reason(task, parties, rewards, test_set):
    for entry in task.evaluate(parties, rewards, test_set):
        if None in entry.numbers.values():
            assert isinstance(entry.reason, str)
            assert entry.reason
        else:
            assert entry.reason is None


@every_task
def test_scores_without_a_reward_are_the_same_for_each_beta(task, parties, rewards, test_set):
    before = {}
    for reward, entry in zip(rewards, task.evaluate(parties, rewards, test_set), strict=True):
        assert before.setdefault(entry.party, entry.before) == entry.before
        if len(reward.x) == 0:
            assert entry.after == entry.before


@every_task
def test_the_same_result_each_time_and_for_each_reward_alone(task, parties, rewards, test_set):
    copies = [(x.clone(), y.clone()) for x, y in parties]
    entries = task.evaluate(parties, rewards, test_set)
    assert task.evaluate(parties, rewards, test_set) == entries
    assert task.evaluate(parties, rewards[::-1], test_set) == entries[::-1]
    assert task.evaluate(parties, rewards[4:5], test_set) == entries[4:5]
    assert task.evaluate(parties, [], test_set) == []
    for (x, y), (x_copy, y_copy) in zip(parties, copies, strict=True):
        assert torch.equal(x, x_copy)
        assert torch.equal(y, y_copy)
