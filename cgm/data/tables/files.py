"""Files of tables, CSV and Parquet: read, one for each party or one for all, and written."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from cgm.data.tables.columns import Column
from cgm.utils.files import TooLarge, check_cells, gunzip, read_plain
from cgm.utils.text import escape
from cgm.utils.untrusted import check_parquet

log = logging.getLogger(__name__)

SEPARATORS = ",;\t|"
MAX_NAME = 200  # characters of the name of a party
CSV, PARQUET = (".csv", ".csv.gz"), (".parquet",)


@dataclass(frozen=True)
class Source:
    """Where a party's table came from, and in which format rewards are written.

    Attributes:
        file: The name of the file, without its folder; the name of the party if there is no file.
        sha256: The SHA-256 of the file's bytes; empty if there is no file.
        suffix: `".csv"`, `".csv.gz"` or `".parquet"`; of a folder of images, `".png"` or `".npz"`.
        separator: The separator of the columns in a CSV file.
        decimal: The decimal sign in a CSV file.
        layout: Of images in an `.npz` file, their axes and type, such as `"NHWC uint8"`.
        party_column: Of one file for all parties, the column that names the party; `sha256` is then that of the party's
            own rows, see `rows_digest`.
        party: The party's name in this column.
        encoding: The encoding of such a file.
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


def read_parties(
    files: Sequence[str | Path],
    party_column: str | None = None,
    names: Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> tuple[dict[str, pd.DataFrame], list[Source]]:
    """Read the tables of the parties.

    Arguments:
        files: A file for each party, CSV (also compressed by gzip) or Parquet; or one file with `party_column`.
        party_column: The column that names the party of a row, if there is one file for all parties.
        names: The names of the parties. `None`: the names of the files, or the values of `party_column`.
        encoding: The encoding of CSV files that are not UTF-8.

    Returns:
        The table of each party by its name, cells of CSV files as text, and where it came from.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is damaged or empty, or names occur twice.
    """

    if not files:
        raise ValueError("no files: give one for each party, or one file and party_column=NAME")
    read = [read_table(path, encoding) for path in files]
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
        own = {"party_column": party_column, "encoding": encoding}
        sources = [replace(source, sha256=rows_digest(rows), party=name, **own) for name, rows in found.items()]
    else:
        if len(files) == 1:
            raise ValueError(f"{files[0]}: one file; give one for each party, or say party_column=NAME")
        tables, sources = [table for table, _ in read], [source for _, source in read]
        given = [source.file.removesuffix(source.suffix) for source in sources]

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


def _owners(table: pd.DataFrame, party_column: str) -> pd.Series:
    return table[party_column].astype("string").str.strip()


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


def read_table(path: str | Path, encoding: str = "utf-8") -> tuple[pd.DataFrame, Source]:
    """Read a table from a CSV file, whose cells stay text, or from a Parquet file.

    Separators (comma, semicolon, tab, bar) and decimal commas are recognised.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no such file, is damaged or empty, or has a column without a name or with one that
            occurs twice.
    """

    path = Path(path)
    suffix = next((end for end in (*CSV, *PARQUET) if path.name.lower().endswith(end)), None)
    if path.is_dir():
        raise ValueError(f"{path}: a folder; expected a file that ends in {', '.join((*CSV, *PARQUET))}")
    try:
        content = read_plain(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    if suffix is None:
        raise ValueError(f"{path}: expected a file that ends in {', '.join((*CSV, *PARQUET))}")
    sha256 = hashlib.sha256(content).hexdigest()

    if suffix in PARQUET:
        table = _parquet(path, content)
        source = Source(path.name, sha256, suffix)
    else:
        table, separator = _csv(path, content, suffix, encoding)
        commas = separator != "," and _replace_decimal_commas(table)
        source = Source(path.name, sha256, suffix, separator, "," if commas else ".")
        if separator != "," or commas:
            name = {"\t": "tab"}.get(separator, separator)
            log.info("%s: columns are separated by %s%s", path, name, ", numbers have decimal commas" * commas)
    if len(table) == 0:
        raise ValueError(f"{path}: has no rows")

    return table, source


def _csv(path: Path, content: bytes, suffix: str, encoding: str) -> tuple[pd.DataFrame, str]:
    """Return the cells of a CSV file as text, and its separator."""

    if suffix == ".csv.gz":
        content = gunzip(content, path)
    try:
        text = _decode(content, encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}: line {line} is not {encoding} (byte {error.start}); save the file as UTF-8, or say "
            "for example encoding=latin-1"
        ) from error
    except LookupError:
        raise ValueError(f"encoding={encoding}: not an encoding, such as utf-8 or latin-1") from None
    if "\x00" in text:
        raise ValueError(f"{path}: holds zero bytes; it is not a CSV file, or has another encoding")
    first = text.lstrip("\r\n").partition("\n")[0]
    if not first.strip():
        raise ValueError(f"{path}: the file is empty; expected a line with the names of the columns, then the rows")

    separator = max(SEPARATORS, key=first.count)
    check_cells(path, text.count("\n") + text.count("\r"), first.count(separator) + 1)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = [cell.strip() for cell in next(row for row in rows if row)]
        _check_names(path, header)
        cells = []
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise ValueError(
                    f"{path}: line {rows.line_num} has {len(row)} cells where {len(header)} are expected; is the file "
                    "truncated, or a cell with a separator not in quotes?"
                )
            cells.append(row)
    except csv.Error as error:
        raise ValueError(f"{path}: line {rows.line_num}: {error}") from error

    return pd.DataFrame(cells, columns=header, dtype=object), separator


def _decode(content: bytes, encoding: str) -> str:
    """Decode text: as UTF-16 if it begins with its mark, as UTF-8 if it is, so that files may have both encodings."""

    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    codecs.lookup(encoding)
    try:
        text = content.decode("utf-8-sig")
        if "\x00" not in text:
            return text
    except UnicodeDecodeError:
        if encoding.lower().replace("-", "") == "utf8":
            raise
    return content.decode(encoding)


def _parquet(path: Path, content: bytes) -> pd.DataFrame:
    try:
        check_parquet(path, content)
        table = pd.read_parquet(io.BytesIO(content))
    except ImportError:
        raise ValueError(
            f'{path}: Parquet files need the package pyarrow; run pip install ".[parquet]" in a checkout of cgm'
        ) from None
    except TooLarge:
        raise
    except Exception as error:  # of pyarrow, of many classes
        raise ValueError(f"{path}: not a Parquet file, or a damaged one ({error})") from error
    _check_names(path, [str(name) for name in table.columns])

    return table


def _check_names(path: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if not name:
            raise ValueError(f"{path}: column {number + 1} has no name in the first line")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: the column {twice[0]} occurs {names.count(twice[0])} times; rename one")


def _replace_decimal_commas(table: pd.DataFrame) -> bool:
    """Replace decimal commas in columns of numbers, and return whether there were any."""

    changed = False
    for name in table.columns:
        cells = table[name].str.strip()
        filled = cells[cells != ""]
        numbers = filled.str.fullmatch(r"[+-]?\d*(,\d+)?([eE][+-]?\d+)?")
        if len(filled) and filled.str.contains(",", regex=False).any() and numbers.all():
            table[name] = cells.str.replace(",", ".", regex=False)
            changed = True

    return changed


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
        _check_names(Path(str(name)), [str(column) for column in table.columns])
        if len(table) == 0:
            raise ValueError(f"party {name}: its table has no rows")

    tables = {str(name): table.rename(columns=str).reset_index(drop=True) for name, table in parties.items()}
    return tables, [Source(name) for name in tables]


QUOTE = '"'


class TableFile(NamedTuple):
    """A table as a file.

    Attributes:
        content: The bytes of the file.
        rows: The number of rows, without the header.
        escaped: The number of cells, with the header's, that got a leading apostrophe.
    """

    content: bytes
    rows: int
    escaped: int


def table_file(table: pd.DataFrame, columns: Sequence[Column], source: Source | None = None) -> TableFile:
    """Write a table in the form of a party's own file: its format, separator and decimal sign.

    CSV files are in UTF-8, with an empty cell for a missing value. Text that a spreadsheet would take for a formula
    gets a leading apostrophe, see `escape`; numbers do not. Parquet files hold the values as they are.

    Arguments:
        table: The table.
        columns: Its columns, in any order.
        source: Where the party's own table came from. `None`: a CSV file with commas.

    References:
        CSV injection, https://owasp.org/www-community/attacks/CSV_Injection
    """

    source = source or Source("")
    if source.suffix in PARQUET:
        file = io.BytesIO()
        table.to_parquet(file, index=False)
        return TableFile(file.getvalue(), len(table), 0)
    of = {column.name: column for column in columns}
    texts = [[str(name), *of[name].format(table[name], source.decimal)] for name in table.columns]
    numbers = [not of[name].of_values.has_text for name in table.columns]
    marked = [
        [escape(text[0]), *(text[1:] if number else map(escape, text[1:]))]
        for text, number in zip(texts, numbers, strict=True)
    ]
    escaped = sum(cell != text for pair in zip(marked, texts, strict=True) for cell, text in zip(*pair, strict=True))
    cells = [
        [_quoted(cell, source.separator, not number) for cell in column]
        for column, number in zip(marked, numbers, strict=True)
    ]
    lines = [source.separator.join(row) or 2 * QUOTE for row in zip(*cells, strict=True)]
    content = "\n".join([*lines, ""]).encode()
    return TableFile(gzip.compress(content, mtime=0) if source.suffix == ".csv.gz" else content, len(table), escaped)


def _quoted(cell: str, separator: str, is_text: bool) -> str:
    """Return a cell as a CSV file holds it; text is quoted also if a reader with another separator would split it.

    Before Python 3.13, csv does not quote a lone carriage return.
    """

    signs = {*SEPARATORS, separator} if is_text else {separator}
    return f'"{cell.replace(QUOTE, 2 * QUOTE)}"' if signs.union("\r\n", QUOTE) & set(cell) else cell
