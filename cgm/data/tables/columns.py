# ruff: noqa: D102 - methods without a docstring are those of `Column`
r"""The kinds of columns of the parties' tables, each classes that parse, describe, encode, decode and format cells.

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

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd

from cgm.data.tables.forms import (
    DATE_LIKE,
    NUMBER,
    PLAIN,
    SAMPLE,
    Form,
    date_pattern,
    distinct,
    filled,
    matches,
    tally,
    to_arrow,
    to_dates,
    which,
    write_date,
    write_number,
    zone_minutes,
)
from cgm.data.tables.forms import to_numbers as text_to_numbers
from cgm.utils import settings
from cgm.utils.settings import Listed, Settings, Text

BOOLEANS = {"true": True, "false": False}
INTEGER = r"[+-]?(0|[1-9]\d*)"
MAX_INTEGER = 2**53  # float64 holds all smaller integers
MAX_DECIMALS = 9  # of numeric columns; numbers with more are rounded to twelve significant digits
MAX_LEVELS = 1000  # of a categorical column; more are refused
MIN_FREE_TEXT = 50  # rows from which a column of mostly different texts counts as free text
BOUNDS = ("minimum", "maximum", "median")  # settings of columns of numbers
OTHER = "(other)"  # the level that stands for all rare ones


@dataclass(frozen=True)
class Cells:
    """Parsed cells of a column, from which it is described.

    Attributes:
        name: The name of the column.
        kind: Their kind.
        parts: The cells of each party, in the rows that are used.
        missing: Whether any cell is empty, in all rows.
        example: A cell, as the first party writes it.
        date_format: The format of dates that all parties share. `None`: that of 2024-12-31.
        rare: The share of rows below which levels are pooled to one.
        asked: Whether the user has said that the column is categorical.
        min_count: The number of rows that a level needs, and that lie at or beyond each end of a range.
        min_parties: The number of parties that a level needs.
        written: The text of all cells of all parties, if it is the same.
    """

    name: str
    kind: type[Column]
    parts: Sequence[pd.Series]
    missing: bool = False
    example: str = ""
    date_format: str | None = None
    rare: float = 0.0
    asked: bool = False
    min_count: int = 1
    min_parties: int = 1
    written: str = ""

    @cached_property
    def values(self) -> pd.Series:
        """The cells that are not empty."""

        return pd.concat([filled(part) for part in self.parts], ignore_index=True)

    @cached_property
    def counts(self) -> pd.Series:
        """The number of rows of each value, by value, in the order of their first rows."""

        return tally(self.parts)

    @property
    def min_rows(self) -> int:
        """The number of rows that a level needs."""

        return max(self.min_count, math.ceil(self.rare * len(self.values)))

    def support(self, counts: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """Return which levels have enough rows but of too few parties, and which have enough rows and parties.

        Arguments:
            counts: The number of rows of each level, by level.
        """

        many = (counts >= self.min_rows).to_numpy()
        parties = np.sum([counts.index.isin(tally([part]).index) for part in self.parts], axis=0)
        return many & (parties < self.min_parties), many & (parties >= self.min_parties)


@dataclass(frozen=True)
class Column(Settings, ABC):
    """Base class of the columns of the parties' tables; a subclass is a kind.

    Arguments:
        name: The name of the column.
        missing: Whether cells may be empty.
    """

    kind: ClassVar[str]
    dates: ClassVar[bool] = False
    """Whether numbers of the column are days since 1970-01-01."""
    whole: ClassVar[bool] = False
    """Whether numbers of the column are integers."""
    has_text: ClassVar[bool] = False
    """Whether its cells may be any text."""

    name: str
    missing: bool = False

    @classmethod
    @abstractmethod
    def parse(cls, cells: pd.Series, date_format: str | None = None) -> pd.Series | None:
        """Return cells as values of this kind, or `None` if one of them is of another kind.

        Arguments:
            cells: The cells, prepared by `prepare`: text or typed.
            date_format: The format of dates that are not written as 2024-12-31.
        """

    @classmethod
    @abstractmethod
    def describe(cls, cells: Cells) -> Column | str:
        """Return the column that has some cells, or the reason why it cannot be valued.

        Raises:
            ValueError: If it has too many levels.
        """

    @classmethod
    def example(cls, text: pd.Series) -> str:
        """Return one of some cells of this kind for messages; may be empty.

        Arguments:
            text: The cells as text, without missing ones.
        """

        return str(text.iloc[0])

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """For each column of codes its number of values, 0 for numbers."""

    @property
    def width(self) -> int:
        """The number of columns of codes."""

        return len(self.sizes)

    @property
    def of_values(self) -> Column:
        """The column that has the values of this one: itself, unless it is constant."""

        return self

    @abstractmethod
    def encode(self, cells: pd.Series) -> np.ndarray:
        """Return the codes of parsed cells, of shape (N, width). A level that is not in the schema has the code -1."""

    @abstractmethod
    def nearest(self, codes: np.ndarray) -> np.ndarray:
        """Return the nearest codes that cells of the column can have, of shape (N, width)."""

    @abstractmethod
    def decode(self, codes: np.ndarray) -> pd.Series:
        """Return the cells of valid codes, of shape (N, width)."""

    @abstractmethod
    def format(self, cells: pd.Series, form: Form = Form()) -> list[str]:  # noqa: B008 - it is frozen
        """Return cells as text, in the form in which a party writes them."""

    def numbers(self, cells: pd.Series) -> np.ndarray | None:
        """Return cells as numbers, NaN if missing; `None` if the column has levels."""

        return None

    def fill(self, codes: np.ndarray, random: np.random.Generator | None = None) -> np.ndarray:
        """Return codes in which missing numbers are the median, or are drawn from the other numbers."""

        return codes

    def to_cells(self, codes: np.ndarray) -> np.ndarray:
        """Return one number for each cell of codes of shape (N, width): missing numbers lie below all others."""

        return codes[:, 0]

    def to_dict(self) -> dict[str, Any]:
        """Return kind and settings, but for the name and for defaults, as plain values."""

        values: dict[str, Any] = {"kind": self.kind}
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                values[field.name] = list(value) if isinstance(value, tuple) else value
        return values


@dataclass(frozen=True, kw_only=True)
class NumberColumn(Column):
    """Base class of columns of numbers.

    Arguments:
        minimum: The smallest number.
        maximum: The largest number.
        median: The median, the code of missing numbers.
    """

    minimum: float
    maximum: float
    median: float

    @classmethod
    def describe(cls, cells: Cells) -> Column | str:
        numbers = np.sort(cls.to_numbers(cells.values))
        median = float(np.quantile(numbers, 0.5, method="lower"))
        bounds = {"minimum": float(numbers[0]), "maximum": float(numbers[-1]), "median": median}
        column = cls(cells.name, cells.missing, **bounds, **cls._details(cells, numbers))
        if cells.min_count == 1:
            return column
        ends = np.array([_supported(numbers, cells.min_count), _supported(numbers[::-1], cells.min_count)])
        low, high = column.round(ends).tolist()
        if low >= high and numbers[0] < numbers[-1]:
            return f"too few rows: without {cells.min_count} rows at each end (min_count), all values are equal"
        return replace(column, minimum=low, maximum=high, median=float(np.clip(median, low, high)))

    @classmethod
    def _details(cls, cells: Cells, numbers: np.ndarray) -> dict[str, Any]:
        """Return the settings that only this kind of numbers has."""

        return {}

    @classmethod
    def example(cls, text: pd.Series) -> str:
        return ""

    @staticmethod
    def to_numbers(cells: pd.Series) -> np.ndarray:
        """Return cells as float64, NaN if missing."""

        if isinstance(cells.dtype, np.dtype) and cells.dtype.kind in "fiu":
            return cells.to_numpy(float)
        return cells.astype("Float64").to_numpy(dtype=float, na_value=np.nan)

    @abstractmethod
    def from_numbers(self, numbers: pd.Series) -> pd.Series:
        """Return valid numbers as cells."""

    @abstractmethod
    def round(self, numbers: np.ndarray) -> np.ndarray:
        """Return the nearest numbers that cells can have, whatever their bounds."""

    @property
    def middle(self) -> float:
        """The number in the middle of the range, for a median that is not known."""

        between = self.minimum + (self.maximum - self.minimum) / 2
        return float(np.clip(self.round(np.array([between]))[0], self.minimum, self.maximum))

    @property
    def sizes(self) -> tuple[int, ...]:
        return (0, 2) if self.missing else (0,)

    def encode(self, cells: pd.Series) -> np.ndarray:
        empty = cells.isna().to_numpy()
        numbers = np.clip(self.to_numbers(cells), self.minimum, self.maximum)
        return np.column_stack([np.where(empty, self.median, numbers), empty])[:, : self.width]

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        numbers = self.round(np.clip(codes[:, 0], self.minimum, self.maximum))
        if not self.missing:
            return numbers[:, None]
        empty = codes[:, 1] > 0.5
        return np.column_stack([np.where(empty, self.median, numbers), empty])

    def decode(self, codes: np.ndarray) -> pd.Series:
        cells = self.from_numbers(pd.Series(codes[:, 0], name=self.name))
        return cells.mask(codes[:, 1] > 0.5) if self.missing else cells

    def numbers(self, cells: pd.Series) -> np.ndarray:
        return self.to_numbers(cells)

    def to_cells(self, codes: np.ndarray) -> np.ndarray:
        if not self.missing:
            return codes[:, 0]
        below = self.minimum - max(self.maximum - self.minimum, 1.0)
        return np.where(codes[:, 1] > 0.5, below, codes[:, 0])

    def fill(self, codes: np.ndarray, random: np.random.Generator | None = None) -> np.ndarray:
        if not self.missing:
            return codes
        codes = codes.copy()
        empty = codes[:, 1] > 0.5
        if random is None:
            codes[empty, 0] = self.median
        elif not empty.all():
            codes[empty, 0] = random.choice(codes[~empty, 0], int(empty.sum()))
        return codes


@dataclass(frozen=True, kw_only=True)
class NumericColumn(NumberColumn):
    """A column of numbers.

    Arguments:
        minimum, maximum, median: See `NumberColumn`.
        decimals: The number of decimals. `None`: twelve significant digits.
    """

    kind = "numeric"

    decimals: Annotated[int, settings.Integer(min=0)] | None = None

    @classmethod
    def parse(cls, cells: pd.Series, date_format: str | None = None) -> pd.Series | None:
        if not is_text(cells):
            if not pd.api.types.is_numeric_dtype(cells.dtype) or pd.api.types.is_bool_dtype(cells.dtype):
                return None
            if (
                pd.api.types.is_integer_dtype(cells.dtype)
                and cells.notna().any()
                and max(int(cells.max()), -int(cells.min())) >= MAX_INTEGER
            ):
                return None
            return cells.astype("Float64").astype("float64")
        if not matches(cells, NUMBER):
            return None
        text = to_arrow(cells)
        if which(text, r"[+-]?0\d.*").any():
            return None
        numbers = text_to_numbers(text, PLAIN)
        # integers that float64 cannot hold are no numbers
        exact = np.nanmax(np.abs(numbers), initial=0) < MAX_INTEGER or not matches(text, INTEGER)
        return pd.Series(numbers, cells.index, name=cells.name) if exact else None

    @classmethod
    def _details(cls, cells: Cells, numbers: np.ndarray) -> dict[str, Any]:
        head = numbers[:SAMPLE]
        exact = (
            k
            for k in range(MAX_DECIMALS + 1)
            if np.array_equal(np.round(head, k), head) and np.array_equal(np.round(numbers, k), numbers)
        )
        return {"decimals": next(exact, None)}

    def round(self, numbers: np.ndarray) -> np.ndarray:
        if self.decimals is not None:
            return np.round(numbers, self.decimals)
        return np.array([float(f"{number:.12g}") for number in numbers])

    def from_numbers(self, numbers: pd.Series) -> pd.Series:
        return numbers

    def format(self, cells: pd.Series, form: Form = Form()) -> list[str]:  # noqa: B008
        return [form.missing if x != x else write_number(x, form) for x in self.to_numbers(cells).tolist()]


@dataclass(frozen=True, kw_only=True)
class IntegerColumn(NumberColumn):
    """A column of integers."""

    kind = "integer"
    whole = True

    @classmethod
    def parse(cls, cells: pd.Series, date_format: str | None = None) -> pd.Series | None:
        if not is_text(cells):
            numbers = NumericColumn.parse(cells)
            if numbers is None:
                return None
            if pd.api.types.is_integer_dtype(cells.dtype):
                return cells.astype("Int64")
            # pandas turns integers into floats where cells are missing
            gaps = cells.isna().any() and (numbers.dropna() % 1 == 0).all() and numbers.abs().max() < MAX_INTEGER
            return numbers.astype("Int64") if gaps else None
        if not matches(cells, INTEGER):
            return None
        numbers = text_to_numbers(to_arrow(cells), PLAIN)
        if not np.nanmax(np.abs(numbers), initial=0) < MAX_INTEGER:
            return None
        return pd.Series(as_integers(numbers), cells.index, name=cells.name)

    def round(self, numbers: np.ndarray) -> np.ndarray:
        return np.rint(numbers)

    def from_numbers(self, numbers: pd.Series) -> pd.Series:
        return pd.Series(as_integers(numbers.to_numpy(float)), numbers.index, name=numbers.name)

    def format(self, cells: pd.Series, form: Form = Form()) -> list[str]:  # noqa: B008
        numbers = self.to_numbers(cells).tolist()
        if form.digits is None and not form.thousands and form.minus == "-":
            return [form.missing if x != x else str(int(x)) for x in numbers]
        return [form.missing if x != x else write_number(x, form).removesuffix(f"{form.decimal}0") for x in numbers]


@dataclass(frozen=True, kw_only=True)
class DateColumn(NumberColumn):
    """A column of dates; its numbers are days since 1970-01-01.

    Arguments:
        minimum, maximum, median: See `NumberColumn`.
        time: Whether dates have a time of day.
        date_format: How the parties write dates, such as `%d.%m.%Y`. `None`: as 2024-12-31.
        unit: The unit of dates that are not days or seconds: months, as in 2000-07, or minutes.
    """

    kind = "date"
    dates = True

    time: bool = False
    date_format: str | None = None
    unit: Literal["month", "minute"] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return kind and settings as plain values, with dates such as `2024-12-31` or `2024-12-31T08:30:00`."""

        return {key: _date_text(x) if key in BOUNDS else x for key, x in super().to_dict().items()}

    @classmethod
    def parse(cls, cells: pd.Series, date_format: str | None = None) -> pd.Series | None:
        if pd.api.types.is_datetime64_any_dtype(cells.dtype):
            if isinstance(cells.dtype, pd.DatetimeTZDtype):
                cells = cells.dt.tz_convert("UTC").dt.tz_localize(None)
            return cells.astype("datetime64[us]").dt.floor("s")
        if not is_text(cells) or not matches(cells.iloc[:SAMPLE], date_pattern(date_format)):
            return None
        parsed = to_dates(to_arrow(cells), date_format)
        if parsed is None:
            return None
        seconds = parsed[0].astype("datetime64[s]").astype("datetime64[us]")
        return pd.Series(seconds, cells.index, name=cells.name)

    @classmethod
    def _details(cls, cells: Cells, numbers: np.ndarray) -> dict[str, Any]:
        time = bool((numbers % 1 != 0).any())
        unit = None
        if cells.date_format and "%d" not in cells.date_format and "%Y" in cells.date_format.replace("%y", "%Y"):
            unit = "month"
        elif time and cells.date_format and "%S" not in cells.date_format:
            unit = "minute"
        return {"time": time, "date_format": cells.date_format, "unit": unit}

    @classmethod
    def example(cls, text: pd.Series) -> str:
        return str(text.iloc[0])

    @staticmethod
    def to_numbers(cells: pd.Series) -> np.ndarray:
        dates = cells.to_numpy("datetime64[us]")
        days = dates.astype("int64") / 86_400_000_000
        return np.where(np.isnat(dates), np.nan, days)

    def round(self, numbers: np.ndarray) -> np.ndarray:
        if self.unit == "month":
            days = np.rint(numbers).astype("int64").astype("datetime64[D]")
            first = days.astype("datetime64[M]")
            later = (days - first.astype("datetime64[D]")).astype(int) >= 15
            return (first + later).astype("datetime64[D]").astype("int64").astype(float)
        if self.unit == "minute":
            return np.rint(numbers * 1440) / 1440
        return np.rint(numbers * 86_400) / 86_400 if self.time else np.rint(numbers)

    def from_numbers(self, numbers: pd.Series) -> pd.Series:
        seconds = np.rint(numbers.to_numpy(float) * 86_400).astype("int64").astype("datetime64[s]")
        return pd.Series(seconds.astype("datetime64[us]"), numbers.index, name=numbers.name)

    def format(self, cells: pd.Series, form: Form = Form()) -> list[str]:  # noqa: B008
        dates = cells.to_numpy("datetime64[us]")
        filled = dates[~np.isnat(dates)]
        days = bool((filled == filled.astype("datetime64[D]")).all())
        date_format = form.date_format or self.date_format
        if date_format is None:
            date_format = "%Y-%m-%d" if days and not form.zone else "%Y-%m-%dT%H:%M:%S"
        shift = pd.Timedelta(minutes=zone_minutes(form.zone)) if "z" not in date_format else pd.Timedelta(0)
        return [
            form.missing if pd.isna(date) else write_date(date + shift, date_format, form.zone) + form.zone
            for date in pd.Series(dates).astype(object)
        ]


@dataclass(frozen=True, kw_only=True)
class LevelColumn(Column):
    """Base class of columns of levels.

    Arguments:
        levels: The levels, as they are written.
    """

    has_text = True

    levels: Annotated[tuple[str, ...], Listed(Text(), min=1)]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "levels", tuple(self.levels))
        if len(set(self.levels)) != len(self.levels):
            raise ValueError(f"levels={', '.join(self.levels)}: the same level twice")

    @property
    def _values(self) -> Sequence[Any]:
        """The values of cells, in the order of the levels."""

        return self.levels

    @property
    def sizes(self) -> tuple[int, ...]:
        return (len(self.levels) + self.missing,)

    def encode(self, cells: pd.Series) -> np.ndarray:
        codes = pd.Index(self._values, dtype="object").get_indexer(cells.astype("object")).astype(float)
        if len(rest := np.flatnonzero(codes < 0)):
            other = self.levels.index(OTHER) if OTHER in self.levels else -1
            codes[rest] = np.where(cells.iloc[rest].isna(), len(self.levels) if self.missing else -1, other)
        return codes[:, None]

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(codes), 0, self.sizes[0] - 1)

    def decode(self, codes: np.ndarray) -> pd.Series:
        return pd.Series(np.array([*self._values, None], dtype=object)[codes[:, 0].astype(int)], name=self.name)

    def format(self, cells: pd.Series, form: Form = Form()) -> list[str]:  # noqa: B008
        written = {value: form.levels.get(level, level) for value, level in zip(self._values, self.levels, strict=True)}
        return [form.missing if pd.isna(cell) else written[cell] for cell in cells.astype("object")]


@dataclass(frozen=True, kw_only=True)
class BooleanColumn(LevelColumn):
    """A column of truth values.

    Arguments:
        levels: False and true, as they are written.
    """

    kind = "boolean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.levels) != 2:
            raise ValueError(f"levels={', '.join(self.levels)}: expected false and true, as they are written")

    @classmethod
    def parse(cls, cells: pd.Series, date_format: str | None = None) -> pd.Series | None:
        if not is_text(cells):
            return cells.astype("boolean") if pd.api.types.is_bool_dtype(cells.dtype) else None
        if not matches(cells, "(?i:true|false)"):
            return None
        values = {text: BOOLEANS[text.lower()] for text in distinct(cells).to_pylist()}
        return cells.map(values).astype("boolean")

    @classmethod
    def describe(cls, cells: Cells) -> Column | str:
        fewest = cells.counts.min()
        if fewest < cells.min_count:
            return f"too few rows: fewer than {cells.min_count} (min_count) have one of the two values"
        levels = ("False", "True")
        if cells.example.islower():
            levels = ("false", "true")
        elif cells.example.isupper():
            levels = ("FALSE", "TRUE")
        return cls(cells.name, cells.missing, levels=levels)

    @property
    def _values(self) -> Sequence[Any]:
        return (False, True)

    def decode(self, codes: np.ndarray) -> pd.Series:
        return super().decode(codes).astype("boolean")


@dataclass(frozen=True, kw_only=True)
class CategoricalColumn(LevelColumn):
    """A column of categories.

    Arguments:
        levels: The levels, in the order of the number that they explain best, otherwise the most frequent one first;
            `(other)` stands for all rare levels.
    """

    kind = "categorical"

    @classmethod
    def parse(cls, cells: pd.Series, date_format: str | None = None) -> pd.Series | None:
        if is_text(cells):
            return cells
        if pd.api.types.is_integer_dtype(cells.dtype):
            return cells.map(str, na_action="ignore").astype("object").where(cells.notna(), None)
        parsed = (kind.parse(cells) for kind in (BooleanColumn, IntegerColumn, NumericColumn, DateColumn))
        return next(x for x in parsed if x is not None).map(_written, na_action="ignore").astype("object")

    @classmethod
    def example(cls, text: pd.Series) -> str:
        texts = text.iloc[:SAMPLE][~which(to_arrow(text.iloc[:SAMPLE]), NUMBER)]
        if not len(texts):
            texts = text[~which(to_arrow(text), NUMBER)]
        texts = texts if len(texts) else text
        return f"data row {int(texts.index[0]) + 1}: {texts.iloc[0][:40]!r}"

    @classmethod
    def describe(cls, cells: Cells) -> Column | str:
        values = cells.values
        counts = cells.counts.sort_index(kind="stable").sort_values(ascending=False, kind="stable")
        if not cells.asked and len(counts) > max(len(values) / 2, 20) and len(values) >= MIN_FREE_TEXT:
            hint = "; write dates as 2024-12-31" if values.str.fullmatch(DATE_LIKE).mean() > 0.5 else ""
            told = f"{len(counts)} different texts in {len(values)} rows cannot be valued{hint}"
            return f"free text: {told}; categorical=[{cells.name}] values them as levels"
        of_one, enough = cells.support(counts)
        levels = counts[enough].index.tolist()
        left = int(counts[~enough].sum())  # rows of (other), which needs as many as every level
        while levels and 0 < left < cells.min_count:
            left += int(counts[levels.pop()])
        if len(levels) > MAX_LEVELS:
            raise ValueError(
                f"column {cells.name}: {len(levels)} levels, at most {MAX_LEVELS} are possible; group them, or say "
                f"drop=[{cells.name}]"
            )
        if left and not levels:
            return _no_levels(len(counts), int(of_one.sum()), cells.min_rows)
        if left and OTHER not in levels:
            levels.append(OTHER)
        return cls(cells.name, cells.missing, levels=tuple(levels))


def is_text(cells: pd.Series) -> bool:
    """Return whether prepared cells are text."""

    return cells.dtype == object


def as_integers(numbers: np.ndarray) -> pd.api.extensions.ExtensionArray:
    """Return whole numbers as Int64, missing where they are NaN."""

    missing = np.isnan(numbers)
    return pd.arrays.IntegerArray(np.where(missing, 0, numbers).astype("int64"), missing)


def _supported(numbers: np.ndarray, count: int) -> float:
    """Return the end of the range of sorted numbers that some rows support: they lie at it or beyond it.

    It is a number of that many rows, or lies between two numbers, so that it is not the number of one row.
    """

    edge = numbers[min(count, len(numbers)) - 1]
    inner = numbers[numbers > edge] if numbers[-1] > numbers[0] else numbers[numbers < edge]
    if len(inner) == 0 or np.count_nonzero(numbers == edge) >= count:
        return float(edge)
    return float((edge + inner[0]) / 2)


def _no_levels(levels: int, of_one: int, min_rows: int) -> str:
    """Return why a column of categories is left without levels, and the remedy.

    Arguments:
        levels: The number of levels that there are.
        of_one: The number of those that have enough rows, but of one party alone.
        min_rows: The number of rows that a level needs.
    """

    if of_one:
        return (
            f"one level is left: of {levels} levels, {of_one} belong to one party each and become {OTHER}; "
            "disclose=[levels] lets them leave"
        )
    return f"one level is left: {levels} levels have too few rows, most of them fewer than {min_rows} (min_count, rare)"


def _written(value: object) -> str:
    """Return a value as text, whole numbers without decimals."""

    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def date_number(bound: Any) -> float:
    """Return a bound of a column of dates, a date or its text such as `2024-12-31`, as days since 1970-01-01.

    Raises:
        ValueError: If it is no date.
    """

    if isinstance(bound, int | float):
        return bound
    try:
        moment = pd.to_datetime(bound, format="ISO8601") if isinstance(bound, str) else pd.Timestamp(bound)
        return float(np.datetime64(moment, "us").astype("int64") / 86_400_000_000)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{bound}: expected a date such as 2024-12-31") from None


def _date_text(days: float) -> str:
    """Return days since 1970-01-01 as a date, with a time if it is not midnight."""

    moment = np.datetime64(round(days * 86_400_000_000), "us")
    day = moment.astype("datetime64[D]")
    return str(day) if moment == day else str(np.datetime_as_string(moment, "auto"))
