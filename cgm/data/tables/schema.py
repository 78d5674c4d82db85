"""The schema of the parties' tables: the columns that all of them have, given or inferred."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from cgm.data.tables.columns import (
    BOUNDS,
    OTHER,
    CategoricalColumn,
    Cells,
    Column,
    DateColumn,
    IntegerColumn,
    NumberColumn,
    NumericColumn,
    date_number,
    is_text,
)
from cgm.data.tables.forms import NUMBER, USUAL, Form, Reading, decimal_signs, distinct, has_gaps, to_arrow
from cgm.data.tables.identifiers import code_like, identified, named_like_one
from cgm.data.tables.kinds import (
    KINDS,
    Parsed,
    Prepared,
    arrow_type,
    date_formats,
    describe,
    format_of_constant,
    parse,
    prepare,
    prepare_counting,
    same_levels,
    same_zone,
)
from cgm.utils.checks import check_choice
from cgm.utils.shown import Shown, counted
from cgm.utils.text import escape, listed, shortened

log = logging.getLogger(__name__)

MIN_EXPLAINED = 0.05  # share of a number's variance from which it orders the levels of a category
SENTINELS = (9, 99, 999, 9999, 99_999)  # numbers that often stand for missing values, also negative
MAX_ERRORS = 5  # columns that a message names
BLOCK = 4096  # rows that are joined at once, so that they fit into the cache
HARMLESS = re.compile(r"-+|[+-]?\d+([.,]\d+)?")  # markers of missing cells that are no formulas


@dataclass(frozen=True, repr=False)
class Schema(Shown):
    """The columns that all parties' tables have.

    Attributes:
        columns: The columns, in the order of the tables.
        dropped: The columns that are left out, and why.
        warnings: What the mediator should know about columns that are valued; not part of the file.
    """

    columns: tuple[Column, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not any(column.width for column in self.columns):
            left = "; ".join(f"{name}: {why}" for name, why in self.dropped.items())
            raise ValueError(f"schema: no column is left that rows differ in{f' ({left})' if left else ''}")

    def to_frame(self) -> pd.DataFrame:
        """Return the columns as a table of pandas: `column`, `kind`, `missing`, `values`.

        `missing` says whether cells may be empty, `values` the range of numbers and dates or the levels of others. The
        columns that are left out follow, of the kind `dropped`, with the reason.
        """

        rows = [(x.name, x.kind, x.missing, _values_of(x.to_dict())) for x in self.columns]
        rows += [(name, "dropped", False, why) for name, why in self.dropped.items()]
        return pd.DataFrame(rows, columns=["column", "kind", "missing", "values"])

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        dropped = f", {len(self.dropped)} dropped" if self.dropped else ""
        warnings = counted(len(self.warnings), "warning") if self.warnings else ""
        return f"Schema: {counted(len(self.columns), 'column')}{dropped}", self.to_frame(), warnings

    @property
    def sizes(self) -> tuple[int, ...]:
        """For each column of codes its number of values, 0 for numbers."""

        return tuple(size for column in self.columns for size in column.sizes)

    @property
    def slices(self) -> list[slice]:
        """The place of each column in a matrix of codes."""

        ends = np.cumsum([0, *(column.width for column in self.columns)])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def to_codes(self, table: pd.DataFrame) -> torch.Tensor:
        """Convert a parsed table to codes, of shape (N, p), float64."""

        return _joined([column.encode(table[column.name]) for column in self.columns])

    def filled(self, codes: torch.Tensor, seed: int | None = None) -> torch.Tensor:
        """Return codes of shape (N, p) in which missing numbers are the median of their column, or drawn from it.

        A generator that is fitted to numbers drawn from those of the column learns the numbers that there are, and
        where cells are empty, but not that the median is frequent.

        Arguments:
            codes: The codes.
            seed: The seed of the draws. `None`: the medians.
        """

        random = None if seed is None else np.random.default_rng(seed)
        filled = codes.clone()
        values = filled.numpy()
        for column, part in zip(self.columns, self.slices, strict=True):
            if column.missing:
                values[:, part] = column.fill(values[:, part], random)
        return filled

    def nearest(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the nearest codes of rows that the columns allow, of shape (N, p)."""

        return self._by_column(codes, lambda column, part: column.nearest(part))

    def to_table(self, codes: torch.Tensor) -> pd.DataFrame:
        """Convert codes that are valid (see `nearest`) to a table."""

        values = codes.numpy()
        parts = zip(self.columns, self.slices, strict=True)
        return pd.DataFrame({column.name: column.decode(values[:, part]) for column, part in parts})

    def to_cells(self, codes: torch.Tensor) -> torch.Tensor:
        """Return a number for each cell of codes (N, p): missing numbers are below all others; constants have none."""

        return _joined(
            [
                column.to_cells(codes.numpy()[:, part])[:, None]
                for column, part in zip(self.columns, self.slices, strict=True)
                if column.width
            ]
        )

    def _by_column(self, codes: torch.Tensor, convert: Callable[[Column, np.ndarray], np.ndarray]) -> torch.Tensor:
        """Convert the codes of each column."""

        values = codes.numpy()
        return _joined(
            [convert(column, values[:, part]) for column, part in zip(self.columns, self.slices, strict=True)]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain values, for a YAML file."""

        return {"columns": {column.name: column.to_dict() for column in self.columns}, "dropped": dict(self.dropped)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Schema:
        """Return the schema that `to_dict` has written.

        Raises:
            ValueError: If values are missing, unknown, or of another type.
        """

        if not isinstance(values, Mapping) or not isinstance(values.get("columns"), Mapping):
            raise ValueError("schema: expected a file with columns: and dropped:, as cgm settle writes it")
        dropped = values.get("dropped") or {}
        if not isinstance(dropped, Mapping) or not all(
            map(_is_scalar, [*dropped.values(), *dropped, *values["columns"]])
        ):
            raise ValueError("schema: expected names of columns, and below dropped: a text for each")
        columns = [_column(str(name), settings) for name, settings in values["columns"].items()]
        return cls(tuple(columns), {str(name): str(why) for name, why in dropped.items()})


def _values_of(column: Mapping[str, Any]) -> str:
    """Return the values of a column in a few words: its range, or its first levels."""

    if "levels" in column:
        levels = [str(level) for level in column["levels"]]
        more = f" and {len(levels) - MAX_ERRORS} more" if len(levels) > MAX_ERRORS else ""
        return ", ".join(levels[:MAX_ERRORS]) + more
    if "minimum" not in column:
        return str(column.get("value", ""))
    low, high = (f"{x:.12g}" if isinstance(x, float) else str(x) for x in (column["minimum"], column["maximum"]))
    return f"{low} to {high}"


def _column(name: str, values: Any) -> Column:
    """Return the column that `Column.to_dict` has written."""

    if not isinstance(values, Mapping) or "kind" not in values:
        raise ValueError(f"schema: column {name}: expected kind, one of {', '.join(KINDS)}, and its settings")
    check_choice(f"schema: kind of column {name}", values["kind"], tuple(KINDS))
    kind, given = KINDS[values["kind"]], {setting: value for setting, value in values.items() if setting != "kind"}
    needs = [each.name for each in fields(kind)[1:] if each.default is MISSING and each.name != "median"]
    others = [each.name for each in fields(kind)[1:] if each.name not in needs]
    if not set(needs) <= set(given) <= {*needs, *others}:
        raise ValueError(
            f"schema: column {name} is {kind.kind} and needs {', '.join(needs)}; besides, it may have "
            f"{', '.join(others)}, got {', '.join(map(str, given)) or 'none'}"
        )
    for setting, value in given.items():
        if not all(map(_is_scalar, value if setting == "levels" and isinstance(value, list) else [value])):
            raise ValueError(f"schema: column {name}: {setting}: expected a number or a text, without parts")
    if kind is CategoricalColumn and any(isinstance(level, bool) for level in given.get("levels") or ()):
        raise ValueError(
            f"schema: column {name}: levels: yes, no, true and false are truth values in YAML; write them in quotes, "
            'as "yes"'
        )
    if isinstance(given.get("levels"), list):
        given["levels"] = list(map(str, given["levels"]))
    try:
        if kind.dates:
            given |= {bound: date_number(given[bound]) for bound in BOUNDS if bound in given}
        if issubclass(kind, NumberColumn):
            given.setdefault("median", kind(name, **given | {"median": 0.0}).middle)
        column = kind(name, **given)
    except ValueError as error:
        raise ValueError(f"schema: column {name}: {shortened(str(error), 300)}") from None
    bounds = [given[bound] for bound in ("minimum", "median", "maximum") if bound in given]
    if bounds != sorted(bounds):
        raise ValueError(f"schema: column {name}: expected minimum <= median <= maximum, got {bounds}")
    return column


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | date)


def _joined(parts: Sequence[np.ndarray]) -> torch.Tensor:
    joined = np.empty((len(parts[0]), sum(part.shape[1] for part in parts)))
    for a in range(0, len(joined), BLOCK):
        np.concatenate([part[a : a + BLOCK] for part in parts], axis=1, out=joined[a : a + BLOCK])
    return torch.from_numpy(joined)


def infer_schema(
    tables: Mapping[str, pd.DataFrame],
    used: Mapping[str, np.ndarray] | None = None,
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    rare: float = 0.005,
    known: Schema | None = None,
    *,
    identifiers: Sequence[str] = (),
    keep: Sequence[str] = (),
    min_count: int = 1,
    min_parties: int = 1,
    reading: Reading = Reading(),  # noqa: B008 - it is frozen
    separators: Mapping[str, str] | None = None,
    forms: dict[str, dict[str, Form]] | None = None,
) -> tuple[Schema, dict[str, pd.DataFrame]]:
    """Infer the columns of the parties' tables.

    Kinds and identifiers are inferred from all rows; ranges and levels from those that are used. Identifiers and free
    text are left out; columns with the same value everywhere are not valued, and rewards repeat it.

    Arguments:
        tables: The table of each party, as it was read.
        used: The rows of each party that are used, as masks of shape (N_i). `None`: all.
        categorical: Columns to treat as categories, whatever their cells.
        drop: Columns to leave out.
        rare: The share of the rows below which levels are pooled to one, `(other)`.
        known: A schema to use instead of inferring one. It states what may leave; its levels are not counted again.
        identifiers: Columns to leave out as identifiers, beside those that are recognised.
        keep: Columns that are no identifiers, whatever their name and cells.
        min_count: The number of rows below which levels are pooled, too, and that the ends of ranges need.
        min_parties: The number of parties below which levels are pooled.
        reading: How cells are read.
        separators: The separator of columns in the file of each party.
        forms: Filled with how each party writes each column.

    Returns:
        The schema, and the parsed tables with its columns.

    Raises:
        ValueError: If the parties' columns or their kinds differ, or a column cannot be used. The message names the
            party, the column and the remedy.
    """

    named = {"categorical": categorical, "identifiers": identifiers, "keep": keep, "dates": tuple(reading.dates)}
    _check_columns(tables, drop=drop, **named)
    names = list(tables)
    dropped = {**dict.fromkeys(identifiers, "identifier"), **dict.fromkeys(drop, "drop")}
    rules = Rules(rare, min_count, min_parties)
    given: dict[str, Column] = {}
    if known is not None:
        dropped, given = dict(known.dropped), {column.name: column for column in known.columns}
        _check_known(tables[names[0]], {*given, *dropped})
    rows = {name: np.ones(len(table), bool) for name, table in tables.items()} if used is None else used
    signs = {name: _Signs(table, reading, (separators or {}).get(name, ",")) for name, table in tables.items()}
    written: dict[str, dict[str, Form]] = {name: {} for name in names}

    parsed: dict[str, dict[str, pd.Series]] = {name: {} for name in names}
    columns, errors, warnings = [], [], []
    for name in [str(name) for name in tables[names[0]].columns if name not in dropped]:
        try:
            cells = {party: table[name] for party, table in tables.items()}
            column, series, of_column, notes = _describe(
                name, cells, rows, rules, name in categorical, name in keep, given.get(name), reading, signs
            )
        except ValueError as error:
            errors.append(str(error))
            continue
        warnings += notes
        if isinstance(column, str):
            dropped[name] = column
            warnings.append(f"column {name} is left out: {column}")
            continue
        columns.append(column)
        for party in names:
            parsed[party][name] = series[party]
            written[party][name] = of_column[party]
    if errors:
        more = f"; and {len(errors) - MAX_ERRORS} more" if len(errors) > MAX_ERRORS else ""
        raise ValueError("; ".join(errors[:MAX_ERRORS]) + more)

    if not columns:
        return Schema((), dropped), {}  # an error that names them
    if forms is not None:
        forms.update(written)
    frames = {name: pd.DataFrame(parsed[name]) for name in names}
    if known is None:
        columns = _ordered_levels(columns, pd.concat([frames[name][rows[name]] for name in names], ignore_index=True))
    for warning in warnings:
        log.warning(warning)
    return Schema(tuple(columns), dropped, tuple(warnings)), frames


class Rules(NamedTuple):
    """What a level needs to leave the rows of a party.

    Attributes:
        rare: The share of all rows.
        min_count: The number of rows.
        min_parties: The number of parties.
    """

    rare: float
    min_count: int
    min_parties: int


def _describe(
    name: str,
    cells: Mapping[str, pd.Series],
    rows: Mapping[str, np.ndarray],
    rules: Rules,
    categorical: bool,
    keep: bool,
    known: Column | None,
    reading: Reading,
    signs: Mapping[str, _Signs],
) -> tuple[Column | str, Mapping[str, pd.Series], Mapping[str, Form], list[str]]:
    """Describe a column, or return the reason why it is left out; and return cells and forms by party, and notes."""

    raw = cells
    counted = {party: prepare_counting(part, reading) for party, part in raw.items()}
    cells = {party: part.cells for party, part in counted.items()}
    values = None if known is None else known.of_values
    asked = (CategoricalColumn if categorical else None) if values is None else type(values)
    if name in reading.dates and asked is None:
        asked = DateColumn
        cells = {
            party: CategoricalColumn.parse(part) if pd.api.types.is_numeric_dtype(part.dtype) else part  # 20241231
            for party, part in cells.items()
        }
    formats: dict[str, str | None] = dict.fromkeys(cells)
    written = _written(cells)
    if isinstance(values, DateColumn) and values.date_format:
        formats = dict.fromkeys(cells, values.date_format)
    elif written and name not in reading.dates:
        formats = dict.fromkeys(cells, format_of_constant(written))
    elif asked in (None, DateColumn):
        formats = date_formats(name, cells, reading.dates.get(name))
    parts = {
        party: parse(
            part,
            f"{party}, column {name}",
            asked,
            formats[party],
            reading,
            signs[party].decimals,
            signs[party].separator,
        )
        for party, part in cells.items()
    }
    if all(part.kind is None for part in parts.values()) and known is None:
        return "all cells are empty", {}, {}, []
    codes = "" if asked or known else _codes(name, parts)
    kind, series = _same_kind(name, parts, CategoricalColumn if codes else asked)
    forms, notes = _forms(name, raw, parts, counted)
    notes += [codes] if codes else []
    same_zone(name, forms, {party: part.kind for party, part in parts.items()})
    if kind is CategoricalColumn and not categorical and known is None:
        series, levels, warning = same_levels(name, series)
        forms = {
            party: replace(
                form,
                levels={level: form.levels.get(text, text) for level, text in levels[party].items()}
                | {text: raw for text, raw in form.levels.items() if text not in levels[party].values()},
            )
            for party, form in forms.items()
        }
        notes += [warning] if warning else []
    missing = any(map(has_gaps, series.values()))
    if known is not None:
        if missing and not known.missing:
            raise ValueError(f"column {name}: has empty cells, but the schema does not say missing: true")
        return known, series, forms, notes + _missing_cells(name, kind, counted, reading)
    if not written and not keep:
        if why := identified(name, list(series.values())):
            return f"identifier: {why}; keep=[{name}] values it all the same", series, forms, notes
        if known is None and not categorical and (why := named_like_one(name, list(series.values()))):
            notes.append(f"column {name}: {why}; identifiers=[{name}] leaves it out")

    used = [part if rows[party].all() else part[rows[party]] for party, part in series.items()]
    filled = [party for party, part in parts.items() if part.kind is not None]
    shared = {formats[party] for party in filled}
    date_format = shared.pop() if len(shared) == 1 else None
    example = parts[filled[0]].example
    described = Cells(name, kind, used, missing, example, date_format, rules.rare, categorical, *rules[1:], written)
    column = describe(described)
    if isinstance(column, Column):
        notes += _missing_cells(name, kind, counted, reading)
    return column, series, forms, notes if isinstance(column, str) else [*notes, *_notes(column, described, cells)]


def _written(cells: Mapping[str, pd.Series]) -> str:
    """Return the text of all prepared cells, if there is only one, otherwise nothing."""

    if not all(map(is_text, cells.values())):
        return ""
    texts = {text for part in cells.values() for text in distinct(part).slice(0, 2).to_pylist()}
    return texts.pop() if len(texts) == 1 and not any(map(has_gaps, cells.values())) else ""


def _missing_cells(name: str, kind: type[Column], parts: Mapping[str, Prepared], reading: Reading) -> list[str]:
    """Return what to say of texts that count as missing: of unusual ones, and in a column of categories of all."""

    of_levels = kind is CategoricalColumn
    expected = reading.markers | {""} | (frozenset() if of_levels else USUAL)
    notes = []
    for party, part in parts.items():
        counts = {text: count for text, count in part.markers.items() if count and text.lower() not in expected}
        if counts:
            told = f"{sum(counts.values())} cells ({', '.join(map(repr, counts))}) count as missing"
            notes.append(f"{party}, column {name}: {told}")
    return [f"{'; '.join(notes)}, not as a level; write a level in another way"] if of_levels and notes else notes


def _sentinel(column: Column, numbers: np.ndarray) -> str:
    """Return what to say of a number that may stand for missing values, such as -999; empty if there is none."""

    values, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
    if len(values) < 4:
        return ""
    for end, rest in ((0, values[1:]), (-1, values[:-1])):
        number, gap = values[end], min(abs(values[end] - rest[0]), abs(values[end] - rest[-1]))
        if abs(number) in SENTINELS and counts[end] >= 3 and gap > rest[-1] - rest[0]:
            return (
                f"{number:g} in {counts[end]} rows, far from all other numbers; missing=[{number:g}] if it stands for "
                "a missing value"
            )
    return ""


def _notes(column: Column, described: Cells, cells: Mapping[str, pd.Series]) -> list[str]:
    """Return what the mediator should know about a column that is valued."""

    name, notes = column.name, []
    if isinstance(column, CategoricalColumn) and OTHER in column.levels:
        of_one, _ = described.support(described.counts)
        if of_one.any():
            levels = "a level" if of_one.sum() == 1 else f"{of_one.sum()} levels"
            each = "" if of_one.sum() == 1 else " each"
            notes.append(
                f"column {name}: {levels} of one party{each} became {OTHER}; disclose=[levels] lets levels of one "
                "party leave"
            )
    if isinstance(column, IntegerColumn | NumericColumn):
        numbers = column.to_numbers(described.values)
        notes += [f"column {name}: {why}"] if (why := _sentinel(column, numbers)) else []
    if isinstance(column, CategoricalColumn) and not described.asked and is_text(described.values):
        counts = described.counts.sort_values(ascending=False, kind="stable")
        are_numbers = counts.index.str.fullmatch(NUMBER)
        share = counts[are_numbers].sum() / counts.sum()
        if 0.5 <= share < 1:
            others = ", ".join(map(repr, counts.index[~are_numbers][:3]))
            notes.append(
                f"column {name}: {counts[are_numbers].sum()} of {counts.sum()} cells are numbers, not {others}; they "
                "are valued as categories"
            )
    if isinstance(column, IntegerColumn | NumericColumn) and (why := code_like(name, column.whole, cells.values())):
        notes.append(f"column {name}: {why}")
    return notes


class _Signs:
    """What shows how a party writes numbers: its decimal signs, found when first needed, and its separator."""

    def __init__(self, table: pd.DataFrame, reading: Reading, separator: str) -> None:
        self.table, self.reading, self.separator = table, reading, separator

    @cached_property
    def decimals(self) -> set[str]:
        """The decimal signs of columns of which they are sure, from their first cells."""

        heads = (prepare(self.table[name].iloc[:1000], self.reading) for name in self.table.columns)
        found = (decimal_signs(to_arrow(cells), self.reading) for cells in heads if is_text(cells))
        return set().union(*found)


def _forms(
    name: str,
    raw: Mapping[str, pd.Series],
    parts: Mapping[str, Parsed],
    prepared: Mapping[str, Prepared],
) -> tuple[dict[str, Form], list[str]]:
    """Return how each party writes a column, and what is not as it is written."""

    forms, notes = {}, []
    for party, part in parts.items():
        notes += [f"{party}, column {name}: {note}" for note in part.form.notes]
        if part.form.thousands:
            notes.append(f"{party}, column {name}: {part.form.thousands!r} separates thousands")
        markers = [text for text, count in prepared[party].markers.items() if count]
        marker = markers[0] if len(markers) == 1 else ""
        if escape(marker) != marker and not HARMLESS.fullmatch(marker):
            marker = ""
        spellings = prepared[party].spellings if part.kind is CategoricalColumn else {}
        digits = 0 if part.kind is IntegerColumn else part.form.digits
        forms[party] = replace(part.form, arrow=arrow_type(raw[party]), missing=marker, levels=spellings, digits=digits)
        if isinstance(raw[party].dtype, pd.DatetimeTZDtype) or getattr(forms[party].arrow, "tz", None):
            forms[party] = replace(forms[party], zone="Z")
    return forms, notes


def _codes(name: str, parts: Mapping[str, Parsed]) -> str:
    """Return what to say of numbers beside codes of other parties that begin with zeros; empty if there are none.

    Raises:
        ValueError: If numbers have fewer digits than codes: a program took their zeros away.
    """

    texts = [part.cells for part in parts.values() if part.kind is CategoricalColumn]
    numbers = {party: part.cells.dropna() for party, part in parts.items() if part.kind is IntegerColumn}
    if not texts or not numbers:
        return ""
    codes = pd.Series(pd.concat(texts).dropna().unique(), dtype=object).map(str)
    zeros = codes[codes.str.startswith("0")]
    if not len(zeros) or not codes.str.fullmatch(r"\d{2,}").all():
        return ""
    lengths = set(codes.str.len())
    for party, cells in numbers.items():
        digits = cells.map(str)
        other = digits[~digits.str.len().isin(lengths)]
        if len(other):
            raise ValueError(
                f"{party}, column {name}: data row {other.index[0] + 1}, {other.iloc[0]}, beside codes such as "
                f"{zeros.iloc[0]} of other parties; write all with their zeros, as text, or say categorical=[{name}] "
                f"or drop=[{name}]"
            )
    told = f"codes such as {zeros.iloc[0]} begin with zeros, and are valued as categories"
    return f"column {name}: {told}, also those of {listed(list(numbers))}"


def _same_kind(
    name: str, parts: Mapping[str, Parsed], asked: type[Column] | None = None
) -> tuple[type[Column], dict[str, pd.Series]]:
    """Return the kind that the cells of all parties have, and the cells; a party without any has gaps only."""

    kinds = {part.kind for part in parts.values() if part.kind is not None} or {asked or CategoricalColumn}
    if asked is CategoricalColumn:
        kinds = {asked}
    elif kinds == {IntegerColumn, NumericColumn}:
        kinds = {NumericColumn}
    if len(kinds) > 1:
        told = ", ".join(
            f"{party}: {part.kind.kind}{f' ({part.example})' if part.example else ''}"
            for party, part in parts.items()
            if part.kind is not None
        )
        raise ValueError(
            f"column {name}: the parties disagree on its kind ({told}); correct the tables, or say "
            f"categorical=[{name}] or drop=[{name}]"
        )
    kind = kinds.pop()
    return kind, {
        party: part.cells if part.kind is kind else _as_kind(kind, part.cells) for party, part in parts.items()
    }


def _as_kind(kind: type[Column], cells: pd.Series) -> pd.Series:
    """Return empty cells, or integers, as cells of a kind."""

    values = cells if cells.notna().any() else pd.Series(None, cells.index, dtype=object, name=cells.name)
    parsed = kind.parse(values)
    return values if parsed is None else parsed


def _ordered_levels(columns: Sequence[Column], rows: pd.DataFrame) -> list[Column]:
    """Order the levels of each category by the means of the number that they explain best.

    A Gaussian copula correlates the codes of levels with numbers, and so keeps what increases along them.
    """

    numbers = [
        rows[c.name].to_numpy(float, na_value=np.nan) for c in columns if isinstance(c, NumericColumn | IntegerColumn)
    ]
    spreads = [float(np.nanvar(values, ddof=1)) if np.isfinite(values).sum() > 1 else math.nan for values in numbers]
    ordered = []
    for column in columns:
        if isinstance(column, CategoricalColumn):
            best, order = MIN_EXPLAINED, column.levels
            codes = pd.Index([*column.levels, None], dtype="object").get_indexer(rows[column.name])
            if OTHER in column.levels:
                codes = np.where(codes < 0, column.levels.index(OTHER), codes)
            count = len(column.levels)
            codes = np.where(codes < 0, count, codes)
            of_levels = np.bincount(codes, minlength=count + 1)[:count]
            for values, spread in zip(numbers, spreads, strict=True):
                filled = np.isfinite(values) & (codes < count)
                sizes = np.bincount(codes[filled], minlength=count)
                means = np.bincount(codes[filled], values[filled], minlength=count) / np.maximum(sizes, 1)
                weights = np.where(sizes > 0, of_levels, 0)
                total = weights.sum()
                if total < 2:
                    continue
                between = weights @ (means - weights @ means / total) ** 2 / (total - 1)
                explained = float(between) / max(spread, 1e-300)
                if explained > best:
                    of = {level: means[k] if sizes[k] else math.inf for k, level in enumerate(column.levels)}
                    best, order = explained, tuple(sorted(column.levels, key=of.__getitem__))
            column = replace(column, levels=order)
        ordered.append(column)

    return ordered


def _check_columns(tables: Mapping[str, pd.DataFrame], drop: Sequence[str], **settings: Sequence[str]) -> None:
    """Check that all tables have the same columns, but for those to leave out, and those of settings."""

    (first, expected), *others = [(name, set(table.columns) - set(drop)) for name, table in tables.items()]
    for name, columns in others:
        if columns != expected:
            lacks, more = sorted(expected - columns), sorted(columns - expected)
            told = " and ".join(
                [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has also {', '.join(more)}"] * bool(more)
            )
            raise ValueError(
                f"{name}: its columns are not those of {first}: it {told}; all need the same{_hint(lacks, more)}"
            )
    everywhere = set().union(*(table.columns for table in tables.values()))
    for setting, named in {"drop": drop, **settings}.items():
        for column in named:
            if column not in everywhere:
                raise ValueError(
                    f"{setting}={column}: there is no such column; there are {', '.join(sorted(expected))}"
                )


def _hint(lacks: Sequence[str], more: Sequence[str]) -> str:
    """Return what may help if a table lacks some columns and has others."""

    if [name.casefold() for name in lacks] == [name.casefold() for name in more]:
        return "; names differ in capital letters only: rename them"
    if any(re.fullmatch(NUMBER, name) and len(name) != 4 for name in lacks):  # four digits may be a year
        return "; is the first line of the files a row, where the names of the columns are expected?"
    return f"; drop=[{', '.join([*lacks, *more])}] leaves out what not all have"


def _check_known(table: pd.DataFrame, expected: set[str]) -> None:
    """Check that a table has the columns of a schema."""

    lacks, more = (", ".join(sorted(x)) for x in (expected - set(table.columns), set(table.columns) - expected))
    if lacks or more:
        raise ValueError(f"schema: the tables lack {lacks or 'nothing'}, and have also {more or 'nothing'}")
