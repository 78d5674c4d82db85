r"""The columns of the parties' tables, and their codes.

A table is converted to *codes*, a matrix of numbers without gaps, and back:

=================  ====================================================  ==========================================
kind               code                                                  missing cells
=================  ====================================================  ==========================================
numeric, integer   the number                                            the median, and 1 in a column of indicators
date               days since 1970-01-01                                 likewise
boolean            0 or 1                                                2
categorical        the number of the level                               the number after the last level
constant           none
=================  ====================================================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cgm.utils.checks import check_bool, check_choice

KINDS = ("numeric", "integer", "date", "boolean", "categorical", "constant")
NUMBERS = ("numeric", "integer", "date")
OTHER = "(other)"  # the level that stands for all rare ones


@dataclass(frozen=True)
class Column:
    """A column of the parties' tables.

    Attributes:
        name: Its name.
        kind: One of `KINDS`.
        missing: Whether cells may be empty.
        minimum: The smallest number; of dates, in days since 1970-01-01.
        maximum: The largest number.
        median: The median, the code of missing numbers.
        decimals: The number of decimals. `None`: twelve significant digits.
        time: Whether dates have a time of day.
        date_format: How the parties write dates, such as `%d.%m.%Y`; empty for 2024-12-31.
        levels: The levels of a category, in the order of the number that they explain best, otherwise the most frequent
            one first; `(other)` stands for all rare levels. Of booleans, false and true as they are written. Of a
            constant column, its value.
    """

    name: str
    kind: str
    missing: bool = False
    minimum: float | None = None
    maximum: float | None = None
    median: float | None = None
    decimals: int | None = None
    time: bool = False
    levels: tuple[str, ...] = ()
    date_format: str = ""

    def __post_init__(self) -> None:
        check_choice(f"schema: kind of column {self.name}", self.kind, KINDS)
        check_bool(f"schema: missing of column {self.name}", self.missing)
        object.__setattr__(self, "levels", tuple(str(level) for level in self.levels))
        if self.kind in ("categorical", "boolean", "constant") and not self.levels:
            raise ValueError(f"schema: column {self.name} is {self.kind} and needs levels")
        if len(set(self.levels)) != len(self.levels):
            raise ValueError(f"schema: column {self.name} has the same level twice")
        if self.kind in NUMBERS and (self.minimum is None or self.maximum is None or self.median is None):
            raise ValueError(f"schema: column {self.name} is {self.kind} and needs minimum, maximum and median")

    @property
    def width(self) -> int:
        """The number of its columns in a matrix of codes."""

        return 0 if self.kind == "constant" else 1 + (self.missing and self.kind in NUMBERS)

    @property
    def size(self) -> int:
        """The number of codes of a category, a missing one included; 0 for numbers."""

        return 0 if self.kind in NUMBERS else len(self.levels) + self.missing

    def to_codes(self, cells: pd.Series) -> np.ndarray:
        """Convert parsed cells to codes, of shape (N, width). A level that is not in the schema has the code -1."""

        if self.kind == "constant":
            return np.empty((len(cells), 0))
        empty = cells.isna().to_numpy()
        if self.kind in NUMBERS:
            if self.kind == "date":
                cells = (cells - pd.Timestamp(0)) / pd.Timedelta(days=1)
            values = np.where(empty, self.median, cells.astype("float64").fillna(0).to_numpy())
            return np.column_stack([values, empty])[:, : self.width]
        if self.kind == "boolean":
            return np.where(empty, 2, cells.astype("boolean").fillna(False).to_numpy(bool))[:, None].astype(float)
        codes = pd.Index(self.levels).get_indexer(
            cells.astype("object").where(~empty, None).map(str, na_action="ignore")
        )
        if OTHER in self.levels:
            codes = np.where(codes < 0, self.levels.index(OTHER), codes)
        return np.where(empty, len(self.levels) if self.missing else -1, codes)[:, None].astype(float)

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        """Return the nearest codes that cells of the column can have, of shape (N, width)."""

        if self.kind == "constant":
            return codes
        if self.kind not in NUMBERS:
            return np.clip(np.rint(codes), 0, self.size - 1)
        values = np.clip(codes[:, 0], self.minimum, self.maximum)
        if self.kind == "integer" or (self.kind == "date" and not self.time):
            values = np.rint(values)
        elif self.kind == "date":
            values = np.rint(values * 86_400) / 86_400  # seconds
        elif self.decimals is not None:
            values = np.round(values, self.decimals)
        else:
            values = np.array([float(f"{value:.12g}") for value in values])
        if not self.missing:
            return values[:, None]
        empty = codes[:, 1] > 0.5
        return np.column_stack([np.where(empty, self.median, values), empty])

    def to_cells(self, codes: np.ndarray) -> pd.Series:
        """Convert valid codes, of shape (N, width), to cells."""

        if self.kind == "constant":
            return pd.Series([self.levels[0]] * len(codes), name=self.name, dtype="object")
        if self.kind not in NUMBERS:
            levels = np.array([*self.levels, None], dtype=object)
            if self.kind == "boolean":
                levels = np.array([False, True, None], dtype=object)
                return pd.Series(levels[codes[:, 0].astype(int)], name=self.name, dtype="boolean")
            return pd.Series(levels[codes[:, 0].astype(int)], name=self.name)
        values = pd.Series(codes[:, 0], name=self.name)
        if self.kind == "date":
            values = pd.to_datetime(np.rint(values * 86_400), unit="s")
        elif self.kind == "integer":
            values = values.astype("Int64")
        return values.mask(codes[:, 1] > 0.5) if self.missing else values
