"""The numbers of all rewards: their metrics, and how these are arranged for correlations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from cgm.evaluation.entries import MetricRow, Missing
from cgm.evaluation.labelled import NO_LABELS
from cgm.evaluation.metrics.base import Metric, PointSet, metric_name
from cgm.evaluation.metrics.paper import fit_gaussian, neg_wasserstein2
from cgm.rewards.sampling import Reward
from cgm.utils.run import progress
from cgm.valuation.mmd import unbiased
from cgm.valuation.valuation import Valuation

# numbers of a reward that are in `metrics.csv` in any case
OF_REWARDS: dict[str, Callable[[Reward], float | None]] = {
    "size": lambda reward: len(reward.indices),
    "value": lambda reward: reward.value,
    "increasing": lambda reward: reward.increasing,
}


def measure(
    valuation: Valuation,
    rewards: Sequence[Reward],
    y: Sequence[torch.Tensor],
    labels: torch.Tensor | None,
    n_classes: int,
    metrics: Mapping[str, Metric],
) -> tuple[list[MetricRow], list[Missing]]:
    r"""Measure how close each $D_i \cup G_i$ is to $T$ (Sec. 6), and its size and value.

    Arguments:
        valuation: The valuation of $T$.
        rewards: The rewards.
        y: The classes of the parties' points, each of shape $(N_i)$.
        labels: The classes of the pool's points, of shape $(|G|)$; `None` if they have none.
        n_classes: The number of classes $m$.
        metrics: The metrics, by their names.

    Returns:
        A row for each reward and metric, and an entry for each value that could not be computed.
    """

    points, pool = valuation.points.cpu(), valuation.block(valuation.n)
    rows = torch.arange(len(points))
    classes = None if labels is None else torch.cat([*y, labels]).cpu()
    t = PointSet(points, classes, rows < pool.start, n_classes, valuation.kernel, rows)
    table, missing = [], []

    def add(reward: Reward, name: str, value: float | None, reason: str) -> None:
        table.append(MetricRow(reward.party, reward.beta, name, value))
        if value is None:
            missing.append(Missing(reward.party, reward.beta, name, reason))

    with progress(len(rewards), "metrics") as bar:
        for reward in rewards:
            for name, number in OF_REWARDS.items():
                add(reward, name, number(reward), "no point was accepted")
            s = t.select(torch.cat([rows[valuation.block(reward.party)], pool.start + reward.indices]), reward)
            for name, metric in metrics.items():
                add(reward, metric_name(name, metric), *_measured(name, metric, s, t))
            bar.update()

    return table, missing


def party_distances(valuation: Valuation) -> dict[str, list[float]]:
    r"""Measure how far each party's own points $D_i$ are from $T$, before any reward.

    Arguments:
        valuation: The valuation of $T$.

    Returns:
        For each party $\text{MMD}_u^2$ as `mmd2_unbiased`, and the squared Wasserstein-2 distance as `wasserstein2`.
    """

    points, t = valuation.points.cpu(), len(valuation.points)
    gaussian = fit_gaussian(points)
    mmd2, wasserstein2 = [], []
    for i, s in enumerate(valuation.sizes[:-1]):
        sums = float(valuation.b[i, i]), float(valuation.with_all[i]), valuation.total
        mmd2.append(unbiased(*sums, s, t, valuation.kernel.diagonal))
        wasserstein2.append(0.0 - neg_wasserstein2(points[valuation.block(i)], gaussian))

    return {"mmd2_unbiased": mmd2, "wasserstein2": wasserstein2}


def _measured(name: str, metric: Metric, s: PointSet, t: PointSet) -> tuple[float | None, str]:
    """Return a metric, negated if lower is better, or the reason why there is none.

    Raises:
        TypeError: If the metric is not a number.
    """

    try:
        value = float(metric.measure(s, t))
    except ValueError as error:
        return None, str(error)
    except (TypeError, AttributeError) as error:
        if t.y is None and "NoneType" in str(error):
            return None, NO_LABELS
        if isinstance(error, AttributeError):
            raise
        raise TypeError(f"metric.{name}: {error}") from error
    if not math.isfinite(value):
        return None, f"the metric is {value}"
    return (0.0 - value if metric.higher_is_better is False else value), ""


def by_beta(
    table: Sequence[MetricRow], metrics: Sequence[str], betas: Sequence[float], n: int
) -> dict[str, list[list[float | None]]]:
    r"""Arrange some metrics as a row for each $\beta$ and a value for each party.

    Arguments:
        table: The metrics of all parties and $\beta$.
        metrics: The names of the metrics.
        betas: The inverse temperatures $\beta$.
        n: The number of parties.
    """

    values = {(row.party, row.beta, row.metric): row.value for row in table}
    return {metric: [[values[i, beta, metric] for i in range(n)] for beta in betas] for metric in metrics}
