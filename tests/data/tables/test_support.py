"""What may leave a party's rows: levels, ends of ranges and numbers that several rows of two parties have."""

import numpy as np
import pandas as pd
import pytest
import torch

from cgm.data.tables import infer_schema
from cgm.data.tables.columns import OTHER

RULES = {"min_count": 5, "min_parties": 2}


def levels(a, b, **rules):
    """Return the levels of a column of two parties, or why it is left out."""

    x = {"x": [0.5 * (k % 4) for k in range(max(len(a), len(b)))]}
    tables = {"a": pd.DataFrame({"x": x["x"][: len(a)], "y": a}), "b": pd.DataFrame({"x": x["x"][: len(b)], "y": b})}
    schema, _ = infer_schema(tables, rare=0, **RULES | rules)
    return schema.dropped["y"] if "y" in schema.dropped else set(schema.columns[-1].levels), schema.warnings


def test_levels_need_rows_and_parties():
    a, b = ["x"] * 20 + ["y"] * 10, ["x"] * 20 + ["y"] * 10
    for more_a, more_b, expected in [
        ([], [], {"x", "y"}),
        (["z"] * 4, ["z"], {"x", "y", "z"}),
        (["z"] * 3, ["w"] * 2, {"x", "y", OTHER}),
        (["z"] * 9, [], {"x", "y", OTHER}),  # of one party alone
        (["z"] * 2, [], {"x", OTHER}),  # (other) needs five rows too: y, the rarest, joins it
    ]:
        assert levels(a + more_a, b + more_b)[0] == expected
    _, (warning,) = levels(a + ["z"] * 9, b)
    assert warning == "column y: a level of one party became (other); disclose=[levels] lets levels of one party leave"
    assert levels(a + ["z"] * 9, b, min_parties=1) == ({"x", "y", "z"}, ())
    assert levels([*a, "z"], b, min_count=1, min_parties=1)[0] == {"x", "y", "z"}


def test_columns_that_are_left_with_one_level_say_why():
    found, (warning,) = levels(["x"] * 20, ["y"] * 20)  # a deal by category
    assert found == (
        "one level is left: of 2 levels, 2 belong to one party each and become (other); "
        "disclose=[levels] lets them leave"
    )
    assert warning == f"column y is left out: {found}"
    assert levels(["x"] * 20, ["y"] * 20, min_parties=1)[0] == {"x", "y"}
    found, _ = levels(["x"] * 30, ["x"] * 30 + ["y"] * 2)
    assert found == "one level is left: 2 levels have too few rows, most of them fewer than 5 (min_count, rare)"
    found, _ = levels([True] * 30, [True] * 30 + [False] * 3)
    assert found == "too few rows: fewer than 5 (min_count) have one of the two values"
    assert levels([True] * 30, [True] * 30 + [False] * 5)[0] == {"False", "True"}
    found, _ = levels([0.0] * 30, [0.0] * 30 + [2.5] * 3)
    assert found == "too few rows: without 5 rows at each end (min_count), all values are equal"


def test_the_ends_of_ranges_are_those_of_several_rows():
    random = np.random.default_rng(0)
    x = random.normal(size=60).round(2)
    x[:2] = 1e6, -1e6
    tables = {"a": pd.DataFrame({"x": x[:30]}), "b": pd.DataFrame({"x": x[30:]})}
    schema, parsed = infer_schema(tables, **RULES)
    (column,) = schema.columns
    inner = np.sort(x)
    assert (column.minimum, column.maximum) == pytest.approx(
        ((inner[4] + inner[5]) / 2, (inner[-5] + inner[-6]) / 2), abs=0.006
    )
    codes = torch.cat([schema.to_codes(table) for table in parsed.values()])[:, 0].numpy()
    assert min((codes == column.minimum).sum(), (codes == column.maximum).sum()) >= 5  # values and pool alike
    assert (codes.min(), codes.max()) == (column.minimum, column.maximum)
    assert infer_schema(tables)[0].columns[0].maximum == 1e6
    ones = {"a": pd.DataFrame({"x": [0] * 30}), "b": pd.DataFrame({"x": [0] * 25 + [1] * 5})}
    assert infer_schema(ones, **RULES)[0].columns[0].maximum == 1  # five rows have it
    days = pd.Series(pd.date_range("2020-01-01", periods=40, freq="7D"))
    dates = {"a": pd.DataFrame({"d": days[::2]}), "b": pd.DataFrame({"d": days[1::2]})}
    (column,) = infer_schema(dates, **RULES)[0].columns
    first = (days[0] - pd.Timestamp(0)).days
    assert column.minimum == np.rint(first + 4.5 * 7)
