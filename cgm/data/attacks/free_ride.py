"""The attack of a party that gives hardly anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cgm.data.attacks.base import Labelled, PartyAttack, draw_rows
from cgm.utils.checks import check_choice, check_number

KINDS = ("subset", "public")


@dataclass(frozen=True)
class FreeRide(PartyAttack):
    r"""A party hands in a few rows only, or copies of public ones, and keeps its data to itself.

    Arguments:
        party: The party that attacks, from 1.
        kind: `"subset"`: it hands in a share of its rows. `"public"`: as many rows as it has, all of them copies of a
            few points that belong to no party.
        share: The number of different rows, as a share of its own; at least two.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> x, y = torch.rand(50, 2), torch.zeros(50).long()
        >>> len(FreeRide(share=0.1).apply([x], [y], seed=0).parties[0])
        5
        >>> copies = FreeRide(kind="public", share=0.1).apply([x], [y], seed=0, public=(x + 1, y)).parties[0]
        >>> len(copies), len(copies.unique(dim=0))
        (50, 5)
    """

    kind: str = "subset"
    share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("attack.kind", self.kind, KINDS)
        check_number("attack.share", self.share, min=0, max=1, open_min=True)

    def hand_in(self, parties: Sequence[Labelled], public: Labelled | None, random: torch.Generator) -> list[Labelled]:
        """Return the few rows, or the copies.

        Raises:
            ValueError: If there are too few public points.
        """

        x, y = parties[self.party - 1]
        n, rows = len(x), draw_rows(len(x), self.share, random, min=2)
        if self.kind == "subset":
            return [(x[rows], y[rows])]
        found = 0 if public is None else len(public[0])
        if public is None or found < len(rows):
            raise ValueError(
                f"attack.kind=public: there are {found} points that belong to no party, {len(rows)} are needed; "
                "lower attack.share or split.points_per_party"
            )
        chosen = torch.randperm(found, generator=random)[: len(rows)]
        copies = chosen[torch.arange(n) % len(chosen)]
        return [(public[0][copies], public[1][copies])]
