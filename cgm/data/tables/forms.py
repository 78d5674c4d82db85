"""The forms in which parties write cells: markers of missing cells, signs of numbers, formats of dates."""

from __future__ import annotations

import re
import unicodedata
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from cgm.utils.settings import Settings


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# cells that count as missing, beside empty ones: in every column, or only where all other cells are numbers or dates
MARKERS = _words(r"""
    na n/a #n/a nan null none <na> nat ? - . .. -- --- \n n.a. n.a n/a. (null) <null> [null] (na) #na #null! #div/0!
    #n/a! #value! #ref! #name? #num!
""")
USUAL = _words("na n/a #n/a nan null none <na> nat ? -")  # of which no warning is given
WORDS = frozenset(
    ["unknown", "missing", "(missing)", "(unknown)", "not available", "not applicable", "not known", "no data", "empty"]
)
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
GROUPS = {".": r"\.", ",": ",", " ": "[ \u00a0\u202f\u2009]", "'": "['\u2019]"}
MINUS = "\u2212"
SIGNS = r"[$€£¥₹%‰]|\b(EUR|USD|GBP|CHF|JPY|Rs)\b"
SAMPLE = 200  # cells that are looked at before all of them are

Decimal = Literal[".", ","]
Thousands = Literal[".", ",", " ", "'"]


@dataclass(frozen=True)
class Reading(Settings):
    """How cells are read, where it is not recognised or not sure.

    Arguments:
        missing: Cells that stand for a missing value, beside the usual ones; text or numbers, such as -999.
        decimal: The decimal sign. `None`: it is recognised.
        thousands: The sign between thousands. `None`: it is recognised.
        dates: The format of the dates of a column, such as `{"opened": "%Y%m%d"}`.
    """

    missing: Sequence[Any] = ()
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    dates: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.missing, list | tuple) or any(isinstance(cell, list | dict) for cell in self.missing):
            raise ValueError(f"missing={self.missing}: expected a list of cells, such as ['-999', unknown]")
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError(f"thousands={self.thousands}: expected another sign than that of decimals")
        if not isinstance(self.dates, Mapping):
            raise ValueError(f"dates={self.dates}: expected columns with their formats, such as {{day: '%d.%m.%Y'}}")
        for column, form in self.dates.items():
            parts = set(re.findall("%.", str(form)))
            if not parts or not parts <= {*PARTS, "%%"}:
                raise ValueError(
                    f"dates.{column}={form}: expected a format such as '%d.%m.%Y', made of {', '.join(PARTS)}"
                )

    @property
    def markers(self) -> frozenset[str]:
        """Cells that count as missing because of `missing`, in lower case."""

        return frozenset(str(cell).strip().lower() for cell in self.missing)


@dataclass(frozen=True)
class Form:
    """How a party writes the cells of a column.

    Attributes:
        decimal: The decimal sign.
        thousands: The sign between thousands; may be empty.
        minus: The sign of negative numbers.
        digits: The number of decimals that all numbers have; `None` if it differs.
        date_format: The format of dates; `None`: 2024-12-31, with a time where there is one.
        zone: The time zone of dates, such as `Z`, `+02:00` or `Europe/Zurich`; may be empty.
        levels: How the party writes levels that are written in another way in the schema.
        missing: The cell that stands for a missing value.
        arrow: The Arrow type of the column in a Parquet file; `None` for text.
        markers: Cells that were taken for missing values, beyond the usual ones.
        notes: What a warning must say of the column.
    """

    decimal: str = "."
    thousands: str = ""
    minus: str = "-"
    digits: int | None = None
    date_format: str | None = None
    zone: str = ""
    levels: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""
    arrow: Any = None
    markers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


# --- text ---------------------------------------------------------------------------------------------------------


class _Converted(NamedTuple):
    """What is remembered of a series of text: a weak reference to it, its Arrow array, and the encoded one."""

    series: Any
    array: Any
    encoded: list[Any]


_converted: dict[int, _Converted] = {}  # by the id of the series
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))


def clean(text: str) -> str:
    """Return text in its normal form: composed letters, plain spaces, none at the ends, no invisible characters.

    Example:
        >>> clean(" Mu\\u0308nchen\\u00a0Ost\\u200b ")
        'München Ost'
    """

    if text.isascii():
        return text.strip()
    text = unicodedata.normalize("NFC", text.translate(INVISIBLE))
    return "".join(
        " " if character.isspace() and character not in "\t\r\n" else character for character in text
    ).strip()


def to_arrow(cells: pd.Series) -> Any:
    """Return cells of text as an Arrow array, the same one if it is asked for again."""

    import pyarrow as pa

    if id(cells) not in _converted:
        remember(cells, pa.array(cells.to_numpy(object), pa.string(), from_pandas=True))
    return _converted[id(cells)].array


def encoded(cells: pd.Series) -> Any:
    """Return cells of text as an Arrow array with a dictionary, the same one if it is asked for again."""

    array = to_arrow(cells)
    memory = _converted[id(cells)].encoded
    if not memory:
        memory.append(array.dictionary_encode())
    return memory[0]


def remember(cells: pd.Series, array: Any, dictionary: Any = None) -> None:
    """Remember the Arrow array of a series of text, and the one with a dictionary, as long as there is the series."""

    key = id(cells)
    memory = [] if dictionary is None else [dictionary]
    _converted[key] = _Converted(weakref.ref(cells, lambda _: _converted.pop(key, None)), array, memory)


def has_gaps(cells: pd.Series) -> bool:
    """Return whether parsed cells have missing ones."""

    return bool(to_arrow(cells).null_count if cells.dtype == object else cells.isna().any())


def filled(cells: pd.Series) -> pd.Series:
    """Return a series without missing cells: itself, if there are none."""

    return cells.dropna() if has_gaps(cells) else cells


def distinct(cells: pd.Series) -> Any:
    """Return the different cells of a series of text as an Arrow array, without missing ones."""

    return encoded(cells).dictionary


def places(cells: pd.Series) -> np.ndarray:
    """Return for each cell of a series of text its place among the different ones, their number if it is missing."""

    of = encoded(cells)
    return np.asarray(of.indices.fill_null(len(of.dictionary)).to_numpy(zero_copy_only=False))


def tally(parts: Sequence[pd.Series]) -> pd.Series:
    """Return the number of cells with each value, of several series together, in the order of their first cells."""

    if not all(part.dtype == object for part in parts):
        return pd.concat(list(parts)).value_counts(sort=False)
    counted = []
    for part in parts:
        texts = distinct(part).to_numpy(zero_copy_only=False)
        counts = np.bincount(places(part), minlength=len(texts) + 1)[:-1]
        counted.append(pd.Series(counts, pd.Index(texts, dtype=object)))
    return counted[0] if len(counted) == 1 else pd.concat(counted).groupby(level=0, sort=False).sum()


def matches(cells: Any, pattern: str) -> bool:
    """Return whether all filled cells of text, a series or an Arrow array, match a pattern."""

    import pyarrow.compute as pc

    head = cells.iloc[:SAMPLE] if isinstance(cells, pd.Series) else cells.slice(0, SAMPLE).to_pylist()
    if not all(re.fullmatch(pattern, cell, re.ASCII) for cell in head if isinstance(cell, str)):
        return False
    if isinstance(cells, pd.Series):
        if len(cells) <= SAMPLE:
            return True
        cells = distinct(cells)
    return bool(pc.all(pc.match_substring_regex(cells, f"^(?:{pattern})$"), min_count=0).as_py())


def which(cells: Any, pattern: str) -> np.ndarray:
    """Return for each cell of an Arrow array of text whether it matches a pattern; missing ones do not."""

    import pyarrow.compute as pc

    found = pc.match_substring_regex(cells, f"^(?:{pattern})$").fill_null(False)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


# --- numbers ------------------------------------------------------------------------------------------------------


class Style(NamedTuple):
    """The signs of numbers.

    Attributes:
        decimal: The decimal sign.
        thousands: The sign between thousands; may be empty.
    """

    decimal: str = "."
    thousands: str = ""

    @property
    def pattern(self) -> str:
        """The regular expression of a number."""

        point = re.escape(self.decimal)
        if not self.thousands:
            return rf"[+-]?(\d+({point}\d*)?|{point}\d+)([eE][+-]?\d+)?"
        return rf"[+-]?(0|[1-9]\d{{0,2}}({GROUPS[self.thousands]}\d{{3}})*)({point}\d+)?"


PLAIN = Style()
STYLES = (PLAIN, Style(","), *(Style(d, t) for t in GROUPS for d in (".", ",") if d != t))
DIGITS = r"[+-]?\d+"
LOOSE = "[+-]?[0-9.,'\u2019 \u00a0\u202f\u2009]+([eE][+-]?[0-9]+)?"


def number_styles(cells: Any, reading: Reading) -> list[Style]:
    """Return the styles in which all filled cells of text are numbers; several if it cannot be known which.

    A style without thousands comes first. One is left out if nothing in the cells shows it.

    Arguments:
        cells: An Arrow array of text, with plain minus signs.
        reading: The settings.
    """

    import pyarrow.compute as pc

    def has(pattern: str) -> bool:
        return bool(pc.any(pc.match_substring_regex(cells, pattern), min_count=0).as_py())

    head = cells.slice(0, SAMPLE).to_pylist()
    if not all(cell is None or re.fullmatch(LOOSE, cell, re.ASCII) for cell in head):
        return []
    if matches(cells, DIGITS):
        return [PLAIN]
    signs = {"."} if has(r"\d\.\d") else set()
    if has("\\d[,' \u2019\u00a0\u202f\u2009]\\d"):
        signs |= {sign for sign in GROUPS if has(rf"\d{GROUPS[sign]}\d")}
    decimals = (".", ",") if reading.decimal is None else (reading.decimal,)
    possible = [s for s in STYLES if s.decimal in decimals and (not s.thousands or s.thousands in signs)]
    if not has(","):
        possible = [style for style in possible if style != Style(",")]
    if reading.thousands:
        possible = [style for style in possible if style.thousands in ("", reading.thousands)]
    found = [style for style in possible if matches(cells, style.pattern)]
    grouped = [style for style in found if style.thousands]
    return grouped if reading.thousands and grouped else found


def choose_style(styles: Sequence[Style], cells: Any, decimals: set[str], separator: str) -> Style | None:
    """Return the style of a column of numbers, or `None` if it cannot be known.

    Cells such as 1.266 can be a number with three decimals or 1266; those such as 0.904 or 1.5 would show decimals. The
    column is of thousands if other columns of the party have the other decimal sign. If they have the same one, it is
    of decimals, unless whole numbers of three digits stand beside such cells: of numbers with three decimals, hardly
    any is whole, and those of fewer would be there as well. If other columns say nothing, thousands are possible if
    any whole number does, or if columns are separated by another sign than a comma.

    Arguments:
        styles: The possible styles, see `number_styles`.
        cells: The cells, an Arrow array of text.
        decimals: The decimal signs that the party uses in other columns.
        separator: The separator of columns in the party's file.
    """

    import pyarrow.compute as pc

    if len(styles) == 1:
        return styles[0]
    plain = [style for style in styles if not style.thousands]
    grouped = [style for style in styles if style.thousands]
    if not plain:  # such as 1 234, with either decimal sign
        certain = [style for style in grouped if style.decimal in decimals]
        return certain[0] if len(certain) == 1 else (grouped[0] if len({s.thousands for s in grouped}) == 1 else None)
    sign = plain[0].decimal
    other = [style for style in grouped if style.decimal in decimals]
    if other and sign not in decimals:
        return other[0]
    sure = decimals == {sign}
    whole = r"^[+-]?\d{3}$" if sure else f"^{DIGITS}$"
    if pc.any(pc.match_substring_regex(cells, whole), min_count=0).as_py():
        return None
    return plain[0] if sure or (separator == "," and sign != ",") else None


def decimal_signs(cells: Any, reading: Reading) -> set[str]:
    """Return the decimal sign of a column of text, if it is one of numbers and sure; otherwise nothing."""

    head = cells.slice(0, 1000)
    styles = number_styles(head, reading)
    if len(styles) != 1 or matches(head, DIGITS):
        return set()
    style = styles[0]
    import pyarrow.compute as pc

    return {style.decimal} if pc.any(pc.match_substring(head, style.decimal), min_count=0).as_py() else set()


def plain_minus(cells: Any) -> tuple[Any, str]:
    """Return cells with a plain minus sign, and the sign that they had."""

    import pyarrow.compute as pc

    if not pc.any(pc.starts_with(cells, MINUS), min_count=0).as_py():
        return cells, "-"
    return pc.replace_substring_regex(cells, f"^{MINUS}", "-"), MINUS


def to_numbers(cells: Any, style: Style) -> np.ndarray:
    """Return cells of text that are numbers as float64, NaN if missing."""

    import pyarrow as pa
    import pyarrow.compute as pc

    if style.thousands:
        cells = pc.replace_substring_regex(cells, GROUPS[style.thousands], "")
    if style.decimal != ".":
        cells = pc.replace_substring(cells, style.decimal, ".")
    return np.asarray(pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False), float)


def fixed_digits(cells: Any, decimal: str) -> int | None:
    """Return the number of decimals that all cells have, if it is the same and not zero."""

    import pyarrow.compute as pc

    point = re.escape(decimal)
    first = next((cell for cell in cells.slice(0, SAMPLE).to_pylist() if cell is not None), "")
    digits = len(first.rpartition(decimal)[2]) if decimal in first else 0
    if not digits or not matches(cells, rf".*\d{point}\d{{{digits}}}"):
        return None
    ends_in_zero = pc.any(pc.match_substring_regex(cells, "0$"), min_count=0).as_py()
    return digits if ends_in_zero else None


def write_number(number: float, form: Form) -> str:
    """Return a number as the party writes it.

    Example:
        >>> write_number(-1234.5, Form(decimal=",", thousands=".", digits=2))
        '-1.234,50'
    """

    if number != number:
        return ""
    number += 0.0  # 0.0 in place of -0.0
    text = repr(number)
    if form.digits is not None and float(fixed := f"{number:.{form.digits}f}") == number:
        text = fixed
    elif form.thousands and text.endswith(".0"):
        text = text[:-2]
    if form.thousands and "e" not in text:
        whole, point, rest = text.partition(".")
        text = f"{int(whole):,}".replace(",", "\x00") + point + rest
        if whole.startswith("-") and not text.startswith("-"):
            text = f"-{text}"
    text = text.replace(".", form.decimal).replace("\x00", form.thousands)
    return text.replace("-", form.minus, 1) if text.startswith("-") else text


# --- dates --------------------------------------------------------------------------------------------------------

PARTS = {
    "%Y": r"(?P<Y>\d{4})",
    "%y": r"(?P<y>\d{2})",
    "%m": r"(?P<m>\d{1,2})",
    "%b": r"(?P<b>[A-Za-z]{3})",
    "%B": r"(?P<b>[A-Za-z]{3,9})",
    "%d": r"(?P<d>\d{1,2})",
    "%H": r"(?P<H>\d{1,2})",
    "%I": r"(?P<I>\d{1,2})",
    "%M": r"(?P<M>\d{2})",
    "%S": r"(?P<S>\d{2})",
    "%f": r"(?P<f>\d{1,9})",
    "%p": r"(?P<p>[AaPp][Mm])",
    "%z": r"(?P<z>Z|[+-]\d{2}:?\d{2})",
}
NAMES = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
ISO = r"%Y-(?P<m>\d{2})-(?P<d>\d{2})(?:[T ](?P<H>\d{2}):%M(?::%S(?:\.%f)?)?)?%z?"
ISO_FORMATS = tuple(f"%Y-%m-%d{between}%H:%M{end}" for end in (":%S", "") for between in "T ")
_DAYS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d"),
    *("%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d. %b %Y", "%b %d, %Y", "%b %d %Y", "%d-%b-%y", "%d %b %y"),
    *("%d %B %Y", "%d. %B %Y", "%B %d, %Y", "%B %d %Y", "%d-%B-%Y"),
)
TIMES = (" %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p")
MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%m.%Y", "%b %Y", "%B %Y", "%b-%Y", "%b-%y")
CLOCKS = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p")
FORMATS = (
    *(day + time for time in ("", *TIMES) for day in _DAYS),
    *("%Y-%m-%d" + time for time in TIMES if "%p" in time),
    *MONTHS,
    *CLOCKS,
)
DATE_LIKE = r".*\d{1,4}[-./ ]+([A-Za-z]{3,9}|\d{1,2})[-./ ,]+\d{2,4}.*|\d{1,2}:\d{2}.*"


@cache
def date_pattern(date_format: str | None) -> str:
    """Return the regular expression of dates of a format; `None`: 2024-12-31, with a time and a zone or without."""

    if date_format is None:
        return re.sub("%[A-Za-z]", lambda part: PARTS[part[0]], ISO)
    pieces = re.split("(%-?[A-Za-z]|%%)", date_format)
    pattern = ""
    for k, piece in enumerate(pieces):
        name = piece.replace("-", "") if piece.startswith("%-") else piece
        if name not in PARTS:
            pattern += re.escape(piece.replace("%%", "%")).replace("\\ ", " ")
            continue
        joined = (k + 2 < len(pieces) and pieces[k + 1] == "") or (k >= 2 and pieces[k - 1] == "" and pieces[k - 2])
        pattern += PARTS[name].replace("{1,2}", "{2}") if joined else PARTS[name]
    return pattern


def to_dates(cells: Any, date_format: str | None = None) -> tuple[np.ndarray, set[str]] | None:
    """Return cells of text as dates, datetime64 in microseconds, NaT if missing; `None` if one of them is none.

    Times with a zone become those of UTC.

    Arguments:
        cells: An Arrow array of text.
        date_format: The format. `None`: 2024-12-31, with a time and a zone or without.

    Returns:
        The dates, and the zones that occur.

    Example:
        >>> import pyarrow as pa
        >>> to_dates(pa.array(["31.12.9999", None]), "%d.%m.%Y")[0].astype(str).tolist()
        ['9999-12-31T00:00:00.000000', 'NaT']
    """

    import pyarrow as pa
    import pyarrow.compute as pc

    pattern = date_pattern(date_format)
    head = [cell for cell in cells.slice(0, SAMPLE).to_pylist() if cell is not None]
    if not all(re.fullmatch(pattern, cell, re.ASCII) for cell in head):
        return None
    if len(cells) > 1000:  # dates occur several times
        encoded = cells.dictionary_encode()
        if len(encoded.dictionary) < len(cells) / 2:
            parsed = to_dates(encoded.dictionary, date_format)
            places = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
            return parsed and (np.append(parsed[0], np.datetime64("NaT"))[places], parsed[1])
    groups = pc.extract_regex(cells, f"^{pattern}$")
    if groups.null_count > cells.null_count:
        return None
    empty = np.asarray(cells.is_null().to_numpy(zero_copy_only=False), bool)
    names = {groups.type.field(k).name for k in range(groups.type.num_fields)} - {""}

    def texts(name: str) -> Any:
        return pc.struct_field(groups, name)

    def part(name: str, otherwise: int) -> np.ndarray:
        if name not in names:
            return np.full(len(cells), otherwise)
        text = texts(name)
        text = pc.if_else(pc.equal(text, ""), str(otherwise), text).fill_null(str(otherwise))
        return np.asarray(pc.cast(text, pa.int64()).to_numpy(zero_copy_only=False))

    year, day, hour = part("Y", 1970), part("d", 1), part("H", 0)
    if "y" in names:  # as POSIX has it: 69 to 99 are of the last century
        short = part("y", 70)
        year = short + np.where(short < 69, 2000, 1900)
    month = part("m", 1)
    if "b" in names:
        lower = pc.utf8_lower(texts("b")).fill_null("jan")
        places = pc.index_in(lower, pa.array([*NAMES, *(name[:3] for name in NAMES), "sept"])).fill_null(99)
        place = np.asarray(places.to_numpy(zero_copy_only=False)).astype(int)
        if (place == 99).any():
            return None
        month = np.where(place == 24, 9, place % 12 + 1)
    if "I" in names:
        hour = part("I", 12)
        if ((hour < 1) | (hour > 12)).any():
            return None
        later = np.asarray(pc.equal(pc.utf8_lower(texts("p")), "pm").fill_null(False).to_numpy(zero_copy_only=False))
        hour = hour % 12 + np.where(later, 12, 0)
    minute, second = part("M", 0), part("S", 0)
    micro = np.zeros(len(cells), int)
    if "f" in names:
        padded = pc.utf8_slice_codeunits(pc.utf8_rpad(texts("f"), 6, "0"), 0, 6).fill_null("0")
        micro = np.asarray(pc.cast(padded, pa.int64()).to_numpy(zero_copy_only=False))
    wrong = (month < 1) | (month > 12) | (day < 1) | (year < 1) | (hour > 23) | (minute > 59) | (second > 59)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    if (wrong | (days.astype("datetime64[M]") != months)).any():
        return None
    dates = days.astype("datetime64[us]") + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micro
    zones: set[str] = set()
    if "z" in names:
        codes = pc.if_else(pc.is_null(texts("z")), "", texts("z")).dictionary_encode()
        written = codes.dictionary.to_pylist()
        filled = np.asarray(codes.indices.to_numpy(zero_copy_only=False))
        shifts = np.array([zone_minutes(zone) for zone in written], int)
        dates = dates - shifts[filled].astype("timedelta64[m]") if len(written) else dates
        zones = {written[k] for k in np.unique(filled[~empty])}
    dates[empty] = np.datetime64("NaT")
    return dates, zones


def zone_minutes(zone: str) -> int:
    """Return the distance of a time zone such as `Z` or `+02:00` from UTC in minutes."""

    if zone in ("", "Z"):
        return 0
    digits = zone[1:].replace(":", "")
    return (-1 if zone[0] == "-" else 1) * (60 * int(digits[:2]) + int(digits[2:]))


def write_date(date: datetime, date_format: str, zone: str = "") -> str:
    """Return a date as text; `%-d` and the like are without a leading zero, names of months are English.

    Example:
        >>> write_date(datetime(2024, 7, 2, 18, 5), "%-d-%b-%Y %I:%M %p")
        '2-Jul-2024 06:05 PM'
    """

    name = NAMES[date.month - 1].capitalize()
    twelve = (date.hour - 1) % 12 + 1
    parts = {
        "Y": f"{date.year:04}",
        "y": f"{date.year % 100:02}",
        "m": f"{date.month:02}",
        "b": name[:3],
        "B": name,
        "d": f"{date.day:02}",
        "H": f"{date.hour:02}",
        "I": f"{twelve:02}",
        "M": f"{date.minute:02}",
        "S": f"{date.second:02}",
        "f": f"{date.microsecond:06}",
        "p": "AM" if date.hour < 12 else "PM",
        "z": zone,
        "%": "%",
    }
    return re.sub(
        "%(-?)([A-Za-z%])", lambda part: parts[part[2]].lstrip("0") or "0" if part[1] else parts[part[2]], date_format
    )


def unpadded(cells: Any, date_format: str) -> str:
    """Return a format of dates with `%-d`, `%-m`, `%-H` and `%-I` for parts that are written without a leading zero."""

    import pyarrow.compute as pc

    groups = pc.extract_regex(cells, f"^{date_pattern(date_format)}$")
    for k in range(groups.type.num_fields):
        name = groups.type.field(k).name
        if name in ("d", "m", "H", "I") and pc.any(pc.equal(pc.utf8_length(pc.struct_field(groups, name)), 1)).as_py():
            date_format = date_format.replace(f"%{name}", f"%-{name}")
    return date_format


def iso_format(cells: Any) -> str | None:
    """Return the format in which dates such as 2024-12-31 10:30 are written; `None` if it differs or is 2024-12-31."""

    for form in ISO_FORMATS:
        if matches(cells, date_pattern(form) + r"(Z|[+-]\d{2}:?\d{2})?"):
            return form
    return None
