r"""Downstream tasks with estimators of scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from cgm.evaluation.tasks.base import ModelTask
from cgm.utils.settings import Listed, Text
from cgm.utils.text import choice_error

SCORES = ("accuracy", "balanced_accuracy", "f1", "r2")  # that are computed of what is predicted
OF_NUMBERS = ("r2", "explained_variance", "d2_absolute_error_score", "neg_m", "neg_root_m")  # starts of names


@dataclass(frozen=True)
class EstimatorTask(ModelTask):
    r"""Scores of any estimator of scikit-learn, or of a package with the same interface.

    | score | of the classes that are predicted |
    | --- | --- |
    | `accuracy` | the share of points whose class is right |
    | `balanced_accuracy` | the mean over classes of this share |
    | `f1` | the mean over classes of F1, the harmonic mean of precision and recall |
    | `r2` | $R^2$ of the numbers $0, \dots, m - 1$ of the classes, where these are in an order, such as ratings |

    Any other name of a scorer of scikit-learn, such as `roc_auc_ovr`, `neg_log_loss` or `f1_macro`, is its score
    `sklearn.metrics.get_scorer(name)` of the test; higher is better for all of them. Where one raises an error, such as
    `roc_auc` for more than two classes, there are no scores, and the error is the reason in the record.

    A regressor predicts these numbers, and has `r2` and scores of numbers such as `neg_mean_absolute_error` alone.

    Arguments:
        estimator: The estimator, which is copied for each training. Each `random_state` that it leaves open is 0, so
            that the scores of a run are the same each time.
        scores: The names of the scores.
        n_jobs, test, max_points: See `ModelTask`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> import torch
        >>> from cgm.evaluation.tasks import LabelledReward
        >>> x, y = torch.tensor([[0.0], [0.2], [1.0]]), torch.tensor([0, 0, 1])
        >>> reward = LabelledReward(0, 2.0, torch.tensor([[0.4], [0.5]]), torch.tensor([1, 1]))
        >>> task = EstimatorTask(KNeighborsClassifier(1), scores=["accuracy", "f1"])
        >>> task.evaluate([(x, y)], [reward], (torch.tensor([[0.1], [0.45]]), torch.tensor([0, 1])))[0].after
        {'accuracy': 1.0, 'f1': 1.0}
    """

    estimator: Any
    scores: Annotated[Sequence[str], Listed(Text(), min=1)] = ("accuracy",)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scores", tuple(self.scores))  # a list, if it comes from a file
        needed = "fit", "predict", "get_params"
        if isinstance(self.estimator, type) or not all(callable(getattr(self.estimator, n, None)) for n in needed):
            name = self.estimator.__name__ if isinstance(self.estimator, type) else type(self.estimator).__name__
            found = f"the class {name} itself" if isinstance(self.estimator, type) else name
            raise ValueError(f"downstream.estimator: expected an estimator of scikit-learn, got {found}")
        name, kind = type(self.estimator).__name__, _kind(self.estimator)
        if kind is None:
            raise ValueError(
                f"downstream.estimator: {name} is neither a classifier nor a regressor; a class of your own derives "
                "from sklearn.base.ClassifierMixin or RegressorMixin, and BaseEstimator"
            )
        if kind == "regressor" and not all(score.startswith(OF_NUMBERS) for score in self.scores):
            raise ValueError(
                f"downstream.scores={list(self.scores)}: {name} predicts numbers, of which r2 is the score, or others "
                "of scikit-learn such as neg_mean_absolute_error"
            )
        for score in set(self.scores) - set(SCORES):
            from sklearn.metrics import get_scorer_names

            if score not in (names := get_scorer_names()):
                raise ValueError(choice_error(f"downstream.scores={score}", score, sorted({*SCORES, *names})))

    def score(self, x: NDArray, y: NDArray, test_x: NDArray, test_y: NDArray) -> Mapping[str, float]:
        """Train a copy of the estimator, and return its scores.

        Raises:
            ValueError: If it cannot be trained on these points, such as on those of one class.
        """

        from sklearn.base import clone

        model = clone(self.estimator)
        settings = model.get_params().items()
        seeds = {name: 0 for name, value in settings if name.endswith("random_state") and value is None}
        predicted = np.asarray(model.set_params(**seeds).fit(x, y).predict(test_x)).reshape(len(test_y))
        return {
            name: _score(name, test_y, predicted) if name in SCORES else _scorer_score(name, model, test_x, test_y)
            for name in self.scores
        }


def _kind(estimator: Any) -> str | None:
    """Return whether an estimator is a classifier or a regressor; `None` if it is neither."""

    from sklearn.base import is_classifier, is_regressor

    try:
        return "classifier" if is_classifier(estimator) else "regressor" if is_regressor(estimator) else None
    except AttributeError:  # of another package, without the tags of scikit-learn
        kind = getattr(estimator, "_estimator_type", "classifier")
        return kind if kind in ("classifier", "regressor") else None


def _scorer_score(name: str, model: Any, x: NDArray, y: NDArray) -> float:
    """Return the score of a scorer of scikit-learn.

    Raises:
        ValueError: If there is none, such as of probabilities that the model does not predict.
    """

    from sklearn.metrics import get_scorer

    try:
        return float(get_scorer(name)(model, x, y))
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{name}: {error}") from error


def _score(name: str, y: NDArray, predicted: NDArray) -> float:
    """Return a score of predicted classes, or of predicted numbers."""

    if name == "accuracy":
        return float((predicted == y).mean())
    if name == "r2":
        return 1 - float(np.square(y - predicted).sum() / np.square(y - y.mean()).sum()) if np.ptp(y) else math.nan
    classes, right = np.unique(y), predicted == y
    if name == "balanced_accuracy":
        return float(np.mean([right[y == c].mean() for c in classes]))
    every = np.unique(np.concatenate([y, predicted]))
    return float(np.mean([2 * right[y == c].sum() / ((y == c).sum() + (predicted == c).sum()) for c in every]))
