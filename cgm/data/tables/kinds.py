# ruff: noqa: D102 - methods without a docstring are those of `Column`
"""From cells to kinds of columns: cells are prepared, their kind is recognised, and the column described."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from cgm.data.tables.columns import (
    BooleanColumn,
    CategoricalColumn,
    Cells,
    Column,
    DateColumn,
    IntegerColumn,
    LevelColumn,
    NumericColumn,
    is_text,
)

# cells that count as missing, beside empty ones
EMPTY = ("na", "n/a", "#n/a", "nan", "null", "none", "<na>", "nat", "?", "-")
INFINITE = r"[+-]?inf(inity)?"
# other formats of dates: with points, the day comes first; with slashes and hyphens, some cell must say whether the day
# or the month does
DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
TIMES = ("", " %H:%M", " %H:%M:%S")
OTHER_DATE = r"(\d{1,2}([./-])\d{1,2}\2\d{4}|\d{4}([./])\d{1,2}\3\d{1,2})( \d{1,2}:\d{2}(:\d{2})?)?"
PARTS = {"%d": "day", "%m": "month", "%Y": "year"}


@dataclass(frozen=True, kw_only=True)
class ConstantColumn(LevelColumn):
    """A column with the same value everywhere, of any kind, which is not valued; rewards repeat it.

    Arguments:
        levels: The value, as it is written.
    """

    kind = "constant"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.levels) != 1:
            raise ValueError(f"levels={', '.join(self.levels)}: expected the one value")

    @classmethod
    def parse(cls, cells: pd.Series, date_format: str | None = None) -> pd.Series | None:
        return recognise(cells, date_format)[1]

    @classmethod
    def describe(cls, cells: Cells) -> Column | str:
        if cells.written:
            return cls(cells.name, levels=(cells.written,))
        column = cells.kind.describe(cells)
        return column if isinstance(column, str) else cls(cells.name, levels=tuple(column.format(cells.values[:1])))

    @cached_property
    def _recognised(self) -> tuple[Column, pd.Series]:
        """The column that the value would have among others, and the value as a cell."""

        text, date_format = pd.Series(self.levels, dtype="object"), format_of_constant(self.levels[0])
        kind, cell = recognise(prepare(text), date_format)
        column = kind.describe(Cells(self.name, kind, [cell], example=self.levels[0], date_format=date_format))
        return (CategoricalColumn(self.name, levels=self.levels), text) if isinstance(column, str) else (column, cell)

    @property
    def of_values(self) -> Column:
        return self._recognised[0]

    @property
    def sizes(self) -> tuple[int, ...]:
        return ()

    def encode(self, cells: pd.Series) -> np.ndarray:
        return np.empty((len(cells), 0))

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        return codes

    def decode(self, codes: np.ndarray) -> pd.Series:
        return self._recognised[1].take(np.zeros(len(codes), int)).reset_index(drop=True).rename(self.name)

    def format(self, cells: pd.Series, decimal: str = ".") -> list[str]:
        written = self.levels[0]
        return [written.replace(".", decimal) if self.of_values.kind == "numeric" else written] * len(cells)


# the kinds of values, in the order in which they are tried
VALUES: tuple[type[Column], ...] = (BooleanColumn, IntegerColumn, NumericColumn, DateColumn, CategoricalColumn)
KINDS: dict[str, type[Column]] = {
    kind.kind: kind
    for kind in (NumericColumn, IntegerColumn, DateColumn, BooleanColumn, CategoricalColumn, ConstantColumn)
}


class Parsed(NamedTuple):
    """The parsed cells of a column of one party.

    Attributes:
        kind: Their kind.
        cells: The cells: float64, Int64, datetime64, boolean or text, with missing ones.
        example: A cell as text, for messages; may be empty.
    """

    kind: type[Column]
    cells: pd.Series
    example: str


def parse(cells: pd.Series, where: str, asked: type[Column] | None = None, date_format: str | None = None) -> Parsed:
    """Parse the cells of a column.

    Arguments:
        cells: The cells, see `prepare`.
        where: The names of table and column, for errors.
        asked: The kind that they must have. `None`: it is recognised.
        date_format: The format of dates that are not written as 2024-12-31.

    Raises:
        ValueError: If all cells are empty, or a cell is infinite or not of the kind that is asked for.
    """

    if cells.isna().all():
        raise ValueError(f"{where}: all {len(cells)} cells are empty; say drop=[{where.rpartition(', column ')[2]}]")
    if asked is CategoricalColumn and is_text(cells):
        return Parsed(asked, cells, "")
    kind, values = recognise(cells, date_format)
    infinite = _infinite(cells, values)
    if infinite.any():
        row = int(infinite.argmax())
        raise ValueError(
            f"{where}: data row {row + 1} is infinite ({cells.iloc[row]}); leave the cell empty if it is missing"
        )
    example = kind.example(cells.dropna()) if is_text(cells) else ""
    if asked is None or asked is kind:
        return Parsed(kind, values, example)
    forced = asked.parse(cells, date_format)
    if forced is None:
        told = f" (for example {example})" if example else ""
        raise ValueError(f"{where}: {kind.kind}, but the schema says {asked.kind}{told}")
    return Parsed(asked, forced, "")


def prepare(cells: pd.Series) -> pd.Series:
    """Return the cells of a column with a type other than text as they are, others as text.

    Text is without spaces at its ends, and `None` where it is missing.
    """

    typed = (pd.api.types.is_bool_dtype, pd.api.types.is_numeric_dtype, pd.api.types.is_datetime64_any_dtype)
    if not isinstance(cells.dtype, pd.CategoricalDtype) and any(is_type(cells.dtype) for is_type in typed):
        return cells
    text = cells.astype("object").map(str, na_action="ignore").str.strip().astype("object")
    return text.mask(text.isna() | text.str.lower().isin(EMPTY) | (text == ""), None)


def recognise(cells: pd.Series, date_format: str | None = None) -> tuple[type[Column], pd.Series]:
    """Return the first kind that all of some prepared cells have, and the cells as its values."""

    parsed = ((kind, kind.parse(cells, date_format)) for kind in VALUES)
    return next((kind, values) for kind, values in parsed if values is not None)


def describe(cells: Cells) -> Column | str:
    """Return the column that has some cells, or the reason why it is left out.

    Raises:
        ValueError: If it has too many levels.
    """

    values = cells.values
    if len(values) == 0:
        return "empty: all cells of the rows that are used are empty"
    is_constant = bool(cells.written) or (not cells.missing and values.nunique() == 1)
    return (ConstantColumn if is_constant else cells.kind).describe(cells)


def date_formats(column: str, cells: Mapping[str, pd.Series]) -> dict[str, str | None]:
    """Return the format of the dates of each party, by its name; `None` where cells are no such dates.

    A party whose cells fit several formats has that of the others, if they have one.

    Arguments:
        column: The name of the column.
        cells: The prepared cells of each party.

    Raises:
        ValueError: If it cannot be known which of day and month comes first.

    Example:
        >>> cells = {"a": pd.Series(["31/12/2024"], dtype=object), "b": pd.Series(["01/02/2024"], dtype=object)}
        >>> date_formats("since", cells)
        {'a': '%d/%m/%Y', 'b': '%d/%m/%Y'}
    """

    possible = {name: _possible_formats(part) for name, part in cells.items()}
    sure = {formats[0] for formats in possible.values() if len(formats) == 1}
    chosen = {name: [each for each in formats if each in sure] or formats for name, formats in possible.items()}
    for name, formats in chosen.items():
        if len(formats) > 1:
            orders = " or ".join("-".join(PARTS[part] for part in re.findall("%[dmY]", each)) for each in formats)
            raise ValueError(
                f"{name}, column {column}: dates such as {cells[name].dropna().iloc[0]} can be {orders}; write them "
                f"as 2024-12-31, or say categorical=[{column}] or drop=[{column}]"
            )
    return {name: next(iter(formats), None) for name, formats in chosen.items()}


def format_of_constant(text: str) -> str | None:
    """Return the format of a date that a column has everywhere; `None` if it is none, or may be one of several."""

    formats = _possible_formats(pd.Series([text], dtype="object"))
    return formats[0] if len(formats) == 1 else None


def _possible_formats(cells: pd.Series) -> list[str]:
    """Return the formats that all cells have as dates."""

    if not is_text(cells):
        return []
    filled = pd.Series(cells.dropna().unique(), dtype="object")
    if not len(filled) or not filled.str.fullmatch(OTHER_DATE).all():
        return []
    colons = filled.str.count(":")
    if colons.nunique() > 1:
        return []
    formats = [day + TIMES[int(colons.iloc[0])] for day in DAYS]
    return [form for form in formats if DateColumn.parse(filled, form) is not None]


def _infinite(cells: pd.Series, values: pd.Series) -> np.ndarray:
    """Return for each cell whether it is infinite: text such as inf, or a number."""

    if values.dtype == float:
        return np.isinf(values.to_numpy())
    if is_text(cells):
        return cells.str.fullmatch(INFINITE, case=False).eq(True).to_numpy()
    return np.zeros(len(cells), bool)
