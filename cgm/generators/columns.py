"""Columns of points as networks see them: numbers as normal scores, categories as unit vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from cgm.generators.copula import MARGINS, Margin, check_margins, margin_state, margins_of
from cgm.utils.random import random_state

QUANTILES = 10_000  # maximum number of values that are kept of each column


@dataclass(frozen=True)
class Columns:
    r"""The map between points and the coordinates in which a network is trained.

    A number becomes its normal score $\Phi^{-1}(F_j(x_j))$, with the empirical distribution $F_j$ of its column. A value
    that is repeated becomes uniform draws from its part of $[0, 1]$, so that integers and atoms, such as many zeros, come
    back as often as in the data; see `cgm.generators.copula.Margin`. Neighbouring columns that are the one-hot code of a
    category, such as those of an encoded table, become a unit vector; back, the largest coordinate is the category, so
    that a sample has exactly one. Constant columns are left out, and stay constant.

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
