"""Tests of having no audit."""

import torch

from cgm.evaluation.privacy.base import NoAudit


def test_no_entries():
    x = torch.zeros(3, 2)
    assert NoAudit().audit([x, x], [x], [(0, 1.0, x)], seed=0) == []
