"""Shares of classes given as a matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cgm.data.splits.base import Split, check_sizes


@dataclass(frozen=True)
class Shares(Split):
    r"""Split with given shares of classes.

    Arguments:
        matrix: The share of each party's points by class, of shape $(n, m)$; one row per party, rows sum to 1.
        points_per_party: The number of points of each party. If `None`, as many as the scarcest class allows, at
            most 500.

    Raises:
        ValueError: If the matrix has rows of different lengths, negative entries, or rows that do not sum to 1
            within 1e-6, or if there are fewer than 2 points per party.

    Example:
        >>> Shares([[0.75, 0.25], [0.5, 0.5]]).shares(2)
        array([[0.75, 0.25],
               [0.5 , 0.5 ]])
    """

    matrix: Sequence[Sequence[float]]
    points_per_party: int | None = None

    def __post_init__(self) -> None:
        try:
            matrix = tuple(tuple(float(share) for share in row) for row in self.matrix)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"split.matrix={self.matrix}: expected rows of numbers, for example [[0.7,0.3],[0.5,0.5]]"
            ) from error
        object.__setattr__(self, "matrix", matrix)

        check_sizes(self.n_parties, self.points_per_party)
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
