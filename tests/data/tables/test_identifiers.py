"""Identifiers: what is recognised by form, name and values, and what is left alone."""

import numpy as np
import pandas as pd

from cgm.data.tables import infer_schema
from cgm.data.tables.identifiers import code_like, identified, is_card, is_iban, is_phone

RANDOM = np.random.default_rng(0)


def dealt(values, parties=3):
    """Deal values to parties in a random order."""

    values = np.asarray(values, dtype=object if isinstance(values[0], str) else None)
    return [pd.Series(part, dtype=part.dtype) for part in np.array_split(RANDOM.permutation(values), parties)]


def iban(number):
    body = f"{number:018d}"
    return f"DE{98 - int(f'{body}131400') % 97:02d}{body}"


def card(number):
    digits = f"400000{number:09d}"
    return next(f"{digits}{last}" for last in range(10) if is_card(f"{digits}{last}"))


def test_what_is_an_identifier():
    ibans, cards = [iban(17 * i) for i in range(30)], [card(i) for i in range(60)]
    for name, parts, why in [
        ("id", dealt(range(1000, 1200)), "named like one"),
        ("patientId", dealt(list(range(40)) * 2), "named like one, and 40 of 80 values"),  # two visits each
        ("customer_no", dealt(range(0, 900, 9)), "named like one"),
        ("Kundennummer", dealt(range(0, 900, 9)), "named like one"),
        ("n° téléphone", dealt([f"abc{i}" for i in range(40)]), "named like one"),
        ("Nachname", dealt([f"N{i}" for i in range(15)] * 2), "named like one"),
        ("x", dealt(ibans * 3), "IBANs"),
        ("x", dealt([f"{text[:4]} {text[4:]}" for text in ibans]), "IBANs"),
        ("x", dealt([f"a{i}@b.ch" for i in range(12)] * 9), "e-mail addresses"),
        ("x", dealt([int(text) for text in cards]), "card numbers"),
        ("x", dealt([f"+4915{i:08d}" for i in range(12)] * 3), "telephone numbers"),
        ("x", dealt([f"{i:03d}-12-3456" for i in range(12)]), "social security numbers"),
        ("x", dealt([f"00000000-0000-4000-8000-{i:012x}" for i in range(12)] * 2), "UUIDs"),
        ("x", dealt([f"Person {i}" for i in range(12)]), "12 of 12 values are different"),
        ("x", dealt(range(5, 35)), "in a range in which chance repeats some"),
        ("x", dealt(RANDOM.permutation(2_000)[:900]), "in a range in which chance repeats some"),
        ("x", dealt(RANDOM.integers(10**7, 10**8, 150)), "of 8 digits each"),
        ("x", [pd.Series(range(12)), pd.Series(range(30))], "number the rows"),
        ("x", [pd.Series([1.0, 2.0, *range(3, 30)])], "number the rows"),
    ]:
        assert why in identified(name, parts), (name, why)


def test_what_is_no_identifier():
    n = 300
    for name, parts in [
        ("phone", dealt(["yes", "no"] * 50)),  # a name alone is not enough
        ("region_id", dealt([1, 2, 3, 4, 5, 6, 7] * 20)),
        ("shop_name", dealt([f"shop {i}" for i in range(12)] * 20)),
        ("paid", dealt(RANDOM.integers(0, 500, n))),  # the words of a name are whole
        ("phone_minutes", dealt(RANDOM.integers(0, 500, n))),
        ("account_balance", dealt(RANDOM.integers(0, 500, n))),
        ("x", dealt(RANDOM.normal(size=n))),
        ("x", dealt(RANDOM.lognormal(10, 1, n).astype(int))),  # incomes: most are different
        ("x", dealt(1000 * RANDOM.integers(10_000, 99_999, n))),  # thousands of yen
        ("x", dealt(RANDOM.integers(18, 90, n))),
        ("x", dealt(RANDOM.integers(18, 90, 12))),
        ("year", dealt(range(1900, 1990))),
        ("year", [pd.Series(range(1970, 2015))] * 3),
        ("x", dealt(pd.date_range("2020-01-01", periods=100).strftime("%Y%m%d").astype(int).tolist())),
        ("x", dealt(["a", "b", "c"] * 9)),
        ("x", dealt([True, False] * 9)),
        ("x", [pd.Series(pd.date_range("2020-01-01", periods=100))]),
        ("id", dealt([7] * 30)),
        ("id", [pd.Series([None, None], dtype=object)]),
    ]:
        assert identified(name, parts) == "", (name, parts[0].head(3).tolist())


def test_check_digits():
    for valid in ("GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "CH9300762011623852957"):
        assert is_iban(valid)
        assert not is_iban(valid[:-1] + str((int(valid[-1]) + 1) % 10))
    for valid in ("4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"):
        assert is_card(valid)
        assert not is_card(valid[:-1] + str((int(valid[-1]) + 1) % 10))
    assert not is_card("0000000000000000")
    for text, phone in [("(415) 555-0132", True), ("044 668 18 00", True), ("+49 1", False), ("1234567", False)]:
        assert is_phone(text) == phone, text


def test_numbers_that_may_be_codes_or_dates():
    for name, whole, cells, part in [
        ("zip", True, ["80333", "10115"], "postal codes are valued as numbers; categorical=[zip]"),
        ("code_postal", True, [75001, 69001], "postal codes"),
        ("purpose_code", True, ["1", "2", "3"], "codes are valued as numbers; categorical=[purpose_code]"),
        ("opened", True, ["20160215", "20170127"], "integers such as 20160215"),
        ("month", True, [201602, 201712], "dates={month: '%Y%m'} reads dates"),
        ("product", False, ["10E2", "11E3"], "texts such as 10E2 are valued as powers of ten"),
    ]:
        assert part in code_like(name, whole, [pd.Series(cells, dtype=object if isinstance(cells[0], str) else None)])
    for name, whole, cells in [
        ("age", True, [31, 45]),
        ("code", True, list(range(100))),
        ("x", False, ["1.5e3", "2"]),
        ("x", True, [20161301, 20170127]),
        ("x", False, [1.5, 2.5]),
    ]:
        assert code_like(name, whole, [pd.Series(cells)]) == ""


def test_identifiers_are_left_out_unless_they_are_kept():
    table = pd.DataFrame({"id": range(1000, 1060), "zip": [80331, 10115, 20095] * 20, "x": np.arange(60) % 7})
    tables = {"a": table[:30].reset_index(drop=True), "b": table[30:].reset_index(drop=True)}
    schema, _ = infer_schema(tables)
    assert [column.name for column in schema.columns] == ["zip", "x"]
    assert schema.dropped["id"].endswith("keep=[id] values it all the same")
    assert [warning.split(":")[0] for warning in schema.warnings] == ["column id is left out", "column zip"]
    assert [column.name for column in infer_schema(tables, keep=["id"])[0].columns] == ["id", "zip", "x"]
    assert infer_schema(tables, identifiers=["x"])[0].dropped["x"] == "identifier"
