"""Text of tables."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of comma-separated values."""

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""

    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def aligned_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows of a table as lines whose columns are aligned on the right."""

    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def mean_cell(values: Sequence[float | None]) -> str:
    """Return the mean of the values that are known ± its standard error, and how many are known if some are not."""

    known = [value for value in values if value is not None]
    if not known:
        return ""
    error = f" ± {stdev(known) / math.sqrt(len(known)):.2g}" if len(known) > 1 else ""
    missing = f" ({len(known)} of {len(values)})" if len(known) < len(values) else ""
    digits = 4 if any(isinstance(value, float) for value in known) else 9
    return f"{fmean(known):.{digits}g}{error}{missing}"
