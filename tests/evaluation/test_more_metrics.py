"""Tests of metrics as members: against slow computations by the definition, in plain Python and numpy."""

import itertools
import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
import torch

from cgm.evaluation.labelled import NO_LABELS
from cgm.evaluation.metrics import (
    KID,
    EnergyDistance,
    Metric,
    MMD2Unbiased,
    Novelty,
    Precision,
    Recall,
    ReverseKL,
    SlicedWasserstein,
    Wasserstein2,
    check_metric,
    paper_metrics,
)
from cgm.evaluation.metrics.base import PointSet, check_metrics, metric_name
from cgm.evaluation.metrics.check import blobs
from cgm.evaluation.metrics.paper import neg_class_imbalance, neg_mmd2_unbiased, neg_reverse_kl, neg_wasserstein2
from cgm.rewards.sampling import Reward
from cgm.valuation.kernels import Laplacian, RationalQuadratic, SquaredExponential


@pytest.fixture(scope="module")
def t() -> PointSet:
    return blobs()


@pytest.fixture(scope="module")
def s(t) -> PointSet:
    """Own points of a party, of which two are equal, and some of the pool."""

    return t.select(torch.cat([torch.arange(20, 51), torch.tensor([20]), torch.arange(100, 141, 2)]))


def distance(x, y) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))


def mean(values) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def test_the_metrics_of_the_paper_are_its_functions(s, t):
    assert {name: metric_name(name, metric) for name, metric in paper_metrics().items()} == {
        name: f"neg_{name}" for name in ("mmd2_unbiased", "reverse_kl", "wasserstein2", "class_imbalance")
    }
    expected = (
        neg_mmd2_unbiased(t.kernel, s.x, t.x),
        neg_reverse_kl(s.x, t.x),
        neg_wasserstein2(s.x, t.x),
        neg_class_imbalance(s.y, 3),
    )
    assert tuple(-metric.measure(s, t) for metric in paper_metrics().values()) == expected
    assert -ReverseKL(ks=[1, 4]).measure(s, t) == neg_reverse_kl(s.x, t.x, ks=(1, 4))
    assert ReverseKL(ks=[1, 4]).ks == (1, 4)


def test_the_mmd_of_a_reward_is_that_of_its_sampling(s, t):
    reward = Reward(0, 1.0, 5, 1.0, 0.0, 1.0, True, 1.0, mmd2_unbiased=0.125)
    assert MMD2Unbiased().measure(replace(s, reward=reward), t) == 0.125


def test_mmd_with_another_kernel(s, t):
    x, y = s.x.tolist(), t.x.tolist()
    median = float(np.median([distance(a, b) for a, b in itertools.combinations(y, 2)]))

    def plain(k) -> float:
        ss = mean(k(distance(a, b)) for a, b in itertools.permutations(x, 2))
        tt = mean(k(distance(a, b)) for a, b in itertools.permutations(y, 2))
        return ss + tt - 2 * mean(k(distance(a, b)) for a in x for b in y)

    found = MMD2Unbiased(Laplacian("median")).measure(s, t)
    assert found == pytest.approx(plain(lambda r: math.exp(-r / median)), rel=1e-3)  # torch's median is the lower one
    found = MMD2Unbiased(RationalQuadratic(0.5)).measure(s, t)
    assert found == pytest.approx(plain(lambda r: 1 / (1 + r**2 / 0.5)), rel=1e-9)
    kernel = SquaredExponential(1.0)
    assert MMD2Unbiased(kernel).measure(s, t) == pytest.approx(MMD2Unbiased().measure(s, t), rel=1e-9)
    for rule in ("fit", "fit_monotone"):
        with pytest.raises(ValueError, match=rf"metric\.kernel\.lengthscale={rule}: expected a number or median"):
            MMD2Unbiased(Laplacian(rule))


def test_energy_distance(s, t):
    x, y = s.x.tolist(), t.x.tolist()
    expected = (
        2 * mean(distance(a, b) for a in x for b in y)
        - mean(distance(a, b) for a in x for b in x)
        - mean(distance(a, b) for a in y for b in y)
    )
    assert EnergyDistance().measure(s, t) == pytest.approx(expected, rel=1e-10)
    assert EnergyDistance().measure(t, t) == pytest.approx(0, abs=1e-12)

    line = replace(t, x=t.x[:, :1])
    of_scipy = scipy.stats.energy_distance(s.x[:, 0].numpy(), line.x[:, 0].numpy()) ** 2
    assert EnergyDistance().measure(replace(s, x=s.x[:, :1]), line) == pytest.approx(of_scipy, rel=1e-9)


def test_sliced_wasserstein(s, t):
    random = torch.Generator().manual_seed(5)
    directions = torch.randn(7, 2, generator=random, dtype=torch.float64).tolist()
    squares = []
    for a, b in directions:
        length = math.hypot(a, b)
        x, y = (sorted((a * p + b * q) / length for p, q in z.x.tolist()) for z in (s, t))
        ends = sorted({Fraction(k, len(z)) for z in (x, y) for k in range(len(z) + 1)})
        square = 0.0
        for low, high in itertools.pairwise(ends):
            middle = (low + high) / 2
            square += float(high - low) * (x[int(middle * len(x))] - y[int(middle * len(y))]) ** 2
        squares.append(square)
    metric = SlicedWasserstein(directions=7, seed=5)
    assert metric.measure(s, t) == pytest.approx(math.sqrt(mean(squares)), rel=1e-10)
    assert metric.measure(t, t) == 0
    moved = replace(t, x=t.x + torch.tensor([3.0, 0.0]))  # each projection moves by 3 cos of its angle
    cosines = [a / math.hypot(a, b) for a, b in directions]
    assert metric.measure(moved, t) == pytest.approx(3 * math.sqrt(mean(c**2 for c in cosines)))


def test_kid(s, t):
    def k(a, b) -> float:
        return (sum(p * q for p, q in zip(a, b, strict=True)) / 2 + 1) ** 3

    x, y = s.x.tolist(), t.x.tolist()
    expected = (
        mean(k(a, b) for a, b in itertools.permutations(x, 2))
        + mean(k(a, b) for a, b in itertools.permutations(y, 2))
        - 2 * mean(k(a, b) for a in x for b in y)
    )
    assert KID().measure(s, t) == pytest.approx(expected, rel=1e-9)


def test_precision_and_recall(s, t):
    def radius(points, k: int, i: int) -> float:
        return sorted(distance(points[i], q) for j, q in enumerate(points) if j != i)[k - 1]

    def share(points, support, k: int) -> float:
        radii = [radius(support, k, i) for i in range(len(support))]
        return mean(any(distance(p, q) <= r for q, r in zip(support, radii, strict=True)) for p in points)

    real, own, drawn = t.x[:90].tolist(), s.x.tolist(), s.x[~s.real].tolist()
    assert len(drawn) == 21
    for k in (1, 3):
        assert Precision(k=k).measure(s, t) == share(drawn, real, k)
        assert Recall(k=k).measure(s, t) == share(real, own, k)
    assert 0 < Precision(k=1).measure(s, t) < 1
    assert 0.4 < Recall(k=1).measure(s, t) < Recall().measure(s, t) < 1
    with pytest.raises(ValueError, match="precision: the reward has no points"):
        Precision().measure(t.select(torch.arange(20)), t)
    with pytest.raises(ValueError, match="the distance to neighbour 3 needs 4 points, not 3"):
        Recall().measure(t.select(torch.arange(3)), t)


def test_novelty(s, t):
    def k(a, b) -> float:
        return math.exp(-(distance(a, b) ** 2) / (2 * s.kernel.lengthscale**2))

    own, drawn = s.x[s.real].tolist(), s.x[~s.real].tolist()
    expected = (
        mean(k(a, b) for a, b in itertools.permutations(own, 2))
        + mean(k(a, b) for a, b in itertools.permutations(drawn, 2))
        - 2 * mean(k(a, b) for a in own for b in drawn)
    )
    assert Novelty().measure(s, t) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match="novelty: 20 own and 0 synthetic points, expected at least 2 of each"):
        Novelty().measure(t.select(torch.arange(20)), t)


def test_of_many_points_some_are_used(s, t):
    rows = torch.linspace(0, len(t.x) - 1, 50, dtype=torch.float64).long()
    few, few_s = t.select(rows), s.select(torch.linspace(0, len(s.x) - 1, 50, dtype=torch.float64).long())
    for metric in (EnergyDistance, KID):
        assert metric(max_points=50).measure(s, t) == metric().measure(few_s, few)
        assert metric(max_points=50).measure(s, t) != metric().measure(s, t)
        assert metric(max_points=None).measure(s, t) == metric().measure(s, t)
    kernel = Laplacian(2.0)
    assert MMD2Unbiased(kernel, max_points=50).measure(s, t) == MMD2Unbiased(kernel).measure(few_s, few)


def test_sets_are_made_of_rows_of_t(s, t):
    assert torch.equal(t.x[s.rows], s.x)
    assert torch.equal(t.y[s.rows], s.y)
    assert torch.equal(s.select(torch.tensor([3])).rows, s.rows[3:4])
    assert s.real.sum() == 32
    calls = []
    for _ in range(2):
        assert t.once(lambda x: 1) == 1
        assert t.once(calls.append) is None
    assert calls == [t]
    unlabelled = replace(t, y=None)
    assert unlabelled.select(s.rows).y is None
    with pytest.raises(ValueError, match=NO_LABELS.replace("(", r"\(").replace(")", r"\)")):
        paper_metrics()["class_imbalance"].measure(unlabelled.select(s.rows), unlabelled)


@dataclass(frozen=True)
class Mine(Metric):
    higher_is_better = False
    kind: str = "right"

    def measure(self, s, t):
        far = (s.x.mean(0) - t.x.mean(0)).norm()
        if self.kind == "tensor":
            return far
        if self.kind == "nan" and len(s.x) == 1:
            return math.nan
        if self.kind == "error" and s.y is None:
            raise KeyError("y")
        if self.kind == "changes":
            s.x.zero_()
        if self.kind == "random":
            return float(far + 0.1 * torch.rand(()))
        if self.kind == "order":
            return float(far) + abs(float(s.x[0, 0]))
        if self.kind == "wrong way":
            return -float(far)
        if self.kind == "constant of T":
            return float(far) + t.once(lambda t: len(calls.append(0) or calls))
        return float(far)


calls: list[int] = []


def test_a_metric_of_the_user_is_checked():
    check_metric(Mine())
    for kind, message in (
        ("tensor", "measure returns a finite number. Found: it returns a Tensor"),
        ("nan", r"a finite number for a set of one point, or raises a ValueError.* Found: it returns nan"),
        ("error", r"for points without classes, or raises a ValueError with the reason. Found: KeyError\('y'\)"),
        ("changes", "does not change its points. Found: they are different"),
        ("random", "measure does not change the global random state. Found: it changes that of torch"),
        ("order", "does not depend on the order of the points of S"),
        ("wrong way", "is at least as close to T as points from one side.* although lower is better"),
        ("constant of T", "the same points give the same number"),
    ):
        with pytest.raises(AssertionError, match=f"Mine breaks a rule of metrics: .*{message}"):
            check_metric(Mine(kind))
    with pytest.raises(AssertionError, match="object breaks a rule of metrics: is a subclass of"):
        check_metric(object())


def test_names_of_metrics_are_checked():
    assert check_metrics({"a": Mine(), "recall": Recall()}, {}) == {"neg_a": "a", "recall": "recall"}
    for metrics, message in (
        ([Mine()], 'metric: expected metrics by their names, such as {"energy_distance": EnergyDistance()}, got list'),
        ({"a": Mine}, "metric.a: expected a Metric, got the class Mine itself"),
        ({"a": 3}, "metric.a: expected a Metric, got int"),
        ({"a b": Mine()}, "metric.a b: expected a name of letters, digits and underscores"),
        (
            {"size": Recall()},
            "metric.size: size is the name of a number of each reward in records",
        ),
        ({"a": Mine(), "neg_a": Recall()}, "metric.neg_a: neg_a is the name of metric.a in records"),
    ):
        with pytest.raises(ValueError) as error:
            check_metrics(metrics, {"size": "a number of each reward"})
        assert str(error.value).startswith(message)


def test_a_gaussian_that_is_fitted_once(s, t):
    assert -Wasserstein2().measure(s, t) == neg_wasserstein2(s.x, t.x)
