r"""The interface of downstream tasks: what rewards are worth to the parties (Sec. 6)."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cgm.evaluation.entries import BetaGain, Scores
from cgm.evaluation.labelled import Arrays, Labelled, labelled_arrays
from cgm.evaluation.measure import OF_REWARDS
from cgm.utils.run import progress
from cgm.utils.settings import Choice, Integer, Listed, Number, Settings

__all__ = ["SVM", "EstimatorTask", "LabelledReward", "ModelTask", "NoTask", "Scores", "Task"]


TILE = 2_000_000  # values of the SVM's kernel at a time, 16 MB
NAME = r"[a-z]\w*(?<!_before)(?<!_honest)"  # of a score
# names of other numbers of a reward in records
RESERVED = {*OF_REWARDS, *(field.name for cls in (Scores, BetaGain) for field in fields(cls))}
ESTIMATOR_SCORES = ("accuracy", "balanced_accuracy", "f1", "r2")


class LabelledReward(NamedTuple):
    r"""A reward and its labels.

    Attributes:
        party: The party, from 0.
        beta: The inverse temperature $\beta$.
        x: The synthetic points $G_i$, of shape $(|G_i|, d)$; there may be none.
        y: Their classes, of shape $(|G_i|)$.
    """

    party: int
    beta: float
    x: torch.Tensor
    y: torch.Tensor


class Task(Settings, ABC):
    """Base class of downstream tasks.

    A task is a frozen dataclass of its settings. Most train a model on labelled points, and derive from `ModelTask`.
    """

    section = "downstream"

    @property
    @abstractmethod
    def scores(self) -> Sequence[str]:
        """The names of the scores, such as `"accuracy"`. Higher is better."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.scores:
            if not isinstance(name, str) or not re.fullmatch(NAME, name, re.ASCII) or name in RESERVED:
                raise ValueError(
                    f"downstream.scores: {name} cannot be the name of a score; expected letters, digits and "
                    f"underscores, no name that ends in _before or _honest, and none of {', '.join(sorted(RESERVED))}"
                )
        if len(set(self.scores)) < len(self.scores):
            raise ValueError(f"downstream.scores={list(self.scores)}: expected each score once")

    @abstractmethod
    def evaluate(self, parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled) -> list[Scores]:
        r"""Evaluate each reward on held-out real points.

        Arguments:
            parties: For each party its points, of shape $(N_i, d)$, and their classes, of shape $(N_i)$.
            rewards: The rewards.
            test: Held-out real points, of shape $(M, d)$, and their classes, of shape $(M)$.

        Returns:
            The scores of each reward, in the order of the rewards, with a reason if one is `None`.

        Raises:
            ValueError: If points and labels do not fit each other.
        """


@dataclass(frozen=True)
class NoTask(Task):
    """No downstream task: every accuracy is `None`."""

    scores: ClassVar[Sequence[str]] = ("accuracy",)

    def evaluate(self, parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled) -> list[Scores]:
        """Return an entry without accuracies for each reward."""

        return [Scores.missing(party, beta, self.scores, "downstream=none") for party, beta, *_ in rewards]


@dataclass(frozen=True, kw_only=True)
class ModelTask(Task, ABC):
    r"""Base class of tasks that train a model on each $D_i$ and on each $D_i \cup G_i$, and test it on other real points.

    A subclass has one method, `score`, and the names of its scores. Models are trained in parallel threads.

    Arguments:
        n_jobs: The number of models that are trained at the same time. The number of PyTorch's threads, if `None`.
        test: The real points on which a party's models are tested. `"held_out"`: points of no party, the same for
            all parties. `"others"`: the points of all other parties. A party is then hardly tested on its own
            classes, and the scores of parties with different data come from different tests.
        max_points: The largest number of points that a model is trained on. If there are more, points at even
            distances in their order are used, so that own points and rewards keep their shares. No limit, if `None`.
    """

    n_jobs: Annotated[int, Integer(min=1)] | None = None
    test: Literal["held_out", "others"] = "held_out"
    max_points: Annotated[int, Integer(min=2)] | None = None

    @abstractmethod
    def score(self, x: NDArray, y: NDArray, test_x: NDArray, test_y: NDArray) -> Mapping[str, float]:
        r"""Train a model and test it.

        Arguments:
            x, y: The training points, of shape $(N, d)$, float64, and their classes, of shape $(N)$.
            test_x, test_y: The points of the test, of shape $(M, d)$, and their classes, of shape $(M)$.

        Returns:
            Each score by its name, those in `scores`.

        Raises:
            ValueError: If there is no such model; the message is the reason in the record.
        """

    def evaluate(self, parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled) -> list[Scores]:
        r"""Train a model on each $D_i$ and on each $D_i \cup G_i$, and test them on other real points.

        Arguments and result are those of `Task.evaluate`. A score is `None` if there is no such model, or if there are
        no other parties whose points are needed for the test.

        Raises:
            ValueError: If points have no class, widths differ, or a reward is for a party that does not exist.
        """

        held_out = labelled_arrays(*test, "downstream: test points")
        width = test[0].shape[1:]
        before = [labelled_arrays(x, y, f"downstream: party {i + 1}", width) for i, (x, y) in enumerate(parties)]
        after = []
        for party, beta, x, y in rewards:
            if not 0 <= party < len(before):
                raise ValueError(
                    f"downstream: a reward is for party {party} (from 0), but there are {len(before)} parties"
                )
            if len(x) == 0:
                after.append(before[party])  # the same object: trained once for all β
                continue
            reward = labelled_arrays(x, y, f"downstream: reward of party {party + 1}, beta={beta:g}", width)
            after.append(_join([before[party], reward]))

        tests = [held_out if self.test == "held_out" else _others(before, i) for i in range(len(before))]
        owners = [*range(len(before)), *(party for party, *_ in rewards)]

        def scores(training: Arrays, party: int) -> tuple[dict[str, float | None], str | None]:
            return self._scores(*self._subset(*training), *tests[party])

        sets = {id(training): (training, party) for training, party in zip(before + after, owners, strict=True)}
        results = {}
        threads = self.n_jobs or torch.get_num_threads()  # not processes: libsvm runs without Python's lock
        with ThreadPoolExecutor(threads) as pool, progress(len(sets), "downstream task") as bar:
            for key, result in zip(sets, pool.map(scores, *zip(*sets.values(), strict=True)), strict=True):
                results[key] = result
                bar.update()

        entries = []
        for (party, beta, *_), training in zip(rewards, after, strict=True):
            (with_reward, why_with), (without, why_without) = results[id(training)], results[id(before[party])]
            reasons = []
            for found, suffix, why in ((with_reward, "", why_with), (without, "_before", why_without)):
                if why is not None:
                    names = ", ".join(f"{name}{suffix}" for name, value in found.items() if value is None)
                    reasons.append(f"{names}: {why}")
            entries.append(Scores(party, beta, with_reward, without, "; ".join(reasons) or None))

        return entries

    def _subset(self, x: NDArray, y: NDArray) -> Arrays:
        """Return at most `max_points` of the training points, at even distances."""

        if self.max_points is None or len(x) <= self.max_points:
            return x, y
        rows = np.linspace(0, len(x) - 1, self.max_points).round().astype(int)
        return x[rows], y[rows]

    def _scores(self, x: NDArray, y: NDArray, *test: NDArray) -> tuple[dict[str, float | None], str | None]:
        """Return the scores, each `None` if there is none, and the reason.

        Raises:
            TypeError: If a task does not return its scores.
        """

        try:
            if len(test[0]) == 0:
                raise ValueError("there are no other parties, whose points downstream.test=others needs")
            found = self.score(x, y, *test)
        except ValueError as error:
            return dict.fromkeys(self.scores), " ".join(str(error).split())
        if not isinstance(found, Mapping) or set(found) != set(self.scores):
            names = ", ".join(map(str, found)) if isinstance(found, Mapping) else f"a {type(found).__name__}"
            raise TypeError(
                f"downstream: {type(self).__name__}.score returned {names}; expected a dictionary of the scores "
                f"{', '.join(self.scores)}"
            )
        numbers = {name: float(found[name]) for name in self.scores}
        missing = [f"{name} is {value}" for name, value in numbers.items() if not math.isfinite(value)]
        return {name: x if math.isfinite(x) else None for name, x in numbers.items()}, "; ".join(missing) or None


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
        machine = SVC(C=self.C, gamma=gamma).fit(x, y)
        return {"accuracy": float((predict(machine, test_x) == test_y).mean())}


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
        estimator: The estimator, which is copied for each training. Each `random_state` that it leaves open is 0, so that
            the scores of a run are the same each time.
        scores: The names of the scores.
        n_jobs, test, max_points: See `ModelTask`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> from sklearn.neighbors import KNeighborsClassifier
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

    from sklearn.metrics.pairwise import rbf_kernel

    m, ends = len(machine.classes_), np.concatenate([[0], np.cumsum(machine.n_support_)])
    pairs = list(combinations(range(m), 2))
    weights = np.zeros((len(machine.support_vectors_), len(pairs)))  # (support vectors, pairs of classes)
    for p, (a, b) in enumerate(pairs):
        of_a, of_b = slice(ends[a], ends[a + 1]), slice(ends[b], ends[b + 1])
        weights[of_a, p], weights[of_b, p] = machine.dual_coef_[b - 1, of_a], machine.dual_coef_[a, of_b]
    sign = -1 if m == 2 else 1  # scikit-learn reverses the signs if there are two classes

    predicted = []
    for rows in np.array_split(x, -(-len(x) * len(weights) // TILE)):
        f = rbf_kernel(rows, machine.support_vectors_, gamma=machine.gamma) @ weights + machine.intercept_
        votes = np.zeros((len(rows), m))
        for p, (a, b) in enumerate(pairs):
            votes[:, a] += sign * f[:, p] > 0
            votes[:, b] += sign * f[:, p] <= 0
        predicted.append(votes.argmax(1))

    return machine.classes_[np.concatenate(predicted)]


def _join(sets: Sequence[Arrays]) -> Arrays:
    """Concatenate sets of labelled points."""

    return np.concatenate([x for x, _ in sets]), np.concatenate([y for _, y in sets])


def _others(parties: Sequence[Arrays], party: int) -> Arrays:
    """Return the points of all parties but one, of shape (M, d), and their classes."""

    x, y = parties[party]
    return _join([(x[:0], y[:0]), *parties[:party], *parties[party + 1 :]])
