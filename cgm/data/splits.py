"""Ways of dealing a dataset's rows out to parties."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import LongTensor, Tensor

from ..checks import check_whole

MOST_BY_DEFAULT = 500
"""The most points that a party gets when `points_per_party` is left open."""

# Keys of the random streams, so that one seed gives each use its own stream.
HOLD_OUT, SHUFFLE, SHARES = 101, 102, 103


def hold_out(y: np.ndarray, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Splits rows into a training and a test part with the same shares of classes.

    Arguments:
        y: The classes of the rows, of shape $(N)$.
        test_share: The share of rows that is held out.
        seed: Draws the test part.

    Returns:
        The row indices of both parts, each in ascending order.

    Raises:
        ValueError: If a class has fewer than two rows, or there are too few rows for such a share.

    Example:
        >>> train, test = hold_out(np.repeat([0, 1], 10), test_share=0.2, seed=0)
        >>> len(train), len(test), int((test < 10).sum())
        (16, 4, 2)
    """

    classes, rows = np.unique(y, return_counts=True)
    if rows.min() < 2:
        raise ValueError(
            f"class {classes[rows.argmin()]} has one row only: a share of each class is held out, so each needs two"
        )
    state = np.random.SeedSequence(seed, spawn_key=(HOLD_OUT,)).generate_state(1)

    try:
        train, test = train_test_split(np.arange(len(y)), test_size=test_share, stratify=y, random_state=int(state[0]))
    except ValueError as error:
        raise ValueError(f"dataset.test_share={test_share}: won't do for {len(y)} rows: {error}") from error

    return np.sort(train), np.sort(test)


def check_test_share(test_share: float) -> None:
    """Checks that a share of rows to hold out leaves something on both sides.

    Raises:
        ValueError: If the share is not a number between 0 and 1.
    """

    if not isinstance(test_share, Real) or not 0 < test_share < 1:
        raise ValueError(f"dataset.test_share={test_share}: expected a number between 0 and 1, say 0.2")


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

    check_whole("split.n_parties", n_parties, least=least)
    if points_per_party is not None:
        check_whole("split.points_per_party", points_per_party, least=2)


@dataclass(frozen=True)
class EqualDisjoint(Split):
    r"""Gives each party a large majority of points in classes of its own (Sec. 6, "equal disjoint").

    Classes are assigned to parties in contiguous runs (see `own_classes`). A party's own classes share the
    majority evenly, all other classes share the rest evenly. A party to which all classes belong has them
    in equal shares. With 5 parties this is the paper's matrix: 0.96 and 0.01 for 5 classes, 0.48 twice and
    0.005 for 10.

    Arguments:
        n_parties: The number $n$ of parties.
        points_per_party: The points of each party. If `None`, as many as the scarcest class allows, at most
            500.
        majority: The share of a party's points in its own classes.

    Raises:
        ValueError: If there are fewer than 1 party or 2 points per party, or the majority is not in $(0, 1]$.

    Example:
        >>> EqualDisjoint(n_parties=2, majority=0.9).shares(4).round(3)
        array([[0.45, 0.45, 0.05, 0.05],
               [0.05, 0.05, 0.45, 0.45]])
    """

    n_parties: int = 5
    points_per_party: int | None = None
    majority: float = 0.96

    def __post_init__(self) -> None:
        """Refuses settings that make no split."""

        _check_sizes(self.n_parties, self.points_per_party)
        if not isinstance(self.majority, Real) or not 0 < self.majority <= 1:
            raise ValueError(f"split.majority={self.majority}: expected a share in (0, 1], say 0.96")

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Returns the share of each party's points by class; see `Split.shares`."""

        own = own_classes(self.n_parties, n_classes)
        result = np.empty((self.n_parties, n_classes))
        for row, classes in zip(result, own, strict=True):
            others = n_classes - len(classes)
            row[:] = (1 - self.majority) / max(others, 1)
            row[classes] = (self.majority if others else 1.0) / len(classes)

        return result


@dataclass(frozen=True)
class Unequal(Split):
    r"""Gives some parties all classes evenly, and the others a part of the classes each (Sec. 6, "unequal").

    The first two fifths of the parties (rounded) have all classes in equal shares. Each of the $q$ others has
    5 % of its points spread evenly over all classes, and 95 % in a window of classes: the classes lie side
    by side on a line, each with the same length, and the line is cut into $q$ equal windows. Before that,
    classes are put together into $\min(n, m)$ groups (see `own_classes`); the classes of a group have equal
    shares. So windows overlap in the group where they are cut, and columns sum to the same total: the pooled
    data is balanced. With 5 parties and 5 or 10 classes this is the paper's matrix.

    Arguments:
        n_parties: The number $n$ of parties, at least 3: with 2, one that has all classes evenly would leave
            the other all classes evenly as well.
        points_per_party: The points of each party. If `None`, as many as the scarcest class allows, at most
            500.

    Raises:
        ValueError: If there are fewer than 3 parties or 2 points per party.

    Example:
        >>> Unequal(n_parties=3).shares(2).round(3)
        array([[0.5  , 0.5  ],
               [0.975, 0.025],
               [0.025, 0.975]])
    """

    n_parties: int = 5
    points_per_party: int | None = None

    def __post_init__(self) -> None:
        """Refuses settings that make no split."""

        _check_sizes(self.n_parties, self.points_per_party, least=3)

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Returns the share of each party's points by class; see `Split.shares`."""

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
    r"""Gives each party the shares of classes that a matrix states.

    Arguments:
        matrix: The share of each party's points by class, of shape $(n, m)$; one row a party, rows sum to 1.
        points_per_party: The points of each party. If `None`, as many as the scarcest class allows, at most
            500.

    Raises:
        ValueError: If the matrix has rows of different lengths, negative entries, or rows that don't sum to 1
            within 1e-6; if there are fewer than 2 points per party.

    Example:
        >>> Shares([[0.75, 0.25], [0.5, 0.5]]).shares(2)
        array([[0.75, 0.25],
               [0.5 , 0.5 ]])
    """

    matrix: Sequence[Sequence[float]]
    points_per_party: int | None = None

    def __post_init__(self) -> None:
        """Refuses a matrix that doesn't hold shares."""

        try:
            matrix = tuple(tuple(float(share) for share in row) for row in self.matrix)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"split.matrix={self.matrix}: expected rows of numbers, say [[0.7,0.3],[0.5,0.5]]"
            ) from error
        object.__setattr__(self, "matrix", matrix)

        _check_sizes(self.n_parties, self.points_per_party)
        for i, row in enumerate(matrix):
            if len(row) != len(matrix[0]):
                raise ValueError(f"split.matrix: row {i} has {len(row)} entries, row 0 has {len(matrix[0])}")
            if not all(share >= 0 for share in row):
                raise ValueError(f"split.matrix: row {i} is {list(row)}; a share can't be negative or NaN")
            if not abs(sum(row) - 1) <= 1e-6:
                raise ValueError(f"split.matrix: row {i} sums to {sum(row):.8g}, expected 1 (within 1e-6)")

    @property
    def n_parties(self) -> int:
        """The number of parties, one for each row of the matrix."""

        return len(self.matrix)

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Returns the share of each party's points by class; see `Split.shares`."""

        matrix = np.array(self.matrix)
        if matrix.shape[1] != n_classes:
            raise ValueError(f"split.matrix: has {matrix.shape[1]} columns, but the dataset has {n_classes} classes")

        return matrix / matrix.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Dirichlet(Split):
    r"""Draws each party's shares of classes from a symmetric Dirichlet distribution.

    The columns do not balance: where some class is wanted by many parties, `points_per_party` is bounded by
    that class.

    Arguments:
        n_parties: The number $n$ of parties.
        points_per_party: The points of each party. If `None`, as many as the scarcest class allows, at most
            500.
        concentration: The parameter of the distribution: near 0, a party has one class; large, all evenly.

    Raises:
        ValueError: If there are fewer than 1 party or 2 points per party, or the concentration is not a
            positive number.

    References:
        Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification
        (Hsu et al., 2019), https://arxiv.org/abs/1909.06335

    Example:
        >>> Dirichlet(n_parties=2, concentration=100.0).shares(2, seed=0).sum(axis=1)
        array([1., 1.])
    """

    n_parties: int = 5
    points_per_party: int | None = None
    concentration: float = 0.5

    def __post_init__(self) -> None:
        """Refuses settings that make no split."""

        _check_sizes(self.n_parties, self.points_per_party)
        if not isinstance(self.concentration, Real) or not 0 < self.concentration < float("inf"):
            raise ValueError(f"split.concentration={self.concentration}: expected a positive number, say 0.5")

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Draws the share of each party's points by class; see `Split.shares`."""

        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SHARES,)))
        shares = rng.dirichlet([self.concentration] * n_classes, size=self.n_parties)  # (n, m)

        return shares / shares.sum(axis=1, keepdims=True)
