r"""Measures how close $D_i \cup G_i$ is to $T$ (Sec. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from cgm.rewards.sampling import Chain
    from cgm.valuation.valuation import Valuation
from cgm.evaluation.metrics import Neighbours, fit_gaussian, neg_class_imbalance, neg_wasserstein2

MetricRow = tuple[int, float, str, float | None]  # party, beta, metric, value
CORRELATED = (
    "neg_mmd2_unbiased",
    "neg_reverse_kl",
    "neg_wasserstein2",
    "neg_class_imbalance",
    "size",
    "accuracy",
)  # what is correlated with α


def measure(
    valuation: Valuation, chains: Sequence[Chain], y: Sequence[Tensor], labels: Tensor | None, n_classes: int
) -> tuple[list[MetricRow], list[dict[str, Any]]]:
    r"""Measure how close each $D_i \cup G_i$ is to $T$ (Sec. 6), and its size and value.

    Arguments:
        valuation: The valuation that holds $T$.
        chains: The rewards.
        y: The classes of the parties' points, each of shape $(N_i)$.
        labels: The classes of the pool's points, of shape $(|G|)$; `None` if they have none.
        n_classes: The number of classes $m$.

    Returns:
        Rows (party, beta, metric, value), and for each value that is `None` its party, beta, metric and reason.
    """

    points = valuation.points.cpu()
    everything = fit_gaussian(points)
    first = valuation.block(valuation.n).start
    table, missing = [], []
    neighbours: Neighbours | ValueError
    try:
        neighbours = Neighbours(points)
    except ValueError as error:
        neighbours = error

    def reverse_kl(rows: Tensor) -> float:
        if isinstance(neighbours, ValueError):
            raise neighbours
        return neighbours.neg_reverse_kl(rows)

    def imbalance(chain: Chain) -> float:
        if labels is None:
            raise ValueError("the synthetic points have no labels (labeller=none)")
        return neg_class_imbalance(torch.cat([y[chain.party], labels[chain.indices]]), n_classes)

    for c in chains:
        block = valuation.block(c.party)
        rows = torch.cat([torch.arange(block.start, block.stop), first + c.indices])
        values = {
            "size": lambda c=c: len(c.indices),
            "value": lambda c=c: c.value,
            "increasing": lambda c=c: c.increasing,
            "neg_mmd2_unbiased": lambda c=c: -c.mmd2_unbiased,
            "neg_reverse_kl": lambda rows=rows: reverse_kl(rows),
            "neg_wasserstein2": lambda rows=rows: neg_wasserstein2(points[rows], everything),
            "neg_class_imbalance": lambda c=c: imbalance(c),
        }
        for name, compute in values.items():
            reason = "no point was accepted"
            try:
                value = compute()
            except ValueError as error:
                value, reason = None, str(error)
            table.append((c.party, c.beta, name, value))
            if value is None:
                missing.append({"party": c.party, "beta": c.beta, "metric": name, "reason": reason})

    return table, missing


def by_beta(table: Sequence[MetricRow], betas: Sequence[float], n: int) -> dict[str, list[list[float | None]]]:
    """Arrange rows (party, beta, metric, value) as metric -> a row for each β -> a value for each party."""

    value = {(party, beta, metric): value for party, beta, metric, value in table}
    return {name: [[value[i, beta, name] for i in range(n)] for beta in betas] for name in CORRELATED}
