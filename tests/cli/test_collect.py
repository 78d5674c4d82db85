"""Tests of `cgm collect`. Its tables, figures and page: tests/records."""

import csv
from pathlib import Path

import pytest

from cgm.cli.sweep import write_tables
from tests.records.results import SETTINGS, make_result, make_rewards

METRICS = "party,beta,metric,value\n0,1,size,10\n1,1,size,20\n"


@pytest.fixture
def folder(cgm) -> Path:
    """The folder of a sweep with two seeds, within the working directory."""

    for seed in (0, 1):
        run = Path("sweep", f"seed{seed}")
        run.mkdir(parents=True)
        scheme = make_rewards([0.5, 0.5, 0.75 + seed])
        result = make_result(settings=SETTINGS | {"seed": seed}, scheme=scheme)
        (run / "result.json").write_text(result.dumps(), encoding="utf-8")
        (run / "metrics.csv").write_text(METRICS, encoding="utf-8")
    return Path("sweep")


def refused(cgm, *args: str) -> str:
    """Run the command, which must end with one line and status 1, and return the line."""

    with pytest.raises(SystemExit) as caught:
        cgm("collect", *args)
    line = caught.value.code  # a string: Python prints it to stderr and exits with status 1
    assert isinstance(line, str)
    assert line.startswith("cgm: error: ")
    assert "\n" not in line
    return line


def test_a_folder_gets_its_tables_figures_and_page(cgm, folder):
    out = cgm("collect", "sweep")
    assert out.splitlines()[0].split() == [
        "runs",
        "spread",
        "correlation_neg_mmd2_unbiased",
        "correlation_my_metric",
        "accuracy_gain",
    ]
    assert out.endswith("sweep/: runs.csv, metrics.csv, summary.md, sweep.html, figures/\n")
    files = {path.name for path in folder.iterdir() if path.is_file()}
    assert files == {"runs.csv", "metrics.csv", "summary.md", "sweep.html"}
    assert sorted(path.name for path in (folder / "figures").iterdir()) == ["spread.pdf", "spread.png"]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    cgm("collect", "sweep/")  # its own files are not taken for a run's
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    "given", [["metric=size,values.grand"], ["metric=[size, values.grand]"], ["metric=size", "metric=values.grand"]]
)
def test_further_numbers_have_columns_and_figures(cgm, folder, given):
    cgm("collect", "sweep", *given)
    with (folder / "runs.csv").open(newline="", encoding="utf-8") as file:
        assert [row["size"] for row in csv.DictReader(file)] == ["15", "15"]
    assert {path.stem for path in (folder / "figures").iterdir()} == {"spread", "size", "values.grand"}


def test_what_is_no_sweep_is_refused_in_one_line(cgm, folder):
    Path("empty").mkdir()
    Path("file").write_text("no folder")
    assert refused(cgm, "empty") == (
        "cgm: error: empty: there are no runs in this folder; expected the folder of a sweep"
    )
    assert not list(Path("empty").iterdir())
    assert refused(cgm, "no_such") == refused(cgm, "file").replace("file:", "no_such:")
    assert "is the folder of one run" in refused(cgm, "sweep/seed0")
    assert "metric=no_such: no run has such a number" in refused(cgm, "sweep", "metric=no_such")
    assert {path.name for path in folder.iterdir()} == {"seed0", "seed1"}


@pytest.mark.parametrize("taken", ["runs.csv", "sweep.html"])
def test_a_folder_that_cannot_be_written_is_refused_in_one_line(cgm, folder, taken):
    (folder / taken).mkdir()
    assert refused(cgm, "sweep") == "cgm: error: sweep: not readable or writable: Is a directory"


@pytest.mark.parametrize("arguments", [[], ["sweep", "size"], ["sweep", "number=size"], ["sweep", "--force"]])
def test_other_arguments_are_refused_with_the_usage(cgm, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        cgm("collect", *arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: cgm collect [-h] FOLDER [metric=NAME ...]")


def test_a_sweep_ends_with_the_page_if_figures_are_wanted(folder):
    for figures in (False, True):
        text = write_tables(folder, figures, {"done": 2, "running": 0, "skipped": 0, "failed": 1})
        written = "runs.csv, metrics.csv, summary.md" + ", sweep.html, figures/" * figures
        assert text.endswith(f"\n\n2 done, 1 failed\n{folder}: {written}")
        assert (folder / "sweep.html").is_file() == figures
