r"""The metrics of all rewards: how close each $D_i \cup G_i$ is to $T$ (Sec. 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from cgm.evaluation.entries import MetricRow, Missing
from cgm.evaluation.metrics import Neighbours, fit_gaussian, neg_class_imbalance, neg_wasserstein2
from cgm.rewards.sampling import Chain
from cgm.utils.sharing import data_of, shared
from cgm.valuation.valuation import Valuation

NO_LABELS = "the synthetic points have no labels (labeller=none)"
CORRELATED = (  # metrics that are correlated with α
    "neg_mmd2_unbiased",
    "neg_reverse_kl",
    "neg_wasserstein2",
    "neg_class_imbalance",
    "size",
    "accuracy",
)


def measure(
    valuation: Valuation,
    chains: Sequence[Chain],
    y: Sequence[torch.Tensor],
    labels: torch.Tensor | None,
    n_classes: int,
) -> tuple[list[MetricRow], list[Missing]]:
    r"""Measure how close each $D_i \cup G_i$ is to $T$ (Sec. 6), and its size and value.

    Arguments:
        valuation: The valuation of $T$.
        chains: The rewards.
        y: The classes of the parties' points, each of shape $(N_i)$.
        labels: The classes of the pool's points, of shape $(|G|)$; `None` if they have none.
        n_classes: The number of classes $m$.

    Returns:
        A row for each reward and metric, and an entry for each value that could not be computed.
    """

    points = valuation.points.cpu()
    gaussian = fit_gaussian(points)
    first = valuation.block(valuation.n).start
    neighbours: Neighbours | ValueError
    try:
        neighbours = shared("neighbours", data_of([points]), lambda: Neighbours(points))
    except ValueError as error:
        neighbours = error

    def reverse_kl(rows: torch.Tensor) -> float:
        if isinstance(neighbours, ValueError):
            raise neighbours
        return neighbours.neg_reverse_kl(rows)

    def imbalance(chain: Chain) -> float:
        if labels is None:
            raise ValueError(NO_LABELS)
        return neg_class_imbalance(torch.cat([y[chain.party], labels[chain.indices]]), n_classes)

    def wasserstein2(rows: torch.Tensor) -> float:
        return neg_wasserstein2(points[rows], gaussian)

    metrics: dict[str, Callable[[Chain, torch.Tensor], float | None]] = {
        "size": lambda chain, rows: len(chain.indices),
        "value": lambda chain, rows: chain.value,
        "increasing": lambda chain, rows: chain.increasing,
        "neg_mmd2_unbiased": lambda chain, rows: -chain.mmd2_unbiased,
        "neg_reverse_kl": lambda chain, rows: reverse_kl(rows),
        "neg_wasserstein2": lambda chain, rows: wasserstein2(rows),
        "neg_class_imbalance": lambda chain, rows: imbalance(chain),
    }
    table, missing = [], []
    for chain in chains:
        block = valuation.block(chain.party)
        rows = torch.cat([torch.arange(block.start, block.stop), first + chain.indices])  # of D_i ∪ G_i in T
        for name, compute in metrics.items():
            reason = "no point was accepted"
            try:
                value = compute(chain, rows)
            except ValueError as error:
                value, reason = None, str(error)
            table.append(MetricRow(chain.party, chain.beta, name, value))
            if value is None:
                missing.append(Missing(chain.party, chain.beta, name, reason))

    return table, missing


def by_beta(table: Sequence[MetricRow], betas: Sequence[float], n: int) -> dict[str, list[list[float | None]]]:
    r"""Arrange the metrics that are correlated with $\alpha$ as a row for each $\beta$ and a value for each party.

    Arguments:
        table: The metrics of all parties and $\beta$.
        betas: The inverse temperatures $\beta$.
        n: The number of parties.
    """

    values = {(row.party, row.beta, row.metric): row.value for row in table}
    return {metric: [[values[i, beta, metric] for i in range(n)] for beta in betas] for metric in CORRELATED}
