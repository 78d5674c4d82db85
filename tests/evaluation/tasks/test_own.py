"""Tests of tasks of the user: any named scores, any estimator, and errors with the settings of the new class."""

from dataclasses import dataclass

import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, r2_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from cgm.cli.targets import check_options
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
    with pytest.raises(ValueError, match="KNeighborsRegressor predicts numbers, of which r2 is the score"):
        EstimatorTask(regressor)


def test_a_task_of_the_user_is_checked():
    check_task(Mine())
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
