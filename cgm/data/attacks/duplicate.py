"""The attack of a party that hands in copies of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cgm.data.attacks.base import Labelled, PartyAttack
from cgm.utils.checks import check_integer


@dataclass(frozen=True)
class Duplicate(PartyAttack):
    r"""A party hands in each of its rows several times, to seem larger than it is.

    Arguments:
        party: The party that attacks, from 1.
        copies: How often each row is handed in.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
        >>> Duplicate(copies=3).apply([x], [y], seed=0).parties[0].flatten()
        tensor([0., 1., 0., 1., 0., 1.])
    """

    copies: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("attack.copies", self.copies, min=2)

    def hand_in(self, parties: Sequence[Labelled], public: Labelled | None, random: torch.Generator) -> list[Labelled]:
        """Return the rows `copies` times."""

        x, y = parties[self.party - 1]
        return [(torch.cat([x] * self.copies), y.repeat(self.copies))]
