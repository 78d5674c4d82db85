"""The encoding of tables as points, in which they are valued."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import torch

from cgm.data.features.base import Features, flatten_points
from cgm.data.tables.schema import Schema
from cgm.utils.settings import Choice

NUMBER_ENCODINGS = ("standardise", "quantiles")
QUANTILES = 1000
BLOCK = 4096  # rows that are encoded at once
FAR = 1e6  # distance of numbers from zero, in multiples of their range, from which they are moved there


@dataclass(eq=False)
class TableEncoding(Features):
    r"""Points of a table's codes: standardised numbers, scaled one-hot vectors of categories.

    A number $x$ becomes $(x - \mu) / \sigma$, or $\sqrt{12}$ times its rank in $[0, 1]$, whose variance is 1 as well. A
    category becomes $s$ times the unit vector of its level. For a row $x$ with columns $c$, the squared exponential
    kernel is a product over the columns,

    .. math::
        k(x, x') = \exp\left(-\frac{\|z - z'\|^2}{2 \ell^2}\right) = \prod_c k_c(x_c, x'_c), \qquad
        k_c = \exp\left(-\frac{(z_c - z'_c)^2}{2 \ell^2}\right) \quad \text{or} \quad
        k_c = \begin{cases} 1 & x_c = x'_c \\ \exp(-s_c^2 / \ell^2) & x_c \neq x'_c \end{cases}

    for numbers and categories, since two different unit vectors scaled by $s$ have the squared distance $2 s^2$. Each
    factor is positive definite, and so is their product. The mean squared distance of two rows is 2 in a standardised
    column. With level shares $p_l$, it is $2 s^2 (1 - \sum_l p_l^2)$ in a category, so that

    .. math:: s = \left(1 - \sum_l p_l^2\right)^{-1/2}

    gives all columns the same weight. A missing category is a level of its own. A missing number has the code of the
    median, and an indicator that counts as a category with two levels. No entry is skipped: a kernel that compares two
    rows only in the columns that both have is not positive definite.

    Numbers are standardised by scikit-learn. The encoding can be inverted: `decode`.

    Arguments:
        schema: The columns.
        numbers: `"standardise"`, or `"quantiles"` for columns with long tails.

    Raises:
        ValueError: If a setting is out of range.
    """

    section = ""  # its settings are those of `TableMediator`

    schema: Schema
    numbers: Annotated[str, Choice(NUMBER_ENCODINGS)] = "standardise"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scaler: Any = None
        self.centre: np.ndarray | None = None
        self.scales: dict[int, float] = {}

    @property
    def places(self) -> list[int]:
        """The columns of codes that are numbers; points begin with them."""

        return [place for place, size in enumerate(self.schema.sizes) if size == 0]

    @property
    def levels(self) -> list[tuple[int, slice]]:
        """The columns of codes that are categories, and where points have their levels."""

        sizes = [(place, size) for place, size in enumerate(self.schema.sizes) if size > 0]
        ends = np.cumsum([len(self.places), *(size for _, size in sizes)]).tolist()
        return [(place, slice(a, b)) for (place, _), (a, b) in zip(sizes, pairwise(ends), strict=True)]

    def fit(self, x: torch.Tensor, seed: int) -> TableEncoding:
        """Fit the encoding to codes x, of shape (N, p)."""

        from sklearn.preprocessing import QuantileTransformer, StandardScaler

        codes = self.schema.filled(flatten_points(x, "codes to fit the encoding to", min=2)).numpy()
        numbers = codes[:, self.places]
        self.centre = _centre(numbers)
        if self.places:
            self.scaler = StandardScaler(copy=False)
            if self.numbers == "quantiles":
                self.scaler = QuantileTransformer(n_quantiles=min(QUANTILES, len(codes)), subsample=None)
            self.scaler.fit(numbers - self.centre)
        self.scales = {}
        for place, where in self.levels:
            shares = np.bincount(codes[:, place].astype(int), minlength=where.stop - where.start) / len(codes)
            spread = 1 - (shares**2).sum()
            self.scales[place] = 1 / np.sqrt(spread) if spread > 0 else 1.0

        return self

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Encode codes of shape (N, p) as points of shape (N, d), float64."""

        x = flatten_points(x, "codes to encode", width=len(self.schema.sizes))
        self._check_fitted()
        codes = self.schema.filled(x).numpy()
        points = np.zeros((len(codes), len(self.places) + sum(self.schema.sizes)))
        if self.places:
            points[:, : len(self.places)] = self.scaler.transform(codes[:, self.places] - self.centre)
            if self.numbers == "quantiles":
                points[:, : len(self.places)] *= np.sqrt(12)
        if self.levels:
            at = [place for place, _ in self.levels]
            starts, scales = np.array([where.start for _, where in self.levels]), np.array([self.scales[k] for k in at])
            for a in range(0, len(codes), BLOCK):  # rows that fit into the cache
                levels = codes[a : a + BLOCK, at].astype(int)
                columns = np.maximum(levels, 0) + starts
                np.put_along_axis(points[a : a + BLOCK], columns, np.where(levels >= 0, scales, 0.0), axis=1)

        return torch.from_numpy(points)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return the nearest valid codes of points z of shape (N, d), of shape (N, p), float64."""

        self._check_fitted()
        values = z.double().cpu().numpy()
        codes = np.empty((len(values), len(self.schema.sizes)))
        if self.places and len(values):  # scikit-learn refuses tables without rows
            part = values[:, : len(self.places)]
            weight = np.sqrt(12) if self.numbers == "quantiles" else 1
            codes[:, self.places] = self.scaler.inverse_transform(part / weight) + self.centre
        for place, where in self.levels:
            codes[:, place] = values[:, where].argmax(1)

        return self.schema.nearest(torch.from_numpy(codes))

    def nearest(self, z: torch.Tensor) -> torch.Tensor:
        """Return the points, of shape (N, d), of the rows that points z decode to."""

        return self.transform(self.decode(z))

    def _check_fitted(self) -> None:
        if self.centre is None:
            raise ValueError("TableEncoding is not fitted; call fit first")


def _centre(numbers: np.ndarray) -> np.ndarray:
    """Return what is subtracted from numbers before they are standardised: their minimum, if they are far from zero.

    The rounding of numbers such as 1e15 + 1 would hide their differences.
    """

    low, high = numbers.min(0), numbers.max(0)
    return np.where(np.abs(low) > FAR * (high - low), low, 0.0)
