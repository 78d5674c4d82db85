"""The attack of a party that hands in a false cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cgm.data.attacks.base import Labelled, PartyAttack, clip_images, draw_rows
from cgm.utils.checks import check_number


@dataclass(frozen=True)
class Poison(PartyAttack):
    r"""A party moves a share of its rows to a cluster where there is no data, to seem unlike all others.

    Each feature moves up or down, at random but the same for all rows, so that the cluster has the shape of the
    party's own data.

    Arguments:
        party: The party that attacks, from 1.
        share: The share of its rows that are moved.
        shift: By how much each feature moves, in its standard deviations in the party's data. Images are limited to
            $[0, 1]$ again.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> x, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> Poison(share=1.0, shift=5.0).apply([x], [y], seed=0).parties[0].flatten().abs()
        tensor([6., 4.])
    """

    share: float = 0.2
    shift: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("attack.share", self.share, min=0, max=1, open_min=True)
        check_number("attack.shift", self.shift, min=0, open_min=True)

    def hand_in(self, parties: Sequence[Labelled], public: Labelled | None, random: torch.Generator) -> list[Labelled]:
        """Return the rows, a share of them moved; the labels stay."""

        x, y = parties[self.party - 1]
        rows = draw_rows(len(x), self.share, random)
        signs = 2 * torch.randint(2, x.shape[1:], generator=random).to(x) - 1
        moved = x.clone()
        moved[rows] = clip_images(x[rows] + self.shift * x.std(0, correction=0) * signs)
        return [(moved, y.clone())]
