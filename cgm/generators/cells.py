"""Cells around the values of discrete columns, by which they become continuous and discrete again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from cgm.generators.margins import is_discrete

MAX_VALUES = 1000  # a column with more distinct values counts as continuous


@dataclass(frozen=True)
class Cells:
    r"""The values that samples of each column may have: those of a discrete column, the range of a continuous one.

    The cell of a value consists of the numbers that are closer to it than to any other value. A discrete column becomes
    continuous by a uniform draw from the cell of each value, and discrete again by rounding to the nearest value.

    Arguments:
        values: For each column, its distinct values in ascending order or, if it is continuous, its minimum and
            maximum.
        discrete: Whether each column is discrete, of shape $(d)$.
    """

    values: list[NDArray]
    discrete: NDArray

    @classmethod
    def of(cls, points: NDArray) -> Cells:
        """Find the values of points of shape (N, d)."""

        values, discrete = [], []
        for column in points.T:
            distinct, counts = np.unique(column, return_counts=True)
            discrete.append(len(distinct) <= MAX_VALUES and is_discrete(distinct, counts))
            values.append(distinct if discrete[-1] else distinct[[0, -1]])

        return cls(values, np.array(discrete))

    @classmethod
    def joined(cls, values: NDArray, lengths: NDArray, discrete: NDArray) -> Cells:
        """Restore cells from the values of all columns, one after the other, and their number in each column."""

        ends = list(accumulate(int(length) for length in lengths))

        return cls([values[a:b] for a, b in zip([0, *ends], ends, strict=False)], discrete.astype(bool))

    def limits(self, points: NDArray) -> tuple[NDArray, NDArray]:
        """Return the ends of the cells of points of shape (N, d); in continuous columns, both are the point itself.

        The outermost cells, which have no end, are cut to be symmetric.
        """

        low, high = points.copy(), points.copy()
        for j in np.flatnonzero(self.discrete):
            v = self.values[j]
            if len(v) > 1:
                half = np.diff(v) / 2
                i = np.searchsorted(v, points[:, j])
                low[:, j] -= np.concatenate([half[:1], half])[i]
                high[:, j] += np.concatenate([half, half[-1:]])[i]

        return low, high

    def rounded(self, points: NDArray) -> NDArray:
        """Round points of shape (N, d) to the nearest values that samples may have."""

        result = points.copy()
        for j, v in enumerate(self.values):
            if self.discrete[j]:
                result[:, j] = v[np.searchsorted((v[1:] + v[:-1]) / 2, points[:, j])]
            else:
                result[:, j] = points[:, j].clip(v[0], v[-1])

        return result
