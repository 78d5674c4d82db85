"""Tests of tables as CSV files."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgm.data.tables.columns import BooleanColumn, CategoricalColumn, NumericColumn
from cgm.data.tables.files import Source, table_file
from cgm.data.tables.kinds import KINDS
from cgm.utils.text import escape, unescape

NUMBERS = {"minimum": -1e9, "maximum": 1e9, "median": 0.0}


def text_file(table: pd.DataFrame):
    return table_file(table, [CategoricalColumn(name, levels=tuple(dict.fromkeys(table[name]))) for name in table])


def test_columns_keep_their_order_and_types():
    table = pd.DataFrame(
        {
            "z": pd.array([1, None, -3], dtype="Int64"),
            "a": [0.1, -2.0, np.nan],
            "on": pd.to_datetime(["2020-01-02", None, "1999-12-31"]),
            "at": pd.to_datetime(["2020-01-02T03:04:05", None, "1999-12-31T00:00:00"]),
            "text": ["a, b", 'say "x"', None],
            "zero": [-0.0, 1e-300, 123456789.123],
            "paid": pd.array([False, True, None], dtype="boolean"),
        }
    )
    kinds = {"z": "integer", "a": "numeric", "on": "date", "at": "date", "zero": "numeric"}
    columns = [KINDS[kind](name, True, **NUMBERS) for name, kind in kinds.items()]
    columns += [
        CategoricalColumn("text", True, levels=("a, b", 'say "x"')),
        BooleanColumn("paid", True, levels=("no", "yes")),
    ]
    file = table_file(table, columns[::-1])
    assert file.content.decode().split("\n") == [
        "z,a,on,at,text,zero,paid",
        '1,0.1,2020-01-02,2020-01-02T03:04:05,"a, b",0.0,no',
        ',-2.0,,,"say ""x""",1e-300,yes',
        "-3,,1999-12-31,1999-12-31T00:00:00,,123456789.123,",
        "",
    ]
    assert (file.rows, file.escaped) == (3, 0)
    german = table_file(table[["a", "text"]], columns, Source("a.csv", separator=";", decimal=",")).content.decode()
    assert german.split("\n")[:3] == ["a;text", "0,1;a, b", '-2,0;"say ""x"""']
    quoted = Source("a.csv", quoted=("a",), quoted_header=True)
    assert table_file(table[["a", "text"]], columns, quoted).content.decode().split("\n")[:4] == [
        '"a","text"',
        '"0.1","a, b"',
        '"-2.0","say ""x"""',
        ",",
    ]


def test_formulas_are_escaped_and_numbers_are_not():
    table = pd.DataFrame({"=head()": ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=x", "'x", "a=b", "＝1"]})
    file = text_file(table)
    rows = list(csv.reader(io.StringIO(file.content.decode(), newline="")))
    assert rows[0] == ["'=head()"]
    assert [row[0] for row in rows[1:]] == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "''=x", "'x", "a=b", "'＝1"]
    assert (file.rows, file.escaped) == (10, 1 + 8)
    assert table_file(pd.DataFrame({"x": [-1.0]}), [NumericColumn("x", **NUMBERS)]).content == b"x\n-1.0\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_no_part_of_a_cell_is_a_formula_for_a_reader_with_another_separator(separator):
    texts = ["x;=1+1", "x,=1+1", "x|@x", "x\t-1+1", "x\n=1+1", "x\r\n＝1", 'x;"=1', ";'=1", "a - b", "1, -2", "A-B"]
    escaped = ["x;'=1+1", "x,'=1+1", "x|'@x", "x\t'-1+1", "x\n'=1+1", "x\r\n'＝1", "x;'\"=1", ";''=1", *texts[-3:]]
    table = pd.DataFrame({"a": texts, "b": "end"})
    columns = [CategoricalColumn("a", levels=tuple(texts)), CategoricalColumn("b", levels=("end",))]
    file = table_file(table, columns, Source("", separator=separator))
    rows = list(csv.reader(io.StringIO(file.content.decode(), newline=""), delimiter=separator))
    assert [row[0] for row in rows[1:]] == escaped
    assert [unescape(cell) for cell in escaped] == texts
    assert file.escaped == 8
    for line in file.content.decode().splitlines()[1:]:
        assert not any(line.strip('"').startswith(sign) for sign in "=+-@＝"), line


@given(st.text(alphabet="'=+-@\t\r\n＝ab,\"", min_size=1, max_size=8))
def test_no_cell_is_a_formula_and_each_can_be_restored(text):
    assert unescape(escape(text)) == text
    assert not escape(text).startswith(tuple("=+-@\t\r\n＝＋－＠"))
    file = text_file(pd.DataFrame({"a": [text], "b": ["end"]}))
    (_, (cell, _)) = csv.reader(io.StringIO(file.content.decode(), newline=""))
    assert unescape(cell) == text
    assert file.escaped == (cell != text)


def test_a_table_without_rows():
    columns = [NumericColumn("a", **NUMBERS), CategoricalColumn("b", levels=("x",))]
    file = table_file(pd.DataFrame({"a": [], "b": []}), columns)
    assert (file.content, file.rows, file.escaped) == (b"a,b\n", 0, 0)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_numbers_keep_all_their_digits(numbers):
    file = table_file(pd.DataFrame({"x": numbers}), [NumericColumn("x", **NUMBERS)])
    assert [float(cell) for cell in file.content.decode().split("\n")[1:-1]] == numbers
