"""The schema of the parties' tables: the columns that all of them have, given or inferred."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch

from cgm.data.tables.columns import OTHER, CategoricalColumn, Cells, Column, DateColumn, IntegerColumn, NumericColumn
from cgm.data.tables.kinds import KINDS, Parsed, date_formats, describe, parse, prepare
from cgm.utils.checks import check_choice
from cgm.utils.text import shortened

log = logging.getLogger(__name__)

MIN_EXPLAINED = 0.05  # share of a number's variance from which it orders the levels of a category
MAX_ERRORS = 5  # columns that a message names


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
    def sizes(self) -> tuple[int, ...]:
        """For each column of codes its number of values, 0 for numbers."""

        return tuple(size for column in self.columns for size in column.sizes)

    @property
    def slices(self) -> list[slice]:
        """The place of each column in a matrix of codes."""

        ends = np.cumsum([0, *(column.width for column in self.columns)])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def to_codes(self, table: pd.DataFrame) -> torch.Tensor:
        """Convert a parsed table to codes, of shape (N, p), float64."""

        return _joined([column.encode(table[column.name]) for column in self.columns])

    def filled(self, codes: torch.Tensor, seed: int | None = None) -> torch.Tensor:
        """Return codes of shape (N, p) in which missing numbers are the median of their column, or drawn from it.

        A generator that is fitted to numbers drawn from those of the column learns the numbers that there are, and
        where cells are empty, but not that the median is frequent.

        Arguments:
            codes: The codes.
            seed: The seed of the draws. `None`: the medians.
        """

        random = None if seed is None else np.random.default_rng(seed)
        return self._by_column(codes, lambda column, part: column.fill(part, random))

    def nearest(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the nearest codes of rows that the columns allow, of shape (N, p)."""

        return self._by_column(codes, lambda column, part: column.nearest(part))

    def to_table(self, codes: torch.Tensor) -> pd.DataFrame:
        """Convert codes that are valid (see `nearest`) to a table."""

        values = codes.numpy()
        parts = zip(self.columns, self.slices, strict=True)
        return pd.DataFrame({column.name: column.decode(values[:, part]) for column, part in parts})

    def _by_column(self, codes: torch.Tensor, convert: Callable[[Column, np.ndarray], np.ndarray]) -> torch.Tensor:
        """Convert the codes of each column."""

        values = codes.numpy()
        return _joined(
            [convert(column, values[:, part]) for column, part in zip(self.columns, self.slices, strict=True)]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain values, for a YAML file."""

        return {"columns": {column.name: column.to_dict() for column in self.columns}, "dropped": dict(self.dropped)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Schema:
        """Return the schema that `to_dict` has written.

        Raises:
            ValueError: If values are missing, unknown, or of another type.
        """

        if not isinstance(values, Mapping) or not isinstance(values.get("columns"), Mapping):
            raise ValueError("schema: expected a file with columns: and dropped:, as cgm settle writes it")
        dropped = values.get("dropped") or {}
        if not isinstance(dropped, Mapping) or not all(
            map(_is_scalar, [*dropped.values(), *dropped, *values["columns"]])
        ):
            raise ValueError("schema: expected names of columns, and below dropped: a text for each")
        columns = [_column(str(name), settings) for name, settings in values["columns"].items()]
        return cls(tuple(columns), {str(name): str(why) for name, why in dropped.items()})


def _column(name: str, values: Any) -> Column:
    """Return the column that `Column.to_dict` has written."""

    if not isinstance(values, Mapping) or "kind" not in values:
        raise ValueError(f"schema: column {name}: expected kind, one of {', '.join(KINDS)}, and its settings")
    check_choice(f"schema: kind of column {name}", values["kind"], tuple(KINDS))
    kind, given = KINDS[values["kind"]], {setting: value for setting, value in values.items() if setting != "kind"}
    needs = [setting.name for setting in fields(kind)[1:] if setting.default is MISSING]
    others = [setting.name for setting in fields(kind)[1:] if setting.default is not MISSING]
    if not set(needs) <= set(given) <= {*needs, *others}:
        raise ValueError(
            f"schema: column {name} is {kind.kind} and needs {', '.join(needs)}; besides, it may have "
            f"{', '.join(others)}, got {', '.join(map(str, given)) or 'none'}"
        )
    for setting, value in given.items():
        if not all(map(_is_scalar, value if setting == "levels" and isinstance(value, list) else [value])):
            raise ValueError(f"schema: column {name}: {setting}: expected a number or a text, without parts")
    if isinstance(given.get("levels"), list):
        given["levels"] = list(map(str, given["levels"]))
    try:
        column = kind(name, **given)
    except ValueError as error:
        raise ValueError(f"schema: column {name}: {shortened(str(error), 300)}") from None
    bounds = [given[bound] for bound in ("minimum", "median", "maximum") if bound in given]
    if bounds != sorted(bounds):
        raise ValueError(f"schema: column {name}: expected minimum <= median <= maximum, got {bounds}")
    return column


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | date)


def _joined(parts: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.concatenate(parts, axis=1)))


def infer_schema(
    tables: Mapping[str, pd.DataFrame],
    used: Mapping[str, np.ndarray] | None = None,
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    rare: float = 0.005,
    known: Schema | None = None,
) -> tuple[Schema, dict[str, pd.DataFrame]]:
    """Infer the columns of the parties' tables.

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

    _check_columns(tables, drop, categorical)
    names = list(tables)
    dropped = dict.fromkeys(drop, "drop")
    given: dict[str, Column] = {}
    if known is not None:
        dropped, given = dict(known.dropped), {column.name: column for column in known.columns}
        _check_known(tables[names[0]], {*given, *dropped})
    rows = {name: np.ones(len(table), bool) for name, table in tables.items()} if used is None else used

    parsed: dict[str, dict[str, pd.Series]] = {name: {} for name in names}
    columns, errors = [], []
    for name in [str(name) for name in tables[names[0]].columns if name not in dropped]:
        try:
            cells = {party: table[name] for party, table in tables.items()}
            column, series = _describe(name, cells, rows, rare, name in categorical, given.get(name))
        except ValueError as error:
            errors.append(str(error))
            continue
        if isinstance(column, str):
            dropped[name] = column
            log.warning("column %s is left out: %s", name, column)
            continue
        columns.append(column)
        for party in names:
            parsed[party][name] = series[party]
    if errors:
        more = f"; and {len(errors) - MAX_ERRORS} more" if len(errors) > MAX_ERRORS else ""
        raise ValueError("; ".join(errors[:MAX_ERRORS]) + more)

    frames = {name: pd.DataFrame(parsed[name]) for name in names}
    if known is None:
        columns = _ordered_levels(columns, pd.concat([frames[name][rows[name]] for name in names], ignore_index=True))
    return Schema(tuple(columns), dropped), frames


def _describe(
    name: str,
    cells: Mapping[str, pd.Series],
    rows: Mapping[str, np.ndarray],
    rare: float,
    categorical: bool,
    known: Column | None,
) -> tuple[Column | str, Mapping[str, pd.Series]]:
    """Describe a column, or return the reason why it is left out; and return its parsed cells, by party."""

    cells = {party: prepare(part) for party, part in cells.items()}
    values = None if known is None else known.of_values
    asked = (CategoricalColumn if categorical else None) if values is None else type(values)
    formats: dict[str, str | None] = dict.fromkeys(cells)
    if isinstance(values, DateColumn) and values.date_format:
        formats = dict.fromkeys(cells, values.date_format)
    elif asked in (None, DateColumn):
        formats = date_formats(name, cells)
    parts = {party: parse(part, f"{party}, column {name}", asked, formats[party]) for party, part in cells.items()}
    kind, series = _same_kind(name, parts)
    missing = any(part.isna().any() for part in series.values())
    if known is not None:
        if missing and not known.missing:
            raise ValueError(f"column {name}: has empty cells, but the schema does not say missing: true")
        return known, series

    used = [part[rows[party]] for party, part in series.items()]
    date_format = formats.popitem()[1] if len(set(formats.values())) == 1 else None
    example = next(iter(parts.values())).example
    return describe(Cells(name, kind, used, missing, example, date_format, rare, categorical)), series


def _same_kind(name: str, parts: Mapping[str, Parsed]) -> tuple[type[Column], dict[str, pd.Series]]:
    """Return the kind that the cells of all parties have, and the cells."""

    kinds = {part.kind for part in parts.values()}
    if kinds == {IntegerColumn, NumericColumn}:
        return NumericColumn, {party: part.cells.astype("Float64").astype("float64") for party, part in parts.items()}
    if len(kinds) > 1:
        told = ", ".join(
            f"{party}: {part.kind.kind}{f' ({part.example})' if part.example else ''}" for party, part in parts.items()
        )
        raise ValueError(
            f"column {name}: the parties disagree on its kind ({told}); correct the tables, or say "
            f"categorical=[{name}] or drop=[{name}]"
        )
    return kinds.pop(), {party: part.cells for party, part in parts.items()}


def _ordered_levels(columns: Sequence[Column], rows: pd.DataFrame) -> list[Column]:
    """Order the levels of each category by the means of the number that they explain best.

    A Gaussian copula correlates the codes of levels with numbers, and so keeps what increases along them.
    """

    numbers = [rows[c.name].astype("float64") for c in columns if isinstance(c, NumericColumn | IntegerColumn)]
    ordered = []
    for column in columns:
        if isinstance(column, CategoricalColumn):
            best, order = MIN_EXPLAINED, column.levels
            levels = rows[column.name].where(rows[column.name].isin(column.levels) | rows[column.name].isna(), OTHER)
            for values in numbers:
                groups = values.groupby(levels.to_numpy())
                explained = groups.transform("mean").var() / max(float(values.var()), 1e-300)
                if explained > best:
                    means = groups.mean().to_dict()
                    best, order = explained, tuple(sorted(column.levels, key=lambda level: means.get(level, math.inf)))
            column = replace(column, levels=order)
        ordered.append(column)

    return ordered


def _check_columns(tables: Mapping[str, pd.DataFrame], drop: Sequence[str], categorical: Sequence[str]) -> None:
    """Check that all tables have the same columns, and that those of settings are among them."""

    (first, expected), *others = [(name, set(table.columns)) for name, table in tables.items()]
    for name, columns in others:
        lacks, more = ", ".join(sorted(expected - columns)), ", ".join(sorted(columns - expected))
        if lacks or more:
            told = " and ".join([f"lacks {lacks}"] * bool(lacks) + [f"has also {more}"] * bool(more))
            raise ValueError(f"{name}: its columns are not those of {first}: it {told}; all need the same")
    for setting, named in (("drop", drop), ("categorical", categorical)):
        for column in named:
            if column not in expected:
                there = ", ".join(sorted(expected))
                raise ValueError(f"{setting}={column}: there is no such column; there are {there}")


def _check_known(table: pd.DataFrame, expected: set[str]) -> None:
    """Check that a table has the columns of a schema."""

    lacks, more = (", ".join(sorted(x)) for x in (expected - set(table.columns), set(table.columns) - expected))
    if lacks or more:
        raise ValueError(f"schema: the tables lack {lacks or 'nothing'}, and have also {more or 'nothing'}")
