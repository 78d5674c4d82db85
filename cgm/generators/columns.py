"""Columns of points: their values and distributions, one-hot codes, and the coordinates that networks see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from cgm.utils.random import random_state

QUANTILES = 10_000  # maximum number of values that are kept of each column
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
        blocks: The number of the category whose one-hot code each column belongs to, from 1; 0 for others. Of shape
            $(d)$; none, if empty. A sample has the level whose column is the largest.
    """

    values: list[NDArray]
    discrete: NDArray
    blocks: NDArray = field(default_factory=lambda: np.zeros(0, int))

    @classmethod
    def of(cls, points: NDArray) -> Cells:
        """Find the values of points of shape (N, d)."""

        values, discrete = [], []
        for column in points.T:
            distinct, counts = np.unique(column, return_counts=True)
            discrete.append(len(distinct) <= MAX_VALUES and is_discrete(distinct, counts))
            values.append(distinct if discrete[-1] else distinct[[0, -1]])

        return cls(values, np.array(discrete), one_hot_blocks(points))

    @classmethod
    def joined(cls, values: NDArray, lengths: NDArray, kinds: NDArray) -> Cells:
        """Restore cells from the values of all columns, one after the other, their number in each column, and kinds."""

        ends = list(accumulate(int(length) for length in lengths))
        parts = [values[a:b] for a, b in zip([0, *ends], ends, strict=False)]

        return cls(parts, kinds > 0, (kinds - 1).clip(min=0).astype(int))

    @property
    def kinds(self) -> NDArray:
        """The kind of each column: 0 for a continuous one, 1 for a discrete one, k + 1 for one of category k."""

        return self.discrete + (self.blocks if len(self.blocks) else 0)

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
        for k in range(1, int(self.blocks.max(initial=0)) + 1):  # rounded alone, several levels or none would be left
            columns = np.flatnonzero(self.blocks == k)
            chosen = columns[points[:, columns].argmax(1)]
            result[:, columns] = 0.0
            result[np.arange(len(points)), chosen] = self.values[columns[0]][-1]

        return result


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

    def levels(self, x: NDArray) -> tuple[NDArray, NDArray]:
        """Compute the lower and the upper level of values within the range of the column, each of shape (N)."""

        i = np.searchsorted(self.values, x, side="right") - 1
        j = np.minimum(i + 1, len(self.values) - 1)
        step = self.values[j] - self.values[i]
        share = (x - self.values[i]) / np.where(step > 0, step, 1.0)
        between = (1 - share) * self.upper[i] + share * self.lower[j]
        exact = x == self.values[i]

        return np.where(exact, self.lower[i], between), np.where(exact, self.upper[i], between)

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


MARGINS = {"values": ("k",), "lower": ("k",), "upper": ("k",), "lengths": ("d",)}
"""The shapes of the tensors of `margin_state`."""


def margin_state(margins: Sequence[Margin], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return margins as tensors: those of all columns one after the other, and the number of values of each.

    Arguments:
        margins: The margins of d columns.
        dtype: The dtype of the values.
    """

    def joined(parts: list[NDArray]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(parts))

    return {
        "values": joined([margin.values for margin in margins]).to(dtype),
        "lower": joined([margin.lower for margin in margins]),
        "upper": joined([margin.upper for margin in margins]),
        "lengths": torch.tensor([len(margin.values) for margin in margins], dtype=torch.float64),
    }


def margins_of(state: Mapping[str, torch.Tensor]) -> list[Margin]:
    """Restore margins from the tensors of `margin_state`."""

    ends = list(accumulate(int(length) for length in state["lengths"]))
    parts = [state[name].double().numpy() for name in ("values", "lower", "upper")]

    return [Margin(*(part[a:b] for part in parts)) for a, b in zip([0, *ends], ends, strict=False)]


def check_margins(state: Mapping[str, torch.Tensor]) -> None:
    """Check that tensors from a file are those of margins.

    Raises:
        ValueError: If they are not.
    """

    lengths = state["lengths"]
    if (lengths < 1).any() or (lengths != lengths.round()).any() or int(lengths.sum()) != len(state["values"]):
        raise ValueError("lengths are not those of the margins")
    for margin in margins_of(state):
        levels = np.stack([margin.lower, margin.upper], 1).ravel()
        if levels[0] != 0 or levels[-1] != 1 or (np.diff(levels) < 0).any() or (np.diff(margin.values) <= 0).any():
            raise ValueError("levels or values of a margin do not increase from 0 to 1")


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


def one_hot_blocks(points: NDArray) -> NDArray:
    """Find neighbouring columns that are the one-hot code of a category: 0 but for one of them, with the same value.

    Arguments:
        points: The points, of shape (N, d). Constant columns between others do not matter.

    Returns:
        The number of the category of each column, from 1; 0 for others. Of shape (d).

    Example:
        >>> one_hot_blocks(np.array([[5.0, 0.0, 2.0, 1.0], [6.0, 2.0, 0.0, 0.0], [7.0, 0.0, 2.0, 0.0]]))
        array([0, 1, 1, 0])
    """

    blocks, number = np.zeros(points.shape[1], int), 0
    varying = np.flatnonzero(np.ptp(points, axis=0) > 0)
    height = points[:, varying].max(0, initial=0.0)
    binary = ((points[:, varying] == 0) | (points[:, varying] == height)).all(0) & (height > 0)
    start = 0
    while start < len(varying):
        covered, end = np.zeros(len(points), bool), start
        while end < len(varying) and binary[end] and height[end] == height[start]:
            ones = points[:, varying[end]] > 0
            if (covered & ones).any():
                break
            covered |= ones
            end += 1
            if covered.all():
                number += 1
                blocks[varying[start:end]] = number
                break
        start = end if end > start and covered.all() else start + 1

    return blocks


@dataclass(frozen=True)
class Columns:
    r"""The map between points and the coordinates in which a network is trained.

    A number becomes its normal score $\Phi^{-1}(F_j(x_j))$, with the empirical distribution $F_j$ of its column. A
    value that is repeated becomes uniform draws from its part of $[0, 1]$, so that integers and atoms, such as many
    zeros, come back as often as in the data; see `Margin`. Neighbouring columns that are the one-hot code of a
    category, such as those of an encoded table, become a unit vector; back, the largest coordinate is the category,
    so that a sample has exactly one. Constant columns are left out, and stay constant.

    Arguments:
        margins: The margin of each column.
        blocks: The number of the category that each column belongs to, from 1; 0 for a number. Of shape $(d)$.
    """

    margins: list[Margin]
    blocks: NDArray

    @classmethod
    def of(cls, points: NDArray) -> Columns:
        """Find margins and categories of points of shape (N, d)."""

        return cls([Margin.of(column, QUANTILES) for column in points.T], one_hot_blocks(points))

    @classmethod
    def restored(cls, state: Mapping[str, torch.Tensor]) -> Columns:
        """Restore columns from the tensors of `state`."""

        return cls(margins_of(state), state["blocks"].numpy().astype(int))

    def state(self) -> dict[str, torch.Tensor]:
        """Return the columns as tensors."""

        return {**margin_state(self.margins, torch.float64), "blocks": torch.from_numpy(self.blocks).double()}

    @property
    def numbers(self) -> NDArray:
        """The columns that are numbers and not constant."""

        varying = np.array([len(margin.values) > 1 for margin in self.margins])

        return np.flatnonzero(varying & (self.blocks == 0))

    @property
    def categories(self) -> list[NDArray]:
        """The columns of each category."""

        return [np.flatnonzero(self.blocks == k) for k in range(1, int(self.blocks.max(initial=0)) + 1)]

    @property
    def groups(self) -> list[int]:
        """The number of coordinates of each number, 1, and then of each category, its levels."""

        return [1] * len(self.numbers) + [len(columns) for columns in self.categories]

    @property
    def has_atoms(self) -> bool:
        """Whether the coordinates of a point are random."""

        return any((self.margins[j].upper > self.margins[j].lower).any() for j in self.numbers)

    def encode(self, points: NDArray, seed: int) -> torch.Tensor:
        """Return the coordinates of points of shape (N, d), of shape (N, v), float32."""

        random, margin = random_state(seed), 0.5 / len(points)  # scores at the ends of the data are finite
        parts: list[NDArray] = [np.empty((len(points), 0))]
        for j in self.numbers:
            low, high = self.margins[j].levels(points[:, j])
            levels = low + (high - low) * random.uniform(size=len(points))
            parts.append(scipy.special.ndtri(levels.clip(margin, 1 - margin))[:, None])
        parts += [(points[:, columns] > 0).astype(float) for columns in self.categories]

        return torch.from_numpy(np.concatenate(parts, axis=1)).float()

    def decode(self, z: NDArray) -> NDArray:
        """Return the points of coordinates z of shape (N, v), of shape (N, d)."""

        points = np.tile([margin.values[0] for margin in self.margins], (len(z), 1))
        start = len(self.numbers)
        for k, j in enumerate(self.numbers):
            points[:, j] = self.margins[j].quantile(scipy.special.ndtr(z[:, k]))
        for columns in self.categories:
            chosen = columns[z[:, start : start + len(columns)].argmax(1)]
            points[np.arange(len(z)), chosen] = [self.margins[j].values[-1] for j in chosen]
            start += len(columns)

        return points


SHAPES = {**MARGINS, "blocks": ("d",)}
"""The shapes of the tensors of `Columns.state`."""


def check_columns(state: Mapping[str, torch.Tensor], groups: list[int]) -> None:
    """Check that tensors from a file are those of columns with some groups of coordinates.

    Raises:
        ValueError: If they are not.
    """

    check_margins(state)
    blocks = state["blocks"]
    if (blocks < 0).any() or (blocks != blocks.round()).any() or Columns.restored(state).groups != groups:
        raise ValueError(f"blocks are not those of groups of {groups} coordinates")
