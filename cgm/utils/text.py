"""Text: suggestions for mistyped names, tables, numbers as people read them, escaping of what comes from outside."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from statistics import fmean, stdev


def choice_error(given: str, choice: str, choices: Collection[str], other: str | None = None) -> str:
    """Describe a choice that there is not, in one line.

    Arguments:
        given: What was given, such as `kernel=sun`.
        choice: The choice in it.
        choices: Those that there are.
        other: What else is possible, such as a number.
    """

    expected = ", ".join(choices) + ("" if other is None else f", or {other}")
    return f"{given}: expected one of {expected}{suggestion(choice, choices)}"


def suggestion(name: str, names: Collection[str]) -> str:
    """Return a question that suggests names like a mistyped one, to be added to a message; empty without any."""

    near = [other for other in names if name and other.startswith(name)] or get_close_matches(name, names, n=1)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def setting_error(name: str, names: Collection[str]) -> str:
    """Describe a setting that does not exist, in one line.

    It may be mistyped, or stand in another section than that of this name.

    Arguments:
        name: The name that does not exist.
        names: Those of all settings and sections.
    """

    section, _, last = name.rpartition(".")
    beside = {other.rpartition(".")[2]: other for other in names if other.rpartition(".")[0] == section}
    near = [beside[match] for match in get_close_matches(last, beside, n=1, cutoff=0.65)]
    near = near or [other for other in names if other.rpartition(".")[2] == last]
    near = near or get_close_matches(name, [other for other in names if not name.startswith(other)], n=1, cutoff=0.8)
    if near:
        return f"{name}: unknown setting; did you mean {' or '.join(near)}?"
    if section and beside:
        return f"{name}: unknown setting; {section} has {', '.join(beside)}"
    return f"{name}: unknown setting; --help lists all settings"


CONTROL = re.compile(r"[^ -~]")  # characters that may be among these


def printable(text: str) -> str:
    """Return text without characters that control a terminal, break lines or reverse the direction of text.

    Example:
        >>> printable("two\\nlines, \\x1b[31mred")
        'two\\\\nlines, \\\\x1b[31mred'
    """

    return CONTROL.sub(_escaped, text) if CONTROL.search(text) else text


def printable_lines(text: str) -> str:
    """Return text as `printable` does, but with its line breaks."""

    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, length: int) -> str:
    """Return text of at most some characters, with the number of those that are left out."""

    return text if len(text) <= length else f"{text[:length]}... ({len(text) - length:,} more characters)"


def _escaped(match: re.Match[str]) -> str:
    x = match[0]
    return x if x.isprintable() or unicodedata.category(x) == "Zs" else ascii(x)[1:-1]


# A spreadsheet takes a cell for a formula that begins with one of these signs, also in full width. It may read the file
# with another separator than that of the file, so that a cell begins after any separator or break. Leading apostrophes
# count as well, so that one that is added can always be told from one that was there.
FORMULA = re.compile(r"""\A(?='*[=+\-@\t\r\n＝＋－＠])|(?<=[,;|\t\r\n])(?=['"]*[=+\-@＝＋－＠])""")
ESCAPED = re.compile(FORMULA.pattern.replace("(?='", "'(?='").replace("(?=['", "'(?=['"))


def escape(cell: str) -> str:
    """Add apostrophes to text that a spreadsheet would take for formulas; `unescape` removes them.

    Example:
        >>> escape("=1+1"), escape("1+1"), escape("'=1+1"), escape("a;=1+1")
        ("'=1+1", '1+1', "''=1+1", "a;'=1+1")
    """

    return FORMULA.sub("'", cell)


def unescape(cell: str) -> str:
    """Remove the apostrophes that `escape` added."""

    return ESCAPED.sub("", cell)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of comma-separated values; text that a spreadsheet would take for a formula is escaped."""

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(escape, columns))
    writer.writerows([cell if is_number(cell) else escape(cell) for cell in row] for row in rows)
    return text.getvalue()


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, also `inf` and `nan`."""

    try:
        float(cell)
    except ValueError:
        return False
    return True


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""

    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(printable(cell).replace("|", r"\|") for cell in line) + " |" for line in lines)


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


def number(x: float | str | None, digits: int = 4) -> str:
    """Return a number with some significant digits, whole numbers with all, and `n/a` for what is unknown.

    Arguments:
        x: The number; infinity also as `"inf"`, as `plain` writes it.
        digits: The number of significant digits.

    Example:
        >>> number(0.0000123456), number(12345), number(-1234.5), number(None), number(-1e-17)
        ('0.00001235', '12,345', '−1,234', 'n/a', '0')
    """

    if isinstance(x, int):
        return f"{x:,}"
    x = math.nan if x is None else float(x)
    if math.isnan(x):
        return "n/a"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if abs(x) < 1e-12:  # rounding errors
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(x))))
    text = f"{x:,.{decimals}f}" if 1e-9 < abs(x) < 1e12 else f"{x:.{digits}g}"
    text = text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
    return text.replace("-", "−", 1 if x < 0 else 0)


def percent(share: float | None) -> str:
    """Return a share in percent, with three significant digits.

    Example:
        >>> percent(0.97), percent(0.99123), percent(None)
        ('97 %', '99.1 %', 'n/a')
    """

    return f"{number(100 * share, 3)} %" if share is not None else "n/a"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them.

    Example:
        >>> listed(["north"]), listed(["north", "east", "west"])
        ('north', 'north, east and west')
    """

    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def beta_name(beta: float | str) -> str:
    """Return an inverse temperature, also `"inf"`, as the shortest text, without a point if it is a whole number.

    Example:
        >>> beta_name(8.0), beta_name(0.5), beta_name(float("inf"))
        ('8', '0.5', 'inf')
    """

    return repr(float(beta)).removesuffix(".0")


def label(text: str, length: int = 24) -> str:
    """Return text from outside as one line for a figure.

    Example:
        >>> label("a name that is much too long for an axis"), label("two\\nlines")
        ('a name that is much too…', 'two lines')
    """

    line = " ".join("".join(x if x.isprintable() else " " for x in str(text)).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
