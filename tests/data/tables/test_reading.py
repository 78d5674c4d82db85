"""Tables as people have them: what is read, what is named in a warning, and what is asked."""

import csv
import gzip
import io
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgm.data.tables import Source, infer_schema, read_table
from cgm.data.tables.dialects import Skip
from cgm.data.tables.files import table_file
from cgm.data.tables.forms import Reading
from cgm.data.tables.kinds import label_texts

ROWS = 40
TEXT = "age,region\n" + "".join(f"{20 + k},{'East' if k % 3 else 'North'}\n" for k in range(ROWS))


def read(tmp_path, content, name="a.csv", **settings):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, **settings)


def infer(*parties, separators=None, **settings):
    """Infer the schema of a column x of each party, beside a number."""

    names = "abcdef"[: len(parties)]
    tables = {
        name: pd.DataFrame({"x": cells, "n": np.arange(len(cells)) % 7})
        for name, cells in zip(names, parties, strict=True)
    }
    forms = {}
    reading = Reading(**settings)
    schema, parsed = infer_schema(tables, keep=["x"], reading=reading, separators=separators, forms=forms)
    columns = {column.name: column for column in schema.columns}
    return columns.get("x"), [parsed[name].get("x") for name in names], [forms[name].get("x") for name in names]


def numbers(cells, **settings):
    column, (values,), _ = infer(cells, **settings)
    assert column.kind in ("integer", "numeric"), column
    return [None if pd.isna(value) else float(value) for value in values]


def test_lines_around_a_table_are_left_out_and_named(tmp_path, caplog):
    rows = TEXT.partition("\n")[2]
    for content, told in [
        (f"sep=;\n{TEXT.replace(',', ';')}", "says what separates columns"),
        (f"# exported 2024, by hand, today\n{TEXT}", "exported 2024"),
        (f"Report of the ward\n\n{TEXT}", "Report of the ward"),
        (f"{TEXT}\n(40 rows)\n", "(40 rows)"),
        (f"{TEXT}EOF\n", "EOF"),
        (TEXT.replace("\n", ",\n"), "lines end in a separator"),
        ("age,region\n" + rows.replace("\n", ",\n"), "lines end in a separator"),
        (
            ",age,region\n" + "".join(f"{k},{line}\n" for k, line in enumerate(rows.splitlines())),
            "numbers the rows",
        ),
    ]:
        caplog.clear()
        table, _ = read(tmp_path, content)
        assert list(table.columns) == ["age", "region"], content[:30]
        assert len(table) == ROWS
        assert table["age"].tolist() == [str(20 + k) for k in range(ROWS)]
        assert told in caplog.text
    table, _ = read(tmp_path, f"made by\na program, of two lines\n{TEXT}the end\n", skip=Skip(2, 1))
    assert (list(table.columns), len(table)) == (["age", "region"], ROWS)


def test_what_cannot_be_left_out_is_refused(tmp_path):
    for content, message in [
        (TEXT + "12\n", r"line 42 has 1 cells where 2 are expected; is the file truncated.*skip=\[1, 1\]"),
        (",region\nu,b\nv,d\n", "column 1 has no name in the first line; name it"),
        ("a,b,\n1,2,3\n4,5,\n", "column 3 has no name in the first line, but cells"),
        (b"PK\x03\x04rest", "is an Excel or zip file, not CSV"),
    ]:
        with pytest.raises(ValueError, match=message):
            read(tmp_path, content)


def test_a_quote_that_is_not_closed_is_told_with_its_line(tmp_path):
    for content, line in [
        ('a,b\n1,x\n2,"y\n3,z\n4,w\n', 3),
        ('a,b\n1,x\n2,"y\n3,"z, v"\n4,w\n', 3),
        ('# by hand, today, here\na,b\n1,x\n2,"y\n3,z\n', 4),
        ('a,b\r1,"x\r2,y\r', 2),
    ]:
        with pytest.raises(
            ValueError, match=rf"a\.csv: line {line}: a quote is opened in the row that begins here, and"
        ):
            read(tmp_path, content)


def test_quotes_come_back_as_they_were(tmp_path):
    rows = [
        ["name", "age", "day"],
        ["Koch, Anna", "31", "2024-01-02"],
        ["Roth", "45", "2024-02-03"],
        ["Ba;um", "7", ""],
    ]
    for style, header, quoted in [
        (csv.QUOTE_MINIMAL, False, ()),
        (csv.QUOTE_ALL, True, ("name", "age", "day")),
    ]:
        for before in ("", '"made by, hand"\n'):
            file = io.StringIO()
            csv.writer(file, quoting=style, lineterminator="\n").writerows(rows)
            _, source = read(tmp_path, before + file.getvalue(), skip=Skip(1, 0) if before else None)
            assert (source.quoted, source.quoted_header) == (quoted, header), (style, before)
    text = '"name";"age"\n"Koch, Anna";31\n"say ""x""";45\nNA;7\n"Roth";8\n'  # as R writes it
    _, source = read(tmp_path, text)
    assert (source.quoted, source.quoted_header) == (("name",), True)
    _, source = read(tmp_path, text.replace('"', ""))
    assert (source.quoted, source.quoted_header) == ((), False)


def test_formats_and_encodings(tmp_path):
    tabs = TEXT.replace(",", "\t")
    for name, content, encoding in [
        ("a.tsv", tabs, "utf-8"),
        ("a.txt", tabs, "utf-8"),
        ("a.CSV", TEXT, "utf-8"),
        ("a.csv.gz", gzip.compress(TEXT.encode()), "utf-8"),
        ("a.TSV.GZ", gzip.compress(tabs.encode()), "utf-8"),
        ("a.csv", TEXT.encode("utf-8-sig"), "utf-8-sig"),
        ("a.csv", TEXT.encode("utf-16"), "utf-16"),
        ("a.csv", TEXT.encode("utf-16-le"), "utf-16-le"),
        ("a.csv", TEXT.encode("utf-16-be"), "utf-16-be"),
    ]:
        table, source = read(tmp_path, content, name)
        assert (len(table), list(table.columns)) == (ROWS, ["age", "region"])
        assert (source.encoding, source.suffix) == (encoding, name[1:])


def test_separators_in_quotes_do_not_count(tmp_path):
    table, source = read(tmp_path, '"Weight, kg";"Height, cm"\n1,5;2\n2,5;3\n')
    assert (list(table.columns), source.separator) == (["Weight, kg", "Height, cm"], ";")
    table, source = read(tmp_path, 'a,"b;c;d;e"\n1,2\n3,4\n')
    assert (list(table.columns), source.separator) == (["a", "b;c;d;e"], ",")
    table, _ = read(tmp_path, "a^b\n1^2\n3^4\n", separator="^")
    assert table["b"].tolist() == ["2", "4"]


def test_an_excel_file(tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="Excel needs openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["age", "day", "unit"])
    for k in range(12):
        book.active.append([k, pd.Timestamp("2024-01-01").to_pydatetime(), "=1+1" if k else None])
    book.save(tmp_path / "a.xlsx")
    table, source = read_table(tmp_path / "a.xlsx")
    forms = {}
    schema, parsed = infer_schema({"a": table}, keep=["age"], forms=forms)
    assert [column.kind for column in schema.columns] == ["integer", "constant"]
    written = table_file(schema.to_table(schema.to_codes(parsed["a"])), schema.columns, source)
    (tmp_path / "b.xlsx").write_bytes(written.content)
    assert read_table(tmp_path / "b.xlsx")[0]["age"].tolist() == list(range(12))
    (tmp_path / "c.xlsx").write_bytes(b"PK\x03\x04xx")
    with pytest.raises(ValueError, match="not an Excel file, or a damaged one"):
        read_table(tmp_path / "c.xlsx")


def test_signs_of_numbers():
    for cells, expected in [
        (["1,5", "2", "NA", "?"], [1.5, 2, None, None]),
        (["25.950,60", "904", "1.266"], [25950.6, 904, 1266]),
        (["1,234.5", "904", "1,266"], [1234.5, 904, 1266]),
        (["1 234", "56\u00a0789", "1\u202f000,5"], [1234, 56789, 1000.5]),
        (["1'234.50", "12\u2019345.00"], [1234.5, 12345]),
        (["1.234.567", "2"], [1234567, 2]),
        (["0.904", "1.266"], [0.904, 1.266]),
        (["\u221276.5", "3"], [-76.5, 3]),
        (["1.266", "2.5"], [1.266, 2.5]),
        (["1.266", "2.345"], [1.266, 2.345]),  # separated by commas
        (["0.904", "904"], [0.904, 904]),
    ]:
        assert numbers(cells) == expected, cells
    assert numbers(["1.266", "904"], thousands=".") == [1266, 904]
    assert numbers(["1.266", "0.904"], thousands=".") == [1.266, 0.904]
    assert numbers(["1.266", "904"], decimal=".") == [1.266, 904]
    assert numbers(["1,234", "7"], decimal=",") == [1.234, 7]
    for cells, separator in [(["1.266", "904"], ","), (["1.266", "2.345"], ";"), (["1,234", "7"], ";")]:
        with pytest.raises(ValueError, match=r"a, column x: data row 1, 1.\d+, can be 1.\d+ or 1\d+; say .thousands="):
            infer(cells, separators={"a": separator})
    # other columns of the party show which it is
    tables = {"a": pd.DataFrame({"x": ["1.266", "904", "31"], "y": ["1,5", "2,25", "3"]})}
    assert infer_schema(tables)[1]["a"]["x"].tolist() == [1266, 904, 31]


def check_message(large: bool, message: str) -> None:
    assert large, message
    assert re.match(r"a, column x: data row \d+, .*thousands=.*decimal=", message), message


@given(st.lists(st.integers(0, 10**5), min_size=3, max_size=60), st.sampled_from(".,"), st.booleans())
def test_signs_of_thousands_are_not_taken_for_those_of_decimals(counts, sign, other):
    """Whole numbers with the sign that other columns have for decimals: they are asked for, or read right."""

    separator = ";" if sign == "," else ","
    fractions = [f"{k % 7}{sign}{k % 3}5" for k in range(len(counts))]
    tables = {"a": pd.DataFrame({"x": [f"{n:,}".replace(",", sign) for n in counts], "y": fractions})}
    large = any(n >= 1000 for n in counts)
    try:
        _, parsed = infer_schema(tables, keep=["x"], separators={"a": separator})
    except ValueError as error:
        check_message(large, str(error))
    else:
        wrong = parsed["a"]["x"].astype(float).tolist() != list(map(float, counts)) if "x" in parsed["a"] else False
        # silently wrong only if nothing shows it: no number of three digits, and none of more than six
        assert not wrong or not any(100 <= n < 1000 for n in counts)
    decimal = "," if sign == "." else "."
    reading = Reading(thousands=sign, decimal=None if other else decimal)
    if not other:
        tables["a"]["y"] = [text.replace(sign, decimal) for text in fractions]
    _, parsed = infer_schema(tables, keep=["x"], reading=reading, separators={"a": separator})
    if "x" in parsed["a"]:
        assert parsed["a"]["x"].tolist() == counts


@given(st.lists(st.integers(1000, 999_999), min_size=3, max_size=60), st.booleans())
def test_numbers_with_three_decimals_are_read_without_a_question(thousandths, trailing):
    """Decimals are as they were written, also with zeros left away, where other columns have the same sign."""

    texts = [f"{n / 1000:.3f}" if trailing else repr(n / 1000) for n in thousandths]
    tables = {"a": pd.DataFrame({"x": texts, "y": [f"{k}.5" for k in range(len(texts))]})}
    _, parsed = infer_schema(tables, keep=["x", "y"])
    if "x" in parsed["a"]:
        assert parsed["a"]["x"].astype(float).tolist() == [n / 1000 for n in thousandths]


def test_markers_of_missing_cells(caplog):
    cells = [str(k) for k in range(100, 140)]
    for marker in (".", "\\N", "n.a.", "--", "#DIV/0!", "(null)", "unknown", "missing"):
        caplog.clear()
        column, (values,), (form,) = infer([*cells, marker])
        assert (column.kind, int(values.isna().sum())) == ("integer", 1)
        assert f"a, column x: 1 cells ({marker!r}) count as missing" in caplog.text
        assert form.missing == marker
    with pytest.raises(
        ValueError,
        match=r"a, column x: 40 of 41 cells are numbers; not 'refused' \(data row 41\); say "
        r"missing=\['refused'\] if that stands for a missing value, categorical=\[x\]",
    ):
        infer([*cells, "refused"])
    assert infer([*cells, "refused"], missing=["Refused"])[0].missing
    column, (values,), _ = infer([*cells, "-999"], missing=[-999])
    assert (column.minimum, int(values.isna().sum())) == (100, 1)
    column, (values,), _ = infer(np.array([*range(40), -999]), missing=[-999])
    assert (column.minimum, int(values.isna().sum())) == (0, 1)
    assert "unknown" in infer([*"aabb", "unknown", "unknown"] * 3)[0].levels  # a level as any other


def test_the_marker_of_missing_cells_comes_back():
    cells, numbers = [*"ababab"], [str(k) for k in range(6)]
    for column, gaps, settings, marker in [
        (cells, ["-", "-"], {}, "-"),
        (cells, ["NA", ""], {}, ""),  # two markers
        (cells, ["NA", None], {}, ""),
        (cells, ["=x"], {"missing": ["=x"]}, ""),  # a formula
        (cells, ["-1+1"], {"missing": ["-1+1"]}, ""),
        (numbers, ["-"], {}, "-"),
        (numbers, ["-999"] * 3, {"missing": [-999]}, "-999"),
        (numbers, ["n.a."], {}, "n.a."),
    ]:
        described, (values,), (form,) = infer([*column, *gaps], **settings)
        assert form.missing == marker, (gaps, form.missing)
        table = pd.DataFrame({"x": values})
        rows = list(
            csv.reader(io.StringIO(table_file(table, [described], Source("a", forms={"x": form})).content.decode()))
        )
        assert [row[0] for row in rows[-len(gaps) :]] == [marker] * len(gaps)
    gaps = np.array([1, 2, -999, 4], dtype="int32")
    _, _, (form,) = infer(pd.array(gaps, dtype="int32[pyarrow]"), missing=[-999])
    assert form.missing == "-999"


def test_a_marker_is_told_once(caplog):
    infer(["x", "y", "(null)"] * 4, ["x", "y", "NA"] * 4)
    (told,) = [record.message for record in caplog.records if "missing" in record.message]
    assert told == (
        "a, column x: 4 cells ('(null)') count as missing; b, column x: 4 cells ('NA') count as missing, not as a "
        "level; write a level in another way"
    )
    caplog.clear()
    infer(["x", "y", "refused"] * 4, missing=["refused"])
    assert "refused" not in caplog.text  # the mediator has said so


def test_numbers_that_cannot_be_valued_are_told():
    cells = [f"{k}.5" for k in range(40)]
    for cell, message in [
        ("1e300", "b, column x: data row 41 is 1e300; numbers beyond 1e.150 cannot be valued"),
        ("7" * 5000, r"b, column x: data row 41 is infinite \(7{40}\.\.\. \(5000 characters\)\)"),
        ("inf", r"b, column x: data row 41 is infinite \(inf\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            infer(cells, [*cells, cell])
    with pytest.raises(
        ValueError, match=r"a, column x: data row 1, 45 €|a, column x: cells such as 0.50 € \(data row 1\)"
    ):
        infer([f"{k}.50 €" for k in range(40)])
    with pytest.raises(ValueError, match=r"a, column x: data row 1, ١٢, has other digits than 0 to 9"):
        infer(["١٢", "٣٤"] * 10)
    large = [2**53 + k for k in range(9)] * 2
    for cells in (list(map(str, large)), np.array(large, dtype=np.uint64)):
        assert infer(cells)[0].levels[0].startswith("90071992547409")  # exact, as text


def test_infinity_is_a_title_as_any_other():
    assert "Infinity" in infer(["Up", "Infinity", "Alien"] * 5)[0].levels


DAY = "%Y-%m-%d"
DATES = [
    (["9999-12-31", "1500-01-01"], ["9999-12-31", "1500-01-01"], None),
    (["2024-01-01T12:00:00Z", "2024-01-02T12:00:00Z"], ["2024-01-01 12:00", "2024-01-02 12:00"], f"{DAY}T%H:%M:%S"),
    (["2024-01-01T12:00+02:00", "2024-01-02T12:00+02:00"], ["2024-01-01 10:00", "2024-01-02 10:00"], f"{DAY}T%H:%M"),
    (["2024-01-01 12:00:00.25", "2024-01-02 12:00:01.75"], ["2024-01-01 12:00", "2024-01-02 12:00:01"], None),
    (["2/27/2024 6:05 PM", "1/7/2024 12:05 AM"], ["2024-02-27 18:05", "2024-01-07 00:05"], "%-m/%-d/%Y %-I:%M %p"),
    (["1-Jul-2024", "12-Mar-2023"], ["2024-07-01", "2023-03-12"], "%-d-%b-%Y"),
    (["July 1, 2024", "March 12, 2023"], ["2024-07-01", "2023-03-12"], "%B %-d, %Y"),
    (["2000-07", "2001-12"], ["2000-07-01", "2001-12-01"], "%Y-%m"),
    (["05:06", "23:59"], ["1970-01-01 05:06", "1970-01-01 23:59"], "%H:%M"),
    (["07.02.17", "31.12.99"], ["2017-02-07", "1999-12-31"], "%d.%m.%y"),
    (["31.12.9999", "01.01.0800"], ["9999-12-31", "0800-01-01"], "%d.%m.%Y"),
]


def test_forms_of_dates():
    for cells, expected, date_format in DATES:
        column, (values,), (form,) = infer(cells)
        assert column.kind == "date", cells
        assert values.to_numpy("datetime64[s]").tolist() == np.array(expected, "datetime64[s]").tolist(), cells
        assert form.date_format == date_format
        if "." not in cells[0][10:]:
            codes = column.nearest(column.encode(values))
            assert column.format(column.decode(codes), form) == cells
    assert infer(["20240131", "20231201"], dates={"x": "%Y%m%d"})[0].kind == "date"
    with pytest.raises(ValueError, match=r"dates.x=%Q: expected a format such as '%d.%m.%Y'"):
        Reading(dates={"x": "%Q"})


def test_dates_that_are_not_sure_are_asked_for(caplog):
    days = [f"{1 + k % 28:02}.{1 + k % 12:02}.{2000 + k}" for k in range(40)]
    mixed = [f"{2000 + k}-01-{1 + k % 28:02}" for k in range(40)] + days
    with pytest.raises(
        ValueError, match=r"a, column x: cells such as .* are dates in several forms; write all as 2024"
    ):
        infer(mixed)
    with pytest.raises(ValueError, match=r"dates such as 02/03/24 can be .*say dates=\{x: '%d/%m/%y'\}, categorical"):
        infer(["02/03/24", "03/04/24"])
    with pytest.raises(ValueError, match=r"column x: the dates of a have a time zone \(Z\), those of b have none"):
        infer(["2024-01-01T12:00:00Z"] * 2, ["2024-01-01T12:00:00"] * 2)
    infer(["2024-01-01", "2024-01-01 10:30"])
    assert "a, column x: some cells have a time of day; those without one count as midnight" in caplog.text
    infer(["2024-01-01T12:00+01:00", "2024-07-01T12:00+02:00"])
    assert "several time zones; rewards have that of UTC" in caplog.text


def test_empty_columns(caplog):
    for filled, kind in [
        (["1", "2", "3"], "integer"),
        (["a", "b", "a"], "categorical"),
        (["2024-01-01", "2024-01-02"] * 2, "date"),
        (["true", "false", "true"], "boolean"),
    ]:
        column, values, _ = infer([""] * 3, filled)
        assert (column.kind, column.missing) == (kind, True)
        assert values[0].isna().all()
        assert values[0].dtype == values[1].dtype
        assert len(column.encode(values[0])) == 3
    column, _, _ = infer(["", "NA"], [None, "."])
    assert column is None
    assert "column x is left out: all cells are empty" in caplog.text


def test_labels_of_all_types_are_the_same_classes():
    for labels in ([1, 0, None], [1.0, 0.0, np.nan], ["1", " 0", ""], pd.array([1, 0, None], dtype="Int64")):
        assert [None if pd.isna(x) else x for x in label_texts(pd.Series(labels))] == ["1", "0", None]
    assert label_texts(pd.Series(["good", "bad ", "n/a"])).tolist() == ["good", "bad", None]


def test_spellings_are_one_level_and_come_back(caplog):
    column, _, forms = infer(["yes", "no"] * 5, ["Yes", "No"] * 4)
    assert column.levels in (("no", "yes"), ("yes", "no"))
    assert "texts that differ in capital letters only count as one level" in caplog.text
    assert "categorical=[x]" in caplog.text
    cells = pd.Series(["yes", "no"], dtype=object)
    assert [column.format(cells, form) for form in forms] == [["yes", "no"], ["Yes", "No"]]
    column, _, forms = infer(["M\u00fcnchen", "Ulm"] * 3, ["Mu\u0308nchen", "Ulm "] * 3)
    assert set(column.levels) == {"M\u00fcnchen", "Ulm"}
    cells = pd.Series(["M\u00fcnchen", "Ulm"], dtype=object)
    assert [column.format(cells, form) for form in forms] == [["M\u00fcnchen", "Ulm"], ["Mu\u0308nchen", "Ulm "]]


def test_columns_of_a_type_that_cannot_be_valued():
    import pyarrow as pa

    for values, kind, message in [
        ([b"a", b"b"], pa.binary(), "has the type binary, which cannot be valued; decode it to text, or say drop"),
        ([[1], [2]], pa.list_(pa.int64()), "write a column for each entry, or say drop"),
        ([{"a": 1}, {"a": 2}], pa.struct([("a", pa.int64())]), "write a column for each part"),
        ([1, 2], pa.duration("s"), "write it as a number, such as seconds"),
    ]:
        cells = pd.array(pa.array(values, kind), dtype=pd.ArrowDtype(kind))
        with pytest.raises(ValueError, match=rf"^a, column x: .*{message}"):
            infer(cells)
        with pytest.raises(ValueError, match=r"^a, column x: "):
            infer(values if kind != pa.duration("s") else pd.to_timedelta(values, unit="s"))
    assert infer(pd.period_range("2020-01", periods=3, freq="M"))[0].kind == "date"


def test_settings_are_checked():
    for settings, message in [
        ({"missing": "x"}, "missing=x: expected a list of cells"),
        ({"decimal": ";"}, "decimal=;: expected one of"),
        ({"thousands": ",", "decimal": ","}, "thousands=,: expected another sign than that of decimals"),
        ({"dates": ["x"]}, "expected columns with their formats"),
    ]:
        with pytest.raises(ValueError, match=message):
            Reading(**settings)
    assert Source("a.csv").forms == {}
