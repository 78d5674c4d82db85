"""Checks of the rules of downstream tasks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial

import torch

from cgm.evaluation.entries import Scores
from cgm.evaluation.labelled import Labelled
from cgm.evaluation.metrics.base import check_metrics
from cgm.evaluation.metrics.paper import paper_metrics
from cgm.evaluation.tasks.base import LabelledReward, Task
from cgm.utils.rules import broken_rule, call_before, check_object, refused, require, unchanged_random_state

BETAS = (0.0, 2.0, math.inf)


def check_task(task: Task) -> None:
    r"""Check that a downstream task follows the rules of `Task`.

    It is evaluated a few times on points of three classes in 2 dimensions, for three parties, of which one has a single
    class, and nine rewards, of which some are empty.

    Nothing is returned or printed if all rules hold.

    Arguments:
        task: The task. It is not changed.

    Raises:
        AssertionError: If a rule is broken; the message names the rule.
        ValueError: If it is a class instead of an object.

    Example:
        >>> from cgm.evaluation.tasks import SVM
        >>> check_task(SVM())
    """

    check_object("task", task)
    rule = partial(broken_rule, type(task).__name__, "tasks")
    with rule("is a subclass of cgm.evaluation.tasks.Task"):
        require(isinstance(task, Task), f"its bases are {type(task).__mro__[1:]}")
    with rule("scores are names"):
        names = list(task.scores)
        require(bool(names) and all(isinstance(name, str) for name in names), f"they are {names}")
    with rule("no score has the name of a metric of the paper"):
        check_metrics(paper_metrics(), {name: f"the score {name}" for name in names})

    call_before(lambda: task.evaluate(*_draw()))
    parties, rewards, test = _draw()
    copies = [part.clone() for part in _tensors(parties, rewards, test)]
    with unchanged_random_state(rule, "evaluate"), rule("evaluate works"):
        entries = task.evaluate(parties, rewards, test)
    with rule("evaluate returns Scores for each reward, in the order of the rewards"):
        require(all(isinstance(entry, Scores) for entry in entries), f"it returns {entries[:1]}")
        keys = [(reward.party, reward.beta) for reward in rewards]
        found = [(entry.party, entry.beta) for entry in entries]
        require(found == keys, f"parties and betas are {found} instead of {keys}")
    with rule("each entry has the scores of the task: finite numbers, or None with a reason"):
        for entry in entries:
            for scores in (entry.after, entry.before):
                require(list(scores) == names, f"{list(scores)} instead of {names}")
            for name, score in entry.numbers.items():
                require(score is None or (isinstance(score, float) and math.isfinite(score)), f"{name} is {score!r}")
            require(None not in entry.numbers.values() or bool(entry.reason), "None without a reason")
            wrong = re.search(r"\b\w+ is (nan|-?inf)\b", entry.reason or "")
            require(wrong is None, f"{wrong and wrong[0]}; raise a ValueError with the reason if there is no score")
    with rule("evaluate does not change its points"):
        require(all(map(torch.equal, copies, _tensors(parties, rewards, test))), "they are different afterwards")
    with rule("the scores before are those of the party's own data, and those after of an empty reward as well"):
        before: dict[int, dict[str, float | None]] = {}
        for reward, entry in zip(rewards, entries, strict=True):
            same = before.setdefault(entry.party, entry.before) == entry.before
            require(same, f"those of party {entry.party + 1} differ")
            require(len(reward.x) > 0 or entry.after == entry.before, f"{entry.after} instead of {entry.before}")
    with rule("the same rewards have the same scores, in any order and each alone"):
        require(task.evaluate(parties, rewards, test) == entries, "a second evaluation is different")
        require(task.evaluate(parties, rewards[::-1], test) == entries[::-1], "in another order they are different")
        require(task.evaluate(parties, rewards[4:5], test) == entries[4:5], "alone they are different")
    with rule("without rewards there are no scores"):
        require(task.evaluate(parties, [], test) == [], "there are some")
    if all(value is None for entry in entries for value in entry.numbers.values()):
        return  # no task: nothing is read
    with rule("points whose labels do not fit them raise a ValueError"):
        refused(lambda: task.evaluate([(x, y[1:]) for x, y in parties], rewards, test))


def _draw() -> tuple[list[Labelled], list[LabelledReward], Labelled]:
    """Return parties, rewards and held-out points."""

    random = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [3.0, 1.0], [1.0, 4.0]], dtype=torch.float64)
    y = torch.arange(240) % 3
    x = centres[y] + 0.8 * torch.randn(240, 2, generator=random, dtype=torch.float64)
    parties = [(x[:30], y[:30]), (x[30:60], y[30:60]), (x[60:90:3], y[60:90:3])]
    sizes = (0, 20, 60)
    rewards = [
        LabelledReward(party, beta, x[90 : 90 + size], y[90 : 90 + size])
        for party in (2, 0, 1)
        for beta, size in zip(BETAS, sizes, strict=True)
    ]
    return parties, rewards, (x[150:], y[150:])


def _tensors(parties: Sequence[Labelled], rewards: Sequence[LabelledReward], test: Labelled) -> list[torch.Tensor]:
    pairs = [*parties, *((reward.x, reward.y) for reward in rewards), test]
    return [part for pair in pairs for part in pair]
