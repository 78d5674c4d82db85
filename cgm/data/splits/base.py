"""Ways of dealing a dataset's rows out to parties."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import LongTensor, Tensor

from cgm.utils.checks import check_integer

SHUFFLE, SHARES = 102, 103  # keys of the random streams
MOST_BY_DEFAULT = 500
"""The most points that a party gets when `points_per_party` is left open."""


def counts(shares: np.ndarray, points: int) -> np.ndarray:
    r"""Turns shares of classes into numbers of points that sum to just `points` for each party.

    Each share is rounded down; the points still missing go to the classes with the largest remainders. Of
    equal remainders, party $i$ (from 0) prefers class $i$, then $i + 1$ and so on, around, so that no class
    gains from the rounding of all parties.

    Arguments:
        shares: The share of each party's points by class, of shape $(n, m)$; rows sum to 1.
        points: The points of each party.

    Returns:
        The numbers of points, of shape $(n, m)$, int64.

    Example:
        >>> counts(np.full((2, 3), 1 / 3), 10)
        array([[4, 3, 3],
               [3, 4, 3]])
    """

    quotas = shares * points
    result = np.floor(quotas + 1e-9).astype(np.int64)  # 0.29 * 100 is a bit less than 29
    remainders = np.round(quotas - result, 9)

    for i, row in enumerate(result):
        preference = (np.arange(len(row)) - i) % len(row)
        order = np.lexsort((preference, -remainders[i]))
        row[order[: points - row.sum()]] += 1

    return result


def most_points(shares: np.ndarray, available: np.ndarray, limit: int) -> int | None:
    r"""Finds the most points per party, up to a limit, that no class is too scarce for.

    Arguments:
        shares: The share of each party's points by class, of shape $(n, m)$.
        available: The number of points of each class, of shape $(m)$.
        limit: The largest answer that is of use.

    Returns:
        The number, or `None` if not even 2 points per party can be had.

    Example:
        >>> most_points(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([30, 30]), limit=1000)
        20
    """

    wanted = shares.sum(axis=0)  # (m), in units of points per party
    taken = wanted > 0
    # Rounding moves each of the n numbers of a class by less than 1.
    bound = ((available[taken] + len(shares)) / wanted[taken]).min()

    for points in range(int(min(limit, bound)), 1, -1):
        if (counts(shares, points).sum(axis=0) <= available).all():
            return points

    return None


def own_classes(n_parties: int, n_classes: int) -> list[list[int]]:
    r"""Assigns classes to parties, or parties to classes, in contiguous runs of lengths as even as possible.

    With at least as many classes as parties, class $c$ belongs to party $\lfloor c n / m \rfloor$; with
    fewer, party $i$ has the one class $\lfloor i m / n \rfloor$, which it shares with its neighbours.

    Arguments:
        n_parties: The number $n$ of parties.
        n_classes: The number $m$ of classes.

    Example:
        >>> own_classes(3, 7)
        [[0, 1, 2], [3, 4], [5, 6]]
        >>> own_classes(3, 2)
        [[0], [0], [1]]
    """

    if n_classes < n_parties:
        return [[i * n_classes // n_parties] for i in range(n_parties)]

    return [[c for c in range(n_classes) if c * n_parties // n_classes == i] for i in range(n_parties)]


class Split(ABC):
    r"""Deals the rows of a dataset out to $n$ parties, by each party's shares of the classes.

    A split has the attribute `points_per_party`, the number of points of each party. `None` stands for as
    many as the scarcest class allows, at most 500.
    """

    points_per_party: int | None

    @abstractmethod
    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        r"""Returns the share of each party's points by class.

        Arguments:
            n_classes: The number $m$ of classes.
            seed: Draws the shares, where they are random.

        Returns:
            The shares, of shape $(n, m)$, float64; rows sum to 1.
        """

    def deal(
        self,
        y: Tensor,
        n_classes: int,
        seed: int,
        ordered: bool = False,
        classes: Sequence[str] | None = None,
    ) -> list[LongTensor]:
        r"""Deals rows out to the parties.

        Class by class, each party in turn gets the next unused rows, after a shuffle within the class.

        Arguments:
            y: The classes of the rows, of shape $(N)$, int64.
            n_classes: The number $m$ of classes.
            seed: Shuffles the rows, and draws the shares where they are random.
            ordered: Whether to deal the rows in the order they have, without a shuffle.
            classes: The names of the classes, for errors.

        Returns:
            The row indices of each party, class by class; no row is dealt twice.

        Raises:
            ValueError: If a class has no points, or fewer than the parties want in total.

        Example:
            >>> y = torch.tensor([0, 0, 1, 1, 1, 0])
            >>> EqualDisjoint(n_parties=2, points_per_party=3, majority=1.0).deal(y, 2, seed=0, ordered=True)
            [tensor([0, 1, 5]), tensor([2, 3, 4])]
        """

        labels = y.numpy(force=True)

        if labels.ndim != 1 or len(labels) == 0 or labels.min() < 0 or labels.max() >= n_classes:
            raise ValueError(f"split: expected labels of shape (N,) with values from 0 to {n_classes - 1}")

        def name(c: int) -> str:
            return f"class {c}" if classes is None else f"class {c} ({classes[c]})"

        available = np.bincount(labels, minlength=n_classes)  # (m)
        if (available == 0).any():
            raise ValueError(
                f"split: {name(int(available.argmin()))} has no points in the training part of the dataset; "
                "leave the class out of the dataset, or provide points of it"
            )

        shares = self.shares(n_classes, seed)  # (n, m)
        points = self.points_per_party
        if points is None:
            points = most_points(shares, available, MOST_BY_DEFAULT) or 2

        wanted = counts(shares, points)  # (n, m)
        total = wanted.sum(axis=0)  # (m)
        if (total > available).any():
            c = int((total - available).argmax())
            fits = most_points(shares, available, points)
            raise ValueError(
                f"split.points_per_party={'null' if self.points_per_party is None else points}: "
                f"{name(c)} has {available[c]} points, but the {len(shares)} parties want {total[c]} of it; "
                + (
                    "not even 2 points per party can be had: use fewer parties or more data"
                    if fits is None
                    else f"at most split.points_per_party={fits} would fit"
                )
            )

        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SHUFFLE,)))
        dealt: list[list[np.ndarray]] = [[] for _ in shares]
        for c in range(n_classes):
            rows = np.flatnonzero(labels == c)
            if not ordered:
                rng.shuffle(rows)
            for rows_of_party, part in zip(dealt, np.split(rows, wanted[:, c].cumsum()), strict=False):
                rows_of_party.append(part)

        return [torch.from_numpy(np.concatenate(parts)) for parts in dealt]


def _check_sizes(n_parties: int, points_per_party: int | None, least: int = 1) -> None:
    """Refuses numbers of parties and of points that make no split."""

    check_integer("split.n_parties", n_parties, min=least)
    if points_per_party is not None:
        check_integer("split.points_per_party", points_per_party, min=2)
