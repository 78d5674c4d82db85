"""Rewards have the types and the form of a party's own file, for a table of types and formats."""

from dataclasses import replace
from datetime import date, time
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cgm.data.tables import infer_schema, read_table
from cgm.data.tables.files import table_file


def round_trip(path, others=(), **settings):
    """Return the rows of a party as a reward: read, parsed, encoded, decoded and written."""

    read = {f"p{k}": read_table(each) for k, each in enumerate([path, *others])}
    tables, sources = ({name: part[place] for name, part in read.items()} for place in (0, 1))
    forms = {}
    separators = {name: source.separator for name, source in sources.items()}
    schema, parsed = infer_schema(tables, separators=separators, forms=forms, **settings)
    rows = schema.to_table(schema.nearest(schema.to_codes(parsed["p0"])))
    rows = rows[[name for name in tables["p0"].columns if name in rows]]
    return table_file(rows, schema.columns, replace(sources["p0"], forms=forms["p0"])).content


CSV = [
    "a,b\n1,x\n-2,y\n1,x\n",
    "a;b\n1,5;x\n-2,25;y\n;x\n",
    "a;b\n1.234,50;x\n-12.345,00;y\n7,25;x\n",
    "a\tb\n1 234\tx\n56 789\ty\n",
    "a,b\n4.50,x\n2.00,y\n3.25,x\n",
    "a,b\n\u22125.5,x\n3.25,y\n",
    "b,a,c\ntrue,x,1\nfalse,y,2\ntrue,x,2\n",
    "b,a,c\nTRUE,x,1\nFALSE,y,2\nTRUE,x,2\n",
    "a,b\n2024-02-29,x\n1999-12-31,y\n",
    "a,b\n29.02.2024,x\n31.12.1999,y\n",
    "a,b\n2/29/2024,x\n12/1/1999,y\n",
    "a,b\n2024-02-29 10:30,x\n1999-12-31 00:00,y\n",
    "a,b\n2024-02-29T10:30:05Z,x\n1999-12-31T00:00:00Z,y\n",
    "a,b\n2024-02-29T10:30:05+02:00,x\n1999-12-31T00:00:00+02:00,y\n",
    "a,b\n29-Feb-2024,x\n01-Dec-1999,y\n",
    "a,b\n2024-02,x\n1999-12,y\n",
    "a,b\n10:30,x\n00:05,y\n",
    "a,b\nNA,x\n3,y\nNA,x\n7,y\n",
    '"a","b"\n1,"x"\n2,"y"\n',
    'a,b\n1,"x,1"\n2,"y ""z"""\n',
    "a,b\r\n1,x\r\n2,y\r\n",
]


def test_text_comes_back_as_it_was_written(tmp_path):
    for text in CSV:
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le"):
            path = tmp_path / "a.csv"
            path.write_bytes(text.encode(encoding))
            assert round_trip(path, rare=0).decode(encoding) == text
    path.write_bytes("a,b\n1,Zürich\n2,Bern\n".encode("latin-1"))
    read, source = read_table(path, "latin-1")
    schema, parsed = infer_schema({"a": read}, rare=0)
    reward = table_file(schema.to_table(schema.to_codes(parsed["a"])), schema.columns, source)
    assert reward.content == path.read_bytes()


def test_each_party_has_its_own_form(tmp_path):
    german = "day;x;unit\n29.02.2024;1,5;Yes\n31.12.1999;-2,25;No\n02.01.2000;3,0;Yes\n"
    english = "unit,day,x\nyes,2/29/2024,1.5\nno,12/31/1999,-2.25\nyes,1/2/2000,3.0\n"
    iso = "x,unit,day\n1.5,yes,2024-02-29\n-2.25,no,1999-12-31\n3.0,yes,2000-01-02\n"
    files = []
    for name, text in [("german.csv", german), ("english.csv", english), ("iso.csv", iso)]:
        (tmp_path / name).write_text(text, encoding="utf-8")
        files.append(tmp_path / name)
    for k, text in enumerate([german, english, iso]):
        others = [file for file in files if file != files[k]]
        assert round_trip(files[k], others, rare=0).decode() == text


def test_a_letter_that_an_encoding_lacks(tmp_path, caplog):
    (tmp_path / "a.csv").write_bytes("a,b\n1,Zürich\n2,Bern\n".encode("latin-1"))
    table, source = read_table(tmp_path / "a.csv", "latin-1")
    schema, _ = infer_schema({"a": table, "b": pd.DataFrame({"a": ["1", "2"], "b": ["東", "Bern"]})}, rare=0)
    rows = pd.DataFrame({"a": [1, 2], "b": ["東", "Zürich"]})
    content = table_file(rows, schema.columns, source).content
    assert content.decode("utf-8-sig") == "a,b\n1,東\n2,Zürich\n"
    assert "the reward is in UTF-8, since latin-1 lacks '東'" in caplog.text


TYPES = [
    (pa.int8(), [1, -2, None]),
    (pa.int32(), [1, -2, 3]),
    (pa.uint16(), [1, 2, 3]),
    (pa.int64(), [1, 2, None]),
    (pa.float32(), [1.5, None, -2.25]),
    (pa.float64(), [0.1, 1e-9, 3.5]),
    (pa.decimal128(9, 2), [Decimal("1.50"), Decimal("-2.25"), None]),
    (pa.decimal128(9, 0), [Decimal(1), Decimal(7), Decimal(3)]),
    (pa.bool_(), [True, False, None]),
    (pa.string(), ["x", "y", None]),
    (pa.large_string(), ["x", "y", "x"]),
    (pa.dictionary(pa.int32(), pa.string()), ["x", "y", None]),
    (pa.dictionary(pa.int8(), pa.string()), ["x", "y", "x"]),
    (pa.date32(), [date(2024, 2, 29), date(1500, 1, 1), None]),
    (pa.date64(), [date(2024, 2, 29), date(9999, 12, 31), None]),
    (pa.timestamp("s"), [pd.Timestamp("2024-02-29 10:30"), pd.Timestamp("1999-12-31"), None]),
    (pa.timestamp("ms"), [pd.Timestamp("2024-02-29 10:30"), pd.Timestamp("1999-12-31"), None]),
    (
        pa.timestamp("us", "UTC"),
        [pd.Timestamp("2024-02-29 10:30", tz="UTC"), pd.Timestamp("1999-12-31", tz="UTC"), None],
    ),
    (
        pa.timestamp("ns", "America/New_York"),
        [pd.Timestamp("2024-02-29 10:30", tz="UTC"), pd.Timestamp("1999-12-31", tz="UTC"), None],
    ),
    (pa.time32("s"), [time(10, 30), time(0, 5), None]),
    (pa.time64("us"), [time(10, 30), time(0, 5), None]),
]


def test_parquet_keeps_types(tmp_path):
    for kind, values in TYPES:
        table = pa.table({"n": [1, 2, 4], "x": pa.array(values, kind)})
        pq.write_table(table, tmp_path / "a.parquet")
        (tmp_path / "b.parquet").write_bytes(round_trip(tmp_path / "a.parquet", rare=0))
        reward = pq.read_table(tmp_path / "b.parquet")
        given = pq.read_table(tmp_path / "a.parquet")  # the file has date32 for date64
        assert reward.schema.field("x").type == given.schema.field("x").type
        assert reward["x"].to_pylist() == given["x"].to_pylist(), kind


def test_decimals_of_parquet_are_those_of_text(tmp_path):
    values = [Decimal(k) / 100 for k in range(10_000, 10_400, 7)]
    table = pa.table({"x": pa.array(values, pa.decimal128(9, 2)), "n": [k % 5 for k in range(len(values))]})
    pq.write_table(table, tmp_path / "a.parquet")
    schema, parsed = infer_schema({"a": read_table(tmp_path / "a.parquet")[0]})
    assert schema.columns[0].decimals == 2
    assert parsed["a"]["x"].tolist() == [float(value) for value in values]


def test_an_index_is_a_column_as_any_other(tmp_path, caplog):
    frame = pd.DataFrame({"x": [1.5, 2.5, 4.5]}, index=pd.Index(["u", "v", "u"], name="unit"))
    frame.to_parquet(tmp_path / "a.parquet")
    assert sorted(read_table(tmp_path / "a.parquet")[0].columns) == ["unit", "x"]
    frame.set_axis([7, 9, 3]).to_parquet(tmp_path / "a.parquet")
    assert list(read_table(tmp_path / "a.parquet")[0].columns) == ["x"]
    assert "the index has no name and numbers the rows; it is left out" in caplog.text


def test_a_type_that_cannot_hold_the_values_of_others(tmp_path, caplog):
    for name, values, kind in [("a", [1, 2, 3], pa.int8()), ("b", [300, 2, 4], pa.int64())]:
        pq.write_table(pa.table({"x": pa.array(values, kind), "n": [1, 2, 4]}), tmp_path / f"{name}.parquet")
    (a, source), (b, _) = (read_table(tmp_path / f"{name}.parquet") for name in "ab")
    forms = {}
    schema, parsed = infer_schema({"a": a, "b": b}, forms=forms)
    content = table_file(parsed["b"], schema.columns, replace(source, forms=forms["a"])).content
    (tmp_path / "c.parquet").write_bytes(content)
    assert pq.read_table(tmp_path / "c.parquet")["x"].to_pylist() == [300, 2, 4]
    assert "column x: the reward has the type int64, since int8 cannot hold it" in caplog.text


def test_frames_with_arrow_types():
    for kind, values in TYPES:
        cells = pd.array(pa.array(values, kind), dtype=pd.ArrowDtype(kind))
        schema, parsed = infer_schema({"a": pd.DataFrame({"x": cells, "n": [1, 2, 4]})}, rare=0)
        assert [column.name for column in schema.columns] == ["x", "n"], kind
        assert parsed["a"]["x"].isna().tolist() == [value is None for value in values]
