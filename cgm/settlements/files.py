"""Rewards and the synthetic pool as files."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import pandas as pd

from cgm.data.images import write_npz, write_png
from cgm.data.tables.columns import Column
from cgm.data.tables.files import Source
from cgm.settlements.settlement import PartySettlement
from cgm.utils.files import folder_digest, sha256

# A spreadsheet takes a cell for a formula that begins with one of these, also in full width. Leading apostrophes count
# as well, so that the one that is added can always be told from one that was there.
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")

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


def table_file(table: pd.DataFrame, columns: Sequence[Column] = (), source: Source | None = None) -> TableFile:
    """Write a table as CSV in UTF-8: the columns in order, whole numbers without a point, dates by ISO 8601.

    If a source is given, the format, separator and decimal sign are those of its file. Parquet files hold the values as
    they are.

    A missing value is an empty cell. Text that a spreadsheet would take for a formula gets a leading apostrophe, see
    `escape`; numbers do not.

    Arguments:
        table: The table.
        columns: What is known of its columns: with the levels of a boolean column, it is written in these.
        source: Where the party's own table came from. `None`: a CSV file with commas.

    References:
        CSV injection, https://owasp.org/www-community/attacks/CSV_Injection
    """

    source = source or Source("")
    if source.suffix == ".parquet":
        file = io.BytesIO()
        table.to_parquet(file, index=False)
        return TableFile(file.getvalue(), len(table), 0)
    known = {column.name: column for column in columns}
    header = [escape(str(name)) for name in table.columns]
    cells = [_cells(table.iloc[:, k], known.get(name)) for k, name in enumerate(table.columns)]
    if source.decimal == ",":
        numbers = [pd.api.types.is_float_dtype(dtype) for dtype in table.dtypes]
        cells = [[x.replace(".", ",") for x in c] if number else c for number, c in zip(numbers, cells, strict=True)]
    lines = [_line(row, source.separator) for row in (header, *zip(*cells, strict=True))]

    escaped = sum(bool(FORMULA.match(str(name))) for name in table.columns)
    escaped += sum(cell.startswith("'") and bool(FORMULA.match(cell)) for column in cells for cell in column)
    content = "\n".join([*lines, ""]).encode()
    if source.suffix == ".csv.gz":
        content = gzip.compress(content, mtime=0)
    return TableFile(content, len(table), escaped)


def _line(cells: Sequence[str], separator: str) -> str:
    """Return a line of a CSV file; before Python 3.13, csv does not quote a lone carriage return."""

    quoted = [
        f'"{cell.replace(QUOTE, 2 * QUOTE)}"' if set(cell) & {separator, QUOTE, "\r", "\n"} else cell for cell in cells
    ]
    return separator.join(quoted) if quoted != [""] else 2 * QUOTE


def escape(cell: str) -> str:
    """Add an apostrophe to text that a spreadsheet would take for a formula; `unescape` removes it.

    Example:
        >>> escape("=1+1"), escape("1+1"), escape("'=1+1")
        ("'=1+1", '1+1', "''=1+1")
    """

    return f"'{cell}" if FORMULA.match(cell) else cell


def unescape(cell: str) -> str:
    """Remove the apostrophe that `escape` added."""

    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _cells(values: pd.Series, column: Column | None) -> list[str]:
    """Return the cells of a column."""

    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        if column is not None and column.date_format:
            return ["" if pd.isna(x) else x.strftime(column.date_format) for x in values]
        known = values.dropna()
        days = bool((known == known.dt.normalize()).all())
        return ["" if pd.isna(x) else (x.date() if days else x).isoformat() for x in values]

    kind = None if column is None else column.kind
    levels = None if column is None or kind != "boolean" else column.levels
    names = tuple(levels) if levels is not None and len(levels) == 2 else (False, True)
    if isinstance(values.dtype, pd.CategoricalDtype):  # each level once
        texts = [*(_cell(level, kind, names) for level in values.cat.categories), ""]
        return [texts[code] for code in values.cat.codes.tolist()]  # the code of a missing value is -1
    if values.dtype == "float64" and kind not in ("integer", "boolean"):
        return ["" if x != x else repr(x + 0.0) for x in values.tolist()]
    return ["" if pd.isna(x) else _cell(x, kind, names) for x in values.astype(object)]


def _cell(x: Any, kind: str | None, booleans: Sequence[Any]) -> str:
    """Return a value that is not missing as text."""

    if pd.api.types.is_bool(x) or (kind == "boolean" and isinstance(x, Real)):
        x = booleans[bool(x)]
    if isinstance(x, bool):
        return str(x)
    if isinstance(x, Integral):
        return str(int(x))
    if isinstance(x, Real):
        number = float(x) + 0.0  # 0.0 in place of -0.0
        return str(int(number)) if kind == "integer" and number.is_integer() else repr(number)
    return escape(x.isoformat() if hasattr(x, "isoformat") else str(x))


IMAGES = ".png"  # the format of which each image is a file: a reward is then a folder


@dataclass(frozen=True)
class RewardFile:
    """A reward as a file, or as a folder of images.

    Attributes:
        name: The name of the file or folder.
        files: The contents by path; the paths in a folder begin with its name.
        rows: The number of rows or images.
        escaped: The number of cells that got a leading apostrophe.
    """

    name: str
    files: dict[str, bytes]
    rows: int
    escaped: int = 0

    @property
    def entry(self) -> dict[str, Any]:
        """What a certificate says of it; the digest of a folder is that of `folder_digest`."""

        size = sum(map(len, self.files.values()))
        if self.name in self.files:
            return {"sha256": sha256(self.files[self.name]), "bytes": size, "rows": self.rows}
        inside = {path.removeprefix(f"{self.name}/"): data for path, data in self.files.items()}
        return {"sha256": folder_digest(inside), "bytes": size, "rows": self.rows, "folder": True}


def reward_file(settlement: PartySettlement, party: int, beta: float, name: str, single: bool = False) -> RewardFile:
    r"""Return a reward in the format of the party's own data.

    Arguments:
        settlement: The settlement.
        party: The party, from 0.
        beta: The $\beta$ of the reward.
        name: The name of the file, without its ending.
        single: Whether images are one file in any case.
    """

    reward, source = settlement.reward_table(party, beta), settlement.sources[party]
    if settlement.schema is not None:
        name += source.suffix
        content, rows, escaped = table_file(reward, settlement.schema.columns, source)
        return RewardFile(name, {name: content}, rows, escaped)
    if source.suffix == IMAGES and not single:
        files = {f"{name}/{k + 1:06}.png": write_png(image) for k, image in enumerate(reward)}
        return RewardFile(name, files, len(reward))
    name += ".npz"
    return RewardFile(name, {name: write_npz(reward, source.layout)}, len(reward))


def pool_file(settlement: PartySettlement) -> tuple[str, bytes]:
    """Return the name and the content of the file of the synthetic pool."""

    if settlement.schema is None:
        return "pool.npz", write_npz(settlement.pool_table, Source("").layout)
    return "pool.csv", table_file(settlement.pool_table, settlement.schema.columns).content
