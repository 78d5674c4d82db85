"""Checks of the rules of metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch

from cgm.evaluation.metrics.base import Metric, PointSet
from cgm.utils.rules import broken_rule, call_before, check_object, require, unchanged_random_state
from cgm.valuation.kernels import SquaredExponential

ROUNDING = 1e-9  # relative difference of numbers that count as equal


def check_metric(metric: Metric, t: PointSet | None = None) -> None:
    r"""Check that a metric follows the rules of `Metric`.

    Nothing is returned or printed if all rules hold.

    Arguments:
        metric: The metric. It is not changed.
        t: The set $T$, with at least ten points. By default 160 points in 2 dimensions, of three classes.

    Raises:
        AssertionError: If a rule is broken; the message names the rule.
        ValueError: If it is a class instead of an object.

    Example:
        >>> from cgm.evaluation.metrics import EnergyDistance
        >>> check_metric(EnergyDistance())
    """

    check_object("metric", metric)
    rule = partial(broken_rule, type(metric).__name__, "metrics")
    with rule("is a subclass of cgm.evaluation.metrics.Metric"):
        require(isinstance(metric, Metric), f"its bases are {type(metric).__mro__[1:]}")
    with rule("higher_is_better is true, false or None"):
        require(isinstance(metric.higher_is_better, bool | None), f"it is {metric.higher_is_better!r}")

    t = blobs() if t is None else t
    half = torch.arange(0, len(t.x), 2)  # some of the points from everywhere
    order = torch.argsort(t.x[:, 0])
    corner = order[: len(order) // 2]  # those at one side
    one_class = None if t.y is None else torch.nonzero(t.y == t.y[0])[:, 0]
    s = t.select(half)

    call_before(lambda: metric.measure(t.select(half), t.select(t.rows)))
    copies = [part.clone() for part in _tensors(s, t)]
    with unchanged_random_state(rule, "measure"), rule("measure works"):
        value = metric.measure(s, _fresh(t))
    with rule("measure returns a finite number"):
        require(isinstance(value, int | float) and not isinstance(value, bool), f"it returns a {type(value).__name__}")
        require(math.isfinite(value), f"it returns {value}")
    with rule("measure does not change its points"):
        require(all(map(torch.equal, copies, _tensors(s, t))), "they are different afterwards")
    with rule("the same points give the same number, also if it is the second set that is compared with T"):
        again = _fresh(t)
        metric.measure(t.select(corner), again)
        require(metric.measure(s, again) == value, "the numbers differ")
    with rule("the number does not depend on the order of the points of S"):
        other = metric.measure(t.select(half.flip(0)), _fresh(t))
        require(math.isclose(other, value, rel_tol=ROUNDING, abs_tol=ROUNDING), f"{other} instead of {value}")

    _check_few(rule, metric, t)
    if metric.higher_is_better is None:  # it does not measure closeness
        return
    sign = 1 if metric.higher_is_better else -1
    with rule("T itself is at least as close to T as points from one side that are of one class"):
        far = corner if one_class is None else one_class[torch.isin(one_class, corner)]
        near, far_value = metric.measure(t.select(t.rows), _fresh(t)), metric.measure(t.select(far), _fresh(t))
        found = (
            f"{near} and {far_value}, although {'higher' if sign > 0 else 'lower'} is better; state higher_is_better"
        )
        require(sign * near >= sign * far_value - ROUNDING, found)


def _check_few(rule: Callable, metric: Metric, t: PointSet) -> None:
    """Check that sets for which there may be no number give one, or a `ValueError` with the reason."""

    unlabelled = PointSet(t.x, None, t.real, t.n_classes, t.kernel, t.rows)
    sets = {
        "a set of one point": (t.select(t.rows[:1]), t),
        "a set without synthetic points": (t.select(t.rows[t.real]), t),
        "points without classes": (unlabelled.select(t.rows), unlabelled),
    }
    for name, (s, whole) in sets.items():
        with rule(f"measure returns a finite number for {name}, or raises a ValueError with the reason"):
            try:
                value = metric.measure(s, _fresh(whole))
            except ValueError as error:
                require(bool(str(error)), "an error without a message")
            else:
                require(math.isfinite(value), f"it returns {value}")


def _tensors(*sets: PointSet) -> list[torch.Tensor]:
    return [part for each in sets for part in (each.x, each.y, each.real, each.rows) if part is not None]


def _fresh(t: PointSet) -> PointSet:
    """Return a set without what was computed of it once."""

    return PointSet(t.x, t.y, t.real, t.n_classes, t.kernel, t.rows)


def blobs() -> PointSet:
    """Return 160 points in 2 dimensions around the centres of three classes, of which 90 are real."""

    random = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [3.0, 1.0], [1.0, 4.0]], dtype=torch.float64)
    y = torch.arange(160) % 3
    x = centres[y] + 0.5 * torch.randn(160, 2, generator=random, dtype=torch.float64)
    rows = torch.arange(160)
    return PointSet(x, y, rows < 90, 3, SquaredExponential(1.0), rows)
