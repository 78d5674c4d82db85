"""All figures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from cgm.mediator import Settlement
from cgm.records.figures.correlations import correlations
from cgm.records.figures.embedding import reward_embedding
from cgm.records.figures.reward_sizes import reward_sizes
from cgm.records.figures.reward_values import reward_values
from cgm.records.figures.style import save
from cgm.records.figures.value_curves import value_curves
from cgm.records.result import Result


def draw_run(
    folder: Path,
    result: Result,
    settlement: Settlement,
    classes: Sequence[torch.Tensor],
    labels: torch.Tensor | None,
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
    rewards, images = {}, {}
    for chain in settlement.drawn.values():
        if chain.party != party:
            continue
        rows = chain.indices
        rewards[chain.beta] = pool.points[rows], None if labels is None else labels[rows]
        kept = torch.nonzero(rows < len(pool.images))[:, 0]  # the rewards whose images are kept
        if len(kept):
            images[chain.beta] = kept, pool.images[rows[kept]]
    figures = {
        "reward_sizes": reward_sizes(result),
        "reward_values": reward_values(result),
        "value_curves": value_curves(list(settlement.drawn.values()), result),
        "correlations": correlations(result),
        f"rewards_of_party_{party + 1}": reward_embedding(
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
        save(figure, folder, name)
