import pandas as pd
import pytest

from cgm.data.tables import infer_schema
from cgm.data.tables.dates import date_formats
from cgm.data.tables.files import Source
from cgm.settlements.files import table_file


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"a": ["31.12.2024", "1.2.2023", None]}, {"a": "%d.%m.%Y"}),
        ({"a": ["01.02.2024"]}, {"a": "%d.%m.%Y"}),  # with points, the day comes first
        ({"a": ["31/12/2024"], "b": ["01/02/2024"]}, {"a": "%d/%m/%Y", "b": "%d/%m/%Y"}),
        ({"a": ["12/31/2024 10:30"]}, {"a": "%m/%d/%Y %H:%M"}),
        ({"a": ["2024/12/31"], "b": ["12-31-2024"]}, {"a": "%Y/%m/%d", "b": "%m-%d-%Y"}),
        ({"a": ["2024-12-31"], "b": ["31.12.24"]}, {"a": None, "b": None}),
        ({"a": ["32.12.2024"], "b": [None], "c": ["31.12.2024", "31.12.2024 10:30"]}, dict.fromkeys("abc")),
    ],
)
def test_formats(cells, expected):
    assert date_formats("x", {name: pd.Series(own, dtype=object) for name, own in cells.items()}) == expected


def test_day_and_month_that_cannot_be_told_apart_are_refused():
    with pytest.raises(ValueError, match=r"a, column x: dates such as 01/02/2024 can be day-month-year or month-day-"):
        date_formats("x", {"a": pd.Series(["01/02/2024"]), "b": pd.Series(["2024-12-31"])})
    with pytest.raises(ValueError, match=r"a, column x: .* categorical=\[x\] or drop=\[x\]"):  # one of each
        date_formats(
            "x", {"a": pd.Series(["01/02/2024"]), "b": pd.Series(["31/12/2024"]), "c": pd.Series(["12/31/2024"])}
        )


def test_rewards_have_dates_as_the_parties_write_them():
    days = pd.date_range("2024-01-01", periods=30)
    tables = {
        "a": pd.DataFrame({"day": days.strftime("%d.%m.%Y"), "x": [k % 7 for k in range(30)], "same": "31.12.2024"}),
        "b": pd.DataFrame(
            {"day": days[::-1].strftime("%d.%m.%Y"), "x": [k % 7 for k in range(30)], "same": "31.12.2024"}
        ),
    }
    schema, parsed = infer_schema(tables)
    assert [(column.kind, column.date_format) for column in schema.columns][::2] == [
        ("date", "%d.%m.%Y"),
        ("constant", ""),
    ]
    table = schema.to_table(schema.to_codes(parsed["a"]))
    assert table["day"].tolist() == days.tolist()
    lines = table_file(table, schema.columns, Source("a.csv")).content.decode().splitlines()
    assert lines[1] == "01.01.2024,0,31.12.2024"
    again, _ = infer_schema(tables, known=type(schema).from_dict(schema.to_dict()))
    assert again == schema


def test_parties_that_write_dates_in_different_ways_get_iso_dates():
    days = pd.date_range("2024-01-10", periods=30)
    tables = {
        name: pd.DataFrame({"day": days.strftime(form), "x": [k % 7 for k in range(30)]})
        for name, form in [("a", "%d.%m.%Y"), ("b", "%m/%d/%Y"), ("c", "%Y-%m-%d")]
    }
    schema, parsed = infer_schema(tables)
    assert schema.columns[0].date_format == ""
    assert all(table["day"].tolist() == days.tolist() for table in parsed.values())
