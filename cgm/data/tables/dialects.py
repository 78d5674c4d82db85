"""CSV files as programs write them: encodings, separators, lines around the table; cells stay text."""

from __future__ import annotations

import codecs
import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cgm.utils.files import check_cells

log = logging.getLogger(__name__)

SEPARATORS = ",;\t|"
SAMPLE_BYTES, SAMPLE_LINES = 1 << 18, 2000  # from which separator and header are recognised
BLOCK_BYTES = 1 << 24  # the longest row that can be read
MAX_FOOTER = 10  # lines below a table that can be recognised as not part of it


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        separator: The separator of columns.
        encoding: The encoding of the file.
        line_end: The end of lines.
        quoted: The columns whose cells are in quotes, also where they need none.
        quoted_header: Whether the names of columns are.
    """

    separator: str = ","
    encoding: str = "utf-8"
    line_end: str = "\n"
    quoted: tuple[str, ...] = ()
    quoted_header: bool = False


class Skip(NamedTuple):
    """The number of lines that are not part of the table.

    Attributes:
        before: Those before the header.
        after: Those after the last row.
    """

    before: int = 0
    after: int = 0


def read_csv(
    path: Path, content: bytes, encoding: str = "utf-8", separator: str | None = None, skip: Skip | None = None
) -> tuple[pd.DataFrame, Dialect]:
    """Read the cells of a CSV file as text.

    Lines before and after the table, separators at the ends of lines and a column of row numbers without a name are
    left out, with a warning.

    Arguments:
        path: The file, for messages.
        content: Its bytes, not compressed.
        encoding: The encoding of a file that is not UTF-8.
        separator: The separator of columns. `None`: it is recognised.
        skip: The lines that are not part of the table. `None`: they are recognised.

    Returns:
        The cells, text of Arrow, and the dialect.

    Raises:
        ValueError: If the file is damaged or empty, or has a column without a name or with one that occurs twice.
    """

    text, encoding = decode(path, content, encoding)
    if not text.strip():
        raise ValueError(f"{path}: the file is empty; expected a line with the names of the columns, then the rows")
    start = 0
    if skip is None and (sep := re.match(rb'"?sep=(.)"?[ \t]*(\r\n|\n|\r)', text)):
        separator = separator or sep[1].decode("latin-1")
        start = sep.end()
        log.warning(
            "%s: line 1 (%s) says what separates columns, and is not part of the table", path, sep[0].decode().strip()
        )
    lines = text[start : start + SAMPLE_BYTES].splitlines(keepends=True)
    if start + SAMPLE_BYTES < len(text):
        lines = lines[:-1] or lines
    lines = lines[:SAMPLE_LINES]
    if skip is not None:
        start, lines = start + sum(map(len, lines[: skip.before])), lines[skip.before :]
    sample = [line.decode("utf-8", "replace") for line in lines]
    separator = separator or _separator(sample)
    rows = _rows(sample, separator)
    if not rows:
        raise ValueError(f"{path}: the file is empty; expected a line with the names of the columns, then the rows")
    header = _header(path, rows, skip)
    start += sum(map(len, lines[: header.line]))
    check_cells(
        path, text.count(b"\n", start) + text.count(b"\r", start) - text.count(b"\r\n", start), len(header.cells)
    )
    end = _end(path, text, start, header, separator, rows, skip)
    names = [cell.strip() for cell in header.cells]
    names, trailing = _trailing(path, names, rows, header)
    check_names(path, [name or ("row numbers" if k == 0 else "") for k, name in enumerate(names)])
    body = memoryview(text)[start:end]
    table = _body(path, body, [*names, *trailing], separator, text, start)
    table = _without_unnamed(path, table, trailing)
    of_header, *of_rows = list(_quotes(rows, sample, separator))[rows.index(header) :]
    sums = map(sum, zip_longest(*of_rows, fillvalue=0))
    quoted = tuple(name for name, count in zip(names, sums, strict=False) if count > 0)
    line_end = "\r\n" if b"\r\n" in text[: 1 << 16] else "\n"
    return table, Dialect(separator, encoding, line_end, quoted, sum(of_header) > 0)


def decode(path: Path, content: bytes, encoding: str) -> tuple[bytes, str]:
    """Return text in UTF-8 without a mark, and the encoding that it had.

    It is UTF-16 if it begins with the mark or has zero bytes at every other place, and UTF-8 if it is, so that files
    may have several encodings.
    """

    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ValueError(f"encoding={encoding}: not an encoding, such as utf-8 or latin-1") from None
    found = encoding
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        found = "utf-16"
    elif b"\x00" in content[:4096] and (wide := _utf16(content)):
        found = wide
    elif content.startswith(codecs.BOM_UTF8):
        found = "utf-8-sig"
    else:  # also if another encoding is given
        with suppress(UnicodeDecodeError):
            if "\x00" not in content.decode():
                return content, "utf-8"
    try:
        text = content.decode(found)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}: line {line} is not {found} (byte {error.start}); save the file as UTF-8, or say for example "
            "encoding=latin-1, which leaves files alone that are UTF-8"
        ) from error
    if "\x00" in text:
        raise ValueError(f"{path}: holds zero bytes; it is not a CSV file, or has another encoding")
    return text.encode(), found


def _utf16(content: bytes) -> str:
    """Return the encoding of UTF-16 without a mark; empty if it is none."""

    head = content[:4096]
    for encoding, zeros, letters in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if zeros.count(0) > 0.8 * len(zeros) and letters.count(0) == 0:
            return encoding
    return ""


class _Row(NamedTuple):
    cells: list[str]
    line: int  # number of lines up to its end


def _rows(lines: Sequence[str], separator: str) -> list[_Row]:
    """Split lines into rows that are not empty; the last one may be cut."""

    reader = csv.reader(lines, delimiter=separator)
    rows: list[_Row] = []
    try:
        for row in reader:
            if len(row) > 1 or "".join(row).strip():
                rows.append(_Row(row, reader.line_num))
    except csv.Error:  # such as a cell that is too long; the rows before it show enough
        pass
    return rows


def _separator(lines: Sequence[str]) -> str:
    """Return the separator with which most lines have the same number of cells, more than one.

    Of several, it is the one with which quotes stand around cells, and the header has as many cells.
    """

    def score(separator: str) -> tuple[int, bool, bool, int]:
        rows = _rows(lines, separator)
        widths = Counter(len(row.cells) for row in rows)
        width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1], item[0]), default=(0, 0))
        if width < 2:
            return 0, False, False, 0
        try:
            list(csv.reader(lines[: rows[-1].line - 1], delimiter=separator, strict=True))
        except csv.Error:
            return count, False, False, width
        return count, True, len(rows[0].cells) == width, width

    return max(SEPARATORS, key=score)


def _filled(row: _Row) -> list[str]:
    return [cell for cell in row.cells if cell.strip()]


def _header(path: Path, rows: list[_Row], skip: Skip | None) -> _Row:
    """Return the header; lines before it are named in a warning."""

    if skip is not None:
        return rows[0]
    widths = Counter(len(row.cells) for row in rows[1:] or rows)
    width = max(widths, key=lambda w: (widths[w], w))
    place = 0
    while place + 1 < len(rows) and width > 1:
        row, following = rows[place], _filled(rows[place + 1])
        comment = row.cells[0].lstrip().startswith("#") and len(row.cells) != width
        title = len(row.cells) == 1
        # a title in a spreadsheet is followed by empty cells, and then by names, not by numbers
        padded = len(_filled(row)) == 1 and width > 2 and len(following) != 1
        padded = padded and not any(re.fullmatch(r"[+-]?[\d.,]+", cell.strip()) for cell in following)
        if not (comment or title or padded):
            break
        place += 1
    if place:
        told = "; ".join("".join(row.cells)[:40] for row in rows[:place][:3])
        log.warning(
            "%s: the first lines, up to line %d (%s), are not part of the table", path, rows[place - 1].line, told
        )
    return rows[place]


def _quotes(rows: Sequence[_Row], lines: Sequence[str], separator: str) -> Iterator[list[int]]:
    """Yield for the cells of each row 1 if they are in quotes without need, -1 if they are not, and 0 if it is open."""

    start = 0
    for row in rows:
        text, start = "".join(lines[start : row.line]).strip("\r\n") + separator, row.line
        place, marks = 0, []
        for cell in row.cells:
            bare = text.startswith(cell + separator, place)
            if not bare and not text.startswith(f'"{cell}"{separator}', place):  # with quotes inside, or an odd row
                break
            place += len(cell) + (1 if bare else 3)
            marks.append(0 if not cell or set(cell) & {separator, "\r", "\n"} else -1 if bare else 1)
        yield marks


def _end(path: Path, text: bytes, start: int, header: _Row, separator: str, rows: list[_Row], skip: Skip | None) -> int:
    """Return where the table ends: before a footer, which is named in a warning."""

    if skip is not None:
        end = len(text.rstrip(b"\r\n"))
        for _ in range(skip.after):
            end = max(text.rfind(b"\n", start, end), start)
        return end if skip.after else len(text)
    width = len(header.cells)
    if width < 2:
        return len(text)
    tail = text[max(start, len(text) - 8192) :]
    lines = tail.splitlines(keepends=True)[-MAX_FOOTER - 1 :]
    first = [row.cells[0].strip() for row in rows if row.line > header.line and len(row.cells) >= width][:200]
    numbers = bool(first) and all(re.fullmatch(r"[+-]?[\d.,:/-]*", cell) for cell in first)
    footer = 0
    for k in range(1, len(lines) + 1):
        line = lines[-k].decode("utf-8", "replace").strip("\r\n")
        if not line.strip():
            continue
        cells = next(csv.reader([line], delimiter=separator), [])
        separated = k < len(lines) and not lines[-k - 1].strip()
        apart = separated or (numbers and not re.fullmatch(r"[+-]?[\d.,:/-]*", cells[0].strip()))
        if len(cells) != 1 or not apart:
            break
        footer = k
    if not footer:
        return len(text)
    told = "; ".join(line.decode("utf-8", "replace").strip()[:40] for line in lines[-footer:] if line.strip())
    log.warning("%s: the last lines (%s) are not part of the table", path, told)
    return len(text) - sum(map(len, lines[-footer:]))


def _trailing(path: Path, names: list[str], rows: list[_Row], header: _Row) -> tuple[list[str], list[str]]:
    """Return the names of columns, and names of columns of empty cells that separators at the ends of lines make."""

    count = len(names)
    while count > 1 and not names[count - 1]:
        count -= 1
    after = [row for row in rows if row.line > header.line]
    more = 0
    if after and count == len(names):
        widths = Counter(len(row.cells) for row in after)
        more = max(widths, key=lambda w: (widths[w], -w)) - len(names)
        wide = [row for row in after if len(row.cells) == len(names) + more]
        if more < 0 or any(cell.strip() for row in wide for cell in row.cells[len(names) :]):
            more = 0
    empty = len(names) - count + more
    return names[:count], [f"\x00{k}" for k in range(empty)]


def _body(path: Path, body: memoryview, names: list[str], separator: str, text: bytes, start: int) -> pd.DataFrame:
    """Read the rows with PyArrow, which is fast and strict; errors are found again, with their line, by `csv`."""

    import pyarrow as pa
    import pyarrow.csv as pacsv

    def refuse() -> None:
        _refuse(path, bytes(body), names, separator, len(text[:start].splitlines()))

    if text.count(b'"') % 2:
        refuse()
    if not bytes(body[:4096]).strip() and not bytes(body).strip():
        return pd.DataFrame({name: pd.Series(dtype=pd.ArrowDtype(pa.string())) for name in names})
    wrong = []

    def skip(row: Any) -> str:
        wrong.append(row)
        return "skip"

    try:
        table = pacsv.read_csv(
            pa.BufferReader(pa.py_buffer(body)),
            read_options=pacsv.ReadOptions(column_names=names, block_size=BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(
                delimiter=separator, newlines_in_values=b'"' in text, invalid_row_handler=skip
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
            ),
        )
    except pa.ArrowInvalid as error:
        refuse()
        raise ValueError(f"{path}: {error}") from error
    if wrong:
        refuse()
        raise ValueError(f"{path}: a row has {wrong[0].actual_columns} cells where {len(names)} are expected")
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _refuse(path: Path, body: bytes, names: list[str], separator: str, before: int) -> None:
    """Raise an error for the first row that is not one of the table, with its line."""

    csv.field_size_limit(2**31 - 1)
    rows = csv.reader(io.StringIO(body.decode("utf-8", "replace"), newline=""), delimiter=separator, strict=True)
    width = len([name for name in names if not name.startswith("\x00")])
    begin = before + 1  # of a row: one that is not closed ends far below
    try:
        for row in rows:
            if row and len(row) != len(names):
                raise ValueError(
                    f"{path}: line {begin} has {len(row)} cells where {width} are expected; is the file truncated, "
                    "or a cell with a separator not in quotes? skip=[1, 1] leaves out a line before the header and one "
                    "at the end, separator=semicolon is for another separator"
                )
            begin = rows.line_num + before + 1
    except csv.Error as error:
        told = f"a quote is opened in the row that begins here, and not closed ({error})"
        raise ValueError(f"{path}: line {begin}: {told}; close it, or double a quote that is part of a text") from error


def _without_unnamed(path: Path, table: pd.DataFrame, trailing: Sequence[str]) -> pd.DataFrame:
    """Leave out columns that separators at the ends of lines make, and row numbers without a name."""

    for name in trailing:
        if (table[name].str.strip() != "").any():
            number = table.columns.get_loc(name) + 1
            raise ValueError(f"{path}: column {number} has no name in the first line, but cells; name it in the file")
    if trailing:
        log.warning("%s: lines end in a separator; the empty column after it is left out", path)
        table = table.drop(columns=list(trailing))
    if "" not in table.columns:
        return table
    if len(table) and not number_rows(table[""]):
        raise ValueError(f"{path}: column 1 has no name in the first line; name it in the file")
    log.warning("%s: the first column has no name and numbers the rows; it is left out", path)
    return table.drop(columns="")


def number_rows(cells: pd.Series) -> bool:
    """Return whether cells are whole numbers, all different, as an index has them."""

    texts = cells.astype(object).map(str)
    return bool(texts.str.fullmatch(r"\d{1,15}").all()) and bool(texts.is_unique)


def check_names(path: Path, names: Sequence[str]) -> None:
    """Check that columns have names, all different."""

    for number, name in enumerate(names):
        if not name:
            raise ValueError(f"{path}: column {number + 1} has no name in the first line")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: the column {twice[0]} occurs {names.count(twice[0])} times; rename one")
