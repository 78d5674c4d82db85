r"""Measures what rewards are worth to the parties: models trained on $D_i$ and on $D_i \cup G_i$ (Sec. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC
from torch import Tensor

from cgm.evaluation.arrays import Labelled, labelled_arrays
from cgm.evaluation.tasks.base import Task, entry
from cgm.utils.checks import check_integer
from cgm.utils.progress import progress

TILE = 2_000_000  # values of the SVM's kernel at a time, 16 MB


@dataclass(frozen=True)
class SVM(Task):
    r"""Judges a reward by the accuracy of a support vector machine, scikit-learn's SVC with its RBF kernel.

    The machines are trained side by side, in threads; the accuracies do not depend on how many.

    Arguments:
        C: The inverse strength of the regularisation.
        gamma: The factor of the squared distance in the kernel. `"scale"`: $1 / (d \, \text{var}(x))$ of the
            training points. `"auto"`: $1 / d$. Or a number.
        n_jobs: How many machines are trained at once. As many as PyTorch has threads, if `None`.
        test: The real points that a party's machines are tested on. `"held_out"`: those that no party has, the
            same for all parties. `"others"`: those of all other parties. Then a party is spared its own classes,
            so that accuracies of parties with different data are not of the same test.
        max_points: The most points that a machine is trained on; of more, as many are taken at even distances in
            their order, so that own points and rewards keep their shares. A machine's time grows as the square of
            its points, and more. All are taken, if `None`.

    Raises:
        ValueError: If a setting makes no sense.

    Example:
        >>> x, y = torch.tensor([[0.0], [0.2], [1.0]]), torch.tensor([0, 0, 1])
        >>> reward = (0, 2.0, torch.tensor([[0.4], [0.5]]), torch.tensor([1, 1]))
        >>> test = torch.tensor([[0.1], [0.45]]), torch.tensor([0, 1])
        >>> SVM().evaluate([(x, y)], [reward], test)
        [{'party': 0, 'beta': 2.0, 'accuracy': 1.0, 'accuracy_before': 0.5, 'reason': None}]
    """

    C: float = 1.0
    gamma: float | str = "scale"
    n_jobs: int | None = None
    test: str = "held_out"
    max_points: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.C < float("inf"):
            raise ValueError(f"downstream.C={self.C}: must be a positive number")
        if isinstance(self.gamma, str):
            if self.gamma not in ("scale", "auto"):
                raise ValueError(f"downstream.gamma={self.gamma}: must be 'scale', 'auto' or a positive number")
        elif not 0 < self.gamma < float("inf"):
            raise ValueError(f"downstream.gamma={self.gamma}: must be 'scale', 'auto' or a positive number")
        if self.n_jobs is not None and self.n_jobs < 1:
            raise ValueError(f"downstream.n_jobs={self.n_jobs}: must be at least 1, or null for all cores")
        if self.test not in ("held_out", "others"):
            raise ValueError(f"downstream.test={self.test}: must be 'held_out' or 'others'")
        if self.max_points is not None:
            check_integer("downstream.max_points", self.max_points, min=2)

    def evaluate(
        self,
        parties: Sequence[Labelled],
        rewards: Sequence[tuple[int, float, Tensor, Tensor]],
        test: Labelled,
    ) -> list[dict[str, Any]]:
        r"""Trains a machine on each $D_i$ and each $D_i \cup G_i$, and tests them on real points that it has not seen.

        Arguments and result are those of `Task.evaluate`. An accuracy is `None` where the training points are
        all of one class, or where a single party has no others to be tested on.

        Raises:
            ValueError: If points have no class, widths differ, or a reward names a party that there is not.
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
                after.append(before[party])
                continue
            reward = labelled_arrays(x, y, f"downstream: reward of party {party + 1}, beta={beta:g}", width)
            after.append(tuple(np.concatenate(pair) for pair in zip(before[party], reward, strict=True)))

        tests = [held_out if self.test == "held_out" else _others(before, i) for i in range(len(before))]
        whose = [*range(len(before)), *(party for party, *_ in rewards)]

        def accuracy(training: tuple[NDArray, NDArray], party: int) -> tuple[float | None, str | None]:
            return self._accuracy(*self._some(*training), *tests[party])

        # a party without a reward has one set for all betas
        sets = {id(training): (training, party) for training, party in zip(before + after, whose, strict=True)}
        results = {}
        threads = self.n_jobs or torch.get_num_threads()  # threads will do: libsvm runs without Python's lock
        with ThreadPoolExecutor(threads) as pool, progress(len(sets), "downstream task") as bar:
            for key, result in zip(sets, pool.map(accuracy, *zip(*sets.values(), strict=True)), strict=True):
                results[key] = result
                bar.update()

        entries = []
        for (party, beta, _, _), training in zip(rewards, after, strict=True):
            (with_reward, reason), (without, reason_without) = results[id(training)], results[id(before[party])]
            reasons = {"accuracy": reason, "accuracy_before": reason_without}
            why = "; ".join(f"{name}: {text}" for name, text in reasons.items() if text is not None)
            entries.append(entry(party, beta, with_reward, without, why or None))

        return entries

    def _some(self, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
        """Takes no more than `max_points` of the training points."""

        if self.max_points is None or len(x) <= self.max_points:
            return x, y
        rows = np.linspace(0, len(x) - 1, self.max_points).round().astype(int)
        return x[rows], y[rows]

    def _accuracy(self, x: NDArray, y: NDArray, test_x: NDArray, test_y: NDArray) -> tuple[float | None, str | None]:
        """Returns the accuracy, or else why there is none."""

        if (y == y[0]).all():
            return None, f"all {len(y)} training points are of class {y[0]}, an SVC needs two classes"
        if len(test_x) == 0:
            return None, "there are no other parties, whose points downstream.test=others needs"
        gamma = self.gamma
        if isinstance(gamma, str):
            gamma = 1 / (x.shape[1] * (x.var() if gamma == "scale" and x.var() > 0 else 1.0))
        machine = SVC(C=self.C, gamma=gamma).fit(x, y)
        return float((predict(machine, test_x) == test_y).mean()), None


def predict(machine: SVC, x: NDArray) -> NDArray:
    r"""Predicts classes as `machine.predict` does, which calls the kernel for one pair of points at a time.

    Each pair of classes $a < b$ has a machine of its own, $f(x) = \sum_s w_s k(x, s) + w_0$ over the support vectors
    $s$ of either class, that votes for $a$ if $f(x) > 0$ and else for $b$. Most votes win; the first class does, of
    several.

    Arguments:
        machine: A fitted SVC, with an RBF kernel and a number for `gamma`.
        x: Points, of shape $(M, d)$.

    References:
        LIBSVM: A library for support vector machines (Chang & Lin, 2011), Sec. 4.1 and 7
    """

    m, ends = len(machine.classes_), np.concatenate([[0], np.cumsum(machine.n_support_)])
    pairs = list(combinations(range(m), 2))
    weights = np.zeros((len(machine.support_vectors_), len(pairs)))  # (support vectors, pairs of classes)
    for p, (a, b) in enumerate(pairs):
        of_a, of_b = slice(ends[a], ends[a + 1]), slice(ends[b], ends[b + 1])
        weights[of_a, p], weights[of_b, p] = machine.dual_coef_[b - 1, of_a], machine.dual_coef_[a, of_b]
    sign = -1 if m == 2 else 1  # scikit-learn turns the signs of a single machine round

    predicted = []
    for rows in np.array_split(x, -(-len(x) * len(weights) // TILE)):
        f = rbf_kernel(rows, machine.support_vectors_, gamma=machine.gamma) @ weights + machine.intercept_
        votes = np.zeros((len(rows), m))
        for p, (a, b) in enumerate(pairs):
            votes[:, a] += sign * f[:, p] > 0
            votes[:, b] += sign * f[:, p] <= 0
        predicted.append(votes.argmax(1))

    return machine.classes_[np.concatenate(predicted)]


def _others(parties: Sequence[tuple[NDArray, NDArray]], party: int) -> tuple[NDArray, NDArray]:
    """Puts together the points of all parties but one, of shape (M, d), and their classes."""

    x, y = parties[party]
    rest = [(x[:0], y[:0]), *parties[:party], *parties[party + 1 :]]
    return tuple(np.concatenate(part) for part in zip(*rest, strict=True))
