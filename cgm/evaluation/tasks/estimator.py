r"""Downstream tasks with estimators of scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from cgm.evaluation.tasks.base import ModelTask
from cgm.utils.settings import Choice, Listed

ESTIMATOR_SCORES = ("accuracy", "balanced_accuracy", "f1", "r2")


@dataclass(frozen=True)
class EstimatorTask(ModelTask):
    r"""Scores of any estimator of scikit-learn, or of a package with the same interface.

    | score | of the classes that are predicted |
    | --- | --- |
    | `accuracy` | the share of points whose class is right |
    | `balanced_accuracy` | the mean over classes of this share |
    | `f1` | the mean over classes of F1, the harmonic mean of precision and recall |
    | `r2` | $R^2$ of the numbers $0, \dots, m - 1$ of the classes, where these are in an order, such as ratings |

    A regressor predicts these numbers, and has the score `r2` alone.

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
    scores: Annotated[Sequence[str], Listed(Choice(ESTIMATOR_SCORES), min=1)] = ("accuracy",)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scores", tuple(self.scores))  # a list, if it comes from a file
        needed = "fit", "predict", "get_params"
        if isinstance(self.estimator, type) or not all(callable(getattr(self.estimator, n, None)) for n in needed):
            name = self.estimator.__name__ if isinstance(self.estimator, type) else type(self.estimator).__name__
            found = f"the class {name} itself" if isinstance(self.estimator, type) else name
            raise ValueError(f"downstream.estimator: expected an estimator of scikit-learn, got {found}")
        from sklearn.base import is_regressor

        if is_regressor(self.estimator) and set(self.scores) != {"r2"}:
            raise ValueError(
                f"downstream.scores={list(self.scores)}: {type(self.estimator).__name__} predicts numbers, of which r2 "
                "is the score"
            )

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
        return {name: _score(name, test_y, predicted) for name in self.scores}


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
