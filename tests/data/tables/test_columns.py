"""The kinds of columns: cells are parsed, described, encoded, decoded and written again."""

import numpy as np
import pandas as pd
import pytest

from cgm.data.tables import Schema, Source, infer_schema, kinds
from cgm.data.tables.columns import CategoricalColumn, Cells, NumericColumn
from cgm.data.tables.files import table_file
from cgm.data.tables.kinds import KINDS, date_formats, prepare

KINDS_OF_CELLS = [
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
    (pd.Categorical([2, 1, None]), "integer", [2, 1, None]),
    (pd.to_datetime(["2024-01-01", None]), "date", [pd.Timestamp("2024-01-01"), None]),
    (pd.to_datetime(["2024-01-01T05:00+02:00"]), "date", [pd.Timestamp("2024-01-01T03:00")]),
    (pd.array([1, None, 3], dtype="Int64"), "integer", [1, None, 3]),
]


def parse(cells, asked=None):
    return kinds.parse(prepare(pd.Series(cells)), "a.csv, column x", KINDS.get(asked))


def test_kinds():
    for cells, kind, values in KINDS_OF_CELLS:
        parsed = parse(cells)
        assert parsed.kind is KINDS[kind], cells
        assert [None if pd.isna(value) else value for value in parsed.cells] == values


def test_the_first_text_is_shown():
    assert parse(["1", "2", "two"]).example == "data row 3: 'two'"


def test_kinds_that_are_asked_for():
    for cells, values in [([1, 2, 1], ["1", "2", "1"]), ([1.0, 2.5], ["1", "2.5"]), (["01", "2"], ["01", "2"])]:
        parsed = parse(cells, "categorical")
        assert (parsed.kind, parsed.cells.tolist()) == (CategoricalColumn, values)
    numbers = parse(["1", "2"], "numeric")
    assert (numbers.kind, numbers.cells.tolist(), numbers.cells.dtype) == (NumericColumn, [1.0, 2.0], np.float64)


def test_refused_cells():
    for cells, asked, message in [
        (["1", "-inf"], None, r"a\.csv, column x: data row 2 is infinite \(-inf\)"),
        (["2", "Infinity"], None, "data row 2 is infinite"),
        ([1.0, np.inf], "categorical", "data row 2 is infinite"),
        (["1", "1e999"], None, "data row 2 is infinite"),
        (["1", "x"], "numeric", r"categorical, but the schema says numeric \(for example data row 2: 'x'\)"),
        (["1.5"], "integer", "numeric, but the schema says integer"),
    ]:
        with pytest.raises(ValueError, match=message):
            parse(cells, asked)


def test_formats_of_dates():
    for cells, expected in [
        ({"a": ["31.12.2024", "1.2.2023", None]}, {"a": "%d.%m.%Y"}),
        ({"a": ["01.02.2024"]}, {"a": "%d.%m.%Y"}),  # with points, the day comes first
        ({"a": ["31/12/2024"], "b": ["01/02/2024"]}, {"a": "%d/%m/%Y", "b": "%d/%m/%Y"}),
        ({"a": ["12/31/2024 10:30"]}, {"a": "%m/%d/%Y %H:%M"}),
        ({"a": ["2024/12/31"], "b": ["12-31-2024"]}, {"a": "%Y/%m/%d", "b": "%m-%d-%Y"}),
        ({"a": ["2024-12-31"], "b": ["31.12.24"]}, {"a": None, "b": "%d.%m.%y"}),
        ({"a": ["32.12.2024"], "b": [None], "c": ["31.12.2024", "31.12.2024 10:30"]}, dict.fromkeys("abc")),
    ]:
        assert date_formats("x", {name: pd.Series(part, dtype=object) for name, part in cells.items()}) == expected
    for other in (["2024-12-31"], ["31/12/2024", "12/31/2024"]):  # none that says it, and one of each
        cells = {str(k): pd.Series([date]).astype(object) for k, date in enumerate(["01/02/2024", *other])}
        message = r"0, column x: dates such as 01/02/2024 can be day-month-year or month-day-.*or drop=\[x\]"
        with pytest.raises(ValueError, match=message):
            date_formats("x", cells)


def test_cells_become_codes_and_cells_again():
    for kind, written, codes in [
        ("numeric", ["1.5", "-2.25", "0.0", ""], [[1.5, 0], [-2.25, 0], [0, 0], [0, 1]]),
        ("integer", ["-30", "7", "0", ""], [[-30, 0], [7, 0], [0, 0], [0, 1]]),
        ("date", ["1970-01-02", "1969-12-31", "2024-02-29", ""], [[1, 0], [-1, 0], [19782, 0], [1, 1]]),
        ("date", ["1970-01-02T12:00:00", "1970-01-01T00:00:00", ""], [[1.5, 0], [0, 0], [0, 1]]),
        ("boolean", ["TRUE", "FALSE", ""], [[1], [0], [2]]),
        ("categorical", ["b", "-1", "b", ""], [[0], [1], [0], [2]]),
    ]:
        parsed = parse(written)
        assert parsed.kind is KINDS[kind]
        column = kinds.describe(Cells("x", parsed.kind, [parsed.cells], missing=True, example=written[0]))
        assert column.encode(parsed.cells).tolist() == codes
        assert column.nearest(np.array(codes, float)).tolist() == codes
        assert len(column.sizes) == column.width == len(codes[0])
        cells = column.decode(np.array(codes, float))
        assert cells.dropna().tolist() == parsed.cells.dropna().tolist()
        assert column.format(cells) == written
        schema = Schema((column,))
        assert Schema.from_dict(schema.to_dict()) == schema


def test_constants_of_all_kinds():
    for cells, written, of in [
        (["yes"] * 9, "yes", "categorical"),
        (["01"] * 9, "01", "categorical"),
        (["=1+1"] * 9, "'=1+1", "categorical"),
        (["TRUE"] * 9, "TRUE", "boolean"),
        ([True] * 9, "True", "boolean"),
        (["2024-12-31"] * 9, "2024-12-31", "date"),
        (["2024-12-31 10:30"] * 9, "2024-12-31 10:30", "date"),
        (["31.12.2024"] * 9, "31.12.2024", "date"),
        ([pd.Timestamp("2024-12-31")] * 9, "2024-12-31", "date"),
        (["-5"] * 9, "-5", "integer"),
        (["-1.50"] * 9, '"-1,50"', "numeric"),
        ([2.0] * 9, '"2,0"', "numeric"),
    ]:
        table = pd.DataFrame({"same": cells, "x": range(-4, 5)})
        schema, parsed = infer_schema({"a": table})
        constant = schema.columns[0]
        assert (constant.kind, constant.width, constant.of_values.kind) == ("constant", 0, of)
        codes = schema.to_codes(parsed["a"])
        assert codes.shape == (9, 1)
        rewarded = schema.to_table(codes)
        pd.testing.assert_series_equal(rewarded["same"], parsed["a"]["same"], check_dtype=of != "date")
        lines = table_file(rewarded, schema.columns, Source("a.csv", decimal=",")).content.decode().splitlines()
        assert lines[1] == f"{written},-4"
        known = type(schema).from_dict(schema.to_dict())
        again, parsed_again = infer_schema({"a": table}, known=known)
        assert again == schema
        pd.testing.assert_frame_equal(parsed_again["a"], parsed["a"])


def test_wrong_columns():
    for settings, message in [
        ({"kind": "text"}, "kind of column x=text: expected one of numeric"),
        ({"kind": "categorical"}, "column x is categorical and needs levels"),
        ({"kind": "numeric"}, "column x is numeric and needs minimum, maximum; besides, it may have missing, median"),
        ({"levels": ["a"]}, "column x: expected kind"),
        (["a"], "column x: expected kind"),
        (
            {"kind": "boolean", "levels": ["no", "yes"], "size": 3},
            "column x .* may have missing, got levels, size",
        ),
        ({"kind": "boolean", "levels": ["no"]}, "column x: levels=no: expected false and true"),
        ({"kind": "categorical", "levels": ["a", "a"]}, "column x: levels=a, a: the same level twice"),
        ({"kind": "categorical", "levels": []}, r"column x: levels=\[\]: expected a list of at least 1 entries"),
        ({"kind": "constant", "levels": ["a", "b"]}, "column x: levels=a, b: expected the one value"),
        ({"kind": "integer", "minimum": 0, "maximum": "?", "median": 0}, r"column x: maximum=\?: expected a number"),
    ]:
        with pytest.raises(ValueError, match=f"^schema: {message}"):
            Schema.from_dict({"columns": {"x": settings}})
    schema = Schema.from_dict({"columns": {"x": {"kind": "categorical", "levels": [1, 2]}}})
    assert schema.columns[0].levels == ("1", "2")
