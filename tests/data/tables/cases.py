"""Small tables as people have them, each with its right outcome: written anew, on a base of age, income and region.

A case is the files of three parties, the arguments of `cgm settle` beside them, and what must come of it: columns of
these kinds, some left out, with warnings; or a message that names party, column, row and remedy.
"""

import datetime
import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

PARTIES = ("a", "b", "c")
BASE = "age integer, income numeric, region categorical"
Cell = Callable[[int, int, np.random.Generator], Any]
"""A cell, of party, row and random numbers."""
Cells = dict[str, list[Any]]


@dataclass(frozen=True)
class Settled:
    """Tables that can be settled.

    Attributes:
        kinds: The columns with their kinds, beside age, income and region; with a bar between kinds that are all right.
        base: Those of the base.
        left: The columns that are left out, each with a warning.
        warns: Patterns of further warnings.
        levels: The number of levels of some columns.
    """

    kinds: str = ""
    base: str = BASE
    left: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()
    levels: dict[str, int] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, set[str]]:
        """The kinds that each column may have."""

        pairs = [pair.rsplit(" ", 1) for pair in f"{self.base}, {self.kinds}".split(", ") if pair]
        return {name: set(kinds.split("|")) for name, kinds in pairs}


@dataclass(frozen=True)
class Refused:
    """Tables that are refused.

    Attributes:
        patterns: All of which the message has.
    """

    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """The files of a case by their names, its arguments, and what must come of it."""

    write: Callable[[], dict[str, bytes]]
    outcome: Settled | Refused
    arguments: tuple[str, ...] = ()
    whole: bool = False
    """Whether the outcome is that of the whole run, not of reading alone."""


def base(party: int, n: int = 50) -> Cells:
    """Make age, income and region of a party's rows, as text."""

    random = np.random.default_rng(party)
    age = random.integers(18, 81, n)
    income = np.round(10 * age + 1500 * np.exp(0.4 * random.normal(size=n)), 2)
    regions = random.choice(["North", "South", "East"], n)
    return {"age": [str(x) for x in age], "income": [f"{x:.2f}" for x in income], "region": regions.tolist()}


def cells(name: str, cell: Cell | Sequence[Any], party: int, n: int) -> list[Any]:
    """Make the cells of a column: by a function, or drawn from some levels."""

    random = np.random.default_rng([zlib.crc32(name.encode()), party])
    if callable(cell):
        return [cell(party, i, random) for i in range(n)]
    return [cell[int(k)] for k in random.integers(0, len(cell), n)]


def quoted(cell: Any, separator: str) -> str:
    text = str(cell)
    return '"' + text.replace('"', '""') + '"' if set(text) & {separator, '"', "\n", "\r"} else text


def text(table: Cells, separator: str = ",", end: str = "\n", header: bool = True) -> str:
    """Write a table as text."""

    rows = [*([list(table)] if header else []), *zip(*table.values(), strict=True)]
    return "".join(separator.join(quoted(cell, separator) for cell in row) + end for row in rows)


def parquet(
    table: Cells, column: str = "", type_of: Callable[[Any], Any] | None = None, index: str = "", as_text: bool = False
) -> bytes:
    """Write a table as Parquet: age int64, income double, others as they are.

    Arguments:
        table: The table.
        column: A column that has another type.
        type_of: Returns this type, of pyarrow.
        index: A column that pandas has as its index.
        as_text: Whether incomes stay text.
    """

    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"age": "int64"} | ({} if as_text else {"income": float})
    frame = pd.DataFrame(table).astype(types)
    made = pa.Table.from_pandas(frame.set_index(index) if index else frame)
    if type_of is not None:
        typed = made.column(column).cast(type_of(pa))
        made = made.set_column(made.schema.get_field_index(column), column, typed)
    file = io.BytesIO()
    pq.write_table(made, file)
    return file.getvalue()


def files(
    columns: dict[str, Cell | Sequence[Any]] | None = None,
    write: Callable[..., str | bytes] = text,
    rows: Sequence[int] = (50, 50, 50),
    suffix: str = ".csv",
    change: Callable[[int, Cells], Cells] = lambda party, table: table,
    encoding: str = "utf-8",
    only: Sequence[str] | None = None,
) -> Callable[[], dict[str, bytes]]:
    """Return what writes the files of the parties: the base with further columns or others in their place.

    Arguments:
        columns: The columns, each by its cell or its levels.
        write: Writes a table.
        rows: The number of rows of each party.
        suffix: The end of the files' names.
        change: Changes the table of a party.
        encoding: The encoding of text.
        only: The columns that are written. `None`: all.
    """

    def make() -> dict[str, bytes]:
        made = {}
        for party, name in enumerate(PARTIES):
            table = base(party, rows[party])
            table |= {column: cells(column, cell, party, rows[party]) for column, cell in (columns or {}).items()}
            table = change(party, {column: table[column] for column in only or table})
            content = write(table)
            made[name + suffix] = content.encode(encoding) if isinstance(content, str) else content
        return made

    return make


def marked(marker: str, parties: Sequence[int] = (0, 1, 2), column: str = "income") -> Callable[[int, Cells], Cells]:
    """Return what replaces each twelfth cell of a column by a marker of missing cells, in some parties."""

    def change(party: int, table: Cells) -> Cells:
        if party not in parties:
            return table
        return table | {column: [marker if i % 12 == 5 else cell for i, cell in enumerate(table[column])]}

    return change


def each(table: Cells, column: str, change: Callable[[str], str]) -> Cells:
    return table | {column: [change(cell) for cell in table[column]]}


def commas(table: Cells) -> Cells:
    return each(table, "income", lambda cell: cell.replace(".", ","))


def german(table: Cells) -> str:
    return text(commas(table), ";")


def thousands(cell: str, signs: str = ",.") -> str:
    """Write ten times a number, with signs of thousands and of decimals."""

    return f"{10 * float(cell):,.2f}".translate(str.maketrans(",.", signs))


def day(party: int, i: int, random: np.random.Generator) -> datetime.datetime:
    """Return a day; in the first rows, the 13th to the 28th of a month."""

    year, month = int(random.integers(2010, 2024)), int(random.integers(1, 13))
    return datetime.datetime(year, month, int(random.integers(13, 29) if i < 20 else random.integers(1, 29)))


def dates(*forms: str, latest: int = 31) -> Cell:
    """Return what writes days: in the form of each party, or all in one, on no later day of a month than the latest."""

    def cell(party: int, i: int, random: np.random.Generator) -> str:
        date = day(party, i, random)
        moment = date.replace(day=min(date.day, latest), hour=int(random.integers(24)), minute=int(random.integers(60)))
        return moment.strftime(forms[party % len(forms)])

    return cell


def slashes(first: str, latest: int = 31) -> Cell:
    """Return what writes days with slashes, without leading zeros."""

    def cell(party: int, i: int, random: np.random.Generator) -> str:
        date = day(party, i, random)
        number = 1 + (date.day - 1) % latest
        pair = (number, date.month) if first == "day" else (date.month, number)
        return f"{pair[0]}/{pair[1]}/{date.year}"

    return cell


def numbers(form: str, low: float, high: float) -> Cell:
    return lambda party, i, random: format(random.uniform(low, high), form)


def integers(low: int, high: int) -> Cell:
    return lambda party, i, random: int(random.integers(low, high))


def by_party(*choices: Cell | Sequence[Any]) -> Cell:
    """Return what draws the cells of each party in another way."""

    def cell(party: int, i: int, random: np.random.Generator) -> Any:
        chosen = choices[party % len(choices)]
        return chosen(party, i, random) if callable(chosen) else chosen[int(random.integers(len(chosen)))]

    return cell


def of_one_file(bank: Callable[[int], str]) -> Callable[[], dict[str, bytes]]:
    """Return what writes one file of all parties, in which a column names them."""

    def make() -> dict[str, bytes]:
        table = base(0, 150)
        return {"all.csv": text(table | {"bank": [bank(i) for i in range(150)]}).encode()}

    return make


def named(*names: str) -> Callable[[], dict[str, bytes]]:
    return of_one_file(lambda i: names[i % len(names)])


def replaced(**contents: str | bytes) -> Callable[[], dict[str, bytes]]:
    """Return what writes the base, with other contents of some parties."""

    def make() -> dict[str, bytes]:
        others = {f"{name}.csv": c.encode() if isinstance(c, str) else c for name, c in contents.items()}
        return files()() | others

    return make


def renamed(*names: str) -> Callable[[], dict[str, bytes]]:
    return lambda: dict(zip(names, files()().values(), strict=True))


def two_formats(columns: dict[str, Any] | None = None) -> Callable[[], dict[str, bytes]]:
    """Return what writes CSV, Parquet and compressed CSV."""

    def make() -> dict[str, bytes]:
        a, b, c = (base(party) for party in range(3))
        return {"a.csv": text(a).encode(), "b.parquet": parquet(b), "c.csv.gz": gzip.compress(text(c).encode())}

    def make_dates() -> dict[str, bytes]:
        days = [datetime.datetime(2024, 1, 1) + datetime.timedelta(days=3 * i) for i in range(50)]
        written = [date.strftime("%d.%m.%Y") for date in days]
        a, b, c = (base(party) for party in range(3))
        return {
            "a.csv": text(a | {"d": written}).encode(),
            "b.parquet": parquet(b | {"d": days}),
            "c.csv": text(c | {"d": written}).encode(),
        }

    return make if columns is None else make_dates


def workbook(table: Cells) -> bytes:
    """Write a table as a sheet of a workbook."""

    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(list(table))
    for age, income, region in zip(*table.values(), strict=True):
        book.active.append([int(age), float(income), region])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def every(cell: str, step: int, other: Cell) -> Cell:
    """Return what writes a cell in each row of some step, and others between."""

    return lambda party, i, random: cell if i % step == step - 1 else other(party, i, random)


def movie(party: int, i: int, random: np.random.Generator) -> str:
    return f"Movie {i % 9}"


def moved(party: int, table: Cells) -> Cells:
    """Move the rows of each party to a place of their own."""

    ages, incomes = ([float(x) for x in table[name]] for name in ("age", "income"))
    return {
        "age": [str(int(x) + 100 * party) for x in ages],
        "income": [f"{x + 1e5 * party:.2f}" for x in incomes],
        "region": [f"R{party}"] * len(ages),
    }


def indexed(party: int, table: Cells) -> Cells:
    return {"": list(range(len(table["age"]))), **table}


def no_bytes(marker: str) -> Callable[[], dict[str, bytes]]:
    return files(change=marked(marker))


NUMBERED = by_party(*(lambda party, i, random, start=start: start + 3 * i for start in (1, 2, 3)))
WEIRD = {
    "Größe (cm)": numbers(".1f", 150, 200),
    'a "quoted" name': integers(0, 9),
    "x.y": ["p", "q"],
    "p,q;r": integers(0, 9),
    "=SUM(A1)": integers(0, 9),
    "100%": numbers(".2f", 0, 1),
    "it's": integers(0, 5),
    "[z]": integers(0, 5),
    "α": integers(0, 5),
    "日本": ["東", "西"],
}
WEIRD_KINDS = (
    'Größe (cm) numeric, a "quoted" name integer, x.y categorical, p,q;r integer, =SUM(A1) integer, 100% numeric, '
    "it's integer, [z] integer, α integer, 日本 categorical"
)
NAMES = {"party": ["u", "v"], "index": integers(0, 9), "rows": integers(0, 9), "kind": ["u", "v"]}
MARKERS = {
    "miss_NULL": "NULL",
    "miss_backN": "\\N",
    "miss_dot": ".",
    "miss_hashDIV": "#DIV/0!",
    "miss_hashNA": "#N/A",
    "miss_missing": "missing",
    "miss_nadot": "n.a.",
    "miss_zero_str": "(null)",
}

CASES: dict[str, Case] = {
    # dialects
    "bom": Case(files({"city": ["Köln", "Zürich"]}, encoding="utf-8-sig"), Settled("city categorical")),
    "cr_only": Case(files(write=lambda table: text(table, end="\r")), Settled()),
    "crlf": Case(files(write=lambda table: text(table, end="\r\n")), Settled()),
    "decimal_comma_sc": Case(files(write=german), Settled()),
    "decimal_comma_NA": Case(files(write=german, change=marked("NA")), Settled()),
    "footer_eof": Case(
        files(write=lambda table: text(table) + "(50 rows)\n"), Settled(warns=(r"a\.csv.*\(50 rows\)",))
    ),
    "newline_in_header": Case(
        files(change=lambda party, table: {"age": table["age"], "income\n(EUR)": table["income"]}),
        Settled(base="age integer, income\n(EUR) numeric"),
    ),
    "quoted_newline": Case(files({"note": ["line1\nline2", "ok", "x"]}), Settled("note categorical")),
    "sep_in_header_names": Case(files({"x;y;z;w": integers(0, 8)}), Settled("x;y;z;w integer")),
    "trailing_delim": Case(files(change=lambda party, table: table | {"": [""] * 50}), Settled(warns=(r"a\.csv",))),
    "trailing_delim_rows_only": Case(
        files(write=lambda table: text(table).replace("\n", ",\n").replace(",\n", "\n", 1)),
        Settled(warns=(r"a\.csv",)),
    ),
    "tsv_in_csv": Case(files(write=lambda table: text(table, "\t")), Settled()),
    "ext_tsv": Case(files(write=lambda table: text(table, "\t"), suffix=".tsv"), Settled()),
    "ext_CSV": Case(files(suffix=".CSV"), Settled()),
    "ext_xlsx": Case(files(write=workbook, suffix=".xlsx"), Settled()),
    "xlsx_named_csv": Case(files(write=workbook), Refused((r"a\.csv", "Excel|workbook|xlsx"))),
    "latin1": Case(files({"city": ["Köln", "Zürich"]}, encoding="latin-1"), Refused((r"a\.csv", "encoding=latin-1"))),
    "latin1_fix": Case(
        files({"city": ["Köln", "Zürich"]}, encoding="latin-1"), Settled("city categorical"), ("encoding=latin-1",)
    ),
    "utf16": Case(files({"city": ["Köln", "Zürich"]}, encoding="utf-16"), Settled("city categorical")),
    "utf16le_nobom": Case(files({"city": ["Köln", "Zürich"]}, encoding="utf-16-le"), Settled("city categorical")),
    "mixed_formats": Case(two_formats(), Settled()),
    "mixed_formats_dates": Case(two_formats({"d": day}), Settled("d date")),
    "odd_file_names": Case(renamed("north=1.csv", "east 2.csv", "wést.csv"), Settled()),
    # headers and rows
    "column_case": Case(
        files(change=lambda party, table: {name.upper() if party else name: x for name, x in table.items()}),
        Refused((r"\bb\b", "AGE", "capital|case|rename")),
    ),
    "column_order": Case(
        files(change=lambda party, table: dict(reversed(table.items())) if party else table), Settled()
    ),
    "dup_columns": Case(
        files(write=lambda table: text(table).replace("income", "age", 1)), Refused((r"a\.csv", "age occurs 2 times"))
    ),
    "empty_file": Case(replaced(a=""), Refused((r"a\.csv", "empty"))),
    "header_only": Case(replaced(a="age,income,region\n"), Refused((r"a\.csv", "no rows"))),
    "extra_column": Case(
        files({"z": integers(0, 5)}, change=lambda party, table: table if party else base(0)),
        Refused((r"\bb\b", r"\ba\b", r"\bz\b", r"drop=\[z\]")),
    ),
    "no_header": Case(files(write=lambda table: text(table, header=False)), Refused(("names of the columns",))),
    "nine_rows": Case(files(rows=(9, 50, 50)), Refused(("a: has 9 rows", "10"))),
    "ten_rows": Case(files(rows=(10, 10, 10)), Settled()),
    "single_column": Case(files(only=["age"]), Settled(base="age integer")),
    "unequal_1_to_100": Case(files(rows=(12, 60, 800)), Settled()),
    "same_party_thrice": Case(files(change=lambda party, table: base(0)), Settled()),
    "unnamed_index": Case(files(change=indexed), Settled(warns=(r"a\.csv",))),
    "Unnamed0_index": Case(
        files(change=lambda party, table: {"Unnamed: 0": list(range(50)), **table}), Settled(left=("Unnamed: 0",))
    ),
    "weird_names": Case(files(WEIRD), Settled(WEIRD_KINDS)),
    "name_clash": Case(
        files({**NAMES, "columns": integers(0, 5)}),
        Settled("party categorical, index integer, rows integer, kind categorical, columns integer"),
    ),
    "name_drop_brackets": Case(
        files({"a, b [EUR]": numbers("", 0, 1)}), Settled(left=("a, b [EUR]",)), ('drop=["a, b [EUR]"]',)
    ),
    # one file for all parties
    "pc_plain": Case(named("X", "Y", "Z"), Settled(), ("party_column=bank",)),
    "pc_ints": Case(named("1", "2", "3"), Settled(), ("party_column=bank",)),
    "pc_floats": Case(named("1.0", "2.0", ""), Refused((r"all\.csv", "bank", "row 3")), ("party_column=bank",)),
    "pc_slash": Case(named("A/S Bank", "B & C", "../D"), Settled(), ("party_column=bank",)),
    "pc_dots": Case(named("..", ".", "con"), Settled(), ("party_column=bank",)),
    "pc_spaces": Case(named('St. John\'s "A"', "Größe", 120 * "x"), Settled(), ("party_column=bank",)),
    "pc_case": Case(named("NORTH", "North", "south", "west"), Settled(warns=("NORTH",)), ("party_column=bank",)),
    # numbers
    "fixed_decimals": Case(files({"price": numbers(".1f", 1, 20)}), Settled("price numeric")),
    "scientific": Case(files({"x": numbers(".3e", 1e-8, 1e-5)}), Settled("x numeric")),
    "tiny_numbers": Case(files({"x": numbers("", 1e-14, 1e-12)}), Settled("x numeric")),
    "thousand_de": Case(
        files(write=lambda table: text(each(table, "income", lambda cell: thousands(cell, ".,")), ";")),
        Settled(),
    ),
    "thousand_en": Case(files(write=lambda table: text(each(table, "income", thousands))), Settled()),
    "unicode_minus": Case(
        files({"pnl": lambda party, i, random: f"{random.normal(0, 90):.2f}".replace("-", "−")}), Settled("pnl numeric")
    ),
    "currency_eur": Case(
        files({"price": lambda party, i, random: f"{random.uniform(20, 180):.2f} €"}),
        Refused(("a, column price", "€", "row 1", r"drop=\[price\]")),
    ),
    "currency_few": Case(files({"price": ["$10", "$20", "$50", "$100"]}), Settled("price categorical")),
    "x_percent_few": Case(files({"rate": ["5%", "10%", "12.5%", "20%"]}), Settled("rate categorical")),
    "zero_inflated": Case(files({"claims": every("150.5", 9, lambda *_: "0.0")}), Settled("claims numeric")),
    "zero_one": Case(files({"default": [0, 0, 1]}), Settled("default integer")),
    "zero_var_party": Case(files({"v": by_party(["5.0"], numbers(".2f", -2, 2))}), Settled("v numeric")),
    "year_panel": Case(files({"year": lambda party, i, random: 1970 + i % 40}), Settled("year integer")),
    "sentinel999": Case(
        files({"score": every("-999", 12, integers(300, 850))}), Settled("score integer", warns=(r"score.*-999",))
    ),
    # missing cells
    **{name: Case(no_bytes(marker), Settled()) for name, marker in MARKERS.items()},
    "miss_dot_one_party": Case(files(change=marked(".", [0])), Settled()),
    "x_dot_one_party_remedy": Case(
        files(change=marked(".", [0])),
        Settled(base="age integer, region categorical", left=("income",)),
        ("categorical=[income]",),
    ),
    "x_age_dot": Case(files(change=marked(".", column="age")), Settled()),
    "allnan_all": Case(files({"z": [""]}), Settled(left=("z",))),
    "allnan_all_fix": Case(files({"z": [""]}), Settled(left=("z",)), ("drop=[z]",)),
    "constant_and_missing": Case(files({"flag": by_party(["x"], ["x", ""], ["x", ""])}), Settled("flag categorical")),
    "NA_country": Case(files({"country": ["NA", "US", "DE"]}), Settled("country categorical", warns=("country.*NA",))),
    "none_is_level": Case(
        files({"garage": ["None", "One", "Two"]}), Settled("garage categorical", warns=("garage.*None",))
    ),
    # categories and booleans
    "TF": Case(files({"flag": ["T", "F"]}), Settled("flag boolean|categorical")),
    "yes_no": Case(files({"ok": ["yes", "no"]}), Settled("ok boolean|categorical")),
    "bool_case_parties": Case(
        files({"flag": by_party(["True", "False"], ["TRUE", "FALSE"], ["true", "false"])}), Settled("flag boolean")
    ),
    "bool_mixed_parties": Case(
        files({"flag": by_party(["True", "False"], ["TRUE", "FALSE"], ["1", "0"])}),
        Refused(("flag", "a: boolean", "c: integer", r"categorical=\[flag\]")),
    ),
    "only_bool": Case(
        files({"ok": ["true", "false"]}, only=["ok"]),
        Refused(("median distance is 0", "kernel.lengthscale")),
        whole=True,
    ),
    "only_categories": Case(
        files({"g": ["x", "y", "z"]}, only=["region", "g"]), Settled(base="region categorical, g categorical")
    ),
    "case_variants": Case(
        files({"status": ["active", "Active", "ACTIVE", "closed"]}), Settled("status categorical", warns=("status",))
    ),
    "x_nbsp_padded": Case(
        files({"region": by_party(["North", "South"], ["North\u00a0", "South"], ["\u00a0North ", "Sou\u200bth"])}),
        Settled(levels={"region": 2}),
    ),
    "x_accent_nfd": Case(
        files({"region": by_party(["M\u00fcnchen", "Ulm"], ["Mu\u0308nchen", "Ulm"])}), Settled(levels={"region": 2})
    ),
    "ordinal_numeric_levels": Case(files({"term": [" 36 months", " 60 months"]}), Settled("term categorical")),
    "mixed_int_str": Case(
        files({"rooms": ["1", "2", "3", "4", "5+"]}), Settled("rooms categorical", warns=(r"rooms.*5\+",))
    ),
    "mixed_int_str_one": Case(
        files({"rooms": by_party(["1", "2"], ["1", "3"], ["1", "2", "3", "5+"])}),
        Refused(("rooms", "a: integer", r"5\+", r"categorical=\[rooms\]")),
    ),
    "formula_text": Case(files({"note": ["=1+1", "ok", "@me"]}), Settled("note categorical")),
    "formula_plus_phone": Case(files({"tel": ["+49 1", "+49 2", "+43 3"]}), Settled("tel categorical")),
    "inf_level": Case(files({"unit": ["inf", "art", "cav"]}), Settled("unit categorical")),
    "title_infinity": Case(
        files({"title": by_party(every("Infinity", 9, movie), movie)}), Settled("title categorical")
    ),
    "constant_text": Case(files({"country": ["yes"]}), Settled("country constant"), whole=True),
    "disjoint": Case(
        files(change=moved),
        Settled(base="age integer, income numeric", left=("region",), warns=(r"region.*disclose=",)),
    ),
    "all_rows_same": Case(
        files({"x": by_party(["1.5", "2.5"], ["1.5", "2.5"], ["1.5"]), "g": ["u"]}, only=["x", "g"]),
        Refused(("c: all its 45 points are equal",)),
        whole=True,
    ),
    "many_levels": Case(
        files({"code": lambda party, i, random: f"K{random.integers(1400)}"}, rows=(1500, 1500, 1500)),
        Settled(left=("code",)),
    ),
    # dates
    "date_ambiguous": Case(
        files({"d": slashes("month", latest=12)}), Refused(("a, column d", r"/20\d\d", "dates=", r"drop=\[d\]"))
    ),
    "date_us": Case(files({"d": slashes("month")}), Settled("d date")),
    "date_us_vs_eu": Case(files({"d": by_party(slashes("day"), slashes("day"), slashes("month"))}), Settled("d date")),
    "date_forms_by_party": Case(
        files({"d": by_party(dates("%Y-%m-%d"), dates("%d.%m.%Y"), slashes("month"))}), Settled("d date")
    ),
    "date_mixed_forms": Case(
        files({"d": lambda p, i, random: day(p, i, random).strftime("%Y-%m-%d" if i % 2 else "%d.%m.%Y")}),
        Refused(("a, column d", r"several forms", r"dates=", r"drop=\[d\]")),
    ),
    "date_some_time": Case(
        files({"d": lambda p, i, random: f"{day(p, i, random):%Y-%m-%d}{' 10:30' if i % 3 else ''}"}), Settled("d date")
    ),
    "date_ampm": Case(
        files({"d": lambda p, i, random: f"{slashes('month')(p, i, random)} {1 + i % 12}:05 {'AP'[i % 2]}M"}),
        Settled("d date"),
    ),
    "date_tz": Case(files({"d": dates("%Y-%m-%dT%H:%M:05Z")}), Settled("d date")),
    "date_far": Case(files({"d": every("9999-12-31", 3, dates("%Y-%m-%d"))}), Settled("d date")),
    "date_yy": Case(files({"d": dates("%d.%m.%y")}), Settled("d date")),
    "date_yyyy_mm": Case(files({"d": dates("%Y-%m")}), Settled("d date")),
    "x_two_digit_year_many": Case(
        files({"d": dates("%m/%y")}),
        Refused(("a, column d: data row 1, ../.., can be a month", "dates=", "drop=")),
    ),
    "x_two_digit_year_fix": Case(
        files({"d": dates("%m/%y")}), Settled("d date", warns=("d: years of two digits",)), ("dates={d: '%m/%y'}",)
    ),
    "x_two_digit_day": Case(files({"d": dates("%d-%m")}), Refused((r"a, column d: .*-\d\d, can be", "dates="))),
    "few_fractions": Case(files({"size": ["1/20", "2/20", "3/20"]}), Settled("size categorical")),
    "age_ranges": Case(files({"of": lambda *_: f"{_[1] % 24 + 20}-{_[1] % 24 + 40}"}), Settled("of categorical")),
    "time_only": Case(files({"t": dates("%H:%M")}), Settled("t date|numeric")),
    "yyyymmdd": Case(files({"opened": dates("%Y%m%d")}), Settled("opened date|integer", warns=("opened.*dates=",))),
    # codes and identifiers
    "code123": Case(
        files({"purpose_code": [1, 2, 3]}), Settled("purpose_code integer", warns=("purpose_code.*categorical=",))
    ),
    "e_codes": Case(
        files({"product": ["10E2", "11E3", "12E4"]}),
        Settled("product categorical|numeric", warns=("product.*categorical=",)),
    ),
    "zip_leading": Case(files({"zip": ["01067", "04109", "10115"]}), Settled("zip categorical")),
    "zip_noleading": Case(
        files({"zip": [10115, 20095, 60311, 80331]}), Settled("zip integer", warns=("zip.*categorical=",))
    ),
    "zip_leading_one_party": Case(
        files({"zip": by_party(["01067", "04109"], ["80331", "80333"], ["10115", "80331"])}),
        Settled("zip categorical", warns=(r"column zip: codes such as 0\d+ begin with zeros.*also those of b and c",)),
    ),
    "zip_lost_zeros": Case(
        files({"zip": by_party(["01067", "04109"], ["80331", "1067"], ["10115", "80331"])}),
        Refused(("b, column zip: data row", "1067, beside codes such as 0", r"categorical=\[zip\]", r"drop=\[zip\]")),
    ),
    "zip_many": Case(
        files({"zip": by_party(numbers("05.0f", 1e3, 9e3), integers(10**4, 10**5), integers(10**4, 10**5))}),
        Settled(left=("zip",), warns=("column zip: codes such as 0",)),
    ),
    "thousands_one_column": Case(
        files({"pop": lambda party, i, random: f"{random.integers(300, 9999):,}".replace(",", ".")}),
        Refused(("a, column pop: data row", r"can be \d\.\d+ or \d{4}", "thousands=", "decimal=")),
    ),
    "thousands_one_column_fix": Case(
        files({"pop": lambda party, i, random: f"{random.integers(300, 9999):,}".replace(",", ".")}),
        Settled("pop integer"),
        ("thousands='.'",),
    ),
    "three_decimals": Case(files({"dose": numbers(".3f", 1, 900)}), Settled("dose numeric")),
    "zip_leading_one_party_fix": Case(
        files({"zip": by_party(["01067", "10115"], ["80331", "80333"], ["10115", "80331"])}),
        Settled("zip categorical"),
        ("categorical=[zip]",),
    ),
    "names_per_account3": Case(
        files({"iban": lambda party, i, random: f"DE{party}{i // 3:05d}"}, rows=(120, 120, 120)),
        Settled(left=("iban",)),
    ),
    "names_tiny": Case(
        files({"name": lambda party, i, random: f"Person {party}-{i}"}, rows=(16, 16, 16)), Settled(left=("name",))
    ),
    "phone": Case(files({"phone": integers(4_915_000_000_000, 4_917_000_000_000)}), Settled(left=("phone",))),
    "unique_category": Case(
        files({"customer_id": lambda party, i, random: int(random.integers(10_000_000, 99_999_999))}),
        Settled(left=("customer_id",)),
        ("categorical=[customer_id]",),
    ),
    "x_id_across": Case(files({"id": NUMBERED}), Settled(left=("id",))),
    "x_id_dealt": Case(
        files({"id": lambda party, i, random: 1000 + 3 * ((7 * i) % 150) + party}, rows=(150, 150, 150)),
        Settled(left=("id",)),
    ),
    # Parquet
    "pq_plain": Case(
        files(
            {"ok": [True, False], "t": day},
            write=lambda table: parquet(table, "region", lambda pa: pa.dictionary(pa.int8(), pa.string())),
            suffix=".parquet",
        ),
        Settled("ok boolean, t date"),
    ),
    "pq_float32": Case(
        files(write=lambda table: parquet(table, "income", lambda pa: pa.float32()), suffix=".parquet"), Settled()
    ),
    "pq_date": Case(
        files({"d": day}, write=lambda table: parquet(table, "d", lambda pa: pa.date32()), suffix=".parquet"),
        Settled("d date"),
    ),
    "pq_tz": Case(
        files(
            {"t": day},
            write=lambda table: parquet(table, "t", lambda pa: pa.timestamp("us", "Europe/Berlin")),
            suffix=".parquet",
        ),
        Settled("t date"),
    ),
    "pq_bytes": Case(
        files({"k": [b"x", b"y"]}, write=parquet, suffix=".parquet"), Refused(("a, column k", "binary", r"drop=\[k\]"))
    ),
    "pq_index": Case(files(write=lambda table: parquet(table, index="age"), suffix=".parquet"), Settled()),
    "pq_text_numbers": Case(files(write=lambda table: parquet(table, as_text=True), suffix=".parquet"), Settled()),
    # settings
    "x_drop_string": Case(files(), Refused(("drop=income", r"\[income\]")), ("drop=income",)),
    "x_drop_wrong": Case(files(), Refused(("drop=Income", "age, income, region")), ("drop=[Income]",)),
    "x_label_missing": Case(files({"y": ["good", "bad", ""]}, rows=(220, 220, 220)), Settled(), ("label_column=y",)),
    "x_label_wrong": Case(files(), Refused(("label_column=Region", "age, income, region")), ("label_column=Region",)),
}
