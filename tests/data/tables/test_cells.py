import numpy as np
import pandas as pd
import pytest

from cgm.data.tables.cells import parse


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", " 2", "-30"], "integer", [1, 2, -30]),
        (["1", "", "3"], "integer", [1, None, 3]),
        (["1", "2.5", "1e3", ".5", "NA"], "numeric", [1.0, 2.5, 1000.0, 0.5, None]),
        (["01", "02"], "categorical", ["01", "02"]),  # codes such as those of places keep their zeros
        (["007.5", "1.5"], "categorical", ["007.5", "1.5"]),
        ([str(2**60), "1"], "categorical", [str(2**60), "1"]),  # float64 cannot hold it
        (["TRUE", "false", "null"], "boolean", [True, False, None]),
        (["2024-02-29", "2023-01-01 10:30"], "date", [pd.Timestamp("2024-02-29"), pd.Timestamp("2023-01-01 10:30")]),
        (["2023-02-30", "2023-01-01"], "categorical", ["2023-02-30", "2023-01-01"]),  # no such day
        (["a", "b ", "n/a", "?"], "categorical", ["a", "b", None, None]),
        ([1, 2, 3], "integer", [1, 2, 3]),
        ([1.0, np.nan, 3.0], "integer", [1, None, 3]),  # as pandas reads integers with gaps
        ([1.0, 2.0, 3.0], "numeric", [1.0, 2.0, 3.0]),
        ([True, False], "boolean", [True, False]),
        ([None, True, False], "boolean", [None, True, False]),
        (pd.Categorical(["x", "y", None]), "categorical", ["x", "y", None]),
        (pd.to_datetime(["2024-01-01", None]), "date", [pd.Timestamp("2024-01-01"), None]),
        (pd.to_datetime(["2024-01-01T05:00+02:00"]), "date", [pd.Timestamp("2024-01-01T05:00")]),
        (pd.array([1, None, 3], dtype="Int64"), "integer", [1, None, 3]),
    ],
)
def test_kinds(cells, kind, values):
    found, parsed, _ = parse(pd.Series(cells), "a.csv, column x")

    assert found == kind
    assert [None if pd.isna(value) else value for value in parsed] == values


def test_the_first_text_is_told():
    assert parse(pd.Series(["1", "2", "two"]), "a.csv, column x")[2] == "data row 3: 'two'"


def test_a_column_can_be_made_categorical():
    kind, cells, _ = parse(pd.Series([1, 2, 1]), "a.csv, column x", "categorical")
    assert (kind, cells.tolist()) == ("categorical", ["1", "2", "1"])
    assert parse(pd.Series([1.0, np.nan, 2.5]), "a.csv, column x", "categorical")[1].tolist()[0] == "1"
    assert parse(pd.Series(["01", "2"]), "a.csv, column x", "categorical")[1].tolist() == ["01", "2"]


@pytest.mark.parametrize(
    ("cells", "kind", "message"),
    [
        (["", "NA"], None, r"a\.csv, column x: all 2 cells are empty; say drop=\[x\]"),
        ([np.nan, np.nan], None, "all 2 cells are empty"),
        (["1", "-inf"], None, r"a\.csv, column x: data row 2 is infinite \(-inf\)"),
        ([1.0, np.inf], None, "data row 2 is infinite"),
        (["1", "1e999"], None, "data row 2 is infinite"),
        (["1", "x"], "numeric", r"categorical, but the schema says numeric \(for example data row 2: 'x'\)"),
        (["1.5"], "integer", "numeric, but the schema says integer"),
    ],
)
def test_refused_cells(cells, kind, message):
    with pytest.raises(ValueError, match=message):
        parse(pd.Series(cells), "a.csv, column x", kind)


def test_integers_pass_for_numbers():
    kind, cells, _ = parse(pd.Series(["1", "2"]), "a.csv, column x", "numeric")
    assert (kind, cells.tolist(), cells.dtype) == ("numeric", [1.0, 2.0], np.float64)
