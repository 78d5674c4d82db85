r"""The evaluation of a settlement: what its rewards are worth (Sec. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from cgm.evaluation.correlations import alpha_correlations, beta_correlations
from cgm.evaluation.entries import AlphaCorrelation, BetaCorrelation, MetricRow, Missing, Scores
from cgm.evaluation.labelled import NO_LABELS, Labelled
from cgm.evaluation.measure import by_beta, measure, party_distances
from cgm.evaluation.metrics.base import Metric, metric_name
from cgm.evaluation.tasks.base import LabelledReward, Task
from cgm.mediator import Settlement
from cgm.utils.run import timed


@dataclass(frozen=True)
class Evaluation:
    r"""What the rewards of a settlement are worth.

    Attributes:
        metrics: The metrics of each reward, with its scores.
        missing: The values that could not be computed.
        scores: The scores of the downstream task.
        correlations: For each metric, the size and each score its correlation with $\alpha$.
        beta_correlations: For the same numbers their correlation with $\beta$.
        distances: How far each party's own points are from $T$, see `party_distances`; empty without metrics.
    """

    metrics: list[MetricRow]
    missing: list[Missing]
    scores: list[Scores]
    correlations: dict[str, AlphaCorrelation]
    beta_correlations: dict[str, BetaCorrelation]
    distances: dict[str, list[float]]


def evaluate(
    settlement: Settlement,
    classes: Sequence[torch.Tensor],
    labels: torch.Tensor | None,
    n_classes: int,
    metrics: Mapping[str, Metric],
    task: Task,
    test: Labelled,
) -> Evaluation:
    r"""Measure the rewards of a settlement.

    Arguments:
        settlement: The settlement.
        classes: The classes of the parties' points, each of shape $(N_i)$.
        labels: The classes of the points of $G$, of shape $(|G|)$; `None` if they have none.
        n_classes: The number of classes $m$.
        metrics: The metrics, by their names.
        task: The downstream task; not run if there are no labels.
        test: Held-out points in the features, of shape $(M, d)$, and their classes.
    """

    game, drawn = settlement.game, list(settlement.drawn.values())
    with timed("metrics"):
        table, missing = measure(game, drawn, classes, labels, n_classes, metrics)
        distances = party_distances(game) if metrics else {}
    with timed("downstream"):
        if labels is None:
            scores = [Scores.missing(party, beta, task.scores, NO_LABELS) for party, beta in settlement.drawn]
        else:
            pool = settlement.pool.points
            rewards = [LabelledReward(c.party, c.beta, pool[c.indices], labels[c.indices]) for c in drawn]
            scores = task.evaluate(list(zip(settlement.parties, classes, strict=True)), rewards, test)
    for entry in scores:
        for name, value in entry.numbers.items():
            table.append(MetricRow(entry.party, entry.beta, name, value))
            if value is None:
                missing.append(Missing(entry.party, entry.beta, name, entry.reason or "no reason given"))

    betas = settlement.betas
    tables = by_beta(table, correlated_names(metrics, task), betas, game.n)
    correlations = alpha_correlations(settlement.contributions.alpha.tolist(), betas, tables)
    return Evaluation(
        table,
        missing,
        scores,
        {metric: _with_reason(metric, entry, missing) for metric, entry in correlations.items()},
        beta_correlations(betas, tables),
        distances,
    )


def correlated_names(metrics: Mapping[str, Metric], task: Task) -> list[str]:
    """Return the names of what is correlated: metrics, the size of rewards, and scores."""

    return [*(metric_name(name, metric) for name, metric in metrics.items()), "size", *task.scores]


def _with_reason(metric: str, correlation: AlphaCorrelation, missing: Sequence[Missing]) -> AlphaCorrelation:
    """Replace the reasons of a correlation that does not exist by the one reason why its metric does not."""

    reasons = {entry.reason for entry in missing if entry.metric == metric}
    if correlation.mean is None and len(reasons) == 1:
        return replace(correlation, reasons=list(reasons))
    return correlation
