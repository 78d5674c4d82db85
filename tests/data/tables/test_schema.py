import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from cgm.data.tables import Schema, Source, infer_schema
from cgm.data.tables.columns import OTHER, CategoricalColumn, IntegerColumn, NumericColumn
from cgm.data.tables.files import table_file


def hospital(seed, n=200):
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "id": np.arange(n),
            "age": random.integers(20, 90, n),
            "bmi": random.normal(25, 4, n).round(1),
            "score": random.normal(size=n),
            "sex": random.choice(["m", "f"], n, p=[0.4, 0.6]),
            "unit": random.choice(["a", "b", "c", "rare"], n, p=[0.5, 0.3, 0.19, 0.01]),
            "smoker": random.choice([True, False], n),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 400, n), unit="D"),
            "country": "CH",
            "note": [f"{seed} {i}" for i in range(n)],
        }
    )
    table.loc[::10, "bmi"] = np.nan
    table["unit"] = table["unit"].astype(object)
    table.loc[5::10, "unit"] = None
    return table


TABLES = {f"h{i}": hospital(i) for i in range(3)}


def test_kinds_ranges_and_levels():
    schema, parsed = infer_schema(TABLES, rare=0.05)
    columns = {column.name: column for column in schema.columns}

    kinds = ["integer", "numeric", "numeric", "categorical", "categorical", "boolean", "date", "constant"]
    assert [column.kind for column in schema.columns] == kinds
    assert list(columns) == ["age", "bmi", "score", "sex", "unit", "smoker", "day", "country"]
    assert set(schema.dropped) == {"id", "note"}
    named = "identifier: named like one, and 200 of 600 values are different; keep=[id] values it all the same"
    assert schema.dropped["id"] == named
    assert "identifier: 600 of 600 values are different" in schema.dropped["note"]
    together = pd.concat(list(TABLES.values()))
    assert (columns["age"].minimum, columns["age"].maximum) == (together["age"].min(), together["age"].max())
    assert columns["bmi"].decimals == 1
    assert columns["score"].decimals is None
    assert columns["bmi"].missing
    assert columns["sex"].levels == ("f", "m")  # the most frequent one first
    assert columns["unit"].levels == ("a", "b", "c", OTHER)
    assert columns["country"].levels == ("CH",)
    assert list(parsed["h0"].columns) == list(columns)


def test_codes_and_back():
    schema, parsed = infer_schema(TABLES, rare=0.05)
    codes = schema.to_codes(parsed["h1"])
    assert codes.shape == (200, 8)  # seven columns that differ, one with an indicator
    assert codes.dtype == torch.float64
    assert torch.isfinite(codes).all()

    valid = schema.nearest(codes)
    table = schema.to_table(valid)
    assert torch.equal(schema.nearest(valid), valid)
    assert torch.equal(schema.to_codes(table), valid)
    expected = parsed["h1"].copy()
    expected["unit"] = expected["unit"].where(expected["unit"] != "rare", OTHER)
    for name in ("age", "bmi", "sex", "unit", "smoker", "day", "country"):
        same = (table[name] == expected[name]) | (table[name].isna() & expected[name].isna())
        assert same.all(), name
    assert np.allclose(table["score"], expected["score"], rtol=1e-11)


def test_codes_of_a_small_table():
    table = pd.DataFrame({"x": [1.5, None, 2.5], "y": ["b", "a", None], "z": [True, False, None]})
    schema, parsed = infer_schema({"one": table})

    assert schema.to_codes(parsed["one"]).tolist() == [[1.5, 0, 1, 1], [1.5, 1, 0, 0], [2.5, 0, 2, 2]]
    back = schema.to_table(torch.tensor([[2.5, 0, 0, 2], [1.5, 1, 2, 1]], dtype=torch.float64))
    assert back["x"].isna().tolist() == [False, True]
    assert back["y"][0] == "a"
    assert back["y"].isna().tolist() == [False, True]
    assert back["z"].isna().tolist() == [True, False]


def test_nearest_codes():
    columns = (
        IntegerColumn("age", minimum=0, maximum=100, median=50),
        NumericColumn("bmi", True, minimum=10, maximum=40, median=25, decimals=1),
        CategoricalColumn("unit", levels=("a", "b")),
    )
    wild = torch.tensor([[17.6, 24.04, 0.2, 0.7], [-3, 99, 0.6, 7], [120, 3, -1, -4]], dtype=torch.float64)
    nearest = Schema(columns).nearest(wild)
    assert nearest.tolist() == [[18, 24.0, 0, 1], [0, 25, 1, 1], [100, 10, 0, 0]]


def test_ranges_and_levels_come_from_the_rows_that_are_used():
    table = pd.DataFrame({"x": [1, 2, 3, 99], "y": ["a", "b", "a", "secret"]})
    used = {"one": np.array([True, True, True, False])}
    schema, parsed = infer_schema({"one": table}, used)

    assert schema.columns[0].maximum == 3
    assert schema.columns[1].levels == ("a", "b")
    assert schema.to_codes(parsed["one"])[3].tolist() == [3, -1]  # within the range; no level: equal to none


def test_a_schema_can_be_written_edited_and_used():
    schema, parsed = infer_schema(TABLES)
    text = yaml.safe_dump(schema.to_dict(), sort_keys=False)
    assert Schema.from_dict(yaml.safe_load(text)) == schema
    again, parsed_again = infer_schema(TABLES, known=schema)
    assert again == schema
    for name in parsed:
        pd.testing.assert_frame_equal(parsed[name], parsed_again[name])

    edited = yaml.safe_load(text)
    edited["columns"]["age"] = {"kind": "categorical", "levels": [str(k) for k in range(20, 90)]}
    schema, parsed = infer_schema(TABLES, known=Schema.from_dict(edited))
    assert schema.to_codes(parsed["h0"])[:, 0].tolist() == (TABLES["h0"]["age"] - 20).tolist()


def test_wrong_schemas():
    for values, message in [
        ([], "expected a file with columns"),
        ({"columns": {"x": {"kind": "text"}}}, "kind of column x=text: expected one of numeric"),
        ({"columns": {}}, "no column is left"),
    ]:
        with pytest.raises(ValueError, match=message):
            Schema.from_dict(values)


def test_a_schema_of_other_tables_is_refused():
    schema, _ = infer_schema(TABLES)
    tables = {name: table.rename(columns={"age": "years"}) for name, table in TABLES.items()}
    with pytest.raises(ValueError, match="schema: the tables lack age, and have also years"):
        infer_schema(tables, known=schema)


def test_rewards_have_dates_as_the_parties_write_them():
    days = pd.date_range("2024-01-01", periods=30)
    table = pd.DataFrame({"day": days.strftime("%d.%m.%Y"), "x": np.arange(30) % 7})
    schema, parsed = infer_schema({"a": table, "b": table[::-1].reset_index(drop=True)})
    assert schema.to_dict()["columns"]["day"]["date_format"] == "%d.%m.%Y"
    decoded = schema.to_table(schema.to_codes(parsed["a"]))
    assert decoded["day"].tolist() == days.tolist()
    assert table_file(decoded, schema.columns, Source("a.csv")).content.startswith(b"day,x\n01.01.2024,0\n")
    again, _ = infer_schema({"a": table}, known=Schema.from_dict(schema.to_dict()))
    assert again == schema

    forms = {"a": "%d.%m.%Y", "b": "%m/%d/%Y", "c": "%Y-%m-%d"}  # the parties write dates in different ways
    days += pd.Timedelta(days=9)
    tables = {name: table.assign(day=days.strftime(form)) for name, form in forms.items()}
    schema, parsed = infer_schema(tables)
    assert schema.columns[0].date_format is None
    assert all(table["day"].tolist() == days.tolist() for table in parsed.values())


def test_parties_must_agree():
    a = pd.DataFrame({"x": ["1", "2"], "y": ["a", "b"]})
    with pytest.raises(ValueError, match=r"^b: its columns are not those of a: it lacks y and has also z; all need"):
        infer_schema({"a": a, "b": a.rename(columns={"y": "z"})})
    b = pd.DataFrame({"x": ["1", "two"], "y": ["a", "b"]})
    with pytest.raises(ValueError, match=r"column x: .*a: integer, b: categorical \(data row 2: 'two'\).*drop=\[x\]"):
        infer_schema({"a": a, "b": b})
    assert infer_schema({"a": a, "b": b}, categorical=["x"])[0].columns[0].levels == ("1", "2", "two")
    with pytest.raises(ValueError, match="drop=w: there is no such column; there are x, y"):
        infer_schema({"a": a}, drop=["w"])


def test_integers_and_numbers_agree_on_numbers():
    a, b = pd.DataFrame({"x": ["1", "2"]}), pd.DataFrame({"x": ["1.5", "3"]})
    schema, parsed = infer_schema({"a": a, "b": b})
    assert schema.columns[0].kind == "numeric"
    assert parsed["a"]["x"].tolist() == [1.0, 2.0]


def test_too_many_levels_are_refused():
    levels = [f"l{i % 1500}" for i in range(6000)]
    table = pd.DataFrame({"city": levels, "x": np.arange(6000) % 7})
    with pytest.raises(ValueError, match=r"column city: 1500 levels, at most 1000 are possible; .* drop=\[city\]"):
        infer_schema({"a": table}, rare=0)
    assert len(infer_schema({"a": table}, drop=["city"])[0].columns) == 1
    left_out = infer_schema({"a": table})[0].dropped["city"]
    assert left_out == "one level is left: 1500 levels have too few rows, most of them fewer than 30 (min_count, rare)"


@pytest.mark.slow
def test_a_million_levels_are_refused_or_left_out():
    n = 10**6
    tables = {"a": pd.DataFrame({"id": np.arange(n).astype(str), "x": np.arange(n) % 9})}
    tables["a"]["id"] = "id " + tables["a"]["id"]
    schema, _ = infer_schema(tables)
    assert "1000000 of 1000000 values are different" in schema.dropped["id"]
    with pytest.raises(
        ValueError, match=r"column id: 1000000 levels, at most 1000 are possible; group them, or say drop"
    ):
        infer_schema(tables, categorical=["id"], keep=["id"], rare=0)


def test_tables_without_a_column_that_differs_are_refused():
    with pytest.raises(ValueError, match="no column is left that rows differ in"):
        infer_schema({"a": pd.DataFrame({"x": [1, 1], "y": ["a", "a"]})})


def test_all_columns_that_are_wrong_are_told():
    a = pd.DataFrame({"x": ["1", "2"], "y": ["a", "b"], "z": ["", ""]})
    b = pd.DataFrame({"x": ["1", "two"], "y": ["1", "2"], "z": ["1", "2"]})
    with pytest.raises(ValueError, match=r"column x: .*; column y: .*drop=\[y\]"):
        infer_schema({"a": a, "b": b})
    columns = [f"c{k}" for k in range(8)]
    with pytest.raises(ValueError, match=r"; and 3 more$"):
        infer_schema({"a": pd.DataFrame("1", range(3), columns), "b": pd.DataFrame("no", range(3), columns)})


def test_a_schema_without_missing_cells_refuses_them():
    full = pd.DataFrame({"x": ["1.5", "2", "3"]})
    schema, _ = infer_schema({"a": full})
    with pytest.raises(ValueError, match="column x: has empty cells, but the schema does not say missing: true"):
        infer_schema({"a": pd.DataFrame({"x": ["1.5", "", "3"]})}, known=schema)


def test_levels_are_ordered_by_the_number_that_they_explain():
    x = np.linspace(0, 10, 90)
    size = np.select([x < 2, x < 6], ["small", "medium"], "large")
    schema, _ = infer_schema({"a": pd.DataFrame({"x": x, "y": np.arange(90) % 7, "size": size})})
    assert schema.columns[2].levels == ("small", "medium", "large")


def test_dates_of_other_forms_get_a_hint():
    days = [f"{1 + k % 28}. Januar {1990 + k}" for k in range(80)]
    with pytest.raises(ValueError, match=r"a, column day: cells such as 1. Januar 1990 .* write all as 2024-12-31"):
        infer_schema({"a": pd.DataFrame({"day": days, "x": np.arange(80) % 7})})


def test_missing_numbers_are_filled_with_numbers_of_the_column():
    table = pd.DataFrame({"x": [1.5, None, 2.5, None, 4.0], "y": list("abaab")})
    schema, parsed = infer_schema({"a": table})
    codes = schema.to_codes(parsed["a"])
    filled = schema.filled(codes, seed=0)
    assert set(filled[:, 0].tolist()) <= {1.5, 2.5, 4.0}
    assert torch.equal(filled[:, 1:], codes[:, 1:])
    assert torch.equal(schema.filled(filled), codes)
    assert torch.equal(schema.filled(codes, seed=0), filled)
