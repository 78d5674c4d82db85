r"""The interface of metrics: how close the points of a party with its reward are to all points (Sec. 6)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, TypeVar

import torch

from cgm.rewards.sampling import Reward
from cgm.utils.choices import choose
from cgm.utils.convert import to_labels, to_tensor
from cgm.utils.plain import snake
from cgm.utils.settings import Integer, Settings
from cgm.utils.shown import brief
from cgm.valuation.kernels import Kernel
from cgm.valuation.lengthscale import thin

Result = TypeVar("Result")
MaxPoints = Annotated[int, Integer(min=2)] | None  # that a metric uses of each set, where its time grows with pairs


@dataclass(frozen=True, eq=False)
class PointSet:
    r"""The points of $T$, or those of $D_i \cup G_i$, which are some of them.

    Attributes:
        x: The points, of shape $(N, d)$.
        y: Their classes $0, \dots, m - 1$, of shape $(N)$; `None` if the synthetic points have none.
        real: Whether each point is a party's own, and not synthetic, of shape $(N)$.
        n_classes: The number of classes $m$.
        kernel: The kernel of the valuation, with its length-scale.
        rows: The rows of the points in $T$, of shape $(N)$.
        reward: The reward $G_i$; `None` for $T$.
    """

    x: torch.Tensor
    y: torch.Tensor | None
    real: torch.Tensor
    n_classes: int
    kernel: Kernel
    rows: torch.Tensor
    reward: Reward | None = None
    _results: dict[Callable, Any] = field(default_factory=dict, init=False, repr=False)

    def __repr__(self) -> str:
        return brief(self)

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", to_tensor(self.x, "points of a metric"))
        if self.y is not None:
            object.__setattr__(self, "y", to_labels(self.y, "classes of a metric"))
        for name in ("real", "rows"):
            object.__setattr__(self, name, to_labels(getattr(self, name), f"{name} of a metric"))

    def select(self, rows: torch.Tensor, reward: Reward | None = None) -> PointSet:
        """Return the set of some of the points.

        Arguments:
            rows: Their rows, of shape (N).
            reward: The reward that they belong to.
        """

        y = None if self.y is None else self.y[rows]
        return PointSet(self.x[rows], y, self.real[rows], self.n_classes, self.kernel, self.rows[rows], reward)

    def once(self, function: Callable[[PointSet], Result]) -> Result:
        r"""Return `function(self)`, which is computed at the first call: what a metric needs of $T$ for all rewards."""

        if function not in self._results:
            self._results[function] = function(self)
        return self._results[function]


class Metric(Settings, ABC):
    r"""Base class of metrics.

    A metric is a frozen dataclass of its settings with one method, `measure`. Its name in records is that in the
    settings of an experiment, `metric={"energy_distance": EnergyDistance()}`, with `neg_` before it if lower is better:
    the record has minus its numbers, so that higher is better for all.

    Attributes:
        higher_is_better: Whether a higher number means that the points are closer; `None` if it does not say so.
    """

    section = "metric"
    higher_is_better: ClassVar[bool | None] = True

    @abstractmethod
    def measure(self, s: PointSet, t: PointSet) -> float:
        r"""Measure how close $S = D_i \cup G_i$ is to $T$.

        Arguments:
            s: The points of $S$: first the party's own, then its reward.
            t: The points of $T$: first all parties' own, then the pool. What depends on $T$ alone is computed once for
                all rewards by `t.once(function)`.

        Raises:
            ValueError: If there is no such number; the message is the reason in the record.
        """


def thinned(x: torch.Tensor, max_points: int | None) -> torch.Tensor:
    """Return points in float64, evenly spaced ones if there are more than `max_points`."""

    return (x if max_points is None else thin(x, max_points)).double()


def metric_name(name: str, metric: Metric) -> str:
    """Return the name of a metric in records."""

    return f"neg_{name}" if metric.higher_is_better is False else name


def named_metrics(metrics: Any, owner: object) -> Any:
    """Return metrics by their names, if they are given as a metric, as a list, or by the names of choices.

    Arguments:
        metrics: A metric, whose name is that of its class in snake case; a list of metrics and names of choices; or a
            dictionary of these. Anything else, and what is neither, is returned as it is.
        owner: The object that has them as a setting.

    Raises:
        ValueError: If there is no such choice, or a name occurs twice in a list.
    """

    if isinstance(metrics, Metric):
        metrics = [metrics]
    if isinstance(metrics, Mapping):
        named = dict(metrics)
        for name, metric in metrics.items():
            if isinstance(metric, str):
                chosen = choose("metric", metric, owner, f"metric.{name}")
                if len(chosen) != 1:
                    raise ValueError(f"metric.{name}={metric}: expected one metric, got {', '.join(chosen) or 'none'}")
                named[name] = next(iter(chosen.values()))
        return named
    if not isinstance(metrics, list | tuple) or not any(isinstance(metric, Metric) for metric in metrics):
        return metrics  # names alone are a setting like others
    named = {}
    for metric in metrics:
        if isinstance(metric, type) and issubclass(metric, Metric):
            raise ValueError(f"metric: expected a Metric, got the class {metric.__name__} itself")
        if not isinstance(metric, Metric | str):
            raise ValueError(f"metric: expected metrics and names of choices, got {type(metric).__name__}")
        chosen = choose("metric", metric, owner) if isinstance(metric, str) else {snake(type(metric).__name__): metric}
        for name in chosen:
            if name in named:
                raise ValueError(f'metric: two are named {name}; give them names, such as {{"{name}_2": ...}}')
        named |= chosen
    return named


def check_metrics(metrics: object, taken: Mapping[str, str]) -> dict[str, str]:
    """Check the metrics of an experiment.

    Arguments:
        metrics: Metrics by their names.
        taken: Names that records have for other numbers, and what has them.

    Returns:
        The names of the metrics in records.

    Raises:
        ValueError: If they are no metrics, or a name cannot be one of a metric.
    """

    if not isinstance(metrics, Mapping):
        raise ValueError(
            'metric: expected metrics by their names, such as {"energy_distance": EnergyDistance()}, got '
            f"{type(metrics).__name__}"
        )
    names: dict[str, str] = {}
    for name, metric in metrics.items():
        if not isinstance(metric, Metric):
            found = f"the class {metric.__name__} itself" if isinstance(metric, type) else type(metric).__name__
            raise ValueError(f"metric.{name}: expected a Metric, got {found}")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
            raise ValueError(f"metric.{name}: expected a name of letters, digits and underscores")
        recorded = metric_name(name, metric)
        if recorded in taken or recorded in names:
            other = taken.get(recorded) or f"metric.{names[recorded]}"
            raise ValueError(f"metric.{name}: {recorded} is the name of {other} in records; choose another name")
        names[recorded] = name
    return names
