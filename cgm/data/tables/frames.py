"""Tables with the types of a party's own: DataFrames, and columns of Parquet files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from cgm.data.tables.columns import Column
from cgm.data.tables.forms import Form

log = logging.getLogger(__name__)

TEXT = "text"  # in place of the dtype object of a column of text


def dtypes_of(table: pd.DataFrame) -> dict[str, Any]:
    """Return the dtype of each column; of objects that are not text, what pandas infers, such as `date`."""

    found: dict[str, Any] = {}
    for name, dtype in table.dtypes.items():
        if pd.api.types.is_object_dtype(dtype):
            inferred = pd.api.types.infer_dtype(table[name], skipna=True)
            dtype = TEXT if inferred in ("string", "mixed", "mixed-integer", "empty") else inferred
        found[str(name)] = dtype
    return found


def with_dtypes(
    table: pd.DataFrame, columns: Sequence[Column], dtypes: Mapping[str, Any], forms: Mapping[str, Form]
) -> pd.DataFrame:
    """Return a table with other dtypes, where its values fit; numbers and dates may become text.

    Arguments:
        table: The table, as a schema decodes it.
        columns: Its columns, in any order.
        dtypes: The dtypes, see `dtypes_of`; columns that are not named stay as they are.
        forms: How cells are written.
    """

    of = {column.name: column for column in columns}
    converted = {}
    for name in table.columns:
        cells, form = table[name], forms.get(name, Form())
        dtype = dtypes.get(name)
        is_number = dtype in ("integer", "floating") if isinstance(dtype, str) else is_numeric_dtype(dtype)
        if form.missing and is_number:  # such as -999
            cells = cells.fillna(float(form.missing))
        try:
            converted[name] = _convert(cells, of[name], form, dtype)
        except (ValueError, TypeError, OverflowError):  # of pandas and Arrow: a value that the dtype cannot hold
            converted[name] = cells
    return pd.DataFrame(converted)


def _convert(cells: pd.Series, column: Column, form: Form, dtype: Any) -> pd.Series:
    """Return cells with another dtype.

    Raises:
        ValueError, TypeError, OverflowError: If it cannot hold one of them.
    """

    def texts() -> pd.Series:
        written = column.format(cells, replace(form, missing=form.missing or "\x00"))
        return pd.Series([None if text == "\x00" else text for text in written], name=cells.name, dtype=object)

    if dtype is None:
        return cells
    if isinstance(dtype, str):
        if dtype == TEXT:
            return texts()
        if dtype in ("date", "time"):
            return pd.Series(getattr(cells.dt, dtype), dtype=object).where(cells.notna(), None)
        return cells.astype(object).where(cells.notna(), None)
    if isinstance(dtype, pd.ArrowDtype):
        values = to_arrow_column(cells, column.of_values, replace(form, arrow=dtype.pyarrow_dtype))
        return pd.Series(pd.array(values, dtype=pd.ArrowDtype(values.type)), name=cells.name)
    if isinstance(dtype, pd.CategoricalDtype):
        levels = dtype.categories
        values = texts() if pd.api.types.infer_dtype(levels) == "string" else cells.astype(levels.dtype)
        others = [value for value in values.dropna().unique() if value not in levels]  # such as (other)
        return values.astype(pd.CategoricalDtype([*levels, *others], dtype.ordered))
    if isinstance(dtype, pd.StringDtype):
        return texts().astype(dtype)
    if isinstance(dtype, pd.PeriodDtype):
        return cells.dt.to_period(dtype.freq)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return cells.dt.tz_localize("UTC").dt.tz_convert(dtype.tz).astype(dtype)
    if isinstance(dtype, pd.SparseDtype):
        return cells.astype(dtype.subtype).astype(dtype)
    changed = cells.astype(dtype)
    if pd.api.types.is_integer_dtype(changed.dtype) and not changed.astype("Int64").equals(cells.astype("Int64")):
        raise OverflowError(f"{dtype} cannot hold all values")
    return changed


def to_arrow_column(cells: pd.Series, column: Column, form: Form) -> Any:
    """Return cells as an Arrow array of the type that the party's own column has.

    A type that cannot hold the values, such as int8 for 300, is the next one that can, with a warning.
    """

    import pyarrow as pa
    import pyarrow.compute as pc

    kind = form.arrow
    if kind is None or pa.types.is_null(kind):
        return pa.array(cells, from_pandas=True)
    if column.has_text or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        if pa.types.is_boolean(kind):
            return pa.array(cells.astype("boolean"), from_pandas=True)
        texts = column.format(cells, replace(form, missing=form.missing or "\x00"))
        values: Any = pa.array([None if text == "\x00" else text for text in texts], pa.string())
        if pa.types.is_dictionary(kind):
            return pc.cast(pc.cast(values, kind.value_type).dictionary_encode(), kind)
        return pc.cast(values, kind)
    values = pa.array(cells, from_pandas=True)
    if form.missing:
        values = pc.fill_null(values, pa.scalar(float(form.missing)).cast(values.type))
    target = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_timestamp(target) and target.tz:
        values = pc.assume_timezone(pc.cast(values, pa.timestamp("us")), "UTC")
    elif pa.types.is_time(target):
        clock = pc.cast(pc.cast(values, pa.timestamp("us")), pa.time64("us"))
        values = clock
    try:
        if pa.types.is_decimal(target):
            values = pc.cast(pc.round(pc.cast(values, pa.float64()), target.scale), target, safe=False)
        else:
            values = pc.cast(values, target, safe=not pa.types.is_floating(target))
        return pc.cast(values.dictionary_encode(), kind) if pa.types.is_dictionary(kind) else values
    except pa.ArrowInvalid:
        log.warning("column %s: the reward has the type %s, since %s cannot hold it", cells.name, values.type, kind)
        return values
