r"""The interface of downstream tasks: what rewards are worth to the parties (Sec. 6)."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cgm.evaluation.entries import BetaGain, Scores
from cgm.evaluation.labelled import Arrays, Labelled, labelled_arrays
from cgm.evaluation.measure import OF_REWARDS
from cgm.utils.convert import to_tensor
from cgm.utils.run import progress
from cgm.utils.settings import Integer, Settings
from cgm.utils.shown import brief

NAME = r"[a-z]\w*(?<!_before)(?<!_honest)"  # of a score
# names of other numbers of a reward in records
RESERVED = {*OF_REWARDS, *(field.name for cls in (Scores, BetaGain) for field in fields(cls))}


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

    def __repr__(self) -> str:
        return brief(self)


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
        if isinstance(self.scores, str):
            raise ValueError(f"downstream.scores={self.scores!r}: expected a list of names, such as ({self.scores!r},)")
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
    r"""Base class of tasks that train a model on each $D_i$ and on each $D_i \cup G_i$.

    The models are tested on other real points. A subclass has one method, `score`, and the names of its scores. Models
    are trained in parallel threads.

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
        width = to_tensor(test[0], "downstream: test points").shape[1:]
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


def _join(sets: Sequence[Arrays]) -> Arrays:
    """Concatenate sets of labelled points."""

    return np.concatenate([x for x, _ in sets]), np.concatenate([y for _, y in sets])


def _others(parties: Sequence[Arrays], party: int) -> Arrays:
    """Return the points of all parties but one, of shape (M, d), and their classes."""

    x, y = parties[party]
    return _join([(x[:0], y[:0]), *parties[:party], *parties[party + 1 :]])
