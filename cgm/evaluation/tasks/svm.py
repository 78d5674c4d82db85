r"""The paper's downstream task: a support vector machine (Sec. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cgm.evaluation.tasks.base import ModelTask
from cgm.rewards.steps import half_exponential
from cgm.utils.settings import Number

TILE = 500_000  # values of the kernel at a time, 4 MB


@dataclass(frozen=True)
class SVM(ModelTask):
    r"""Accuracy of a support vector machine, scikit-learn's SVC with its RBF kernel.

    The time of a machine grows at least with the square of its points. The accuracies do not depend on the number of
    threads.

    Arguments:
        C: The inverse strength of the regularisation.
        gamma: The factor of the squared distance in the kernel. `"scale"`: $1 / (d \, \text{var}(x))$ of the
            training points. `"auto"`: $1 / d$. Or a number.
        n_jobs, test, max_points: See `ModelTask`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> import torch
        >>> from cgm.evaluation.tasks import LabelledReward
        >>> x, y = torch.tensor([[0.0], [0.2], [1.0]]), torch.tensor([0, 0, 1])
        >>> reward = LabelledReward(0, 2.0, torch.tensor([[0.4], [0.5]]), torch.tensor([1, 1]))
        >>> test = torch.tensor([[0.1], [0.45]]), torch.tensor([0, 1])
        >>> SVM().evaluate([(x, y)], [reward], test)
        [Scores(party=0, beta=2.0, after={'accuracy': 1.0}, before={'accuracy': 0.5}, reason=None)]
    """

    scores: ClassVar[Sequence[str]] = ("accuracy",)
    C: Annotated[float, Number(min=0, open_min=True)] = 1.0
    gamma: Annotated[float, Number(min=0, open_min=True)] | Literal["scale", "auto"] = "scale"

    def score(self, x: NDArray, y: NDArray, test_x: NDArray, test_y: NDArray) -> Mapping[str, float]:
        """Train a machine, and return its accuracy.

        Raises:
            ValueError: If all training points are of one class.
        """

        from sklearn.svm import SVC

        if (y == y[0]).all():
            raise ValueError(f"all {len(y)} training points are of class {y[0]}, an SVC needs two classes")
        gamma = self.gamma
        if isinstance(gamma, str):
            gamma = 1 / (x.shape[1] * (x.var() if gamma == "scale" and x.var() > 0 else 1.0))
        machine = SVC(C=self.C, gamma=gamma, random_state=0).fit(x, y)  # unused, but else numpy's state would change
        return {"accuracy": float((predict(machine, test_x) == test_y).mean())}


def predict(machine: Any, x: NDArray) -> NDArray:
    r"""Predict classes as `machine.predict` does, but with the kernel of many points at a time.

    Each pair of classes $a < b$ has a decision function $f(x) = \sum_s w_s k(x, s) + w_0$ over the support vectors
    $s$ of both classes, which votes for $a$ if $f(x) > 0$ and for $b$ otherwise. The class with the most votes is
    predicted, the first one in case of a tie.

    Arguments:
        machine: A fitted SVC, with an RBF kernel and a number for `gamma`.
        x: Points, of shape $(M, d)$.

    References:
        LIBSVM: A library for support vector machines (Chang & Lin, 2011), Sec. 4.1 and 7
    """

    support, double = machine.support_vectors_, 2 * machine.gamma  # half_exponential halves it again
    m, ends = len(machine.classes_), np.concatenate([[0], np.cumsum(machine.n_support_)])
    weights = [machine.dual_coef_[:, ends[a] : ends[a + 1]].T for a in range(m)]  # against each of the other classes
    norms = double * np.square(support).sum(1)
    sign = -1 if m == 2 else 1  # scikit-learn reverses the signs if there are two classes

    predicted = []
    for rows in np.array_split(x, -(-len(x) * len(support) // TILE)):
        k = rows @ (-2 * double * support.T) + norms  # (rows, support vectors)
        k += double * np.square(rows).sum(1, keepdims=True)
        np.maximum(k, 0, out=k)
        half_exponential(k.reshape(-1))
        parts = [k[:, ends[a] : ends[a + 1]] @ weights[a] for a in range(m)]  # (rows, other classes)
        votes = np.zeros((len(rows), m), dtype=np.int64)
        for (a, b), intercept in zip(combinations(range(m), 2), machine.intercept_, strict=True):
            first = sign * (parts[a][:, b - 1] + parts[b][:, a] + intercept) > 0
            votes[:, a] += first
            votes[:, b] += ~first
        predicted.append(votes.argmax(1))

    return machine.classes_[np.concatenate(predicted)]
