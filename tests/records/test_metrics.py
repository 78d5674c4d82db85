"""Tests of the layout of metrics.csv."""

import csv
import math

import pytest

from cgm.evaluation.entries import MetricRow
from cgm.records.record import COLUMNS, read_metrics, write_metrics

ROWS = [
    MetricRow(0, 1.0, "size", 10),
    MetricRow(0, 0.12345678901234566, "value", -1 / 3),
    MetricRow(1, math.inf, "increasing", None),
    MetricRow(12, 2.5, "odd, name\nof a metric", 1e-300),
    MetricRow(12, 0.0, "whole", 10.0),
]
TEXT = (
    "party,beta,metric,value\n"
    "0,1,size,10\n"
    "0,0.12345678901234566,value,-0.3333333333333333\n"
    "1,inf,increasing,\n"
    '12,2.5,"odd, name\nof a metric",1e-300\n'
    "12,0,whole,10.0\n"
)


def test_rows_are_read_back_to_the_last_digit():
    assert write_metrics(ROWS) == TEXT
    assert read_metrics(TEXT) == ROWS
    assert [type(row.value) for row in read_metrics(TEXT)] == [int, float, type(None), float, float]
    assert write_metrics(read_metrics(TEXT)) == TEXT
    assert read_metrics(write_metrics([])) == []


def test_other_programs_read_the_columns_by_name():
    assert COLUMNS == ["party", "beta", "metric", "value"]
    first, *_ = csv.DictReader(TEXT.splitlines())
    assert first == {"party": "0", "beta": "1", "metric": "size", "value": "10"}


def test_other_tables_are_refused():
    for text, message in (
        ("", r"has the columns \(none\), expected party, beta, metric, value"),
        ("a,b\n1,2\n", "has the columns a, b, expected party, beta, metric, value"),
        ("party,beta,value\n0,1,2\n", "columns party, beta, value, expected"),
        (TEXT + "1,1,si", "a row has 3 cells, expected 4: 1, 1, si"),
        (TEXT + "0,1\n", "a row has 2 cells, expected 4: 0, 1"),
        (TEXT + "1,1,size,many\n", "'many', in the row 1, 1, size, many"),
        (TEXT + "1,one,size,2\n", "'one', in the row 1, one, size, 2"),
        (TEXT + "0.5,1,size,2\n", "'0.5', in the row 0.5, 1, size, 2"),
    ):
        with pytest.raises(ValueError, match=message):
            read_metrics(text)
