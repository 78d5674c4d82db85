"""What results show of themselves at a prompt and in a notebook: a few lines in place of all numbers."""

from __future__ import annotations

import dataclasses
from html import escape
from typing import TYPE_CHECKING, Any

from cgm.utils.text import printable

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 100  # characters of a line of text
ROWS, HTML_ROWS = 20, 30  # of a table in text and in a notebook
CELL = 32  # characters of a cell
PLAIN_TEXT = "tex2jax_ignore mathjax_ignore"  # classes of HTML in which notebooks take a dollar for a dollar


class Shown:
    """Base class of results that show a line and a table of themselves.

    Dataclasses that derive from it are declared with `repr=False`.
    """

    def to_frame(self) -> pd.DataFrame:
        """Return the result as a table of pandas."""

        raise NotImplementedError

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        """Return the line above the table, the table, and the line below it, which may be empty."""

        return type(self).__name__, self.to_frame(), ""

    def __repr__(self) -> str:
        head, frame, foot = self._shown()
        frame = _readable(frame)
        texts = (
            frame.to_string(index=False, max_rows=ROWS, min_rows=ROWS, max_cols=columns, max_colwidth=CELL, **FORMAT)
            for columns in range(len(frame.columns), 1, -1)  # fewer columns, until lines are short enough
        )
        table = next((text for text in texts if max(map(len, text.split("\n"))) <= WIDTH), "") if len(frame) else ""
        return "\n".join(_line(part) if part is not table else part for part in (head, table, foot) if part)

    def _repr_html_(self) -> str:
        head, frame, foot = self._shown()
        table = _readable(frame).to_html(index=False, max_rows=HTML_ROWS, classes=PLAIN_TEXT, border=0, **FORMAT)
        texts = [f"<p>{escape(printable(part))}</p>" if part else "" for part in (head, foot)]
        return f'<div class="{PLAIN_TEXT}">{texts[0]}{table if len(frame) else ""}{texts[1]}</div>'


FORMAT: dict[str, Any] = {"na_rep": "", "float_format": "{:.4g}".format}


def counted(n: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it must be.

    Example:
        >>> counted(1, "warning"), counted(1000, "party")
        ('1 warning', '1,000 parties')
    """

    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"


def brief(x: Any) -> str:
    """Return an object with named fields in one line, with tensors, arrays and tables as their shapes.

    Arguments:
        x: A dataclass or a named tuple.
    """

    names = [field.name for field in dataclasses.fields(x)] if dataclasses.is_dataclass(x) else x._fields
    parts = ", ".join(f"{name}={_brief_value(getattr(x, name))}" for name in names)
    return f"{type(x).__name__}({parts})"


def _brief_value(value: Any) -> str:
    if (shape := getattr(value, "shape", None)) is not None:
        return f"{type(value).__name__}{tuple(shape)}"
    if isinstance(value, list | tuple) and value and all(hasattr(each, "shape") for each in value):
        inside = ", ".join(map(_brief_value, value[:3])) + (", ..." if len(value) > 3 else "")
        return f"[{inside}]"
    text = repr(value)
    return text if len(text) <= 2 * CELL else f"{text[: 2 * CELL]}..."


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts, names of columns as well, are one line each.

    Parties have their names or else numbers from 1, where `to_frame` numbers them from 0.
    """

    def cell(x: Any) -> Any:
        return printable(x) if isinstance(x, str) else x

    if "party" in frame:
        numbers = frame["party"] + 1
        names = frame.get("name", numbers)
        is_numbered = (names == "party " + numbers.astype(str)).all()
        frame = frame.assign(party=numbers if is_numbered else names).drop(columns="name", errors="ignore")
    frame = frame.rename(columns=cell)
    for k, kind in enumerate(frame.dtypes):
        if kind.kind not in "biuf":
            frame.isetitem(k, frame.iloc[:, k].map(cell))
    return frame


def _line(text: str) -> str:
    """Return text as one line that is not too long."""

    text = printable(text)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
