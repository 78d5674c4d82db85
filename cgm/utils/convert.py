"""Data as people hold it, as tensors: the one place where arrays, data frames and lists are converted.

| given | dtype of the points | device |
| --- | --- | --- |
| a tensor or a numpy array of floating-point numbers | that of the data | that of the data |
| integers, truth values, lists of numbers | float64 | that of the data; of lists, the CPU |
| images of bytes (uint8), of shape (N, C, H, W) | float32, divided by 255 | that of the data |
| a data frame of numbers, also of Arrow | that of its columns together, as above | the CPU |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch

if TYPE_CHECKING:
    import pandas as pd

KINDS = {
    "O": "objects",
    "U": "text",
    "S": "text",
    "M": "dates",
    "m": "durations",
    "V": "records",
    "c": "complex numbers",
}
EXPECTED = "a tensor, a numpy array, a DataFrame of numbers or a list of rows"


def to_tensor(data: Any, name: str) -> torch.Tensor:
    """Return points or images as a tensor of floating-point numbers, see the table above; a tensor of such as it is.

    Arguments:
        data: A tensor, an array, a data frame of numbers or a list of rows.
        name: The name of the points in an error.

    Raises:
        ValueError: If it is something else, has no numbers, or its rows differ in length.

    Example:
        >>> to_tensor([[1, 2], [3, 4]], "points")
        tensor([[1., 2.],
                [3., 4.]], dtype=torch.float64)
    """

    x = data if isinstance(data, torch.Tensor) else torch.from_numpy(_array(data, name))
    if x.is_complex():
        raise ValueError(f"{name}: holds complex numbers; points are real numbers")
    if x.layout != torch.strided:
        raise ValueError(f"{name}: a sparse tensor; use x.to_dense()")
    if x.is_floating_point():
        return x
    if x.dim() == 4 and x.dtype != torch.uint8:
        raise ValueError(f"{name}: images of {x.dtype}; expected bytes (uint8), or numbers from 0 to 1 such as x / 255")
    return x.float() / 255 if x.dim() == 4 else x.double()


def to_labels(y: Any, name: str) -> torch.Tensor:
    """Return classes as a tensor, without a look at their values; a tensor as it is.

    Raises:
        ValueError: If they are text or other objects.
    """

    if isinstance(y, torch.Tensor):
        return y
    array = np.asarray(y)
    if array.dtype.kind in KINDS:
        raise ValueError(
            f"{name}: expected classes 0, 1, ..., got {KINDS[array.dtype.kind]}; np.unique(y, return_inverse=True)[1] "
            "numbers them"
        )
    return torch.from_numpy(_native(array.astype(np.int64) if array.dtype.kind in "iu" else array))


def to_numbers(values: Any, name: str) -> torch.Tensor:
    """Return numbers, such as values or contributions, as a float64 tensor on the CPU.

    Raises:
        ValueError: If they are something else.
    """

    if isinstance(values, torch.Tensor) and not values.is_complex():
        return values.detach().cpu().double()
    try:
        array = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
        if values is None or array.dtype.kind in KINDS:
            raise ValueError(KINDS.get(array.dtype.kind, ""))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: expected numbers, got {type(values).__name__} ({error})") from error
    return torch.from_numpy(_native(array.astype(np.float64)))


def parties_by_name(parties: Any) -> dict[str, Any]:
    """Return the data of the parties by their names: those of a dictionary, or else `party 1`, `party 2`, ...

    Raises:
        ValueError: If there are none, or what is given is the data of one party, or a name is empty or occurs twice.
    """

    if isinstance(parties, torch.Tensor | np.ndarray):
        kind = "tensor" if isinstance(parties, torch.Tensor) else "array"
        raise ValueError(
            f"parties: expected a list of {kind}s, one for each party, got one {kind} of shape {tuple(parties.shape)}; "
            "use list(x) if its first dimension is that of the parties"
        )
    if is_frame(parties):
        raise ValueError(
            "parties: expected a table for each party, got one; if a column names the party, use "
            "{name: rows for name, rows in table.groupby(column)}, without this column"
        )
    if isinstance(parties, str | bytes | PathLike) or not isinstance(parties, Iterable):
        raise ValueError(f"parties: expected a list, or a dictionary from names to data, got {type(parties).__name__}")
    if not isinstance(parties, Mapping):
        given = list(parties)
        parties = dict(zip(numbered(len(given)), given, strict=True))
    if not parties:
        raise ValueError("parties: there are none; at least one is needed")
    named = {str(name): data for name, data in parties.items()}
    if len(named) < len(parties) or not all(name.strip() for name in named):
        raise ValueError(f"parties: expected different names that are not empty, got {list(parties)}")
    return named


def numbered(n: int) -> tuple[str, ...]:
    """Return the names of n parties that have none: `party 1`, `party 2`, ..."""

    return tuple(f"party {i + 1}" for i in range(n))


def label_of(name: str) -> str:
    """Return what a message calls a party: its name after the word party."""

    return name if name.startswith("party ") else f"party {name}"


def is_frame(data: Any) -> TypeGuard[Any]:
    """Return whether data is a table with names of columns: of pandas, of polars, of PyArrow and others like them."""

    tabular = any(callable(getattr(data, way, None)) for way in ("__arrow_c_stream__", "to_pandas", "to_frame"))
    return hasattr(data, "columns") and (tabular or hasattr(data, "dtypes"))


def to_frame(table: Any) -> pd.DataFrame:
    """Return a table as a DataFrame; those of Arrow and polars keep their types. A DataFrame is returned as it is."""

    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return table
    if callable(getattr(table, "__arrow_c_stream__", None)):
        import pyarrow as pa

        return pa.table(table).to_pandas(types_mapper=pd.ArrowDtype)
    return table.to_pandas()


def same_columns(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return tables with the columns in the order of the first one.

    Raises:
        ValueError: If a table has other columns; the message names the party and one of them.
    """

    (first, one), *_ = tables.items()
    for name, table in tables.items():
        if unlike := [*one.columns.difference(table.columns), *table.columns.difference(one.columns)]:
            has = "has no" if unlike[0] in one.columns else "has a"
            raise ValueError(f"{label_of(name)}: {has} column {unlike[0]}, unlike {label_of(first)}; all need the same")
        if not table.columns.is_unique:
            twice = table.columns[table.columns.duplicated()][0]
            raise ValueError(f"{label_of(name)}: the column {twice} occurs twice")
    return {name: table[one.columns] for name, table in tables.items()}


def _array(data: Any, name: str) -> np.ndarray:
    """Return data as an array of real numbers in native byte order, contiguous and writable."""

    if is_frame(data):
        array = _numbers(to_frame(data), name)
    elif isinstance(data, np.ma.MaskedArray):
        array = np.ma.filled(data.astype(float), np.nan)
    elif callable(getattr(data, "toarray", None)):
        raise ValueError(f"{name}: a sparse matrix; use x.toarray()")
    elif isinstance(data, str | bytes | Mapping) or not (isinstance(data, Iterable) or hasattr(data, "__array__")):
        raise ValueError(f"{name}: expected points of shape (N, d), {EXPECTED}, got {type(data).__name__}")
    else:
        array = _rows(data, name)
    if array.dtype.kind in KINDS:
        remedy = "; use x.astype(float) if all are numbers" if array.dtype.kind == "O" else ""
        raise ValueError(f"{name}: expected numbers, got {KINDS[array.dtype.kind]}{remedy}")
    return _native(array)


def _native(array: np.ndarray) -> np.ndarray:
    """Return numbers in a type that torch has, in native byte order, contiguous and writable."""

    types = (np.float16, np.float32, np.float64, np.uint8, np.int8, np.int16, np.int32, np.int64, np.bool_)
    native = array.dtype.newbyteorder("=")
    array = np.ascontiguousarray(array, native if native in types else np.float64)
    return array if array.flags.writeable else array.copy()


def _rows(data: Any, name: str) -> np.ndarray:
    """Return an array, or a list of rows, as an array."""

    if isinstance(data, list | tuple) and any(isinstance(row, torch.Tensor) for row in data):
        data = [row.detach().cpu().numpy() if isinstance(row, torch.Tensor) else row for row in data]
    try:
        return np.asarray(data if hasattr(data, "__array__") else list(data))
    except ValueError:  # of rows that differ in length
        lengths = [np.shape(row) for row in data if np.ndim(row) == 1] if isinstance(data, list | tuple) else []
        for row, length in enumerate(lengths):
            if length != lengths[0]:
                raise ValueError(
                    f"{name}: row {row} has {length[0]} numbers where {lengths[0][0]} are expected, as in row 0"
                ) from None
        raise ValueError(f"{name}: expected rows of the same length, {EXPECTED}") from None


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return a frame of numbers as an array.

    Raises:
        ValueError: If a column has no numbers, or a cell is missing; the message names the column.
    """

    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    for column, dtype in frame.dtypes.items():
        is_real = is_bool_dtype(dtype) or is_numeric_dtype(dtype)
        if not is_real or getattr(dtype, "kind", "") == "c":
            raise ValueError(
                f"{name}: column {column} has no numbers ({dtype}); points are numbers, and cgm.settle takes tables of "
                "all kinds"
            )
    of_numpy = [dtype for dtype in frame.dtypes if isinstance(dtype, np.dtype)]
    if len(of_numpy) == frame.shape[1]:
        array = frame.to_numpy(np.result_type(*of_numpy) if of_numpy else np.float64)
    else:
        array = frame.to_numpy(np.float64, na_value=np.nan)
    wrong = ~np.isfinite(array.astype(np.float64))
    if wrong.any():
        row, place = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name}: row {row}, column {frame.columns[place]} holds NaN or infinity; drop or impute such rows first"
        )
    return array
