r"""What the rewards of a settlement are worth (Sec. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from cgm.evaluation.arrays import Labelled
from cgm.evaluation.correlations import alpha_correlations, beta_correlations
from cgm.evaluation.measure import MetricRow, by_beta, measure
from cgm.evaluation.tasks.base import Task
from cgm.mediator import Settlement
from cgm.utils.clock import Clock


@dataclass(frozen=True)
class Evaluation:
    r"""What the rewards of a settlement are worth.

    Attributes:
        metrics: Rows (party, $\beta$, metric, value); a value that could not be computed is `None`.
        missing: Party, $\beta$, metric and reason of each value that could not be computed.
        accuracies: The accuracies of the downstream task, see `Task.evaluate`.
        correlations: Correlations of each metric with $\alpha$, see `alpha_correlations`.
        beta_correlations: Correlations of size and MMD with $\beta$, see `beta_correlations`.
    """

    metrics: list[MetricRow]
    missing: list[dict[str, Any]]
    accuracies: list[dict[str, Any]]
    correlations: dict[str, dict[str, Any]]
    beta_correlations: dict[str, dict[str, Any]]


def evaluate(
    settlement: Settlement,
    classes: Sequence[Tensor],
    labels: Tensor | None,
    n_classes: int,
    task: Task,
    test: Labelled,
    clock: Clock,
) -> Evaluation:
    r"""Measure the rewards of a settlement.

    Arguments:
        settlement: The settlement.
        classes: The classes of the parties' points, each of shape $(N_i)$.
        labels: The classes of the points of $G$, of shape $(|G|)$; `None` if they have none.
        n_classes: The number of classes $m$.
        task: The downstream task.
        test: Held-out points in the features, of shape $(M, d)$, and their classes.
        clock: Is given the seconds of the metrics and of the downstream task.
    """

    game, chains = settlement.game, settlement.chains
    with clock("metrics"):
        metrics, missing = measure(game, chains, classes, labels, n_classes)
    with clock("downstream"):
        if labels is None:
            reason = "the synthetic points have no labels (labeller=none)"
            accuracies = [
                {"party": c.party, "beta": c.beta, "accuracy": None, "accuracy_before": None, "reason": reason}
                for c in chains
            ]
        else:
            pool = settlement.pool.points
            rewards = [(c.party, c.beta, pool[c.indices], labels[c.indices]) for c in chains]
            accuracies = task.evaluate(list(zip(settlement.parties, classes, strict=True)), rewards, test)
    for entry in accuracies:
        for name in ("accuracy", "accuracy_before"):
            metrics.append((entry["party"], entry["beta"], name, entry[name]))
            if entry[name] is None:
                missing.append(
                    {"party": entry["party"], "beta": entry["beta"], "metric": name, "reason": entry["reason"]}
                )

    betas = list(dict.fromkeys(chain.beta for chain in chains))
    by_metric = by_beta(metrics, betas, game.n)
    with_alpha = alpha_correlations(settlement.contributions.alpha.tolist(), betas, by_metric)
    with_beta = beta_correlations(betas, {name: by_metric[name] for name in ("size", "neg_mmd2_unbiased")})
    for metric, entry in with_alpha.items():  # the reason itself, rather than that values are missing
        reasons = {m["reason"] for m in missing if m["metric"] == metric}
        if entry["mean"] is None and len(reasons) == 1:
            entry["reasons"] = sorted(reasons)

    return Evaluation(metrics, missing, accuracies, with_alpha, with_beta)
