"""Distributions of single columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Margin:
    r"""The empirical distribution of a column, with atoms and continuous parts.

    The value $v_i$ is the quantile of all levels from $l_i$ to $u_i$; between $u_i$ and $l_{i + 1}$, quantiles are
    interpolated linearly.

    Arguments:
        values: The distinct values $v_1 < v_2 < \dots$, of shape $(m)$.
        lower: The levels $l_i$, of shape $(m)$, the first of which is 0.
        upper: The levels $u_i \geq l_i$, of shape $(m)$, the last of which is 1.
    """

    values: NDArray
    lower: NDArray
    upper: NDArray

    @classmethod
    def of(cls, x: NDArray, size: int) -> Margin:
        r"""Compute the margin of a column.

        A value that occurs more than once is an atom: its levels are those of the empirical distribution function. All
        values of a discrete column are atoms, so that no others occur, and their probabilities are their shares. Other
        values have the level in the middle of the step of the empirical distribution function, or 0 and 1 for
        the smallest and the largest one.

        Of a column with many values, some at equidistant levels are kept, and so all values whose shares are at
        least $1 / (\text{size} - 1)$. If the column is discrete, the shares of others go to the nearest kept ones.

        Arguments:
            x: The column, of shape $(N)$.
            size: The maximum number of values, at least 2.
        """

        values, counts = np.unique(x, return_counts=True)
        ends = np.cumsum(counts)
        lower, upper = (ends - counts) / len(x), ends / len(x)
        kept = np.arange(len(values))
        if len(values) > size:
            kept = np.unique(np.searchsorted(upper, np.linspace(0.0, 1.0, size)))
        discrete = is_discrete(values, counts)
        values, counts, lower, upper = values[kept], counts[kept], lower[kept], upper[kept]

        if discrete:
            lower[1:] = upper[:-1] = (lower[1:] + upper[:-1]) / 2  # the same, unless values between them are left out
        else:
            single = counts == 1
            lower[single] = upper[single] = (lower[single] + upper[single]) / 2
            if single[0]:
                upper[0] = 0.0
            if single[-1]:
                lower[-1] = 1.0
        lower[0], upper[-1] = 0.0, 1.0

        return cls(values, lower, upper)

    def quantile(self, levels: NDArray) -> NDArray:
        """Compute quantiles, within the range of the values.

        Arguments:
            levels: Levels from 0 to 1, of any shape.
        """

        i = np.searchsorted(self.lower, levels, side="right") - 1
        j = np.minimum(i + 1, len(self.values) - 1)
        gap = self.lower[j] - self.upper[i]
        share = np.clip((levels - self.upper[i]) / np.where(gap > 0, gap, 1.0), 0.0, 1.0)  # 0 within an atom
        a, b = self.values[i], self.values[j]

        return np.clip((1 - share) * a + share * b, a, b)


def is_discrete(values: NDArray, counts: NDArray) -> bool:
    """Return whether a column is discrete: some values are repeated, and all are integers or at least half repeated.

    Arguments:
        values: The distinct values, of shape (m).
        counts: The number of times that each occurs, of shape (m).

    Example:
        >>> is_discrete(np.array([0.0, 1.0, 5.0]), np.array([8, 1, 1]))
        True
        >>> is_discrete(np.array([0.0, 1.2, 5.3]), np.array([8, 1, 1]))
        False
    """

    repeated = counts > 1
    # beyond this limit, no float64 has decimals
    integers = np.abs(values).max() < 2**53 and np.array_equal(values, np.rint(values))

    return bool(repeated.any() and (repeated.mean() >= 0.5 or integers))
