"""Tests of tables as CSV files."""

import csv
import io
from datetime import datetime, timezone

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from cgm.data.tables.columns import Column
from cgm.settlements.files import escape, table_file, unescape
from tests.settlements.settled_tables import column


def lines(table: pd.DataFrame, *columns: Column) -> list[str]:
    return table_file(table, columns).content.decode().split("\n")


def test_columns_keep_their_order_and_types():
    table = pd.DataFrame(
        {
            "z": pd.array([1, None, -3], dtype="Int64"),
            "a": [0.1, -2.0, np.nan],
            "yes": [True, False, True],
            "on": pd.to_datetime(["2020-01-02", None, "1999-12-31"]),
            "at": pd.to_datetime(["2020-01-02T03:04:05", None, "1999-12-31T00:00:00"]),
            "text": pd.Categorical(["a, b", 'say "x"', None]),
            "code": pd.Categorical([3, 1, 2]),
            "whole": [1.0, np.nan, -2.0],
            "zero": [-0.0, 1e-300, 123456789.123],
        }
    )
    assert lines(table, column("whole", "integer")) == [
        "z,a,yes,on,at,text,code,whole,zero",
        '1,0.1,True,2020-01-02,2020-01-02T03:04:05,"a, b",3,1,0.0',
        ',-2.0,False,,,"say ""x""",1,,1e-300',
        "-3,,True,1999-12-31,1999-12-31T00:00:00,,2,-2,123456789.123",
        "",
    ]


def test_booleans_are_written_as_they_came_in():
    for values in ([False, True, None], pd.array([False, True, None], dtype="boolean"), [0.0, 1.0, None]):
        table = pd.DataFrame({"paid": pd.Series(values)})
        for levels in (["no", "yes"], ["False", "True"]):
            assert lines(table, column("paid", "boolean", levels=levels)) == ["paid", *levels, '""', ""]


def test_dates_with_a_zone():
    table = pd.DataFrame({"at": [datetime(2020, 1, 2, 3, tzinfo=timezone.utc)], "n": [np.int64(2**60)]})
    assert lines(table)[1] == "2020-01-02T03:00:00+00:00,1152921504606846976"


def test_formulas_are_escaped_and_numbers_are_not():
    table = pd.DataFrame(
        {
            "=head()": ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=x", "'x", "a=b", "＝1"],
            "number": -np.arange(10.0) - 1,
            "level": pd.Categorical(["-a"] * 10),
        }
    )
    file = table_file(table)
    rows = list(csv.reader(io.StringIO(file.content.decode(), newline="")))
    assert rows[0] == ["'=head()", "number", "level"]
    assert [row[0] for row in rows[1:]] == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "''=x", "'x", "a=b", "'＝1"]
    assert [row[1] for row in rows[1:4]] == ["-1.0", "-2.0", "-3.0"]
    assert {row[2] for row in rows[1:]} == {"'-a"}
    assert (file.rows, file.escaped) == (10, 1 + 8 + 10)


@given(st.text(alphabet="'=+-@\t\r\n＝ab,\"", max_size=8))
def test_no_cell_is_a_formula_and_each_can_be_restored(text):
    assert unescape(escape(text)) == text
    assert not escape(text).startswith(tuple("=+-@\t\r\n＝＋－＠"))
    file = table_file(pd.DataFrame({"a": [text], "b": ["end"]}))
    (_, (cell, _)) = csv.reader(io.StringIO(file.content.decode(), newline=""))
    assert unescape(cell) == text
    assert file.escaped == (cell != text)


def test_a_table_without_rows():
    file = table_file(pd.DataFrame({"a": [], "b": []}))
    assert (file.content, file.rows, file.escaped) == (b"a,b\n", 0, 0)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_numbers_keep_all_their_digits(numbers):
    cells = lines(pd.DataFrame({"x": numbers}))[1:-1]
    assert [float(cell) for cell in cells] == numbers
