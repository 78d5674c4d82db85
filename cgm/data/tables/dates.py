"""Formats of dates other than ISO 8601: recognised where all cells of the parties leave only one."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

# with points, the day comes first; with slashes and hyphens, some cell must say whether the day or the month does
DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
TIMES = ("", " %H:%M", " %H:%M:%S")
LIKE = r"(\d{1,2}([./-])\d{1,2}\2\d{4}|\d{4}([./])\d{1,2}\3\d{1,2})( \d{1,2}:\d{2}(:\d{2})?)?"
PARTS = {"%d": "day", "%m": "month", "%Y": "year"}


def date_formats(column: str, cells: Mapping[str, pd.Series]) -> dict[str, str | None]:
    """Return the format of the dates of each party, by its name; `None` where cells are no such dates.

    A party whose cells fit several formats has that of the others, if they have one.

    Arguments:
        column: The name of the column.
        cells: The cells of each party as text, `None` where they are missing.

    Raises:
        ValueError: If it cannot be known which of day and month comes first.

    Example:
        >>> date_formats("since", {"a": pd.Series(["31/12/2024"]), "b": pd.Series(["01/02/2024"])})
        {'a': '%d/%m/%Y', 'b': '%d/%m/%Y'}
    """

    possible = {name: _possible(own) for name, own in cells.items()}
    sure = {formats[0] for formats in possible.values() if len(formats) == 1}
    found: dict[str, str | None] = {}
    for name, formats in possible.items():
        chosen = formats if len(formats) < 2 else [each for each in formats if each in sure] or formats
        if len(chosen) > 1:
            example = cells[name].dropna().iloc[0]
            orders = " or ".join("-".join(PARTS[part] for part in _parts(each)) for each in chosen)
            raise ValueError(
                f"{name}, column {column}: dates such as {example} can be {orders}; write them as 2024-12-31, or say "
                f"categorical=[{column}] or drop=[{column}]"
            )
        found[name] = chosen[0] if chosen else None

    return found


def _possible(cells: pd.Series) -> list[str]:
    filled = pd.Series(cells.dropna().unique(), dtype="object")
    if not len(filled) or not filled.str.fullmatch(LIKE).all():
        return []
    spaces, colons = filled.str.contains(" ", regex=False), filled.str.count(":")
    if spaces.nunique() > 1 or colons.nunique() > 1:
        return []
    time = TIMES[int(colons.iloc[0])]
    return [day + time for day in DAYS if to_dates(filled, day + time).notna().all()]


def to_dates(cells: pd.Series, form: str) -> pd.Series:
    """Return cells as dates; missing if they have another format."""

    return pd.to_datetime(cells, format=form, errors="coerce")


def _parts(form: str) -> list[str]:
    return [form[k : k + 2] for k in range(len(form) - 1) if form[k : k + 2] in PARTS]
