"""Files of tables, CSV and Parquet: read, one for each party or one for all, and written."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cgm.data.tables.columns import Column
from cgm.data.tables.dialects import Skip, check_names, number_rows, read_csv
from cgm.data.tables.forms import Form
from cgm.data.tables.frames import dtypes_of, to_arrow_column
from cgm.utils.files import TooLarge, check_bytes, gunzip, read_plain
from cgm.utils.text import escape, is_number
from cgm.utils.untrusted import check_parquet

log = logging.getLogger(__name__)

CSV = tuple(f".{name}{packed}" for name in ("csv", "tsv", "txt") for packed in ("", ".gz"))
PARQUET, EXCEL = (".parquet",), (".xlsx",)
FORMATS = (*CSV, *PARQUET, *EXCEL)
MAX_NAME = 200  # characters of the name of a party


@dataclass(frozen=True)
class Source:
    """Where a party's table came from, and in which format rewards are written.

    Attributes:
        file: The name of the file, without its folder; the name of the party if there is no file.
        sha256: The SHA-256 of the file's bytes; empty if there is no file.
        suffix: The end of its name, such as `".csv"`, `".csv.gz"` or `".parquet"`; of a folder of images, `".png"` or
            `".npz"`.
        separator: The separator of the columns in a CSV file.
        decimal: The decimal sign in a CSV file, of columns that `forms` lacks.
        layout: Of images in an `.npz` file, their axes and type, such as `"NHWC uint8"`.
        party_column: Of one file for all parties, the column that names the party; `sha256` is then that of the party's
            own rows, see `rows_digest`.
        party: The party's name in this column.
        encoding: The encoding of a CSV file; empty if there is none.
        line_end: The end of lines in a CSV file.
        quoted, quoted_header: What is in quotes in a CSV file, see `Dialect`.
        skip: The lines of a CSV file that are not part of the table, if they were given.
        forms: How the cells of each column are written.
        dtypes: The dtypes of a table that was given as a DataFrame, see `dtypes_of`.
    """

    file: str
    sha256: str = ""
    suffix: str = ".csv"
    separator: str = ","
    decimal: str = "."
    layout: str = ""
    party_column: str = ""
    party: str = ""
    encoding: str = ""
    line_end: str = "\n"
    quoted: tuple[str, ...] = ()
    quoted_header: bool = False
    skip: Skip | None = None
    forms: Mapping[str, Form] = field(default_factory=dict)
    dtypes: Mapping[str, Any] = field(default_factory=dict)


def read_parties(
    files: Sequence[str | Path],
    party_column: str | None = None,
    names: Sequence[str] | None = None,
    encoding: str = "utf-8",
    separator: str | None = None,
    skip: Skip | None = None,
) -> tuple[dict[str, pd.DataFrame], list[Source]]:
    """Read the tables of the parties.

    Arguments:
        files: A file for each party, CSV (also compressed by gzip), Parquet or Excel; or one file with `party_column`.
        party_column: The column that names the party of a row, if there is one file for all parties.
        names: The names of the parties. `None`: the names of the files, or the values of `party_column`.
        encoding: The encoding of CSV files that are not UTF-8.
        separator, skip: See `read_table`.

    Returns:
        The table of each party by its name, cells of CSV files as text, and where it came from.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is damaged or empty, or names occur twice.
    """

    if not files:
        raise ValueError("no files: give one for each party, or one file and party_column=NAME")
    read = [read_table(path, encoding, separator, skip) for path in files]
    if party_column is not None:
        if len(files) > 1:
            raise ValueError(f"party_column={party_column}: expected one file for all parties, got {len(files)}")
        table, source = read[0]
        if party_column not in table:
            raise ValueError(f"party_column={party_column}: {source.file} has the columns {', '.join(table.columns)}")
        owners = _owners(table, party_column)
        if (owners.isna() | (owners == "")).any():
            row = int((owners.isna() | (owners == "")).to_numpy().argmax())
            raise ValueError(f"{source.file}, column {party_column}: empty in data row {row + 1}; name its party")
        groups = table.drop(columns=party_column).groupby(owners.to_numpy(), sort=True)
        found = {str(name): rows.reset_index(drop=True) for name, rows in groups}
        tables, given = list(found.values()), list(found)
        for names_of_one in _alike(given):
            log.warning(
                "%s, column %s: %s are different parties", source.file, party_column, " and ".join(names_of_one)
            )
        sources = [
            replace(source, sha256=rows_digest(rows), party=name, party_column=party_column)
            for name, rows in found.items()
        ]
    else:
        if len(files) == 1:
            raise ValueError(f"{files[0]}: one file; give one for each party, or say party_column=NAME")
        tables, sources = [table for table, _ in read], [source for _, source in read]
        given = [source.file[: -len(source.suffix)] for source in sources]

    return dict(zip(party_names(given, names), tables, strict=True)), sources


def party_names(given: Sequence[str], names: Sequence[str] | None) -> list[str]:
    """Return the names of the parties: their own, or others in their place.

    Raises:
        ValueError: If there is not one for each party, one is empty or too long, or one occurs twice.
    """

    found = list(given)
    if names is not None:
        if len(names) != len(given):
            raise ValueError(f"names: {len(names)} names for {len(given)} parties ({', '.join(given)})")
        found = [str(name) for name in names]
    for name in found:
        if not name.strip() or len(name) > MAX_NAME:
            raise ValueError(
                f"parties: a name has {len(name)} characters, expected 1 to {MAX_NAME}, not only spaces; names=[...] "
                f"gives others{f': {name[:20]}...' if name.strip() else ''}"
            )
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        raise ValueError(f"parties: the name {twice[0]} occurs more than once; names=[...] gives others")

    return found


def _alike(names: Sequence[str]) -> list[list[str]]:
    """Return the names that differ in capital letters only, in groups."""

    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.casefold(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _owners(table: pd.DataFrame, party_column: str) -> pd.Series:
    return table[party_column].astype(object).astype("string").str.strip()


def rows_of(table: pd.DataFrame, party_column: str, party: str) -> pd.DataFrame:
    """Return the rows of a party in the table of all parties, without the column that names it."""

    return table[(_owners(table, party_column) == party).fillna(False).to_numpy(bool)].drop(columns=party_column)


def rows_digest(table: pd.DataFrame) -> str:
    """Return the SHA-256 of the rows of a table, whatever their order, the order of columns, quotes and separators.

    It is that of a JSON text: the list of the names of columns, sorted, and the list of all rows, sorted, each a list
    of its cells as text without spaces at the ends, an empty one for a missing cell; without spaces, in UTF-8.

    Example:
        >>> a = pd.DataFrame({"x": ["1", "2"], "y": ["b ", ""]})
        >>> rows_digest(a) == rows_digest(a[["y", "x"]][::-1])
        True
    """

    columns = sorted(map(str, table.columns))
    named = table.rename(columns=str)
    cells = [["" if pd.isna(cell) else str(cell).strip() for cell in named[column]] for column in columns]
    rows = sorted(zip(*cells, strict=True))
    text = json.dumps([columns, rows], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_table(
    path: str | Path, encoding: str = "utf-8", separator: str | None = None, skip: Skip | None = None
) -> tuple[pd.DataFrame, Source]:
    """Read a table from a file: CSV, whose cells stay text, Parquet or Excel.

    Arguments:
        path: The file.
        encoding: The encoding of a CSV file that is not UTF-8.
        separator: The separator of columns in a CSV file. `None`: comma, semicolon, tab or bar, as it is recognised.
        skip: The lines of a CSV file that are not part of the table. `None`: they are recognised.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no such file, is damaged or empty, or has a column without a name or with one that
            occurs twice.
    """

    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: a folder; expected a file that ends in {', '.join(FORMATS)}")
    try:
        content = read_plain(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    return read_content(path, content, encoding, separator, skip)


def read_content(
    path: Path, content: bytes, encoding: str = "utf-8", separator: str | None = None, skip: Skip | None = None
) -> tuple[pd.DataFrame, Source]:
    """Read a table from the content of a file; arguments and errors as of `read_table`."""

    suffix = next((end for end in FORMATS if path.name.lower().endswith(end)), None)
    if suffix is None:
        raise ValueError(f"{path}: expected a file that ends in {', '.join(FORMATS)}")
    source = Source(path.name, hashlib.sha256(content).hexdigest(), path.name[-len(suffix) :])

    if suffix in PARQUET:
        table = _parquet(path, content)
    elif suffix in EXCEL:
        table = _excel(path, content)
    else:
        if suffix.endswith(".gz"):
            content = gunzip(content, path)
        if content.startswith(b"PK\x03\x04"):
            raise ValueError(f"{path}: is an Excel or zip file, not CSV; name it .xlsx, or save it as CSV")
        table, dialect = read_csv(path, content, encoding, separator, skip)
        source = replace(source, skip=skip, **vars(dialect))
        if dialect.separator != ",":
            log.info("%s: columns are separated by %s", path, {"\t": "tab"}.get(dialect.separator, dialect.separator))
    if len(table) == 0:
        raise ValueError(f"{path}: has no rows")

    return table, source


def _parquet(path: Path, content: bytes) -> pd.DataFrame:
    """Return the columns of a Parquet file in their Arrow types; those of an index are columns as any other."""

    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        check_parquet(path, content)
        table = pq.ParquetFile(pa.BufferReader(content)).read().replace_schema_metadata()
    except TooLarge:
        raise
    except Exception as error:  # of pyarrow, of many classes
        raise ValueError(f"{path}: not a Parquet file, or a damaged one ({error})") from error
    check_names(path, table.column_names)
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    for name in [name for name in frame.columns if re.fullmatch(r"__index_level_\d+__", name)]:
        if number_rows(frame[name]):
            log.warning("%s: the index has no name and numbers the rows; it is left out", path)
            frame = frame.drop(columns=name)
    return frame


def _excel(path: Path, content: bytes) -> pd.DataFrame:
    """Return the first sheet of an Excel file."""

    try:
        book = open_workbook(path, content)
    except ImportError:
        raise ValueError(
            f'{path}: Excel files need the package openpyxl; run pip install ".[excel]" in a checkout of cgm'
        ) from None
    sheet = book.worksheets[0]
    rows = [list(row) for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row)]
    if len(book.worksheets) > 1:
        log.warning("%s: of %d sheets, the first one (%s) is read", path, len(book.worksheets), sheet.title)
    if not rows:
        raise ValueError(f"{path}: the file is empty; expected a line with the names of the columns, then the rows")
    width = max(len(row) for row in rows)
    rows = [row + [None] * (width - len(row)) for row in rows]
    place = 0
    while place + 1 < len(rows) and width > 1 and sum(cell is not None for cell in rows[place]) == 1:
        place += 1
    if place:
        log.warning("%s: the first %d lines (%s) are not part of the table", path, place, rows[0][0])
    names = ["" if cell is None else str(cell).strip() for cell in rows[place]]
    used = [k for k in range(width) if names[k] or any(row[k] is not None for row in rows[place + 1 :])]
    check_names(path, [names[k] for k in used])
    return pd.DataFrame({names[k]: pd.Series([row[k] for row in rows[place + 1 :]], dtype=object) for k in used})


def open_workbook(path: Path, content: bytes) -> Any:
    """Open an Excel file that fits into memory.

    Arguments:
        path: Its name in an error.
        content: The file.

    Raises:
        ImportError: If openpyxl is not installed.
        ValueError: If it is damaged or too large.
    """

    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            check_bytes(path, sum(member.file_size for member in members.infolist()), "its sheets take")
        return load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except TooLarge:
        raise
    except Exception as error:  # of zipfile, openpyxl and its XML parser, of many classes
        raise ValueError(f"{path}: not an Excel file, or a damaged one ({error})") from error


def tables_by_name(parties: Mapping[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], list[Source]]:
    """Check tables that are given as objects, and return them with their sources.

    Raises:
        ValueError: If there are none, or a table is not a DataFrame or has columns of the same name.
    """

    if not isinstance(parties, Mapping) or not parties:
        raise ValueError("parties: expected a dictionary from names to tables, with at least one")
    for name, table in parties.items():
        if not isinstance(table, pd.DataFrame):
            raise ValueError(f"party {name}: expected a pandas DataFrame, got {type(table).__name__}")
        check_names(Path(str(name)), [str(column) for column in table.columns])
        if len(table) == 0:
            raise ValueError(f"party {name}: its table has no rows")

    tables = {str(name): table.rename(columns=str).reset_index(drop=True) for name, table in parties.items()}
    return tables, [Source(name, dtypes=dtypes_of(table)) for name, table in tables.items()]


QUOTE = '"'


class TableFile(NamedTuple):
    """A table as a file.

    Attributes:
        content: The bytes of the file.
        rows: The number of rows, without the header.
        escaped: The number of cells, with the header's, that got a leading apostrophe.
        encoding: The encoding of a CSV file.
    """

    content: bytes
    rows: int
    escaped: int
    encoding: str = "utf-8"


def table_file(table: pd.DataFrame, columns: Sequence[Column], source: Source | None = None) -> TableFile:
    """Write a table in the form of a party's own file: its format, encoding, separator, signs, formats and types.

    Text that a spreadsheet would take for a formula gets a leading apostrophe, see `escape`; numbers do not. Parquet
    files hold the values as they are.

    Arguments:
        table: The table.
        columns: Its columns, in any order.
        source: Where the party's own table came from. `None`: a CSV file with commas.

    References:
        CSV injection, https://owasp.org/www-community/attacks/CSV_Injection
    """

    source = source or Source("")
    of = {column.name: column for column in columns}
    plain = Form(decimal=source.decimal)
    forms = {name: source.forms.get(name, plain) for name in table.columns}
    if source.suffix.lower() in PARQUET:
        return TableFile(_to_parquet(table, of, forms), len(table), 0)
    numbers = [not of[name].of_values.has_text for name in table.columns]
    if source.suffix.lower() in EXCEL:
        return _to_excel(table, of, forms)
    cells, escaped = [], 0
    for name, number in zip(table.columns, numbers, strict=True):
        texts = of[name].format(table[name], forms[name])
        marked = texts if number else [text if text == forms[name].missing else escape(text) for text in texts]
        head = escape(str(name))
        escaped += (head != str(name)) + sum(cell != text for cell, text in zip(marked, texts, strict=True))
        quoted = name in source.quoted
        cells.append([_quoted(head, source, source.quoted_header), *(_quoted(cell, source, quoted) for cell in marked)])
    lines = [source.separator.join(row) or 2 * QUOTE for row in zip(*cells, strict=True)]
    content, encoding = _encode(source.line_end.join([*lines, ""]), source)
    packed = source.suffix.lower().endswith(".gz")
    return TableFile(gzip.compress(content, mtime=0) if packed else content, len(table), escaped, encoding)


def _encode(text: str, source: Source) -> tuple[bytes, str]:
    """Encode text as the party's own file is; as UTF-8 with a mark if it has letters that this encoding lacks.

    Returns:
        The bytes, and the name of the encoding.
    """

    encoding = source.encoding or "utf-8"
    try:
        return text.encode(encoding), encoding
    except UnicodeEncodeError as error:
        log.warning(
            "%s: the reward is in UTF-8, since %s lacks %r", source.file, source.encoding, text[error.start : error.end]
        )
        return text.encode("utf-8-sig"), "utf-8-sig"


def _to_parquet(table: pd.DataFrame, of: Mapping[str, Column], forms: Mapping[str, Form]) -> bytes:
    """Return a Parquet file with the types of the party's own."""

    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    arrays = [to_arrow_column(table[name], of[name].of_values, forms[name]) for name in table.columns]
    pq.write_table(pa.table(arrays, names=list(table.columns)), file)
    return file.getvalue()


def _to_excel(table: pd.DataFrame, of: Mapping[str, Column], forms: Mapping[str, Form]) -> TableFile:
    """Return an Excel file; formulas are text in it."""

    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet()

    def text_cell(text: str) -> Any:
        cell = WriteOnlyCell(sheet, value=text)
        cell.data_type = "s"
        return cell

    columns = []
    for name in table.columns:
        column, form = of[name].of_values, forms[name]
        if column.has_text and column.kind != "boolean":
            columns.append([text_cell(text) if text else None for text in of[name].format(table[name], form)])
        else:
            missing = float(form.missing) if is_number(form.missing) else form.missing or None
            columns.append([missing if pd.isna(cell) else cell for cell in table[name].astype(object)])
    sheet.append([text_cell(str(name)) for name in table.columns])
    for row in zip(*columns, strict=True):
        sheet.append([cell.to_pydatetime() if isinstance(cell, pd.Timestamp) else cell for cell in row])
    file = io.BytesIO()
    book.save(file)
    return TableFile(file.getvalue(), len(table), 0)


def _quoted(cell: str, source: Source, always: bool) -> str:
    """Return a cell as a CSV file holds it, in quotes if the party's file has them, or where they are needed.

    Before Python 3.13, csv does not quote a lone carriage return.
    """

    quoted = (always and cell) or {source.separator, "\r", "\n", QUOTE} & set(cell)
    return f'"{cell.replace(QUOTE, 2 * QUOTE)}"' if quoted else cell
