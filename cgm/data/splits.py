"""Splits of a dataset among parties."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np
import torch

from cgm.utils.convert import to_labels
from cgm.utils.random import Stream
from cgm.utils.settings import Integer, Number, Settings

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


Parties: TypeAlias = Annotated[int, Integer(min=1)]
PointsPerParty: TypeAlias = Annotated[int, Integer(min=2)] | None


class Split(Settings, ABC):
    r"""Base class of the splits of a dataset's rows among $n$ parties, by each party's shares of the classes.

    A split has the attribute `points_per_party`, the number of points of each party. `None` stands for as
    many as the scarcest class allows, at most 500.
    """

    section = "split"

    points_per_party: PointsPerParty

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

        labels = to_labels(y, "split: classes").numpy(force=True)
        if labels.ndim != 1 or len(labels) == 0 or labels.min() < 0 or labels.max() >= n_classes:
            raise ValueError(f"split: expected labels of shape (N,) with values from 0 to {n_classes - 1}")

        sizes = self._sizes(np.bincount(labels, minlength=n_classes), seed, classes)  # (n, m)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(Stream.SHUFFLE,)))
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


@dataclass(frozen=True)
class EqualDisjoint(Split):
    r"""Split in which each party has a large majority of its points in classes of its own (Sec. 6).

    Classes are assigned to parties in contiguous runs (see `own_classes`). A party's own classes share the
    majority evenly, and all other classes share the rest evenly. If all classes belong to one party, it has them
    in equal shares. With 5 parties this is the paper's matrix: 0.96 and 0.01 for 5 classes, 0.48 twice and
    0.005 for 10.

    Arguments:
        n_parties: The number $n$ of parties.
        points_per_party: The number of points of each party. If `None`, as many as the scarcest class allows, at
            most 500.
        majority: The share of a party's points in its own classes.

    Example:
        >>> EqualDisjoint(n_parties=2, majority=0.9).shares(4).round(3)
        array([[0.45, 0.45, 0.05, 0.05],
               [0.05, 0.05, 0.45, 0.45]])
    """

    n_parties: Parties = 5
    points_per_party: PointsPerParty = None
    majority: Annotated[float, Number(min=0, max=1, open_min=True)] = 0.96

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Return the share of each party's points by class; see `Split.shares`."""

        own = own_classes(self.n_parties, n_classes)
        result = np.empty((self.n_parties, n_classes))
        for row, classes in zip(result, own, strict=True):
            others = n_classes - len(classes)
            row[:] = (1 - self.majority) / max(others, 1)
            row[classes] = (self.majority if others else 1.0) / len(classes)

        return result


@dataclass(frozen=True)
class Unequal(Split):
    r"""Split in which some parties have all classes evenly, and each other party has a part of them (Sec. 6).

    The first two fifths of the parties (rounded) have all classes in equal shares. Each of the $q$ others has
    5 % of its points spread evenly over all classes, and 95 % in a window of classes: the classes are placed side
    by side on a line, all with the same length, and the line is cut into $q$ equal windows. Before that, the
    classes are combined into $\min(n, m)$ groups (see `own_classes`); the classes of a group have equal shares.
    Neighbouring windows overlap in the group in which they are cut, and columns sum to the same total: the pooled
    data is balanced. With 5 parties and 5 or 10 classes this is the paper's matrix.

    Arguments:
        n_parties: The number $n$ of parties, at least 3. With 2 parties, one would have all classes evenly, which
            would leave the other with all classes evenly as well.
        points_per_party: The number of points of each party. If `None`, as many as the scarcest class allows, at
            most 500.

    Example:
        >>> Unequal(n_parties=3).shares(2).round(3)
        array([[0.5  , 0.5  ],
               [0.975, 0.025],
               [0.025, 0.975]])
    """

    n_parties: Annotated[int, Integer(min=3)] = 5
    points_per_party: PointsPerParty = None

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Return the share of each party's points by class; see `Split.shares`."""

        uniform = round(2 * self.n_parties / 5)
        windows = self.n_parties - uniform
        result = np.full((self.n_parties, n_classes), 1 / n_classes)

        for j, row in enumerate(result[uniform:]):
            row *= 0.05
            for group in own_classes(min(self.n_parties, n_classes), n_classes):
                left = max(group[0] / n_classes, j / windows)
                right = min((group[-1] + 1) / n_classes, (j + 1) / windows)
                row[group] += 0.95 * windows * max(right - left, 0.0) / len(group)

        return result


@dataclass(frozen=True)
class Shares(Split):
    r"""Split with given shares of classes.

    Arguments:
        matrix: The share of each party's points by class, of shape $(n, m)$; one row per party, rows sum to 1.
        points_per_party: The number of points of each party. If `None`, as many as the scarcest class allows, at
            most 500.

    Raises:
        ValueError: If the matrix has rows of different lengths, negative entries, or rows that do not sum to 1 within
            1e-6.

    Example:
        >>> Shares([[0.75, 0.25], [0.5, 0.5]]).shares(2)
        array([[0.75, 0.25],
               [0.5 , 0.5 ]])
    """

    matrix: Sequence[Sequence[float]]
    points_per_party: PointsPerParty = None

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            matrix = tuple(tuple(float(share) for share in row) for row in self.matrix)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"split.matrix={self.matrix}: expected rows of numbers, for example [[0.7,0.3],[0.5,0.5]]"
            ) from error
        object.__setattr__(self, "matrix", matrix)

        if not matrix:
            raise ValueError("split.matrix: has no rows, one for each party is needed")
        for i, row in enumerate(matrix):
            if len(row) != len(matrix[0]):
                raise ValueError(f"split.matrix: row {i} has {len(row)} entries, row 0 has {len(matrix[0])}")
            if not all(share >= 0 for share in row):
                raise ValueError(f"split.matrix: row {i} is {list(row)}; shares must not be negative or NaN")
            if not abs(sum(row) - 1) <= 1e-6:
                raise ValueError(f"split.matrix: row {i} sums to {sum(row):.8g}, expected 1 (within 1e-6)")

    @property
    def n_parties(self) -> int:
        """The number of parties, one for each row of the matrix."""

        return len(self.matrix)

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Return the share of each party's points by class; see `Split.shares`."""

        matrix = np.array(self.matrix)
        if matrix.shape[1] != n_classes:
            raise ValueError(f"split.matrix: has {matrix.shape[1]} columns, but the dataset has {n_classes} classes")

        return matrix / matrix.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Dirichlet(Split):
    r"""Split with shares of classes drawn from a symmetric Dirichlet distribution, independently for each party.

    The classes are not balanced: where many parties need the same class, that class limits `points_per_party`.

    Arguments:
        n_parties: The number $n$ of parties.
        points_per_party: The number of points of each party. If `None`, as many as the scarcest class allows, at
            most 500.
        concentration: The parameter of the distribution. Near 0, a party has a single class; if it is large, each
            party has all classes evenly.

    References:
        Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification
        (Hsu et al., 2019), https://arxiv.org/abs/1909.06335

    Example:
        >>> Dirichlet(n_parties=2, concentration=100.0).shares(2, seed=0).sum(axis=1)
        array([1., 1.])
    """

    n_parties: Parties = 5
    points_per_party: PointsPerParty = None
    concentration: Annotated[float, Number(min=0, open_min=True)] = 0.5

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Draw the share of each party's points by class; see `Split.shares`."""

        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(Stream.SHARES,)))
        shares = rng.dirichlet([self.concentration] * n_classes, size=self.n_parties)  # (n, m)

        return shares / shares.sum(axis=1, keepdims=True)
