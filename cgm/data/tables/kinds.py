# ruff: noqa: D102 - methods without a docstring are those of `Column`
"""From cells to kinds of columns: cells are prepared, their kind is recognised, and the column described."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cgm.data.tables.columns import (
    MAX_LEVELS,
    BooleanColumn,
    CategoricalColumn,
    Cells,
    Column,
    DateColumn,
    IntegerColumn,
    LevelColumn,
    NumericColumn,
    is_text,
)
from cgm.data.tables.forms import (
    DATE_LIKE,
    FORMATS,
    GROUPS,
    LOOSE,
    MARKERS,
    MINUS,
    NUMBER,
    SAMPLE,
    SIGNS,
    WORDS,
    Form,
    Reading,
    Style,
    choose_style,
    clean,
    distinct,
    filled,
    fixed_digits,
    iso_format,
    matches,
    number_styles,
    places,
    plain_minus,
    remember,
    tally,
    to_arrow,
    to_dates,
    unpadded,
    which,
)

INFINITE = r"[+-]?inf(inity)?"
MONTH_LIKE = r"(0?[1-9]|1[0-2])[/-]\d{2}|\d{2}[/-](0?[1-9]|1[0-2])"  # 03/11, a month and a year or a day
ORDERS = {"d": "day", "m": "month", "b": "month", "B": "month", "Y": "year", "y": "year"}
NEARLY = 0.8  # share of numbers or dates from which the others are taken for a mistake
MAX_NUMBER = 1e150  # whose square, the variance, is still finite
MIN_CELLS = 10  # from which such a share says something
FEW = 20  # different cells up to which a column of them may be one of categories


@dataclass(frozen=True, kw_only=True)
class ConstantColumn(LevelColumn):
    """A column with the same value everywhere, of any kind, which is not valued; rewards repeat it.

    Arguments:
        levels: The value, as it is written.
    """

    kind = "constant"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.levels) != 1:
            raise ValueError(f"levels={', '.join(self.levels)}: expected the one value")

    @classmethod
    def parse(cls, cells: pd.Series, date_format: str | None = None) -> pd.Series | None:
        return recognise(cells, date_format)[1]

    @classmethod
    def describe(cls, cells: Cells) -> Column | str:
        if cells.written:
            return cls(cells.name, levels=(cells.written,))
        column = cells.kind.describe(cells)
        return column if isinstance(column, str) else cls(cells.name, levels=tuple(column.format(cells.values[:1])))

    @cached_property
    def _recognised(self) -> tuple[Column, pd.Series]:
        """The column that the value would have among others, and the value as a cell."""

        text, date_format = pd.Series(self.levels, dtype="object"), format_of_constant(self.levels[0])
        kind, cell = recognise(prepare(text), date_format)
        column = kind.describe(Cells(self.name, kind, [cell], example=self.levels[0], date_format=date_format))
        return (CategoricalColumn(self.name, levels=self.levels), text) if isinstance(column, str) else (column, cell)

    @property
    def of_values(self) -> Column:
        return self._recognised[0]

    @property
    def sizes(self) -> tuple[int, ...]:
        return ()

    def encode(self, cells: pd.Series) -> np.ndarray:
        return np.empty((len(cells), 0))

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        return codes

    def decode(self, codes: np.ndarray) -> pd.Series:
        return self._recognised[1].take(np.zeros(len(codes), int)).reset_index(drop=True).rename(self.name)

    def format(self, cells: pd.Series, form: Form = Form()) -> list[str]:  # noqa: B008
        if form.date_format or form.thousands:
            return self.of_values.format(cells, form)
        written = self.levels[0]
        return [written.replace(".", form.decimal) if self.of_values.kind == "numeric" else written] * len(cells)


# the kinds of values, in the order in which they are tried
VALUES: tuple[type[Column], ...] = (BooleanColumn, IntegerColumn, NumericColumn, DateColumn, CategoricalColumn)
KINDS: dict[str, type[Column]] = {
    kind.kind: kind
    for kind in (NumericColumn, IntegerColumn, DateColumn, BooleanColumn, CategoricalColumn, ConstantColumn)
}


class Parsed(NamedTuple):
    """The parsed cells of a column of one party.

    Attributes:
        kind: Their kind; `None` if all are empty.
        cells: The cells: float64, Int64, datetime64, boolean or text, with missing ones.
        example: A cell as text, for messages; may be empty.
        form: How the party writes them.
    """

    kind: type[Column] | None
    cells: pd.Series
    example: str
    form: Form = Form()


def parse(
    cells: pd.Series,
    where: str,
    asked: type[Column] | None = None,
    date_format: str | None = None,
    reading: Reading = Reading(),  # noqa: B008 - it is frozen
    decimals: Collection[str] = (),
    separator: str = ",",
) -> Parsed:
    """Parse the cells of a column.

    Arguments:
        cells: The cells, see `prepare`.
        where: The names of table and column, for errors.
        asked: The kind that they must have. `None`: it is recognised.
        date_format: The format of dates that are not written as 2024-12-31.
        reading: The settings.
        decimals: The decimal signs of the party's other columns.
        separator: The separator of columns in the party's file.

    Raises:
        ValueError: If a cell is infinite or not of the kind that is asked for, or if it cannot be known what cells are.
    """

    column = where.rpartition(", column ")[2]
    _check_type(cells, where, column)
    if to_arrow(cells).null_count == len(cells) if is_text(cells) else cells.isna().all():
        return Parsed(None, cells, "")
    if asked is CategoricalColumn and is_text(cells):
        return Parsed(asked, cells, "")
    form = Form()
    if is_text(cells) and date_format is None:
        cells, form = _plain_numbers(cells, where, column, reading, set(decimals), separator)
    kind, values = recognise(cells, date_format)
    _check_numbers(kind, cells, values, where, column)
    if kind is DateColumn and is_text(cells):
        form = _date_form(cells, date_format)
    example = kind.example(filled(cells)) if is_text(cells) else ""
    if asked is None or asked is kind:
        if kind is CategoricalColumn and is_text(cells):
            form = replace(form, notes=tuple(_nearly(cells, where, column, asked is None)))
        return Parsed(kind, values, example, form)
    forced = asked.parse(cells, date_format)
    if asked is DateColumn and forced is None and date_format is not None and is_text(cells):
        texts = (to_arrow(cells.iloc[[k]]) for k in range(len(cells)))
        wrong = next(k for k, text in enumerate(texts) if to_dates(text, date_format) is None)
        raise ValueError(
            f"{where}: data row {wrong + 1}, {_short(cells.iloc[wrong])}, is not a date of the format {date_format}"
        )
    if asked is DateColumn and forced is not None and is_text(cells):
        return Parsed(asked, forced, "", _date_form(cells, date_format))
    if forced is None:
        told = f" (for example {example})" if example else ""
        raise ValueError(f"{where}: {kind.kind}, but the schema says {asked.kind}{told}")
    return Parsed(asked, forced, "", form)


def _check_type(cells: pd.Series, where: str, column: str) -> None:
    """Check that cells are text, numbers, truth values or dates."""

    remedies = {
        "binary": "decode it to text",
        "duration": "write it as a number, such as seconds",
        "timedelta": "write it as a number, such as seconds",
        "list": "write a column for each entry",
        "struct": "write a column for each part",
        "complex": "write a column for each part",
    }
    name = str(cells.dtype.pyarrow_dtype) if isinstance(cells.dtype, pd.ArrowDtype) else str(cells.dtype)
    for part, remedy in remedies.items():
        if part in name:
            raise ValueError(f"{where}: has the type {name}, which cannot be valued; {remedy}, or say drop=[{column}]")
    if isinstance(cells.dtype, pd.ArrowDtype):
        raise ValueError(f"{where}: has the type {name}, which cannot be valued; say drop=[{column}]")


def _check_numbers(kind: type[Column], cells: pd.Series, values: pd.Series, where: str, column: str) -> None:
    """Check that numbers are finite, and no larger than can be standardised."""

    infinite = np.zeros(len(cells), bool)
    if values.dtype == float:
        numbers = values.to_numpy()
        infinite = np.isinf(numbers)
        large = np.abs(numbers) > MAX_NUMBER
        if not infinite.any() and large.any():
            row = int(large.argmax())
            raise ValueError(
                f"{where}: data row {row + 1} is {_short(cells.iloc[row])}; numbers beyond {MAX_NUMBER:g} cannot be "
                f"valued; correct it, or say missing=['{_short(cells.iloc[row])}'] or drop=[{column}]"
            )
    elif kind is CategoricalColumn and is_text(cells):
        if not which(distinct(cells), f"(?i:{INFINITE})").any():
            return
        text = to_arrow(cells)
        infinite = which(text, f"(?i:{INFINITE})")
        # in a column of titles, Infinity is a text as any other
        if not (which(text, NUMBER) | infinite | cells.isna().to_numpy()).all():
            return
        if infinite.all() or not which(text, NUMBER).any():
            return
    if infinite.any():
        row = int(infinite.argmax())
        raise ValueError(
            f"{where}: data row {row + 1} is infinite ({_short(cells.iloc[row])}); leave the cell empty if it is "
            "missing"
        )


def _short(cell: object) -> str:
    text = str(cell)
    return text if len(text) <= 40 else f"{text[:40]}... ({len(text)} characters)"


def _plain_numbers(
    cells: pd.Series, where: str, column: str, reading: Reading, decimals: set[str], separator: str
) -> tuple[pd.Series, Form]:
    """Return cells of text with numbers in plain form, and how they were written; others as they are."""

    if not matches(cells.iloc[:SAMPLE], f"{MINUS}?{LOOSE}"):
        return cells, Form()
    text, minus = plain_minus(distinct(cells))
    styles = number_styles(text, reading)
    if not styles:
        return cells, Form()
    style = choose_style(styles, text, decimals, separator)
    if style is None:
        grouped = [style for style in styles if style.thousands]
        sign = grouped[0].thousands if grouped else styles[0].decimal
        shown = np.append(which(text, rf".*\d{GROUPS[sign]}\d.*"), False)
        row = int(shown[places(cells)].argmax())
        cell = cells.iloc[row]
        names = {" ": "' '", "'": '"\'"'}
        raise ValueError(
            f"{where}: data row {row + 1}, {cell}, can be {_read_as(cell, styles[0])} or {_read_as(cell, styles[-1])}; "
            f'say "thousands={names.get(sign, repr(sign))}" or "decimal={sign!r}"'
        )
    plain = text
    if style.thousands:
        plain = _replace(plain, GROUPS[style.thousands], "")
    if style.decimal != ".":
        plain = _replace(plain, re.escape(style.decimal), ".")
    form = Form(style.decimal, style.thousands, minus, fixed_digits(text, style.decimal))
    if plain is text and minus == "-":
        return cells, form
    texts = np.array([*plain.to_pylist(), None], dtype=object)
    return pd.Series(texts[places(cells)], cells.index, dtype=object, name=cells.name), form


def _replace(cells: Any, pattern: str, by: str) -> Any:
    import pyarrow.compute as pc

    return pc.replace_substring_regex(cells, pattern, by)


def _read_as(cell: str, style: Style) -> str:
    plain = re.sub(GROUPS[style.thousands], "", cell) if style.thousands else cell
    return plain.replace(style.decimal, ".") if style.decimal != "." else plain


def _date_form(cells: pd.Series, date_format: str | None) -> Form:
    """Return how dates are written."""

    text = distinct(cells)
    parsed = to_dates(text, date_format)
    zones = set() if parsed is None else parsed[1]
    notes = []
    if date_format is None:
        form = iso_format(text)
        clocks = which(text, ".*:.*")
        if clocks.any() and not clocks.all():
            notes.append("some cells have a time of day; those without one count as midnight")
        if which(text, r".*\.\d+.*").any():
            notes.append("fractions of seconds are left out")
    else:
        form = unpadded(text, date_format)
        if "%y" in date_format:
            notes.append("years of two digits are read as 1969 to 2068; write four digits, if this is wrong")
    if zones - {""} and "" in zones:
        notes.append("some cells have a time zone; those without one count as UTC")
    named = zones - {""}
    if len(named) > 1:
        notes.append("its cells have several time zones; rewards have that of UTC")
    zone = next(iter(named)) if len(named) == 1 and zones == named else ("Z" if named else "")
    return Form(date_format=form, zone=zone, notes=tuple(notes))


def _nearly(cells: pd.Series, where: str, column: str, recognised: bool) -> Iterator[str]:
    """Check that text is not a column of numbers or dates with a few others, and yield what a warning must say.

    Raises:
        ValueError: If nearly all cells are numbers or dates.
    """

    text, where_is = distinct(cells), places(cells)
    counts = np.bincount(where_is, minlength=len(text) + 1)[:-1]
    n = int(counts.sum())
    remedy = f"categorical=[{column}] if cells are categories, or drop=[{column}]"
    if not recognised or n < MIN_CELLS:
        return

    def first(k: int) -> str:
        return f"data row {int((where_is == k).argmax()) + 1}"

    numbers = which(text, NUMBER)
    others = np.flatnonzero(~numbers)
    if NEARLY * n <= counts[numbers].sum() < n and len(others) <= 5 < numbers.sum() and len(text) > FEW:
        values = [_short(text[int(k)].as_py()) for k in others]
        raise ValueError(
            f"{where}: {counts[numbers].sum()} of {n} cells are numbers; not {' and '.join(map(repr, values[:2]))} "
            f"({first(int(others[0]))}); say missing=[{', '.join(map(repr, values))}] if that stands for a missing "
            f"value, {remedy}"
        )
    if (signs := which(text, f".*({SIGNS}).*")).any():
        bare = _replace(_replace(_replace(text, SIGNS, ""), r"^\s+|\s+$", ""), r"^([+-]) +", r"\1")
        if number_styles(bare, Reading()):
            k = int(signs.argmax())
            told = f"cells such as {text[k]} ({first(k)}) are numbers with a sign of currency or per cent"
            if len(text) > FEW:
                raise ValueError(f"{where}: {told}; remove it from the file, or say {remedy}")
            yield f"{told}; the column counts as one of categories; without the sign, it is one of numbers"
            return
    foreign = np.flatnonzero(which(text, r".*[^\x00-\x7f].*"))
    if len(foreign) and (numbers | which(text, r"[+-]?[\pN.,]+")).all():
        k = int(foreign[0])
        raise ValueError(
            f"{where}: {first(k)}, {_short(text[k])}, has other digits than 0 to 9; replace them, or say {remedy}"
        )
    pairs = which(text, MONTH_LIKE)
    if len(text) > FEW and counts[pairs].sum() >= NEARLY * n:
        k = int(pairs.argmax())
        raise ValueError(
            f"{where}: {first(k)}, {text[k]}, can be a month of a year, a day of a month, or no date; say "
            f"dates={{{column}: '%m/%y'}} with the order and the sign that it has, or say {remedy}"
        )
    dates = which(text, DATE_LIKE)
    if len(text) > FEW and counts[dates].sum() >= NEARLY * n:
        shapes: dict[str, str] = {}
        for cell in text.take(np.flatnonzero(dates)[:10_000]).to_pylist():
            shapes.setdefault(re.sub(r"\d+", "9", cell), cell)
        several = " and ".join(list(shapes.values())[:2])
        told = "dates in several forms" if len(shapes) > 1 else "dates of no known form"
        raise ValueError(
            f"{where}: cells such as {several} are {told}; write all as 2024-12-31, or give their format, "
            f"such as dates={{{column}: '%d.%m.%Y'}}, or say {remedy}"
        )


def prepare(cells: pd.Series, reading: Reading = Reading()) -> pd.Series:  # noqa: B008 - it is frozen
    """Return the cells of a column as numbers, truth values or dates, if that is their type, otherwise as text.

    Text is in its normal form, see `clean`, and `None` where it is missing. Cells of a type that cannot be valued stay
    as they are.
    """

    return prepare_counting(cells, reading).cells


class Prepared(NamedTuple):
    """The prepared cells of a column of one party.

    Attributes:
        cells: The cells, see `prepare`.
        markers: The numbers of texts that were taken for missing values, "" for empty ones.
        spellings: Texts by their normal form, where it differs.
    """

    cells: pd.Series
    markers: Mapping[str, int] = MappingProxyType({})
    spellings: Mapping[str, str] = MappingProxyType({})


def prepare_counting(cells: pd.Series, reading: Reading) -> Prepared:
    """Prepare cells as `prepare` does, and state what was changed."""

    dtype = cells.dtype
    if isinstance(dtype, pd.PeriodDtype):
        return Prepared(cells.dt.to_timestamp())
    if isinstance(dtype, pd.SparseDtype):
        cells = cells.sparse.to_dense()
        dtype = cells.dtype
    typed = (pd.api.types.is_bool_dtype, pd.api.types.is_numeric_dtype, pd.api.types.is_datetime64_any_dtype)
    if not isinstance(dtype, pd.ArrowDtype | pd.CategoricalDtype) and any(is_type(dtype) for is_type in typed):
        return _without_sentinels(cells, reading)
    if pd.api.types.is_timedelta64_dtype(dtype):
        return Prepared(cells)
    import pyarrow as pa

    try:
        values = pa.array(cells, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # several types
        values = pa.array(cells.map(str, na_action="ignore"), pa.string(), from_pandas=True)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return _from_arrow(values, cells, reading)


def _from_arrow(values: Any, cells: pd.Series, reading: Reading) -> Prepared:
    """Prepare cells that are an Arrow array."""

    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
        return _from_arrow(values.dictionary_decode(), cells, reading)
    if pa.types.is_null(kind):
        return Prepared(pd.Series(np.full(len(cells), None, object), cells.index, name=cells.name))
    missing = np.asarray(values.is_null().to_numpy(zero_copy_only=False), bool)

    def series(array: Any) -> pd.Series:
        return pd.Series(array, cells.index, name=cells.name)

    if pa.types.is_boolean(kind):
        filled = np.asarray(values.fill_null(False).to_numpy(zero_copy_only=False), bool)
        return Prepared(series(pd.arrays.BooleanArray(filled, missing)))
    if pa.types.is_integer(kind):
        try:
            filled = np.asarray(pc.cast(values.fill_null(0), pa.int64()).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:  # beyond 2^63
            return _from_arrow(pc.cast(values, pa.string()), cells, reading)
        return _without_sentinels(series(pd.arrays.IntegerArray(filled, missing)), reading)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        if pa.types.is_decimal(kind):  # by way of text, the nearest number: 0.72 is not 72 * 0.01
            values = pc.cast(values, pa.string())
        numbers = pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False)
        return _without_sentinels(series(np.array(numbers, float)), reading)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        dates = pc.cast(pc.cast(values, pa.timestamp("us", getattr(kind, "tz", None)), safe=False), pa.int64())
        found = np.array(dates.fill_null(0).to_numpy(zero_copy_only=False)).astype("datetime64[us]")
        found[missing] = np.datetime64("NaT")
        return Prepared(series(found))
    if pa.types.is_time(kind):
        ticks = pc.cast(pc.cast(values, pa.time64("us"), safe=False), pa.int64())
        found = np.array(ticks.fill_null(0).to_numpy(zero_copy_only=False)).astype("datetime64[us]")
        found[missing] = np.datetime64("NaT")
        return Prepared(series(found))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view":
        return _prepared_text(pc.cast(values, pa.string()), cells, reading)
    return Prepared(pd.Series(pd.array(values, dtype=pd.ArrowDtype(kind)), cells.index, name=cells.name))


def _prepared_text(values: Any, cells: pd.Series, reading: Reading) -> Prepared:
    """Prepare cells of text: it is looked at once for each different text."""

    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = values.dictionary_encode()
    written = encoded.dictionary
    markers = MARKERS | reading.markers
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(written))
    looked_at = pc.or_(
        pc.or_(pc.invert(pc.string_is_ascii(written)), pc.not_equal(pc.utf8_trim_whitespace(written), written)),
        pc.is_in(lower, pa.array([*markers, *WORDS, ""])),
    )
    texts = np.full(len(written) + 1, None, dtype=object)
    texts[:-1] = written.to_numpy(zero_copy_only=False)
    where = encoded.indices.fill_null(len(written)).to_numpy(zero_copy_only=False)
    counts = np.bincount(where, minlength=len(texts))
    found: Counter[str] = Counter({"": values.null_count})
    spellings: dict[str, str] = {}
    words = []
    for k in np.flatnonzero(looked_at.to_numpy(zero_copy_only=False)):
        text = clean(raw := texts[k])
        if not text or text.lower() in markers:
            texts[k] = None
            found[text] += int(counts[k])
            continue
        if text.lower() in WORDS:
            words.append(k)
        if text != raw:
            spellings[text] = raw
        texts[k] = text
    if words:
        others = np.delete(texts[:-1], words)
        rest = to_arrow(pd.Series([text for text in others if text is not None], dtype=object))
        if len(rest) and (number_styles(rest, Reading()) or matches(rest, DATE_LIKE)):
            for k in words:
                found[texts[k]] += int(counts[k])
                texts[k] = None
    prepared = pd.Series(texts[where], cells.index, dtype=object, name=cells.name)
    if not looked_at.true_count:
        remember(prepared, values, encoded)
    return Prepared(prepared, found, spellings)


def _without_sentinels(cells: pd.Series, reading: Reading) -> Prepared:
    """Prepare numbers: those that stand for a missing value are missing."""

    if not reading.markers or not pd.api.types.is_numeric_dtype(cells.dtype) or pd.api.types.is_bool_dtype(cells.dtype):
        return Prepared(cells)
    numbers = [float(marker) for marker in reading.markers if re.fullmatch(NUMBER, marker)]
    found = cells.isin(numbers)
    if not found.any():
        return Prepared(cells)
    markers = Counter(f"{number:g}" for number in cells[found].tolist()) | Counter({"": int(cells.isna().sum())})
    return Prepared(
        (cells.astype("Int64") if pd.api.types.is_integer_dtype(cells.dtype) else cells).mask(found), markers
    )


def arrow_type(cells: pd.Series) -> Any:
    """Return the Arrow type of the cells of a column, `None` if they have none of their own."""

    return cells.dtype.pyarrow_dtype if isinstance(cells.dtype, pd.ArrowDtype) else None


def same_levels(
    name: str, parts: Mapping[str, pd.Series]
) -> tuple[dict[str, pd.Series], dict[str, dict[str, str]], str]:
    """Make one level of texts that differ in capital letters only, such as `yes` and `Yes`.

    Arguments:
        name: The name of the column.
        parts: The cells of each party, text.

    Returns:
        The cells with the most frequent spelling; for each party, how it writes levels that it writes in another way;
        and a warning, empty if there is nothing to say.
    """

    counts = {party: tally([part]).sort_values(ascending=False, kind="stable") for party, part in parts.items()}
    total = tally(list(parts.values())).sort_index()
    spellings: dict[str, list[str]] = {}
    for level in total.index:
        spellings.setdefault(str(level).casefold(), []).append(str(level))
    several = {key: levels for key, levels in spellings.items() if len(levels) > 1 and len(key) > 1}
    if not several or len(total) > MAX_LEVELS:
        return dict(parts), {party: {} for party in parts}, ""
    chosen: dict[str, str] = {}
    for levels in several.values():
        best = max(levels, key=lambda level: (int(total[level]), level))
        chosen |= dict.fromkeys(levels, best)
    written: dict[str, dict[str, str]] = {party: {} for party in parts}
    for party, count in counts.items():
        for level in reversed(count.index):  # the most frequent one last
            if level in chosen:
                written[party][chosen[level]] = level
    mapped = {party: part.map(lambda cell: chosen.get(cell, cell), na_action="ignore") for party, part in parts.items()}
    told = "; ".join(", ".join(levels) for levels in list(several.values())[:3])
    warning = (
        f"column {name}: texts that differ in capital letters only count as one level ({told}); say "
        f"categorical=[{name}] if they differ"
    )
    return {party: part.astype(object) for party, part in mapped.items()}, written, warning


def label_texts(cells: pd.Series, reading: Reading = Reading()) -> pd.Series:  # noqa: B008 - it is frozen
    """Return labels as text, the same for numbers of all types: 1, 1.0 and "1" are the class 1.

    Example:
        >>> [label_texts(pd.Series(x)).tolist() for x in ([1, 0], [1.0, None], ["1", " 0"], [True, False])]
        [['1', '0'], ['1', None], ['1', '0'], ['True', 'False']]
    """

    prepared = prepare(cells, reading)
    values = recognise(prepared)[1] if is_text(prepared) else prepared
    if is_text(values) or pd.api.types.is_datetime64_any_dtype(values.dtype):
        return prepared if is_text(prepared) else CategoricalColumn.parse(prepared)
    texts = [None if pd.isna(value) else _label(value) for value in values]
    return pd.Series(texts, cells.index, dtype=object, name=cells.name)


def _label(value: Any) -> str:
    number = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(value)) if number else str(value)


def same_zone(name: str, forms: Mapping[str, Form], kinds: Mapping[str, type[Column] | None]) -> None:
    """Check that either all parties' dates have a time zone, or none.

    Raises:
        ValueError: If some have; the message names the parties.
    """

    dates = [party for party, kind in kinds.items() if kind is DateColumn]
    zoned = [party for party in dates if forms[party].zone]
    bare = [party for party in dates if not forms[party].zone]
    if zoned and bare:
        raise ValueError(
            f"column {name}: the dates of {zoned[0]} have a time zone ({forms[zoned[0]].zone}), those of {bare[0]} "
            f"have none; write all with one, or all without, or say drop=[{name}]"
        )


def recognise(cells: pd.Series, date_format: str | None = None) -> tuple[type[Column], pd.Series]:
    """Return the first kind that all of some prepared cells have, and the cells as its values."""

    parsed = ((kind, kind.parse(cells, date_format)) for kind in VALUES)
    return next((kind, values) for kind, values in parsed if values is not None)


def describe(cells: Cells) -> Column | str:
    """Return the column that has some cells, or the reason why it is left out.

    Raises:
        ValueError: If it has too many levels.
    """

    values = cells.values
    if len(values) == 0:
        return "empty: all cells of the rows that are used are empty"
    equal = len(cells.counts) == 1 if is_text(values) else bool((values == values.iloc[0]).all())
    is_constant = bool(cells.written) or (not cells.missing and equal)
    return (ConstantColumn if is_constant else cells.kind).describe(cells)


def date_formats(column: str, cells: Mapping[str, pd.Series], given: str | None = None) -> dict[str, str | None]:
    """Return the format of the dates of each party, by its name; `None` where cells are no such dates.

    A party whose cells fit several formats has that of the others, if they have one.

    Arguments:
        column: The name of the column.
        cells: The prepared cells of each party.
        given: The format of all parties, if it is known.

    Raises:
        ValueError: If it cannot be known which of day and month comes first.

    Example:
        >>> cells = {"a": pd.Series(["31/12/2024"], dtype=object), "b": pd.Series(["01/02/2024"], dtype=object)}
        >>> date_formats("since", cells)
        {'a': '%d/%m/%Y', 'b': '%d/%m/%Y'}
    """

    if given is not None:
        return {name: given if is_text(part) else None for name, part in cells.items()}
    possible = {name: _possible_formats(part) for name, part in cells.items()}
    sure = {formats[0] for formats in possible.values() if len(formats) == 1}
    chosen = {name: [each for each in formats if each in sure] or formats for name, formats in possible.items()}
    for name, formats in chosen.items():
        if len(formats) > 1:
            orders = " or ".join("-".join(ORDERS[part] for part in re.findall("%([dmbBYy])", each)) for each in formats)
            raise ValueError(
                f"{name}, column {column}: dates such as {cells[name].dropna().iloc[0]} can be {orders}; write them "
                f"as 2024-12-31, or say dates={{{column}: '{formats[0]}'}}, categorical=[{column}] or drop=[{column}]"
            )
    return {name: next(iter(formats), None) for name, formats in chosen.items()}


def format_of_constant(text: str) -> str | None:
    """Return the format of a date that a column has everywhere; `None` if it is none, or may be one of several."""

    formats = _possible_formats(pd.Series([text], dtype="object"))
    return formats[0] if len(formats) == 1 else None


def _possible_formats(cells: pd.Series) -> list[str]:
    """Return the formats that all cells have as dates; of several for the same dates, the first one."""

    pattern = DATE_LIKE + r"|[A-Za-z]{3,9}[-./ ]\d.*|\d{1,4}[-./]\d{1,4}"
    if not is_text(cells) or not matches(cells.iloc[:SAMPLE], pattern):
        return []
    text = distinct(cells)
    if not len(text):
        return []
    possible: list[tuple[str, np.ndarray]] = []
    for form in FORMATS:
        parsed = to_dates(text, form)
        if parsed is None or ("%Y-%m-%d" in form and "%I" not in form):
            continue
        if not any(np.array_equal(parsed[0], dates, equal_nan=True) for _, dates in possible):
            possible.append((form, parsed[0]))
    return [form for form, _ in possible]
