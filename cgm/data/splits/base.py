"""Base class of the splits, and the arithmetic of class shares that they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from cgm.utils.checks import check_integer

SHUFFLE, SHARES = 102, 103  # keys of the random streams
DEFAULT_MAX_POINTS = 500
"""The maximum number of points per party if `points_per_party` is `None`."""


def counts(shares: np.ndarray, points: int) -> np.ndarray:
    r"""Round shares of classes to numbers of points that sum to exactly `points` for each party.

    Each share is rounded down; the remaining points go to the classes with the largest remainders. Among equal
    remainders, party $i$ (from 0) prefers class $i$, then $i + 1$ and so on, cyclically, so that no class gains
    from the rounding of all parties.

    Arguments:
        shares: The share of each party's points by class, of shape $(n, m)$; rows sum to 1.
        points: The number of points of each party.

    Returns:
        The numbers of points, of shape $(n, m)$, int64.

    Example:
        >>> counts(np.full((2, 3), 1 / 3), 10)
        array([[4, 3, 3],
               [3, 4, 3]])
    """

    quotas = shares * points
    result = np.floor(quotas + 1e-9).astype(np.int64)  # 0.29 * 100 is slightly less than 29
    remainders = np.round(quotas - result, 9)

    for i, row in enumerate(result):
        preference = (np.arange(len(row)) - i) % len(row)
        order = np.lexsort((preference, -remainders[i]))
        row[order[: points - row.sum()]] += 1

    return result


def max_points(shares: np.ndarray, available: np.ndarray, limit: int) -> int | None:
    r"""Return the largest number of points per party, up to a limit, for which every class has enough points.

    Arguments:
        shares: The share of each party's points by class, of shape $(n, m)$.
        available: The number of points of each class, of shape $(m)$.
        limit: The largest number to consider.

    Returns:
        The number, or `None` if there are too few points even for 2 per party.

    Example:
        >>> max_points(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([30, 30]), limit=1000)
        20
    """

    demand = shares.sum(axis=0)  # (m), per point of each party
    used = demand > 0
    # Rounding changes each of the n numbers of a class by less than 1.
    bound = ((available[used] + len(shares)) / demand[used]).min()

    for points in range(int(min(limit, bound)), 1, -1):
        if (counts(shares, points).sum(axis=0) <= available).all():
            return points

    return None


def own_classes(n_parties: int, n_classes: int) -> list[list[int]]:
    r"""Assign classes to parties in contiguous runs whose lengths are as even as possible.

    With at least as many classes as parties, class $c$ belongs to party $\lfloor c n / m \rfloor$. With fewer,
    party $i$ has the single class $\lfloor i m / n \rfloor$, which it shares with neighbouring parties.

    Arguments:
        n_parties: The number $n$ of parties.
        n_classes: The number $m$ of classes.

    Returns:
        The classes of each party.

    Example:
        >>> own_classes(3, 7)
        [[0, 1, 2], [3, 4], [5, 6]]
        >>> own_classes(3, 2)
        [[0], [0], [1]]
    """

    if n_classes < n_parties:
        return [[i * n_classes // n_parties] for i in range(n_parties)]

    return [[c for c in range(n_classes) if c * n_parties // n_classes == i] for i in range(n_parties)]


def check_sizes(n_parties: int, points_per_party: int | None, min_parties: int = 1) -> None:
    """Check the number of parties and the number of points per party of a split.

    Raises:
        ValueError: If there are fewer than `min_parties` parties or fewer than 2 points per party.
    """

    check_integer("split.n_parties", n_parties, min=min_parties)
    check_integer("split.points_per_party", points_per_party, min=2, optional=True)


class Split(ABC):
    r"""Base class of the splits of a dataset's rows among $n$ parties, by each party's shares of the classes.

    A split has the attribute `points_per_party`, the number of points of each party. `None` stands for as
    many as the scarcest class allows, at most 500.
    """

    points_per_party: int | None

    @abstractmethod
    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        r"""Return the share of each party's points by class.

        Arguments:
            n_classes: The number $m$ of classes.
            seed: The seed of the shares, if they are random.

        Returns:
            The shares, of shape $(n, m)$, float64; rows sum to 1.
        """

    def assign(
        self,
        y: torch.Tensor,
        n_classes: int,
        seed: int,
        ordered: bool = False,
        classes: Sequence[str] | None = None,
    ) -> list[torch.Tensor]:
        r"""Assign rows to the parties.

        For each class, the rows are shuffled, and each party in turn gets the next unused ones.

        Arguments:
            y: The classes of the rows, of shape $(N)$, int64.
            n_classes: The number $m$ of classes.
            seed: The seed of the shuffle, and of the shares if they are random.
            ordered: Whether to assign the rows in their given order, without a shuffle.
            classes: The names of the classes, for error messages.

        Returns:
            The row indices of each party, sorted by class; no row is assigned twice.

        Raises:
            ValueError: If a class has no points, or fewer than the parties need in total.

        Example:
            >>> from cgm.data import EqualDisjoint
            >>> y = torch.tensor([0, 0, 1, 1, 1, 0])
            >>> EqualDisjoint(n_parties=2, points_per_party=3, majority=1.0).assign(y, 2, seed=0, ordered=True)
            [tensor([0, 1, 5]), tensor([2, 3, 4])]
        """

        labels = y.numpy(force=True)
        if labels.ndim != 1 or len(labels) == 0 or labels.min() < 0 or labels.max() >= n_classes:
            raise ValueError(f"split: expected labels of shape (N,) with values from 0 to {n_classes - 1}")

        sizes = self._sizes(np.bincount(labels, minlength=n_classes), seed, classes)  # (n, m)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SHUFFLE,)))
        assigned: list[list[np.ndarray]] = [[] for _ in sizes]
        for c in range(n_classes):
            rows = np.flatnonzero(labels == c)
            if not ordered:
                rng.shuffle(rows)
            # the last part, the rows that no party gets, has no partner in the zip
            for rows_of_party, part in zip(assigned, np.split(rows, sizes[:, c].cumsum()), strict=False):
                rows_of_party.append(part)

        return [torch.from_numpy(np.concatenate(parts)) for parts in assigned]

    def _sizes(self, available: np.ndarray, seed: int, classes: Sequence[str] | None) -> np.ndarray:
        """Return the number of points of each party by class, of shape (n, m); `available` has shape (m)."""

        def name(c: int) -> str:
            return f"class {c}" if classes is None else f"class {c} ({classes[c]})"

        if (available == 0).any():
            raise ValueError(
                f"split: {name(int(available.argmin()))} has no points in the training part of the dataset; "
                "remove the class from the dataset, or add points of it"
            )

        shares = self.shares(len(available), seed)  # (n, m)
        points = self.points_per_party
        if points is None:
            points = max_points(shares, available, DEFAULT_MAX_POINTS) or 2
        sizes = counts(shares, points)  # (n, m)
        total = sizes.sum(axis=0)  # (m)
        if (total > available).any():
            c = int((total - available).argmax())
            largest = max_points(shares, available, points)
            raise ValueError(
                f"split.points_per_party={'null' if self.points_per_party is None else points}: "
                f"{name(c)} has {available[c]} points, but the {len(shares)} parties need {total[c]}; "
                + (
                    "even 2 points per party are too many: use fewer parties or more data"
                    if largest is None
                    else f"at most split.points_per_party={largest} would fit"
                )
            )

        return sizes
