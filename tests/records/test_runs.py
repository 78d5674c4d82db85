"""Tests of the folders of runs."""

import pytest

from cgm.records.record import find_runs, is_run, read_error, read_run, write_metrics
from tests.records.results import make_result
from tests.records.test_metrics import ROWS


def test_a_run_has_one_of_some_files(tmp_path):
    assert not is_run(tmp_path)
    for name in ("result.json", "error.json", "configuration.json", ".hydra"):
        (tmp_path / name).touch()
        assert is_run(tmp_path)
        (tmp_path / name).unlink()


def test_runs_are_found_in_the_order_of_their_names(tmp_path):
    for name in ("b/run", "a/x/run", "a/run", ".hidden/run", "a/run/inner"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "result.json").touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "empty").mkdir()
    assert [path.relative_to(tmp_path).as_posix() for path in find_runs(tmp_path)] == ["a/run", "a/x/run", "b/run"]


def test_a_complete_run_is_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no result\.json: the run is not finished, or was interrupted"):
        read_run(tmp_path)
    (tmp_path / "result.json").write_text(make_result().dumps(), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"no metrics\.csv, although there is a result\.json"):
        read_run(tmp_path)
    rows = [row for row in ROWS if row.party < make_result().n_parties]
    (tmp_path / "metrics.csv").write_text(write_metrics(rows), encoding="utf-8")
    assert read_run(str(tmp_path)) == (make_result(), rows)


def test_the_message_of_an_error(tmp_path):
    assert read_error(tmp_path) is None
    for text, message in (
        ('{"message": "seed=-1: no"}', "seed=-1: no"),
        ('""', "failed; error.json is damaged"),
        ("{", "failed; error.json is damaged"),
    ):
        (tmp_path / "error.json").write_text(text)
        assert read_error(tmp_path) == message
