"""Inference of a schema from the parties' tables."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cgm.data.tables.cells import is_text, parse, stripped
from cgm.data.tables.columns import OTHER, Column
from cgm.data.tables.dates import date_formats
from cgm.data.tables.schema import Schema

log = logging.getLogger(__name__)

MAX_LEVELS = 1000  # of a categorical column; more are refused
MAX_DECIMALS = 9  # of numeric columns; numbers with more are rounded to twelve significant digits
DATE_LIKE = r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}.*"
MIN_EXPLAINED = 0.05  # share of a number's variance from which it orders the levels of a category
MAX_ERRORS = 5  # that are told at once
MIN_IDENTIFIERS = 50  # rows from which a column without equal cells counts as an identifier


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

    own = {column.name: column for column in known.columns} if known else {}
    parsed: dict[str, dict[str, pd.Series]] = {name: {} for name in names}
    columns, errors = [], []
    for column in [str(name) for name in tables[names[0]].columns if name not in dropped]:
        cells = {name: tables[name][column] for name in names}
        try:
            described, series = _describe_cells(column, cells, rows, rare, column in categorical, own.get(column))
        except ValueError as error:
            errors.append(str(error))
            continue
        if isinstance(described, str):
            dropped[column] = described
            log.warning("column %s is left out: %s", column, described)
            continue
        columns.append(described)
        for name in names:
            parsed[name][column] = series[name]
    if errors:
        more = f"; and {len(errors) - MAX_ERRORS} more" if len(errors) > MAX_ERRORS else ""
        raise ValueError("; ".join(errors[:MAX_ERRORS]) + more)

    if known is None:
        columns = _ordered_levels(columns, [pd.DataFrame(parsed[name])[rows[name]] for name in names])

    return Schema(tuple(columns), dropped), {name: pd.DataFrame(parsed[name]) for name in names}


def _describe_cells(
    column: str,
    cells: Mapping[str, pd.Series],
    rows: Mapping[str, np.ndarray],
    rare: float,
    categorical: bool,
    known: Column | None,
) -> tuple[Column | str, Mapping[str, pd.Series]]:
    """Describe a column, or return the reason why it is left out; and return its parsed cells, by party."""

    kind = "categorical" if categorical else None
    if known is not None and known.kind != "constant":
        kind = known.kind
    formats: Mapping[str, str | None] = dict.fromkeys(cells)
    if known is not None and known.date_format:
        formats = dict.fromkeys(cells, known.date_format)
    elif kind in (None, "date"):
        texts = {name: stripped(own) for name, own in cells.items() if is_text(own)}
        formats = {**formats, **date_formats(column, texts)}
    found = {name: parse(own, f"{name}, column {column}", kind, formats[name]) for name, own in cells.items()}
    together = _same_kind(column, found)
    missing = any(own.isna().any() for own in together.series.values())
    if known is not None:
        if missing and not known.missing:
            raise ValueError(f"column {column}: has empty cells, but the schema does not say missing: true")
        return known, together.series

    used = [own[rows[name]] for name, own in together.series.items()]
    described = describe(column, together.kind, used, missing, rare, categorical)
    if isinstance(described, Column) and described.kind == "boolean":
        described = replace(described, levels=_booleans(next(iter(found.values()))[2]))

    common = set(formats.values())
    if isinstance(described, Column) and together.kind == "date" and len(common) == 1 and (form := common.pop()):
        if described.kind == "constant":  # as it is written
            described = replace(described, levels=(next(x for x in used[0] if not pd.isna(x)).strftime(form),))
        else:
            described = replace(described, date_format=form)

    return described, together.series


def _ordered_levels(columns: Sequence[Column], tables: Sequence[pd.DataFrame]) -> list[Column]:
    """Order the levels of each category by the means of the number that they explain best.

    A Gaussian copula correlates the codes of levels with numbers, and so keeps what increases along them.
    """

    rows = pd.concat(list(tables), ignore_index=True)
    numbers = [c.name for c in columns if c.kind in ("numeric", "integer")]
    ordered = []
    for column in columns:
        best, order = MIN_EXPLAINED, list(column.levels)
        if column.kind == "categorical":
            levels = rows[column.name].map(str, na_action="ignore")
            levels = levels.where(levels.isin(column.levels) | levels.isna(), OTHER)
            for name in numbers:
                values = rows[name].astype("float64")
                groups = values.groupby(levels.to_numpy())
                explained = groups.transform("mean").var() / max(float(values.var()), 1e-300)
                if explained > best:
                    means = groups.mean().to_dict()
                    best, order = explained, sorted(column.levels, key=lambda level: means.get(level, math.inf))
        ordered.append(replace(column, levels=tuple(order)))

    return ordered


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
            hint = "; write dates as 2024-12-31" if values.str.fullmatch(DATE_LIKE).mean() > 0.5 else ""
            return f"{distinct} different texts in {len(values)} rows; identifiers or free text cannot be valued{hint}"
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


def _booleans(example: str) -> tuple[str, str]:
    """Return false and true, written like an example."""

    if example.islower():
        return "false", "true"
    return ("FALSE", "TRUE") if example.isupper() else ("False", "True")


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
