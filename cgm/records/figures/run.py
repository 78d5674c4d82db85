"""All figures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cgm.mediator import Settlement
from cgm.records.figures import embedding, plots
from cgm.records.result import Result


def draw_run(
    folder: Path,
    result: Result,
    settlement: Settlement,
    classes: Sequence[Tensor],
    labels: Tensor | None,
    party: int,
    seed: int,
) -> None:
    r"""Draw the figures of a run into its folder.

    Arguments:
        folder: The folder.
        result: The result of the run.
        settlement: The settlement of the run.
        classes: The classes of the parties' points, each of shape $(N_i)$.
        labels: The classes of the points of $G$, of shape $(|G|)$; `None` if they have none.
        party: The party, from 0, whose rewards are drawn in the plane.
        seed: The seed of the embedding.
    """

    pool, parties = settlement.pool, settlement.parties
    mine = [c for c in settlement.chains if c.party == party]
    rewards = {c.beta: (pool.points[c.indices], None if labels is None else labels[c.indices]) for c in mine}
    kept = {c.beta: torch.nonzero(c.indices < len(pool.images))[:, 0] for c in mine}
    images = {c.beta: (kept[c.beta], pool.images[c.indices[kept[c.beta]]]) for c in mine if len(kept[c.beta])}
    figures = {
        "reward_sizes": plots.reward_sizes(result),
        "reward_values": plots.reward_values(result),
        "value_curves": plots.value_curves(settlement.chains, result),
        "correlations": plots.correlations(result),
        f"rewards_of_party_{party + 1}": embedding.reward_embedding(
            parties[party],
            classes[party],
            rewards,
            result.classes,
            background=torch.cat([*parties, pool.points]),
            seed=seed,
            party=party,
            images=images,
        ),
    }
    for name, figure in figures.items():
        plots.save(figure, folder, name)
