"""The attack of a party that appears as several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cgm.data.attacks.base import Labelled, PartyAttack
from cgm.utils.checks import check_integer


@dataclass(frozen=True)
class SplitParty(PartyAttack):
    r"""A party appears as several parties, to be rewarded several times.

    Its rows are dealt at random among its identities, as evenly as possible.

    Arguments:
        party: The party that attacks, from 1.
        identities: The number of parties that it appears as.

    Raises:
        ValueError: If a setting is out of range.

    References:
        The Sybil Attack (Douceur, 2002), https://doi.org/10.1007/3-540-45748-8_24

    Example:
        >>> x, y = torch.rand(10, 2), torch.zeros(10).long()
        >>> attacked = SplitParty(identities=3).apply([x, x], [y, y], seed=0)
        >>> [len(x) for x in attacked.parties], attacked.identities
        ([4, 10, 3, 3], (0, 2, 3))
    """

    identities: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("attack.identities", self.identities, min=2)

    def hand_in(self, parties: Sequence[Labelled], public: Labelled | None, random: torch.Generator) -> list[Labelled]:
        """Return a part of the rows for each identity.

        Raises:
            ValueError: If there are fewer than two rows for each.
        """

        x, y = parties[self.party - 1]
        if len(x) < 2 * self.identities:
            raise ValueError(
                f"attack.identities={self.identities}: party {self.party} has {len(x)} points, each identity needs at "
                f"least 2; at most attack.identities={len(x) // 2} is possible"
            )
        parts = torch.randperm(len(x), generator=random).tensor_split(self.identities)
        return [(x[rows], y[rows]) for rows in (part.sort().values for part in parts)]
