"""Tests of tables in any dialect, with any markers, dates and names: what is written is what is read."""

import csv
import datetime
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cgm.cli.settle import quoted
from cgm.data.tables.files import read_table
from cgm.data.tables.forms import Reading
from cgm.data.tables.schema import infer_schema

ROWS = 30
MARKERS = (
    "",
    "NA",
    "n/a",
    "N/A",
    "NaN",
    "NULL",
    "\\N",
    ".",
    "-",
    "--",
    "?",
    "n.a.",
    "#N/A",
    "#DIV/0!",
    "(null)",
    "missing",
)
FORMS = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M")
WORDS = st.text(st.characters(categories=["L", "Nd"], exclude_characters="ıſ"), min_size=1, max_size=8)
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
QUICK = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def dialects(draw):
    """A separator, a line end, an encoding, and whether all cells are in quotes and the last line ends."""

    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    ends = draw(st.booleans())
    return draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n"])), encoding, quoting, ends


def write(path: Path, rows: list[list[str]], dialect) -> None:
    separator, end, encoding, quoting, ends = dialect
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    text = file.getvalue() if ends else file.getvalue().removesuffix(end)
    path.write_bytes(text.encode(encoding))


@QUICK
@given(
    dialect=dialects(),
    texts=st.lists(st.sampled_from(["plain", "a, b", "a; b", 'say "x"', "two\nlines", "tab\there", "1|2"]), min_size=3),
    seed=st.integers(0, 99),
)
def test_cells_are_those_that_were_written_in_any_dialect(dialect, texts, seed, tmp_path):
    random = np.random.default_rng(seed)
    cells = [["number", "text", "share"]]
    for k in range(ROWS):
        cells.append([str(random.integers(100, 999)), texts[k % len(texts)], f"{random.random():.3f}"])
    write(tmp_path / "a.csv", cells, dialect)
    table, source = read_table(tmp_path / "a.csv")
    assert list(table.columns) == cells[0]
    assert table.astype(str).to_numpy().tolist() == cells[1:]
    assert source.separator == dialect[0]


@QUICK
@given(
    marker=st.sampled_from(MARKERS), comma=st.booleans(), gaps=st.sets(st.integers(0, ROWS - 1), min_size=1, max_size=9)
)
def test_numbers_with_any_marker_are_numbers_with_gaps(marker, comma, gaps, tmp_path):
    numbers = np.random.default_rng(1).normal(50, 20, ROWS).round(4)
    texts = [marker if k in gaps else f"{x:.4f}".replace(".", "," if comma else ".") for k, x in enumerate(numbers)]
    write(
        tmp_path / "a.csv",
        [["x", "y"], *([text, "b"] for text in texts)],
        (";", "\n", "utf-8", csv.QUOTE_MINIMAL, True),
    )
    table, source = read_table(tmp_path / "a.csv")
    schema, parsed = infer_schema({"a": table}, separators={"a": source.separator})
    assert schema.columns[0].kind == "numeric"
    expected = [np.nan if k in gaps else x for k, x in enumerate(numbers)]
    np.testing.assert_array_equal(parsed["a"]["x"].to_numpy(float, na_value=np.nan), expected)


@QUICK
@given(marker=WORDS.filter(lambda word: not word.isnumeric() and not any(map(str.isdigit, word))))
def test_a_marker_that_is_given_is_a_gap(marker):
    table = pd.DataFrame({"x": [marker if k % 9 == 4 else str(k * 7 % 23) for k in range(ROWS)]}, dtype=object)
    schema, parsed = infer_schema({"a": table}, reading=Reading(missing=(marker,)))
    assert schema.columns[0].kind == "integer"
    assert parsed["a"]["x"].isna().tolist() == [k % 9 == 4 for k in range(ROWS)]


@QUICK
@given(form=st.sampled_from(FORMS), years=st.sampled_from([1, 30, 600]), seed=st.integers(0, 10**6))
def test_dates_are_read_right_or_refused(form, years, seed):
    seconds = np.random.default_rng(seed).integers(0, years * 365 * 86_400, ROWS)
    days = [datetime.datetime(1700 if years > 100 else 2000, 1, 1) + datetime.timedelta(0, int(s)) for s in seconds]
    days = [datetime.datetime.strptime(day.strftime(form), form) for day in days]
    table = pd.DataFrame({"d": [day.strftime(form) for day in days]}, dtype=object)
    try:
        schema, parsed = infer_schema({"a": table})
    except ValueError as error:
        check_message(error, "a, column d: .* dates=")
        return
    (column,) = schema.columns
    assert column.kind == "date"
    expected = [(day - datetime.datetime(1970, 1, 1)).total_seconds() / 86_400 for day in days]
    np.testing.assert_allclose(column.numbers(parsed["a"]["d"]), expected, atol=1e-6)


def check_message(error: ValueError, pattern: str) -> None:
    assert re.search(pattern, str(error)), error


@QUICK
@given(names=st.lists(NAMES, min_size=2, max_size=5, unique=True), dialect=dialects())
def test_names_of_columns_are_those_that_were_written(names, dialect, tmp_path):
    rows = [[str(10 * k + 7 * i % 5) for i in range(len(names))] for k in range(ROWS)]
    write(tmp_path / "a.csv", [names, *rows], dialect)
    try:
        table, _ = read_table(tmp_path / "a.csv")
    except ValueError as error:  # names that look like a comment, or are the same after normalisation
        check_message(error, r"a\.csv: ")
        return
    assert list(table.columns) == names
    assert table.astype(str).to_numpy().tolist() == rows


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), min_size=1, max_size=12))
def test_any_text_is_a_value_of_a_setting(text):
    (override,) = OverridesParser.create().parse_overrides([f"drop=[{quoted(text)}]"])
    assert override.value() == [text] or "${" in text
