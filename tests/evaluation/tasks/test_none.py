"""Tests of having no downstream task."""

import math

import torch

from cgm.evaluation.tasks import LabelledReward, NoTask
from tests.scores import accuracies


def test_no_task():
    x, y = torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64)
    rewards = [LabelledReward(party, beta, x, y) for party, beta in ((0, 1.0), (1, math.inf))]
    assert NoTask().evaluate([(x, y)] * 2, rewards, (x, y)) == [
        accuracies(0, 1.0, None, None, "downstream=none"),
        accuracies(1, math.inf, None, None, "downstream=none"),
    ]
