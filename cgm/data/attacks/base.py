"""Base classes of attacks: what a party hands in instead of its own data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch

from cgm.utils.checks import check_integer, check_party
from cgm.utils.seeds import stream_seed

ATTACK = 104  # key of the random stream

Labelled: TypeAlias = "tuple[torch.Tensor, torch.Tensor]"  # points (N, D) or images (N, C, H, W), and their classes (N)


class Attacked(NamedTuple):
    r"""What the parties hand in while one of them attacks.

    Attributes:
        parties: The data of each resulting party, of shape $(N_i, D)$ or $(N_i, C, H, W)$.
        labels: Its classes, each of shape $(N_i)$.
        identities: The resulting parties, from 0, that are the attacker's. The first is in the attacker's own place,
            the others come after all other parties, which keep their numbers.
    """

    parties: list[torch.Tensor]
    labels: list[torch.Tensor]
    identities: tuple[int, ...]


class Attack(ABC):
    """Base class of attacks.

    An attack is a frozen dataclass of its settings with one method, `apply`.
    """

    @abstractmethod
    def apply(
        self, parties: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], seed: int, public: Labelled | None = None
    ) -> Attacked:
        r"""Return what the parties hand in.

        Arguments:
            parties: The parties' honest data, each of shape $(N_i, D)$ or, for images in $[0, 1]$, $(N_i, C, H, W)$.
                It is not changed.
            labels: Its classes, each of shape $(N_i)$; for evaluation only.
            seed: The seed of everything random.
            public: Points that belong to no party, and their classes. `None`: there are none.

        Raises:
            ValueError: If the attack is not possible with this data; the message names the setting.
        """


@dataclass(frozen=True)
class PartyAttack(Attack):
    r"""Base class of attacks by one party.

    A subclass has one method, `hand_in`; all other parties' data stays as it is.

    Arguments:
        party: The party that attacks, from 1.

    Raises:
        ValueError: If a setting is out of range.
    """

    party: int = 1

    def __post_init__(self) -> None:
        check_integer("attack.party", self.party, min=1)

    def apply(
        self, parties: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], seed: int, public: Labelled | None = None
    ) -> Attacked:
        """Replace the data of the attacker by what it hands in; see `Attack.apply`."""

        self.check_parties(len(parties))
        random = torch.Generator().manual_seed(stream_seed(seed, ATTACK))
        (x, y), *more = self.hand_in(list(zip(parties, labels, strict=True)), public, random)

        place, n = self.party - 1, len(parties)
        return Attacked(
            [*parties[:place], x, *parties[self.party :], *(x for x, _ in more)],
            [*labels[:place], y, *labels[self.party :], *(y for _, y in more)],
            (place, *range(n, n + len(more))),
        )

    def check_parties(self, n: int) -> None:
        """Check that there are the parties that the attack names.

        Arguments:
            n: The number of parties.

        Raises:
            ValueError: If one does not exist.
        """

        check_party("attack.party", self.party, n)

    @abstractmethod
    def hand_in(self, parties: Sequence[Labelled], public: Labelled | None, random: torch.Generator) -> list[Labelled]:
        r"""Return what the attacker hands in: labelled data for each of its identities, at least one.

        Arguments:
            parties: The honest data of all parties, the attacker's at `self.party - 1`.
            public: Points that belong to no party. `None`: there are none.
            random: The random stream of the attack.

        Raises:
            ValueError: If the attack is not possible with this data.
        """


def draw_rows(n: int, share: float, random: torch.Generator, min: int = 1) -> torch.Tensor:
    r"""Draw a share of $n$ rows at random, without replacement.

    Arguments:
        n: The number of rows.
        share: The share to draw.
        random: The random stream.
        min: The minimum number of rows, if there are as many.

    Returns:
        The rows in ascending order, int64.
    """

    return torch.randperm(n, generator=random)[: max(min, round(share * n))].sort().values


def clip_images(x: torch.Tensor) -> torch.Tensor:
    r"""Limit the pixels of images of shape $(N, C, H, W)$ to $[0, 1]$; return points of shape $(N, D)$ as they are."""

    return x.clamp(0, 1) if x.dim() == 4 else x


def gaussian(x: torch.Tensor, n: int, random: torch.Generator) -> torch.Tensor:
    r"""Draw $n$ points of standard normal numbers times the standard deviations of each feature of $x$."""

    noise = torch.randn(n, *x.shape[1:], generator=random, dtype=x.dtype)
    return x.std(0, correction=0) * noise
