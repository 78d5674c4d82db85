"""Attacks: what a party hands in instead of its own data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import torch

from cgm.utils.checks import check_party
from cgm.utils.convert import label_of, parties_by_name, to_labels, to_tensor
from cgm.utils.random import Stream, stream_seed
from cgm.utils.settings import Integer, Number, Settings
from cgm.utils.shown import brief

__all__ = [
    "Attack",
    "Attacked",
    "Clone",
    "Duplicate",
    "FreeRide",
    "NoAttack",
    "Noise",
    "PartyAttack",
    "Poison",
    "SplitParty",
]


Share: TypeAlias = Annotated[float, Number(min=0, max=1, open_min=True)]  # a setting
Labelled: TypeAlias = tuple[torch.Tensor, torch.Tensor]  # points (N, D) or images (N, C, H, W), and their classes (N)


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

    def __repr__(self) -> str:
        return brief(self)


class Attack(Settings, ABC):
    """Base class of attacks.

    An attack is a frozen dataclass of its settings with one method, `apply`.
    """

    section = "attack"

    def __init_subclass__(cls, **options: Any) -> None:
        """Let `apply` convert its data, see `cgm.utils.convert`."""

        super().__init_subclass__(**options)
        if "apply" in vars(cls):
            cls.apply = _converting(cls.apply)  # type: ignore[method-assign]

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


def _converting(apply: Callable[..., Attacked]) -> Callable[..., Attacked]:
    @wraps(apply)
    def convert(self: Attack, parties: Any, labels: Any, seed: int, public: Labelled | None = None) -> Attacked:
        classes = labels.values() if isinstance(labels, Mapping) else labels
        return apply(
            self,
            [to_tensor(x, label_of(name)) for name, x in parties_by_name(parties).items()],
            [to_labels(y, "classes of a party") for y in classes],
            seed,
            None if public is None else (to_tensor(public[0], "public points"), to_labels(public[1], "public classes")),
        )

    return convert


@dataclass(frozen=True)
class PartyAttack(Attack):
    r"""Base class of attacks by one party.

    A subclass has one method, `hand_in`; all other parties' data stays as it is.

    Arguments:
        party: The party that attacks, from 1.
    """

    party: Annotated[int, Integer(min=1)] = 1

    def apply(
        self, parties: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], seed: int, public: Labelled | None = None
    ) -> Attacked:
        """Replace the data of the attacker by what it hands in; see `Attack.apply`."""

        self.check_parties(len(parties))
        random = torch.Generator().manual_seed(stream_seed(seed, Stream.ATTACK))
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


@dataclass(frozen=True)
class NoAttack(Attack):
    """No attack: all parties hand in their data."""

    def apply(
        self, parties: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], seed: int, public: Labelled | None = None
    ) -> Attacked:
        """Return the data as it is, and no identities of an attacker."""

        return Attacked(list(parties), list(labels), ())


@dataclass(frozen=True)
class Duplicate(PartyAttack):
    r"""A party hands in each of its rows several times, to seem larger than it is.

    Arguments:
        party: The party that attacks, from 1.
        copies: How often each row is handed in.

    Example:
        >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
        >>> Duplicate(copies=3).apply([x], [y], seed=0).parties[0].flatten()
        tensor([0., 1., 0., 1., 0., 1.])
    """

    copies: Annotated[int, Integer(min=2)] = 2

    def hand_in(self, parties: Sequence[Labelled], public: Labelled | None, random: torch.Generator) -> list[Labelled]:
        """Return the rows `copies` times."""

        x, y = parties[self.party - 1]
        return [(torch.cat([x] * self.copies), y.repeat(self.copies))]


@dataclass(frozen=True)
class SplitParty(PartyAttack):
    r"""A party appears as several parties, to be rewarded several times.

    Its rows are dealt at random among its identities, as evenly as possible.

    Arguments:
        party: The party that attacks, from 1.
        identities: The number of parties that it appears as.

    References:
        The Sybil Attack (Douceur, 2002), https://doi.org/10.1007/3-540-45748-8_24

    Example:
        >>> x, y = torch.rand(10, 2), torch.zeros(10).long()
        >>> attacked = SplitParty(identities=3).apply([x, x], [y, y], seed=0)
        >>> [len(x) for x in attacked.parties], attacked.identities
        ([4, 10, 3, 3], (0, 2, 3))
    """

    identities: Annotated[int, Integer(min=2)] = 2

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

    Example:
        >>> x, y = [torch.zeros(3, 1), torch.ones(2, 1)], [torch.zeros(3).long(), torch.ones(2).long()]
        >>> Clone(party=1, source=2).apply(x, y, seed=0).parties[0].flatten()
        tensor([0., 0., 0., 1., 1.])
    """

    source: Annotated[int, Integer(min=1)] = 2
    kind: Literal["add", "replace"] = "add"
    jitter: Annotated[float, Number(min=0)] = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
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


@dataclass(frozen=True)
class Noise(PartyAttack):
    r"""A party replaces a share of its rows by noise, and keeps the real ones to itself.

    Arguments:
        party: The party that attacks, from 1.
        share: The share of its rows that are replaced.
        kind: What replaces them. `"uniform"`: uniform noise in the box of the ranges of its features. `"gaussian"`:
            Gaussian noise with the means and the standard deviations of its features; images are limited to $[0, 1]$.
            `"shuffled"`: the same rows with each feature (or pixel) permuted among them, which keeps the distribution
            of each feature and breaks their relations.

    Example:
        >>> x, y = torch.tensor([[0.0, 5.0], [2.0, 9.0]]), torch.tensor([0, 1])
        >>> noise = Noise(share=1.0).apply([x], [y], seed=0).parties[0]
        >>> bool((noise >= x[0]).all() and (noise <= x[1]).all() and (noise != x).any())
        True
    """

    share: Share = 0.5
    kind: Literal["uniform", "gaussian", "shuffled"] = "uniform"

    def hand_in(self, parties: Sequence[Labelled], public: Labelled | None, random: torch.Generator) -> list[Labelled]:
        """Return the rows, a share of them replaced; the labels stay."""

        x, y = parties[self.party - 1]
        rows = draw_rows(len(x), self.share, random)
        noisy = x.clone()
        noisy[rows] = self._noise(x, rows, random)
        return [(noisy, y.clone())]

    def _noise(self, x: torch.Tensor, rows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Return noise in place of the rows, of shape (k, D) or (k, C, H, W)."""

        if self.kind == "gaussian":
            return clip_images(x.mean(0) + gaussian(x, len(rows), random))
        uniform = torch.rand(len(rows), *x.shape[1:], generator=random, dtype=x.dtype)
        if self.kind == "shuffled":
            return x[rows].gather(0, uniform.argsort(0))
        low, high = x.amin(0), x.amax(0)
        return low + (high - low) * uniform


@dataclass(frozen=True)
class FreeRide(PartyAttack):
    r"""A party hands in a few rows only, or copies of public ones, and keeps its data to itself.

    Arguments:
        party: The party that attacks, from 1.
        kind: `"subset"`: it hands in a share of its rows. `"public"`: as many rows as it has, all of them copies of a
            few points that belong to no party.
        share: The number of different rows, as a share of its own; at least two.

    Example:
        >>> x, y = torch.rand(50, 2), torch.zeros(50).long()
        >>> len(FreeRide(share=0.1).apply([x], [y], seed=0).parties[0])
        5
        >>> copies = FreeRide(kind="public", share=0.1).apply([x], [y], seed=0, public=(x + 1, y)).parties[0]
        >>> len(copies), len(copies.unique(dim=0))
        (50, 5)
    """

    kind: Literal["subset", "public"] = "subset"
    share: Share = 0.1

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

    Example:
        >>> x, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> Poison(share=1.0, shift=5.0).apply([x], [y], seed=0).parties[0].flatten().abs()
        tensor([6., 4.])
    """

    share: Share = 0.2
    shift: Annotated[float, Number(min=0, open_min=True)] = 3.0

    def hand_in(self, parties: Sequence[Labelled], public: Labelled | None, random: torch.Generator) -> list[Labelled]:
        """Return the rows, a share of them moved; the labels stay."""

        x, y = parties[self.party - 1]
        rows = draw_rows(len(x), self.share, random)
        signs = 2 * torch.randint(2, x.shape[1:], generator=random).to(x) - 1
        moved = x.clone()
        moved[rows] = clip_images(x[rows] + self.shift * x.std(0, correction=0) * signs)
        return [(moved, y.clone())]
