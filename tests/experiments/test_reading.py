"""The measurement from files to encoded points."""

import json

import pytest

from experiments.reading import main, make_table, measure


def test_the_stations(tmp_path):
    table = make_table(300, seed=0)
    assert table.shape == (300, 20)
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_csv(tmp_path / "b.csv", index=False)
    measured = measure([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], threads=2)
    assert list(measured["seconds"]) == ["reading", "kinds and schema", "codes", "encoding", "total"]
    assert measured["points"][0] == 600
    assert measured["mebibytes"] > measured["mebibytes_before"] - 1 > 0  # the system counts pages in batches


@pytest.mark.slow
def test_the_measurement(capsys):
    main(["--rows", "1000", "--parties", "2", "--threads", "1"])
    assert json.loads(capsys.readouterr().out)["rows"] == 1000
