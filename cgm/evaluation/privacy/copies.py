r"""Points of rewards that are copies of real rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

ROUNDING = 1e-6  # difference of equal coordinates, in standard deviations: float32 rounds to about 1e-7


class Copies:
    r"""Counts the points that equal a row of some sets, up to rounding.

    Two points are equal if each coordinate differs by at most `ROUNDING` of its standard deviation over all distinct
    rows.

    Arguments:
        sets: The sets of rows, each of shape $(N_s, d)$; there may be none in a set.

    Example:
        >>> x = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
        >>> Copies([x[:2], x[2:]]).count(x[1:], [0], [0, 1])
        [1, 2]
    """

    def __init__(self, sets: Sequence[NDArray]) -> None:
        distinct = [np.unique(rows, axis=0) for rows in sets]  # many equal rows would make long lists of matches
        rows = np.concatenate(distinct)
        self._sets = np.repeat(np.arange(len(sets)), [len(part) for part in distinct])  # (R): the set of each row
        deviation = rows.std(0) if len(rows) else np.zeros(rows.shape[1])
        self._scale = np.where(deviation > 0, deviation, 1.0)
        self._tree = cKDTree(rows / self._scale)

    def count(self, points: NDArray, *groups: Sequence[int]) -> list[int]:
        """Count, for each group of sets, the points that equal a row of one of its sets."""

        x = points / self._scale
        first, _ = self._tree.query(x, p=np.inf, distance_upper_bound=2 * ROUNDING)  # infinite: no row is that near
        matches = self._tree.query_ball_point(x[np.isfinite(first)], ROUNDING, p=np.inf)  # a list of rows for each
        return [sum(bool(np.isin(self._sets[rows], group).any()) for rows in matches) for group in groups]
