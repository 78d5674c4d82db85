r"""The content of `metrics.csv`: its columns, its writer and its only reader.

The table is tidy: a row for each party, $\beta$ and metric. A value that could not be computed is empty. Counts are
written without a decimal point and read back as integers, so that a table that is read and written stays the same.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from cgm.evaluation.entries import MetricRow
from cgm.utils.text import csv_text

COLUMNS = list(MetricRow._fields)


def to_cells(row: MetricRow) -> list[str]:
    """Return the cells of a row."""

    beta = repr(float(row.beta)).removesuffix(".0")
    return [str(row.party), beta, row.metric, "" if row.value is None else repr(row.value)]


def from_cells(cells: Sequence[str]) -> MetricRow:
    """Read a row from its cells.

    Raises:
        ValueError: If they are not those of a row.
    """

    if len(cells) != len(COLUMNS):
        raise ValueError(f"a row has {len(cells)} cells, expected {len(COLUMNS)}: {', '.join(cells)}")
    party, beta, metric, value = cells
    try:
        number = None if not value else int(value) if value.isdecimal() else float(value)
        return MetricRow(int(party), float(beta), metric, number)
    except ValueError as error:
        raise ValueError(f"{error}, in the row {', '.join(cells)}") from error


def dumps(rows: Iterable[MetricRow]) -> str:
    """Return the text of `metrics.csv`."""

    return csv_text(COLUMNS, map(to_cells, rows))


def loads(text: str) -> list[MetricRow]:
    """Read rows from the text of `metrics.csv`.

    Raises:
        ValueError: If it is not such a table; the message has the columns or the row.
    """

    try:
        table = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    columns = table[0] if table else []
    if columns != COLUMNS:
        raise ValueError(f"has the columns {', '.join(columns) or '(none)'}, expected {', '.join(COLUMNS)}")
    return [from_cells(row) for row in table[1:]]
