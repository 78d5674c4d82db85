"""Tests of rewards as DataFrames: they have the dtypes of the party's own, wherever the values fit."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from cgm.data.tables import infer_schema
from cgm.data.tables.forms import Reading
from cgm.data.tables.frames import dtypes_of, with_dtypes

DAYS = pd.date_range("2024-01-01", periods=4, freq="D")
NUMBERS = [3, 1, 4, 1]
DICTIONARY = pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
CELLS = {
    "int64": pd.Series(NUMBERS, dtype="int64"),
    "int8": pd.Series(NUMBERS, dtype="int8"),
    "uint16": pd.Series(NUMBERS, dtype="uint16"),
    "Int32": pd.Series([3, None, 4, 1], dtype="Int32"),
    "float64": pd.Series([0.5, np.nan, 2.5, 1.0]),
    "float32": pd.Series([0.5, 1.5, 2.5, 1.0], dtype="float32"),
    "integers with gaps": pd.Series([3, np.nan, 4, 1]),
    "bool": pd.Series([True, False, True, True]),
    "boolean": pd.Series([True, None, True, False], dtype="boolean"),
    "text": pd.Series(["x", "y", None, "x"], dtype=object),
    "string": pd.Series(["x", "y", None, "x"], dtype="string"),
    "category": pd.Series(["x", "y", None, "x"], dtype=pd.CategoricalDtype(["z", "y", "x"], ordered=True)),
    "category of integers": pd.Series(pd.Categorical([3, 1, 4, 1])),
    "nanoseconds": pd.Series(DAYS.as_unit("ns")),
    "seconds": pd.Series(DAYS.as_unit("s")),
    "zone": pd.Series(DAYS.tz_localize("Europe/Zurich")),
    "period": pd.Series(pd.period_range("2024-01", periods=4, freq="M")),
    "sparse": pd.Series(pd.arrays.SparseArray([0.0, 0.0, 2.5, 1.0])),
    "dates": pd.Series([datetime.date(2024, 1, k + 1) for k in range(4)], dtype=object),
    "objects": pd.Series([True, None, False, True], dtype=object),
    "arrow": pd.Series(NUMBERS, dtype="int32[pyarrow]"),
    "arrow text": pd.Series(["x", None, "y", "x"], dtype="string[pyarrow]"),
    "arrow dictionary": pd.Series(["x", "y", "y", "x"], dtype=DICTIONARY),
    "numbers as text": pd.Series(["1,50", "0,25", "2,00", "1,00"], dtype=object),
    "numbers as text with gaps": pd.Series(["1,50", "-", "2,00", "-"], dtype=object),
    "numbers as strings": pd.Series(["3", "NA", "4", "1"], dtype="string"),
    "numbers as categories": pd.Series(["3", "n.a.", "4", "1"], dtype="category"),
    "days as text": pd.Series(["01.02.2024", "13.02.2024", "28.02.2024", "29.02.2024"], dtype=object),
}


def returned(*cells: pd.Series, **settings) -> list[pd.Series]:
    """Return what comes back to each party of a column x: the rows of the first party, in the form of each."""

    tables = {"abc"[k]: pd.DataFrame({"x": x, "n": range(len(x))}) for k, x in enumerate(cells)}
    forms = {}
    schema, parsed = infer_schema(tables, keep=["x", "n"], rare=0, reading=Reading(**settings), forms=forms)
    table = schema.to_table(schema.to_codes(parsed["a"]))
    return [with_dtypes(table, schema.columns, dtypes_of(tables[name]), forms[name])["x"] for name in tables]


def test_a_reward_has_the_dtypes_of_the_own_frame():
    for name, cells in CELLS.items():
        (back,) = returned(cells)
        pd.testing.assert_series_equal(back, cells, check_names=False, obj=name)


def test_values_that_do_not_fit_keep_a_dtype_that_holds_them():
    many = pd.Series([300, 2, 4, 1])
    assert returned(many, pd.Series(NUMBERS, dtype="int8"))[1].tolist() == many.tolist()
    gaps = returned(pd.Series([3, None, 4, 1], dtype="Int64"), pd.Series(NUMBERS))[1]
    assert (str(gaps.dtype), gaps.isna().sum()) == ("Int64", 1)
    x = pd.Series(["x", "y", "(other)", "x"], dtype=object)
    category = returned(x, pd.Series(["x", "y", "x", "y"], dtype="category"))[1]
    assert category.tolist() == x.tolist()
    assert category.cat.categories.tolist() == ["x", "y", "(other)"]
    far = pd.Series(["9999-12-31", "2024-01-02", "2024-01-03", "2024-01-04"], dtype=object)
    assert str(returned(far, pd.Series(DAYS.as_unit("ns")))[1].dtype) == "datetime64[us]"


def test_the_number_of_a_missing_value_comes_back():
    for dtype in ("int64", "float64", "int32[pyarrow]", "Int16", object):
        cells = pd.Series([3, -999, 4, 1], dtype=dtype)
        (back,) = returned(cells, missing=[-999])
        pd.testing.assert_series_equal(back, cells, check_names=False)
