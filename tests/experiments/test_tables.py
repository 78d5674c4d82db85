"""The measurement of `cgm settle` for many rows."""

import json

import pandas as pd
import pytest

from experiments.tables import CATEGORIES, COLUMNS, deal, main, make_table


def test_tables_are_of_the_seed_and_dealt_completely():
    table = make_table(500, seed=0)
    assert table.shape == (500, COLUMNS)
    assert sum(not pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes) == CATEGORIES
    assert table.isna().any().any()
    pd.testing.assert_frame_equal(table, make_table(500, seed=0))
    parts = deal(table, 4, seed=0)
    assert sum(map(len, parts)) == 500
    assert len({len(part) for part in parts}) > 1


@pytest.mark.slow
def test_the_measurement(tmp_path, capfd):
    settings = ["synthetic_size=300", "audit=none", "sensitivity=false", "sampling.betas=[8]"]
    main(["--rows", "300", "--parties", "3", "--folder", str(tmp_path), "--", *settings])
    out = capfd.readouterr().out
    numbers = json.loads(out[out.index("{\n") :])
    assert numbers["rows"] == 300
    assert numbers["total"]["mebibytes"] > 100
    assert {"reading", "valuation", "sampling", "report"} < numbers["stations"].keys()
    assert sum(station["share"] for station in numbers["stations"].values()) == pytest.approx(1)
    assert (tmp_path / "settlement" / "report.html").exists()
