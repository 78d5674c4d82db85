r"""The interface of downstream tasks: what rewards are worth to the parties (Sec. 6)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cgm.evaluation.entries import Accuracy
from cgm.evaluation.metrics import Arrays, Labelled, labelled_arrays
from cgm.utils.run import progress
from cgm.utils.settings import Integer, Number, Settings

__all__ = ["SVM", "LabelledReward", "NoTask", "Task"]


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

    A task is a frozen dataclass of its settings with one method, `evaluate`.
    """

    section = "downstream"

    @abstractmethod
    def evaluate(
        self, parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled
    ) -> list[Accuracy]:
        r"""Evaluate each reward on held-out real points.

        Arguments:
            parties: For each party its points, of shape $(N_i, d)$, and their classes, of shape $(N_i)$.
            rewards: The rewards.
            test: Held-out real points, of shape $(M, d)$, and their classes, of shape $(M)$.

        Returns:
            The accuracies of each reward, in the order of the rewards, with a reason for each that is `None`.

        Raises:
            ValueError: If points and labels do not fit each other.
        """


@dataclass(frozen=True)
class NoTask(Task):
    """No downstream task: every accuracy is `None`."""

    def evaluate(
        self, parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled
    ) -> list[Accuracy]:
        """Return an entry without accuracies for each reward."""

        return [Accuracy(party, beta, None, None, "downstream=none") for party, beta, *_ in rewards]


TILE = 2_000_000  # values of the SVM's kernel at a time, 16 MB


@dataclass(frozen=True)
class SVM(Task):
    r"""Accuracy of a support vector machine, scikit-learn's SVC with its RBF kernel.

    The machines are trained in parallel threads; the accuracies do not depend on the number of threads.

    Arguments:
        C: The inverse strength of the regularisation.
        gamma: The factor of the squared distance in the kernel. `"scale"`: $1 / (d \, \text{var}(x))$ of the
            training points. `"auto"`: $1 / d$. Or a number.
        n_jobs: The number of machines that are trained at the same time. The number of PyTorch's threads, if `None`.
        test: The real points on which a party's machines are tested. `"held_out"`: points of no party, the same for
            all parties. `"others"`: the points of all other parties. A party is then hardly tested on its own
            classes, and the accuracies of parties with different data come from different tests.
        max_points: The largest number of points that a machine is trained on. If there are more, points at even
            distances in their order are used, so that own points and rewards keep their shares. The time of a machine
            grows at least with the square of its points. No limit, if `None`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> x, y = torch.tensor([[0.0], [0.2], [1.0]]), torch.tensor([0, 0, 1])
        >>> reward = LabelledReward(0, 2.0, torch.tensor([[0.4], [0.5]]), torch.tensor([1, 1]))
        >>> test = torch.tensor([[0.1], [0.45]]), torch.tensor([0, 1])
        >>> SVM().evaluate([(x, y)], [reward], test)
        [Accuracy(party=0, beta=2.0, accuracy=1.0, accuracy_before=0.5, reason=None)]
    """

    C: Annotated[float, Number(min=0, open_min=True)] = 1.0
    gamma: Annotated[float, Number(min=0, open_min=True)] | Literal["scale", "auto"] = "scale"
    n_jobs: Annotated[int, Integer(min=1)] | None = None
    test: Literal["held_out", "others"] = "held_out"
    max_points: Annotated[int, Integer(min=2)] | None = None

    def evaluate(
        self, parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled
    ) -> list[Accuracy]:
        r"""Train a machine on each $D_i$ and on each $D_i \cup G_i$, and test them on other real points.

        Arguments and result are those of `Task.evaluate`. An accuracy is `None` if all training points are of one
        class, or if there are no other parties whose points are needed for the test.

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

        def accuracy(training: Arrays, party: int) -> tuple[float | None, str | None]:
            return self._accuracy(*self._subset(*training), *tests[party])

        sets = {id(training): (training, party) for training, party in zip(before + after, owners, strict=True)}
        results = {}
        threads = self.n_jobs or torch.get_num_threads()  # not processes: libsvm runs without Python's lock
        with ThreadPoolExecutor(threads) as pool, progress(len(sets), "downstream task") as bar:
            for key, result in zip(sets, pool.map(accuracy, *zip(*sets.values(), strict=True)), strict=True):
                results[key] = result
                bar.update()

        accuracies = []
        for (party, beta, *_), training in zip(rewards, after, strict=True):
            (with_reward, why_with), (without, why_without) = results[id(training)], results[id(before[party])]
            reasons = {"accuracy": why_with, "accuracy_before": why_without}
            reason = "; ".join(f"{name}: {why}" for name, why in reasons.items() if why is not None)
            accuracies.append(Accuracy(party, beta, with_reward, without, reason or None))

        return accuracies

    def _subset(self, x: NDArray, y: NDArray) -> Arrays:
        """Return at most `max_points` of the training points, at even distances."""

        if self.max_points is None or len(x) <= self.max_points:
            return x, y
        rows = np.linspace(0, len(x) - 1, self.max_points).round().astype(int)
        return x[rows], y[rows]

    def _accuracy(self, x: NDArray, y: NDArray, test_x: NDArray, test_y: NDArray) -> tuple[float | None, str | None]:
        """Return the accuracy, or `None` and the reason why there is none."""

        from sklearn.svm import SVC

        if (y == y[0]).all():
            return None, f"all {len(y)} training points are of class {y[0]}, an SVC needs two classes"
        if len(test_x) == 0:
            return None, "there are no other parties, whose points downstream.test=others needs"
        gamma = self.gamma
        if isinstance(gamma, str):
            gamma = 1 / (x.shape[1] * (x.var() if gamma == "scale" and x.var() > 0 else 1.0))
        machine = SVC(C=self.C, gamma=gamma).fit(x, y)
        return float((predict(machine, test_x) == test_y).mean()), None


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
