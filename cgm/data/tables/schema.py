r"""The schema of the parties' tables: the columns, their kinds, ranges and levels.

A table is converted to *codes*, a matrix of numbers without gaps, and back:

=================  ====================================================  ==========================================
kind               code                                                  missing cells
=================  ====================================================  ==========================================
numeric, integer   the number                                            the median, and 1 in a column of indicators
date               days since 1970-01-01                                 likewise
boolean            0 or 1                                                2
categorical        the number of the level, the most frequent one first  the number after the last level
constant           none
=================  ====================================================  ==========================================
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cgm.data.tables.cells import parse
from cgm.utils.checks import check_bool, check_choice

log = logging.getLogger(__name__)

KINDS = ("numeric", "integer", "date", "boolean", "categorical", "constant")
NUMBERS = ("numeric", "integer", "date")
OTHER = "(other)"  # the level that stands for all rare ones
MAX_LEVELS = 1000  # of a categorical column; more are refused
MAX_DECIMALS = 9  # of numeric columns; numbers with more are rounded to twelve significant digits
MIN_IDENTIFIERS = 50  # rows from which a column without equal cells counts as an identifier


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
        levels: The levels of a category, the most frequent one first; `(other)`, the last one, stands for all rare
            levels. Of booleans, `("False", "True")`. Of a constant column, its value.
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
            cells = pd.Series(levels[codes[:, 0].astype(int)], name=self.name)
            return cells.map({"True": True, "False": False}).astype("boolean") if self.kind == "boolean" else cells
        values = pd.Series(codes[:, 0], name=self.name)
        if self.kind == "date":
            values = pd.to_datetime(np.rint(values * 86_400), unit="s")
        elif self.kind == "integer":
            values = values.astype("Int64")
        return values.mask(codes[:, 1] > 0.5) if self.missing else values


@dataclass(frozen=True)
class Schema:
    """The columns that all parties' tables have.

    Attributes:
        columns: The columns, in the order of the tables.
        dropped: The columns that are left out, and why.
    """

    columns: tuple[Column, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not any(column.width for column in self.columns):
            left = "; ".join(f"{name}: {why}" for name, why in self.dropped.items())
            raise ValueError(f"schema: no column is left that rows differ in{f' ({left})' if left else ''}")

    @property
    def slices(self) -> list[slice]:
        """The place of each column in a matrix of codes."""

        ends = np.cumsum([0, *(column.width for column in self.columns)])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def to_codes(self, table: pd.DataFrame) -> Tensor:
        """Convert a parsed table to codes, of shape (N, p), float64."""

        codes = [column.to_codes(table[column.name]) for column in self.columns]
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(codes, axis=1)))

    def nearest(self, codes: Tensor) -> Tensor:
        """Return the nearest codes of rows that the columns allow, of shape (N, p)."""

        values = codes.numpy()
        parts = [column.nearest(values[:, part]) for column, part in zip(self.columns, self.slices, strict=True)]
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(parts, axis=1)))

    def to_table(self, codes: Tensor) -> pd.DataFrame:
        """Convert codes that are valid (see `nearest`) to a table."""

        values = codes.numpy()
        parts = zip(self.columns, self.slices, strict=True)
        return pd.DataFrame({column.name: column.to_cells(values[:, part]) for column, part in parts})

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain values, for a YAML file."""

        columns = {}
        for column in self.columns:
            values = {name: value for name, value in asdict(column).items() if name != "name"}
            defaults = {f.name: f.default for f in fields(Column)}
            values["levels"] = list(column.levels)
            columns[column.name] = {k: v for k, v in values.items() if v != defaults[k] and v != []}
        return {"columns": columns, "dropped": dict(self.dropped)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Schema:
        """Return the schema that `to_dict` has written.

        Raises:
            ValueError: If values are missing or unknown.
        """

        if not isinstance(values, Mapping) or not isinstance(values.get("columns"), Mapping):
            raise ValueError("schema: expected a file with columns: and dropped:, as cgm settle writes it")
        columns = []
        known = {f.name for f in fields(Column)} - {"name"}
        for name, settings in values["columns"].items():
            unknown = sorted(set(settings) - known) if isinstance(settings, Mapping) else [settings]
            if unknown or "kind" not in settings:
                raise ValueError(f"schema: column {name}: expected kind and any of {', '.join(sorted(known))}")
            columns.append(Column(str(name), **settings))
        return cls(tuple(columns), dict(values.get("dropped") or {}))


def infer_schema(
    tables: Mapping[str, pd.DataFrame],
    used: Mapping[str, np.ndarray] | None = None,
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    rare: float = 0.005,
    known: Schema | None = None,
) -> tuple[Schema, dict[str, pd.DataFrame]]:
    """Find out what the columns of the parties' tables are.

    Kinds are inferred from all rows; ranges and levels from those that are used. Text without equal cells
    (identifiers, free text) and integers that count the rows are left out; so are columns with the same value
    everywhere, which rewards repeat.

    Arguments:
        tables: The table of each party, as it was read.
        used: The rows of each party that are used, as masks of shape (N_i). `None`: all.
        categorical: Columns to treat as categories, whatever their cells.
        drop: Columns to leave out.
        rare: The share of the rows below which levels are pooled to one, `(other)`.
        known: A schema to use instead of inferring one.

    Returns:
        The schema, and the parsed tables with its columns.

    Raises:
        ValueError: If the parties' columns or their kinds differ, or a column cannot be used. The message names the
            party, the column and the remedy.
    """

    names = list(tables)
    _check_columns(tables, drop, categorical)
    dropped = dict.fromkeys(drop, "drop")
    if known is not None:
        dropped = dict(known.dropped)
        _check_known(tables[names[0]], known)
    rows = {name: np.ones(len(table), bool) for name, table in tables.items()} if used is None else dict(used)

    parsed: dict[str, dict[str, pd.Series]] = {name: {} for name in names}
    columns = []
    for column in [str(name) for name in tables[names[0]].columns]:
        if column in dropped:
            continue
        own = next((c for c in known.columns if c.name == column), None) if known else None
        if own is not None and own.kind != "constant":
            kind: str | None = own.kind
        else:
            kind = "categorical" if column in categorical else None
        found = {name: parse(tables[name][column], f"{name}, column {column}", kind) for name in names}
        cells = _same_kind(column, found)
        described: Column | str
        if own is not None:
            described = own
        else:
            used_cells = [cells.series[name][rows[name]] for name in names]
            missing = any(cells.series[name].isna().any() for name in names)
            described = describe(column, cells.kind, used_cells, missing, rare, column in categorical)
        if isinstance(described, str):
            dropped[column] = described
            log.warning("column %s is left out: %s", column, described)
            continue
        columns.append(described)
        for name in names:
            parsed[name][column] = cells.series[name]

    return Schema(tuple(columns), dropped), {name: pd.DataFrame(parsed[name]) for name in names}


def describe(name: str, kind: str, parts: Sequence[pd.Series], missing: bool, rare: float, asked: bool) -> Column | str:
    """Describe a column, or return the reason why it is left out.

    Arguments:
        name: The name of the column.
        kind: The kind of its cells.
        parts: The parsed cells of the rows of each party that are used.
        missing: Whether any cell is empty.
        rare: The share of rows below which levels are pooled.
        asked: Whether the user has said that it is categorical.

    Raises:
        ValueError: If it has too many levels.
    """

    filled = pd.concat(list(parts), ignore_index=True).dropna()
    if len(filled) == 0:
        return "all cells of the rows that are used are empty"
    values = filled.map(str) if kind in ("categorical", "boolean") else filled
    if not missing and values.nunique() == 1:
        text = values.iloc[0]
        return Column(name, "constant", levels=(text.isoformat() if kind == "date" else str(text),))
    column = Column(name, "boolean", missing, levels=("False", "True"))
    if kind == "boolean":
        return column

    if kind == "categorical":
        counts = values.value_counts()
        counts = counts.sort_index(kind="stable").sort_values(ascending=False, kind="stable")
        distinct = len(counts)
        if not asked and distinct > max(len(values) / 2, 20) and len(values) >= MIN_IDENTIFIERS:
            return f"{distinct} different texts in {len(values)} rows; identifiers or free text cannot be valued"
        if distinct > MAX_LEVELS:
            raise ValueError(
                f"column {name}: {distinct} levels, at most {MAX_LEVELS} are possible; group them, or say drop=[{name}]"
            )
        often = counts[counts >= rare * len(values)].index
        levels = [str(level) for level in often]
        if len(often) < distinct and OTHER not in levels:
            levels.append(OTHER)
        return replace(column, kind=kind, levels=tuple(levels))

    if kind == "integer" and len(values) >= MIN_IDENTIFIERS and all(_numbers_rows(own) for own in parts):
        return "integers that number the rows; identifiers cannot be valued"
    time = False
    if kind == "date":
        time = bool((values != values.dt.normalize()).any())
        values = (values - pd.Timestamp(0)) / pd.Timedelta(days=1)
    numbers = values.astype("float64").to_numpy()
    decimals = _decimals(numbers) if kind == "numeric" else None
    median = float(np.quantile(numbers, 0.5, method="lower"))
    return Column(
        name,
        kind,
        missing,
        float(numbers.min()),
        float(numbers.max()),
        median,
        decimals,
        time if kind == "date" else False,
    )


@dataclass(frozen=True)
class _Cells:
    kind: str
    series: dict[str, pd.Series]


def _same_kind(column: str, found: Mapping[str, tuple[str, pd.Series, str]]) -> _Cells:
    """Return the kind that the cells of all parties have, and the cells."""

    kinds = {kind for kind, _, _ in found.values()}
    if kinds == {"integer", "numeric"}:
        series = {name: cells.astype("Float64").astype("float64") for name, (_, cells, _) in found.items()}
        return _Cells("numeric", series)
    if len(kinds) > 1:
        told = ", ".join(
            f"{name}: {kind}{f' ({example})' if example else ''}" for name, (kind, _, example) in found.items()
        )
        raise ValueError(
            f"column {column}: the parties disagree on its kind ({told}); correct the tables, or say "
            f"categorical=[{column}] or drop=[{column}]"
        )
    return _Cells(kinds.pop(), {name: cells for name, (_, cells, _) in found.items()})


def _check_columns(tables: Mapping[str, pd.DataFrame], drop: Sequence[str], categorical: Sequence[str]) -> None:
    names = list(tables)
    first = set(tables[names[0]].columns)
    for name in names[1:]:
        own = set(tables[name].columns)
        if own != first:
            lacks, more = sorted(first - own), sorted(own - first)
            told = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has also {', '.join(more)}"] * bool(more)
            raise ValueError(
                f"{name}: its columns are not those of {names[0]}: it {' and '.join(told)}; all need the same"
            )
    for setting, columns in (("drop", drop), ("categorical", categorical)):
        for column in columns:
            if column not in first:
                raise ValueError(f"{setting}={column}: there is no such column; there are {', '.join(sorted(first))}")


def _check_known(table: pd.DataFrame, known: Schema) -> None:
    expected = {column.name for column in known.columns} | set(known.dropped)
    found = set(table.columns)
    if expected != found:
        lacks, more = sorted(expected - found), sorted(found - expected)
        raise ValueError(
            f"schema: the tables lack {', '.join(lacks) or 'nothing'}, and have also {', '.join(more) or 'nothing'}"
        )


def _numbers_rows(cells: pd.Series) -> bool:
    """Return whether integers are all different and lie close together, as those that number the rows do."""

    filled = cells.dropna()
    return len(filled) > 0 and filled.nunique() == len(filled) and filled.max() - filled.min() < 2 * len(filled)


def _decimals(numbers: np.ndarray) -> int | None:
    """Return the smallest number of decimals with which all numbers can be written; `None` if there is none."""

    for decimals in range(MAX_DECIMALS + 1):
        if np.array_equal(np.round(numbers, decimals), numbers):
            return decimals
    return None
