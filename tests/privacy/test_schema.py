"""Public schemas: their files, what is refused, and that each row is encoded by itself."""

import copy
import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cgm.data.tables.columns import DateColumn
from cgm.data.tables.schema import Schema
from cgm.privacy.schema import SketchSchema, propose_schema
from cgm.valuation.kernels import Laplacian, SquaredExponential, Sum
from tests.privacy.rows_of_people import COLUMNS, people


def test_files_are_read_as_they_were_written_and_the_digest_is_of_the_content(mixed, plane, tmp_path):
    for k, schema in enumerate(
        [mixed, plane(), plane(features="fourier"), plane(kernel=Sum([SquaredExponential(0.5), Laplacian(1.0)]))]
    ):
        path = schema.write(tmp_path / f"{k}.yaml")
        read = SketchSchema.read(path)
        assert read.digest == schema.digest
        assert read.kernel == schema.kernel
        assert torch.equal(read.uniform(5), schema.uniform(5))
        (tmp_path / "spaced.yaml").write_text(path.read_text().replace(": ", ":   "))
        assert SketchSchema.read(tmp_path / "spaced.yaml").digest == schema.digest
    changed = copy.deepcopy(mixed.to_dict())
    changed["columns"]["age"]["maximum"] = 91
    assert SketchSchema.from_dict(changed).digest != mixed.digest
    whole = copy.deepcopy(mixed.to_dict())
    whole["columns"]["age"]["maximum"] = 90  # as 90.0
    assert SketchSchema.from_dict(whole).digest == mixed.digest
    assert "digest" in repr(mixed)
    assert "(other)" in repr(mixed)


def test_dates_are_written_as_dates_and_a_median_is_not_needed(mixed):
    since = mixed.to_dict()["columns"]["since"]
    assert (since["minimum"], since["maximum"], since["median"]) == ("2000-01-01", "2025-01-01", "2019-04-14")
    for bound in ("2000-01-01", date(2000, 1, 1), 10957, 10957.0, "2000-01-01T00:00:00"):
        changed = copy.deepcopy(mixed.to_dict())
        changed["columns"]["since"]["minimum"] = bound
        assert SketchSchema.from_dict(changed).digest == mixed.digest
    for bound, message in (
        ("1.2.2000", "expected a date such as 2024-12-31"),
        (True, "minimum=true"),
        ("2026-01-01", "<="),
    ):
        changed["columns"]["since"]["minimum"] = bound
        with pytest.raises(ValueError, match=message):
            SketchSchema.from_dict(changed)
    columns = {
        "age": {"kind": "integer", "minimum": 18, "maximum": 91},
        "since": {"kind": "date", "minimum": date(2000, 1, 1), "maximum": "2000-01-03"},
    }
    age, since = propose_schema(columns=columns).columns.columns
    assert (age.median, since.median) == (54, 10958)


@given(st.integers(-(10**10), 10**10), st.sampled_from(["second", "minute", "day", "month"]))
def test_dates_of_schemas_are_read_as_they_were_written(seconds, unit):
    settings = {"time": unit in ("second", "minute"), "unit": unit if unit in ("minute", "month") else None}
    column = DateColumn("x", minimum=0.0, maximum=1.0, median=0.0, **settings)
    low, high = column.round(np.array([seconds / 86_400, seconds / 86_400 + 99])).tolist()
    column = DateColumn("x", minimum=low, maximum=high, median=low, **settings)
    assert Schema.from_dict(Schema((column,)).to_dict()).columns == (column,)


def test_tables_without_rows_are_decoded(mixed):
    none = mixed.decode(torch.empty(0, mixed.dimensions, dtype=torch.float64))
    assert len(none) == 0
    assert list(none) == list(COLUMNS)


def test_proposals_that_are_not_possible():
    with pytest.raises(ValueError, match="column k: levels: yes, no, true and false are truth values in YAML"):
        propose_schema(columns={"k": {"kind": "categorical", "levels": [True, "maybe"]}})
    with pytest.raises(ValueError, match="kernel=cosine: expected one of"):
        propose_schema(columns=COLUMNS, kernel="cosine")
    assert propose_schema(columns=COLUMNS, kernel="laplacian", landmarks=9).kernel == Laplacian(
        propose_schema(columns=COLUMNS, kernel=Laplacian("median"), landmarks=9).kernel.lengthscale
    )
    with pytest.raises(
        ValueError, match=r"label=jobs: expected a column of levels, job and member; did you mean job\?"
    ):
        propose_schema(columns=COLUMNS, label="jobs")
    with pytest.raises(ValueError, match="features=fourier: encoded rows have 10 numbers, and a grid is for up to 3"):
        _ = propose_schema(columns=COLUMNS, features="fourier").embedding


def test_what_would_be_fitted_to_rows_is_refused(mixed):
    cases = [
        ("kernel", "lengthscale", "fit", "a rule would be fitted to private rows"),
        ("kernel", "lengthscale", "median", "a rule would be fitted to private rows"),
        ("kernel", "lengthscale", -1, "lengthscale=-1"),
        ("kernel", "name", "cosine", "kernel.name"),
        ("columns", "age", {"kind": "integer", "missing": True}, "needs minimum, maximum;"),
        ("columns", "age", {"kind": "constant", "levels": ["1"]}, "move it to dropped"),
        ("columns", "age", {"kind": "numeric", "minimum": 1, "maximum": 1, "median": 1}, "minimum < maximum"),
        ("columns", "job", {"kind": "categorical", "levels": []}, "levels"),
        ("scales", "age", 0, "scales.age=0"),
        ("scales", "age", math.inf, "scales.age=inf"),
        ("scales", "weight", 1.0, "has also weight"),
        ("features", "kind", "umap", "features.kind"),
        ("features", "points", [[1.0]], r"expected \(m, 10\)"),
        ("features", "points", [["a"] * 10], "expected numbers"),
        ("features", "points", [[math.nan] * 10], "finite"),
        ("features", "points", [[0.0] * 10] * 5000, "up to 4096"),
        ("features", "seed", 1, "got kind, points, seed"),
    ]
    for section, key, value, message in cases:
        changed = copy.deepcopy(mixed.to_dict())
        changed[section][key] = value
        with pytest.raises(ValueError, match=message):
            SketchSchema.from_dict(changed)
    for key, value, message in (
        ("format", "cgm sketch schema 9", "format="),
        ("unit", "one cell", "unit=one cell"),
        ("delta", 0.5, "delta=0.5"),
        ("delta", "1e-5", "delta=1e-5"),
        ("kernel", None, "kernel: expected name"),
        ("seed", 0, "got format"),
        ("scales", [1], "a number for each column"),
    ):
        with pytest.raises(ValueError, match=message):
            SketchSchema.from_dict({**mixed.to_dict(), key: value})
    for values in (None, 1, [], "x", {}):
        with pytest.raises(ValueError, match="schema: expected format"):
            SketchSchema.from_dict(values)
    for lengthscale in ("fit", "fit_monotone"):
        with pytest.raises(ValueError, match="fitted to the parties' rows"):
            propose_schema(columns=COLUMNS, kernel=SquaredExponential(lengthscale))
    with pytest.raises(ValueError, match="needs public=FILE"):
        propose_schema()


def test_references_in_the_file_of_a_schema_are_refused(mixed, tmp_path):
    path = mixed.write(tmp_path / "schema.yaml")
    path.write_text(path.read_text().replace("delta: 1.0e-05", "delta: &d 1.0e-05\nmore: *d"))
    with pytest.raises(ValueError, match=r"schema.yaml: line \d+: a reference"):
        SketchSchema.read(path)


def test_each_row_is_encoded_by_itself(mixed):
    table = people(60)
    table.loc[3, "age"], table.loc[4, "income"], table.loc[5, "age"] = "", "1e9", "12"
    points = mixed.encode(table)
    assert points.shape == (60, mixed.dimensions)
    for row in range(60):
        assert torch.equal(mixed.encode(table.iloc[[row]]), points[[row]])
    # the other rows have no effect, whatever they are: also "none", which is a level here and in numbers a missing cell
    other = pd.concat([table.iloc[:6], people(54, seed=1).assign(job="none", age="NA")], ignore_index=True)
    assert torch.equal(mixed.encode(other)[:6], points[:6])
    assert torch.equal(mixed.encode(table[table.columns[::-1]]), points)
    decoded = mixed.decode(points)
    assert pd.isna(decoded["age"][3])
    assert decoded["age"][5] == 18  # clipped
    assert decoded["income"][4] == 100
    assert set(decoded["job"]) == {"clerk", "none", "(other)"}  # smith is not in the schema
    assert decoded["since"][0] == pd.Timestamp(table["since"][0])
    typed = table.assign(
        age=pd.to_numeric(table["age"]),
        income=table["income"].astype(float),
        member=table["member"] == "true",
        since=pd.to_datetime(table["since"]),
    )
    assert torch.equal(mixed.encode(typed), points)


def test_points_have_the_scales_of_the_schema(mixed):
    table = people(2).assign(age=["18", "90"], income=["0", "50"], job=["clerk", "none"], member=["true", "true"])
    difference = (mixed.encode(table)[1] - mixed.encode(table)[0]).abs()
    scales = mixed.scales
    assert difference[0] == pytest.approx(72 * scales["age"])
    assert difference[1] == pytest.approx(50 * scales["income"])
    assert difference[3:].square().sum() == pytest.approx(2 * scales["job"] ** 2)  # none of it of member and of missing
    assert scales["income"] == pytest.approx(math.sqrt(12) / 100, rel=1e-5)


def test_cells_that_are_not_what_the_schema_says_are_errors(mixed):
    table = people(5)
    for column, cell, message in (
        ("age", "old", r"north, column age, data row 3: 'old' is no number"),
        ("age", "1,5", "'1,5' is no number; write it as 1234.5"),
        ("age", "30.5", "north, column age, data row 3: '30.5' is no integer"),
        ("age", "inf", "no finite number"),
        ("income", "", "data row 3: is empty, but the schema does not say missing: true"),
        ("income", "n/a", "is empty"),
        ("member", "yes", r"'yes' is no level of the schema; all parties would have to agree"),
        ("since", "31.12.2024", "no date like %Y-%m-%d"),
    ):
        changed = table.copy()
        changed.loc[2, column] = cell
        with pytest.raises(ValueError, match=message):
            mixed.encode(changed, "north")
    with pytest.raises(ValueError, match="lacks the columns age and has columns that the schema does not know: weight"):
        mixed.encode(table.rename(columns={"age": "weight"}), "north")
    for other in (np.zeros((2, 5)), [[1, 2]], torch.zeros(2, 5)):
        with pytest.raises(ValueError, match="north: expected a table with the columns of the schema, got"):
            mixed.encode(other, "north")
    with pytest.raises(ValueError, match=r"data row 2: 18\.5 is no integer"):
        mixed.encode(table.assign(age=[18, 18.5, 19.5, 20, 21]), "north")
    with pytest.raises(ValueError, match="data row 2: is infinite"):
        mixed.encode(table.assign(income=[1.0, np.inf, 1.0, 1.0, 1.0]), "north")
    left_out = SketchSchema.from_dict({**mixed.to_dict(), "dropped": {"id": "identifier"}})
    assert torch.equal(left_out.encode(table.assign(id="1")), mixed.encode(table))


def test_a_schema_from_public_rows_has_their_ranges_scales_and_length_scale():
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"x": random.normal(5, 2, 400), "job": random.choice(["a", "b"], 400, p=[0.9, 0.1]), "c": 1})
    schema = propose_schema(rows, landmarks=50)
    assert schema.columns.dropped == {"c": "constant"}
    column = schema.columns.columns[0]
    assert (column.minimum, column.maximum) == (rows["x"].min(), rows["x"].max())
    points = schema.encode(rows)
    assert float(points[:, 0].std()) == pytest.approx(1, rel=0.01)
    median = float(torch.pdist(points).median())
    assert schema.kernel.lengthscale == pytest.approx(median, rel=0.05)
    assert len(schema.landmarks) <= 50
    assert schema.digest == propose_schema(rows, landmarks=50).digest  # no draws
    assert propose_schema(rows, kernel=SquaredExponential(0.3)).kernel.lengthscale == 0.3
    yaml.safe_dump(schema.to_dict())  # plain values
