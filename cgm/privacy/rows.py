"""Codes of tables for releases: each row by itself, by the public schema alone.

`cgm.data.tables` recognises how a party writes numbers, dates and missing cells by looking at all rows. Before a
release this would let one row change the codes of the others, so that here a cell is what the schema says, or an error.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pandas as pd
import torch

from cgm.data.tables.columns import BOOLEANS, OTHER, BooleanColumn, Column, DateColumn, LevelColumn, NumberColumn
from cgm.data.tables.forms import MARKERS, clean
from cgm.data.tables.schema import Schema
from cgm.utils.text import shortened

log = logging.getLogger(__name__)


def to_codes(schema: Schema, table: pd.DataFrame, name: str) -> torch.Tensor:
    r"""Convert a table to codes, of shape (N, p), float64, each row by itself.

    Numbers are written as in Python, 1234.5, dates as 2024-12-31 or in the column's `date_format`, levels as in the
    schema. Numbers beyond their range are clipped to it. A level that the schema does not have becomes `(other)`, if
    the schema has this level. Empty cells, and those with a usual word for them such as `NA`, are missing.

    Arguments:
        schema: The columns.
        table: The table: cells of text, or typed columns.
        name: Its name in errors.

    Raises:
        ValueError: If columns are missing or unknown, or if a cell is not what the schema says; the message names
            column and row.
    """

    names = [column.name for column in schema.columns]
    given = [str(column) for column in table.columns]
    lacks, more = [x for x in names if x not in given], [x for x in given if x not in {*names, *schema.dropped}]
    if lacks or more:
        raise ValueError(
            f"{name}: lacks the columns {', '.join(lacks) or '(none)'} and has columns that the schema does not know: "
            f"{', '.join(more) or '(none)'}; the schema must list those to leave out under dropped:"
        )
    if len(table) == 0:
        raise ValueError(f"{name}: has no rows")
    parts = [_codes(column, table.iloc[:, given.index(column.name)], name) for column in schema.columns]
    return torch.from_numpy(np.concatenate(parts, 1))


def _codes(column: Column, cells: pd.Series, name: str) -> np.ndarray:
    """Return the codes of a column, of shape (N, width)."""

    numbers = _values(column, cells, name)
    empty = np.isnan(numbers)
    if empty.any() and not column.missing:
        row = int(empty.argmax()) + 1
        where = f"{name}, column {column.name}, data row {row}"
        raise ValueError(f"{where}: is empty, but the schema does not say missing: true")
    if isinstance(column, LevelColumn):
        return np.where(empty, len(column.levels), numbers)[:, None]
    assert isinstance(column, NumberColumn)
    clipped = np.clip(numbers, column.minimum, column.maximum)
    if beyond := int((clipped != numbers)[~empty].sum()):
        log.info("%s, column %s: %d numbers are clipped to the schema's range", name, column.name, beyond)
    return np.column_stack([np.where(empty, column.median, clipped), empty])[:, : column.width]


def _values(column: Column, cells: pd.Series, name: str) -> np.ndarray:
    """Return the cells of a column as numbers, levels as their places in the schema; NaN where they are missing."""

    if isinstance(column, NumberColumn) and not isinstance(column, DateColumn) and _is_numeric(cells):
        numbers = cells.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        if np.isinf(numbers).any():
            row = int(np.isinf(numbers).argmax()) + 1
            raise ValueError(f"{name}, column {column.name}, data row {row}: is infinite")
        if column.whole and (odd := numbers % 1 > 0).any():
            row = int(odd.argmax()) + 1
            raise ValueError(f"{name}, column {column.name}, data row {row}: {numbers[row - 1]:g} is no integer")
        return numbers
    values: dict[Any, float] = {}
    result = np.empty(len(cells))
    for row, cell in enumerate(cells.tolist()):
        key = "" if cell is None or cell is pd.NaT or cell is pd.NA or cell != cell else cell
        if key not in values:
            try:
                values[key] = _value(column, key)
            except ValueError as error:
                raise ValueError(f"{name}, column {column.name}, data row {row + 1}: {error}") from None
        result[row] = values[key]
    return result


def _value(column: Column, cell: Any) -> float:
    """Return a cell as a number."""

    text = clean(str(cell))
    if isinstance(column, LevelColumn):
        if isinstance(column, BooleanColumn) and text.lower() in BOOLEANS:
            return float(BOOLEANS[text.lower()])
        if not isinstance(cell, str) and isinstance(cell, float) and cell.is_integer():
            text = str(int(cell))
        if text in column.levels:
            return float(column.levels.index(text))
        if not text or text.lower() in MARKERS:
            return math.nan
        if OTHER in column.levels:
            return float(column.levels.index(OTHER))
        raise ValueError(
            f"{shortened(text, 40)!r} is no level of the schema; all parties would have to agree on a schema that has "
            f"it under levels:, or {OTHER} for all others"
        )
    if not text or text.lower() in MARKERS:
        return math.nan
    if isinstance(column, DateColumn):
        return _days(column, cell if not isinstance(cell, str) else text)
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{shortened(text, 40)!r} is no number; write it as 1234.5") from None
    if not math.isfinite(number):
        raise ValueError(f"{shortened(text, 40)!r} is no finite number")
    if column.whole and not number.is_integer():
        raise ValueError(f"{shortened(text, 40)!r} is no integer")
    return number


def _days(column: DateColumn, cell: Any) -> float:
    """Return a date as days since 1970-01-01."""

    expected = column.date_format or "%Y-%m-%d"
    try:
        if not isinstance(cell, str):
            moment = pd.Timestamp(cell)
        elif column.date_format:
            moment = pd.to_datetime(cell, format=column.date_format)
        else:
            moment = pd.to_datetime(cell, format="ISO8601")
        moment = moment.tz_convert("UTC").tz_localize(None) if moment.tzinfo else moment
        return float(moment.timestamp() / 86_400)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{shortened(str(cell), 40)!r} is no date like {expected}") from None


def _is_numeric(cells: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype)
