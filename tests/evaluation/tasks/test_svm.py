"""Tests of the downstream task of support vector machines."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from cgm.evaluation.tasks import SVM, LabelledReward, svm
from tests.scores import accuracies


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.from_numpy(x) / 16, torch.from_numpy(y)


@pytest.fixture(scope="module")
def task(digits) -> tuple[list, list, tuple]:
    """Two parties with the digits 0 to 4 and 5 to 9, rewards of real digits, and held-out digits."""

    x, y = digits
    low = y[:600] < 5
    parties = [(x[:600][low], y[:600][low]), (x[:600][~low], y[:600][~low])]
    rewards = [
        LabelledReward(0, 1.0, x[600:700], y[600:700]),
        LabelledReward(1, 1.0, x[600:700], y[600:700]),
        LabelledReward(0, 2.0, x[:0], y[:0]),
        LabelledReward(1, math.inf, x[600:1000], y[600:1000]),
    ]
    return parties, rewards, (x[1200:], y[1200:])


@pytest.mark.parametrize("settings", [{}, {"C": 0.1, "gamma": 0.5}, {"gamma": "auto"}])
def test_svm_from_plain_loops(task, settings: dict) -> None:
    parties, rewards, (test_x, test_y) = task
    result = SVM(**settings).evaluate(*task)
    for (party, beta, x, y), entry in zip(rewards, result, strict=True):
        own_x, own_y = parties[party]
        before = SVC(**settings).fit(own_x, own_y).predict(test_x)
        after = SVC(**settings).fit(torch.cat([own_x, x]), torch.cat([own_y, y])).predict(test_x)
        assert entry == accuracies(
            party,
            beta,
            accuracy=sum(a == b for a, b in zip(after, test_y.tolist(), strict=True)) / len(test_y),
            accuracy_before=sum(a == b for a, b in zip(before, test_y.tolist(), strict=True)) / len(test_y),
            reason=None,
        )
    assert result[2].accuracy == result[2].accuracy_before  # an empty reward changes nothing


def test_rewards_with_the_missing_digits_help(task) -> None:
    result = SVM().evaluate(*task)
    assert all(entry.accuracy_before < 0.55 for entry in result)
    assert result[3].accuracy > result[1].accuracy > result[1].accuracy_before + 0.2


def test_svm_does_not_depend_on_jobs(task) -> None:
    assert SVM(n_jobs=1).evaluate(*task) == SVM(n_jobs=3).evaluate(*task) == SVM().evaluate(*task)


def test_svm_tested_on_the_other_parties(digits) -> None:
    x, y = digits
    parties = [(x[a:b], y[a:b]) for a, b in ((0, 100), (100, 250), (250, 300))]
    rewards = [(2, 1.0, x[300:400], y[300:400]), (0, 1.0, x[300:350], y[300:350])]
    result = SVM(test="others").evaluate(parties, rewards, (x[:2], y[:2]))
    for (party, _, more_x, more_y), entry in zip(rewards, result, strict=True):
        (own_x, own_y), others = parties[party], [p for i, p in enumerate(parties) if i != party]
        for name, machine in (
            ("accuracy_before", SVC().fit(own_x, own_y)),
            ("accuracy", SVC().fit(torch.cat([own_x, more_x]), torch.cat([own_y, more_y]))),
        ):
            right = sum(int((machine.predict(px) == py.numpy()).sum()) for px, py in others)
            assert getattr(entry, name) == right / sum(len(py) for _, py in others)

    alone = SVM(test="others").evaluate(parties[:1], rewards[1:], (x[:2], y[:2]))[0]
    assert alone.accuracy is None
    assert "no other parties" in alone.reason


def test_one_class_has_no_accuracy(task) -> None:
    _, _, test = task
    x = test[0][:4]
    zeros, both = torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1, 0, 1])
    result = SVM().evaluate([(x, zeros)], [(0, 1.0, x, zeros), (0, 2.0, x + 1, both)], test)
    why = "all 4 training points are of class 0, an SVC needs two classes"
    assert result[0].accuracy is None
    assert result[0].accuracy_before is None
    assert result[0].reason == f"accuracy: {why.replace('4', '8')}; accuracy_before: {why}"
    assert 0 <= result[1].accuracy <= 1
    assert result[1].accuracy_before is None
    assert result[1].reason == f"accuracy_before: {why}"


def test_input_refused(task) -> None:
    parties, rewards, test = task
    x, y = parties[0]
    with pytest.raises(ValueError, match=r"for party 2 \(from 0\), but there are 2 parties"):
        SVM().evaluate(parties, [(2, 1.0, x, y)], test)
    with pytest.raises(ValueError, match=r"party 1: points of shape \(63,\) where \(64,\) is expected"):
        SVM().evaluate([(x[:, 1:], y)], [], test)
    with pytest.raises(ValueError, match=r"reward of party 1, beta=2: .* points but 3 labels"):
        SVM().evaluate(parties, [(0, 2.0, x, y[:3])], test)
    with pytest.raises(ValueError, match="test points, labels: expected integers"):
        SVM().evaluate(parties, rewards, (test[0], test[1].double()))
    with pytest.raises(ValueError, match="test points: row 0 holds NaN"):
        SVM().evaluate(parties, rewards, (test[0] * math.nan, test[1]))


@pytest.mark.parametrize(("classes", "d", "n"), [(2, 1, 40), (2, 8, 300), (3, 2, 300), (5, 4, 400), (10, 8, 500)])
def test_predicts_as_scikit_learn_does(classes, d, n, monkeypatch):
    monkeypatch.setattr(svm, "TILE", 5000)  # so that there are several, the last of them ragged
    rng = np.random.default_rng(classes)
    y = rng.permutation(np.arange(n) % classes) * 3 + 1
    x = rng.normal(size=(n, d)) + 0.2 * y[:, None]
    machine = SVC(C=2.0, gamma=0.7).fit(x, y)
    points = x[rng.integers(n, size=701)] + 0.3 * rng.normal(size=(701, d))

    predicted = svm.predict(machine, points)
    assert predicted.tolist() == machine.predict(points).tolist()
    assert len(set(predicted.tolist())) == classes


def test_of_many_points_some_are_trained_on(digits):
    x, y = digits
    party, test = (x[:300], y[:300]), (x[1000:], y[1000:])
    reward = (0, 1.0, x[300:900], y[300:900])
    (every,) = SVM().evaluate([party], [reward], test)
    (some,) = SVM(max_points=100).evaluate([party], [reward], test)

    for name, points in (("accuracy", 900), ("accuracy_before", 300)):
        rows = [round(k * (points - 1) / 99) for k in range(100)]
        assert getattr(some, name) == SVC().fit(x[rows].numpy(), y[rows].numpy()).score(
            x[1000:].numpy(), y[1000:].numpy()
        )
        assert getattr(some, name) < getattr(every, name)
    assert SVM(max_points=900).evaluate([party], [reward], test) == [every]
