"""Tests of metrics of the user: how they are given, and what a check of their rules says."""

import random
from dataclasses import dataclass
from typing import ClassVar

import pytest

from cgm import Experiment
from cgm.evaluation.labelled import NO_LABELS
from cgm.evaluation.measure import _measured
from cgm.evaluation.metrics import KID, EnergyDistance, Metric, PointSet, check_metric, paper_metrics
from cgm.evaluation.metrics.check import blobs


@dataclass(frozen=True)
class MeanDistance(Metric):
    higher_is_better = False

    def measure(self, s, t):
        return float((s.x.mean(0) - t.x.mean(0)).norm())


@dataclass(frozen=True)
class Classes(Metric):
    def measure(self, s, t):
        return float(len(s.y.unique())) / t.n_classes


class Undeclared(MeanDistance):
    higher_is_better = True


@dataclass(frozen=True)
class Imports(MeanDistance):
    """A metric whose first call changes the global random state, as the import of some packages does."""

    imported: ClassVar[list[str]] = []

    def measure(self, s, t):
        if not self.imported:
            self.imported.append("package")
            random.random()
        return super().measure(s, t)


def test_metrics_are_given_in_many_ways():
    paper, mine = paper_metrics(), MeanDistance()
    for given, expected in (
        (["paper", mine], {**paper, "mean_distance": mine}),
        ([mine], {"mean_distance": mine}),
        (mine, {"mean_distance": mine}),
        ((mine, EnergyDistance()), {"mean_distance": mine, "energy_distance": EnergyDistance()}),
        ({"a": "kid", "b": mine}, {"a": KID(), "b": mine}),
        ({"a": EnergyDistance()}, {"a": EnergyDistance()}),
        (["kid"], {"kid": KID()}),
        ("none", {}),
    ):
        assert Experiment(metric=given).metric == expected
    for given, message in (
        ([mine, MeanDistance()], "metric: two are named mean_distance"),
        ([mine, KID], "metric: expected a Metric, got the class KID itself"),
        ([mine, 3], "metric: expected metrics and names of choices, got int"),
        ({"a": "kidd"}, "metric.a=kidd: expected one of .*did you mean kid"),
        ({"a": "paper"}, "metric.a=paper: expected one metric, got mmd2_unbiased, "),
        (lambda s, t: 1.0, "metric: expected metrics by their names"),
    ):
        with pytest.raises(ValueError, match=message):
            Experiment(metric=given)


def test_a_check_calls_a_metric_once_before():
    state = random.getstate()
    check_metric(Imports())
    assert Imports.imported
    assert random.getstate() == state


def test_a_check_names_the_wrong_direction_and_a_class():
    with pytest.raises(AssertionError, match="although higher is better; state higher_is_better"):
        check_metric(Undeclared())
    with pytest.raises(ValueError, match=r"the class MeanDistance itself; pass an object, MeanDistance\(\)"):
        check_metric(MeanDistance)


def test_a_metric_that_needs_classes_has_a_reason_without_them():
    t = blobs()
    unlabelled = PointSet(t.x, None, t.real, t.n_classes, t.kernel, t.rows)
    assert _measured("mine", Classes(), t.select(t.rows), t) == (1.0, "")
    assert _measured("mine", Classes(), unlabelled.select(t.rows), unlabelled) == (None, NO_LABELS)
