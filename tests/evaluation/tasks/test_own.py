"""Tests of tasks of the user: any named scores, any estimator, and errors with the settings of the new class."""

import math
from dataclasses import dataclass

import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.metrics import balanced_accuracy_score, f1_score, get_scorer, r2_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import LinearSVC

from cgm import Experiment
from cgm.cli.targets import check_options, check_targets
from cgm.evaluation.tasks import EstimatorTask, ModelTask, check_task
from cgm.evaluation.tasks.check import _draw


@dataclass(frozen=True)
class Mine(ModelTask):
    returned: str = "top_2"

    scores = ("top_2",)

    def score(self, x, y, test_x, test_y):
        return {self.returned: float((test_y == y[0]).mean())}


def test_scores_are_those_of_scikit_learn():
    parties, rewards, (test_x, test_y) = _draw()
    (x, y), held_out = parties[1], (test_x.numpy(), test_y.numpy())
    reward = next(reward for reward in rewards if reward.party == 1 and len(reward.x) == 0)
    names = ["accuracy", "balanced_accuracy", "f1", "r2"]
    model = KNeighborsClassifier(3).fit(x.numpy(), y.numpy())
    predicted = model.predict(held_out[0])
    (entry,) = EstimatorTask(KNeighborsClassifier(3), scores=names).evaluate(parties, [reward], (test_x, test_y))
    expected = (
        model.score(*held_out),
        balanced_accuracy_score(held_out[1], predicted),
        f1_score(held_out[1], predicted, average="macro"),
        r2_score(held_out[1], predicted),
    )
    assert list(entry.after.values()) == pytest.approx(list(expected))
    regressor = KNeighborsRegressor(3)
    (entry,) = EstimatorTask(regressor, scores=["r2"]).evaluate(parties, [reward], (test_x, test_y))
    assert entry.after["r2"] == pytest.approx(regressor.fit(x.numpy(), y.numpy()).score(*held_out))
    with pytest.raises(ValueError, match="KNeighborsRegressor predicts numbers, of which r2 is the score, or others"):
        EstimatorTask(regressor)


def test_any_scorer_of_scikit_learn_is_a_score():
    parties, rewards, (test_x, test_y) = _draw()
    (x, y), held_out = parties[1], (test_x.numpy(), test_y.numpy())
    reward = next(reward for reward in rewards if reward.party == 1 and len(reward.x) == 0)
    for model, names in (
        (KNeighborsClassifier(3), ["roc_auc_ovr", "neg_log_loss", "f1_macro", "accuracy"]),
        (KNeighborsRegressor(3), ["neg_mean_absolute_error", "explained_variance", "r2"]),
    ):
        task = EstimatorTask(model, scores=names)
        check_task(task)
        (entry,) = task.evaluate(parties, [reward], (test_x, test_y))
        fitted = clone(model).fit(x.numpy(), y.numpy())
        assert entry.after == pytest.approx({name: get_scorer(name)(fitted, *held_out) for name in names})
    (entry,) = EstimatorTask(LinearSVC(), scores=["neg_log_loss"]).evaluate(parties, [reward], (test_x, test_y))
    assert entry.after == {"neg_log_loss": None}
    assert "neg_log_loss: " in entry.reason
    for model, scores, message in (
        (KNeighborsClassifier(), ["roc_auc_ovrr"], "downstream.scores=roc_auc_ovrr: .*did you mean roc_auc_ovr"),
        (KMeans(3), ["accuracy"], "KMeans is neither a classifier nor a regressor"),
        (KNeighborsClassifier(), "accuracy", "expected a list"),
    ):
        with pytest.raises(ValueError, match=message):
            EstimatorTask(model, scores=scores)


def test_an_estimator_in_place_of_a_task_is_refused_with_the_remedy():
    for estimator in (LinearSVC(), KMeans(3)):
        with pytest.raises(ValueError, match=f"write EstimatorTask\\({type(estimator).__name__}\\(...\\)\\)"):
            Experiment(downstream=estimator)
    target = "sklearn.neighbors.KNeighborsClassifier"
    with pytest.raises(ValueError, match=f"downstream=random_forest downstream.estimator._target_={target}"):
        check_targets({"downstream": {"_target_": target}})
    check_targets({"downstream": {"_target_": f"{__name__}.Mine", "estimator": {"_target_": target}}})


@dataclass(frozen=True)
class Scored(ModelTask):
    names: tuple[str, ...] = ("a",)
    missing: bool = False

    @property
    def scores(self):
        return self.names

    def score(self, x, y, test_x, test_y):
        return dict.fromkeys(self.names, math.nan if self.missing else 0.5)


def test_a_task_of_the_user_is_checked():
    check_task(Mine())
    check_task(Scored())
    with pytest.raises(AssertionError, match="a is nan; raise a ValueError with the reason"):
        check_task(Scored(missing=True))
    with pytest.raises(AssertionError, match="no score has the name of a metric of the paper"):
        check_task(Scored(names=("neg_reverse_kl",)))
    with pytest.raises(ValueError, match=r"downstream.scores='accuracy': expected a list of names"):
        Scored(names="accuracy")
    with pytest.raises(ValueError, match=r"the class Mine itself; pass an object, Mine\(\)"):
        check_task(Mine)
    with pytest.raises(AssertionError, match=r"Mine breaks a rule of tasks: evaluate works.*expected a dictionary of"):
        check_task(Mine("other"))


def test_errors_name_the_settings_of_the_new_class():
    section = {"_target_": f"{__name__}.Mine", "C": 1.0}
    with pytest.raises(ValueError, match=r"^downstream\.C: Mine has no such setting; downstream has returned, n_jobs"):
        check_options({"downstream": section})


def test_scores_are_a_list_of_names():
    @dataclass(frozen=True)
    class One(Mine):
        scores = "accuracy"

    for make in (One, lambda: EstimatorTask(KNeighborsClassifier(3), scores="accuracy")):
        with pytest.raises(ValueError, match=r"downstream\.scores.*accuracy.*"):
            make()
    with pytest.raises(ValueError, match=r"downstream\.scores='accuracy': expected a list of names, .*\('accuracy',\)"):
        One()
