"""The kinds of cells: from text or typed columns to numbers, dates, booleans and categories."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cgm.data.tables.dates import to_dates

# cells that count as missing, beside empty ones
MISSING = ("na", "n/a", "#n/a", "nan", "null", "none", "<na>", "nat", "?", "-")
BOOLEANS = {"true": True, "false": False}
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
INTEGER = r"[+-]?(0|[1-9]\d*)"
INFINITE = r"[+-]?inf(inity)?"
DATE = r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?"
MAX_INTEGER = 2**53  # float64 holds all smaller integers


def parse(
    cells: pd.Series, name: str, kind: str | None = None, date_format: str | None = None
) -> tuple[str, pd.Series, str]:
    """Parse the cells of a column.

    Arguments:
        cells: The cells, text or typed.
        name: The name of table and column, for errors.
        kind: The kind they must have. `None`: it is inferred.
        date_format: The format of dates that are not written as 2024-12-31.

    Returns:
        The kind: `"numeric"`, `"integer"`, `"date"`, `"boolean"` or `"categorical"`; the cells: float64, Int64,
        datetime64, boolean or text, with missing ones; and, for text, an example of a cell.

    Raises:
        ValueError: If all cells are empty, or a cell is infinite or not of the kind that is asked for.
    """

    column = name.rpartition(", column ")[2]
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells = cells.astype("object")
    typed = _typed(cells, name)
    if kind == "categorical":
        text = stripped(cells) if typed is None else typed[1].map(_written, na_action="ignore").astype("object")
        found = ("categorical", text, "")
    else:
        found = _inferred(stripped(cells), name, date_format) if typed is None else typed
    if found[1].isna().all():
        raise ValueError(f"{name}: all {len(cells)} cells are empty; say drop=[{column}]")
    if kind is None or found[0] == kind:
        return found
    if kind == "numeric" and found[0] == "integer":
        return "numeric", found[1].astype("Float64").astype("float64"), ""
    raise ValueError(
        f"{name}: {found[0]}, but the schema says {kind}{f' (for example {found[2]})' if found[2] else ''}"
    )


def _typed(cells: pd.Series, name: str) -> tuple[str, pd.Series, str] | None:
    """Return kind and cells of a column that has a type other than text."""

    if pd.api.types.is_bool_dtype(cells.dtype):
        return "boolean", cells.astype("boolean"), ""
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        dates = cells.dt.tz_localize(None) if getattr(cells.dt, "tz", None) is not None else cells
        return "date", dates.dt.floor("s"), ""
    if pd.api.types.is_numeric_dtype(cells.dtype):
        numbers = cells.astype("Float64").astype("float64")
        _check_finite(numbers, name)
        whole = numbers.dropna()
        # pandas turns integers into floats where cells are missing
        if pd.api.types.is_integer_dtype(cells.dtype) or (cells.isna().any() and (whole % 1 == 0).all()):
            return "integer", numbers.astype("Int64"), ""
        return "numeric", numbers, ""
    return None


def _inferred(cells: pd.Series, name: str, date_format: str | None = None) -> tuple[str, pd.Series, str]:
    """Return kind and parsed cells of a column of text."""

    filled = cells.dropna()
    if len(filled) == 0:
        return "categorical", cells, ""
    if filled.str.fullmatch(INFINITE, case=False).any():
        row = int(cells.str.fullmatch(INFINITE, case=False).fillna(False).to_numpy(bool).argmax())
        raise ValueError(
            f"{name}: data row {row + 1} is infinite ({cells[row]}); leave the cell empty if it is missing"
        )
    lower = filled.str.lower()
    if lower.isin(BOOLEANS.keys()).all():
        return "boolean", cells.str.lower().map(BOOLEANS).astype("boolean"), filled.iloc[0]
    if filled.str.fullmatch(INTEGER).all():
        numbers = pd.to_numeric(cells)
        if numbers.abs().max() < MAX_INTEGER:
            return "integer", numbers.astype("Float64").astype("Int64"), ""
    elif filled.str.fullmatch(NUMBER).all() and not filled.str.match(r"0\d").any():
        numbers = pd.to_numeric(cells).astype("float64")
        _check_finite(numbers, name)
        return "numeric", numbers, ""
    elif date_format is not None:
        dates = to_dates(cells, date_format)
        if not (dates.isna() & cells.notna()).any():
            return "date", dates, filled.iloc[0]
    elif filled.str.fullmatch(DATE).all():
        dates = pd.to_datetime(cells, format="ISO8601", errors="coerce")
        wrong = dates.isna() & cells.notna()
        if not wrong.any():
            return "date", dates, ""
    other = filled[~filled.str.fullmatch(NUMBER)]
    example = (other if len(other) else filled).iloc[0]
    row = int((other if len(other) else filled).index[0])
    return "categorical", cells, f"data row {row + 1}: {example[:40]!r}"


def stripped(cells: pd.Series) -> pd.Series:
    """Return cells as text without spaces at the ends; missing ones as `None`."""

    text = cells.map(lambda cell: None if cell is None or cell is pd.NA or cell != cell else str(cell).strip())
    text = text.astype("object")
    return text.mask(text.str.lower().isin(MISSING) | (text == ""), None)


def _written(value: object) -> str:
    """Return a number as text, whole numbers without decimals."""

    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _check_finite(numbers: pd.Series, name: str) -> None:
    infinite = np.isinf(numbers.to_numpy(float, na_value=np.nan))
    if infinite.any():
        raise ValueError(
            f"{name}: data row {int(infinite.argmax()) + 1} is infinite; leave the cell empty if it is missing"
        )


def is_text(cells: pd.Series) -> bool:
    """Return whether a column has no type other than text."""

    return bool(
        pd.api.types.is_object_dtype(cells.dtype) or pd.api.types.is_string_dtype(cells.dtype)
    ) and not isinstance(cells.dtype, pd.CategoricalDtype)
