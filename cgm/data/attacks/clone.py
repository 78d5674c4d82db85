"""The attack of a party that hands in another party's data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cgm.data.attacks.base import Labelled, PartyAttack, clip_images, gaussian
from cgm.utils.checks import check_choice, check_integer, check_number, check_party

KINDS = ("add", "replace")


@dataclass(frozen=True)
class Clone(PartyAttack):
    r"""A party hands in another party's data, with jitter that hides the copies, as if it were its own.

    It shows what a leak of a good party's data is worth to another party.

    Arguments:
        party: The party that attacks, from 1.
        source: The party whose data it has, from 1.
        kind: `"add"`: it hands in the copies beside its own rows. `"replace"`: the copies only.
        jitter: The standard deviation of the Gaussian noise that is added to the copies, in standard deviations of each
            feature of the source's data. Images are limited to $[0, 1]$ again.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> x, y = [torch.zeros(3, 1), torch.ones(2, 1)], [torch.zeros(3).long(), torch.ones(2).long()]
        >>> Clone(party=1, source=2).apply(x, y, seed=0).parties[0].flatten()
        tensor([0., 0., 0., 1., 1.])
    """

    source: int = 2
    kind: str = "add"
    jitter: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("attack.source", self.source, min=1)
        check_choice("attack.kind", self.kind, KINDS)
        check_number("attack.jitter", self.jitter, min=0)
        if self.source == self.party:
            raise ValueError(f"attack.source={self.source}: expected another party than attack.party={self.party}")

    def check_parties(self, n: int) -> None:
        """Check that attacker and source exist; see `PartyAttack.check_parties`."""

        super().check_parties(n)
        check_party("attack.source", self.source, n)

    def hand_in(self, parties: Sequence[Labelled], public: Labelled | None, random: torch.Generator) -> list[Labelled]:
        """Return the copies, with or without the attacker's own rows."""

        x, y = parties[self.source - 1]
        copies = clip_images(x + self.jitter * gaussian(x, len(x), random))
        if self.kind == "replace":
            return [(copies, y.clone())]
        own_x, own_y = parties[self.party - 1]
        return [(torch.cat([own_x, copies]), torch.cat([own_y, y]))]
