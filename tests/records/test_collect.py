"""Tests the table of runs on folders made by hand."""

import copy
import csv
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from cgm.records.collect import canonical, check_number, collect, flatten, headline, main, number

ROOT = Path(__file__).resolve().parents[2]
METRICS = "party,beta,metric,value\n0,1,size,10\n0,1,increasing,\n1,1,size,20\n"


def result(seed: int = 0, scheme: str = "RewardScheme", epsilon: float = 0.001) -> dict:
    """What a run of some settings may give; v* is 0.5 + seed / 100."""

    settings = {
        "class": "Experiment",
        "dataset": {"class": "Digits", "test_share": 0.2},
        "scheme": {"class": scheme, "epsilon": epsilon, "rho": None},
        "sampling": {"class": "WeightedSampling", "betas": [1.0, "inf"]},
        "seed": seed,
        "figures": False,
    }
    return {
        "t": 100,
        "kernel": {"name": "squared_exponential", "lengthscale": 0.25},
        "scheme": {"v_star": 0.5 + seed / 100, "rho": 0.75, "spread": 0.125},
        "correlations": {"size": {"mean": 0.9}, "accuracy": {"mean": None}},
        "beta_correlations": {"size": {"mean": -0.8}},
        "downstream": [
            {"party": 0, "accuracy": 0.75, "accuracy_before": 0.5},
            {"party": 1, "accuracy": 0.5, "accuracy_before": 0.5},
            {"party": 2, "accuracy": None, "accuracy_before": None},
        ],
        "seconds": {"data": 1.0, "sampling": 0.5},
        "warnings": ["beware"],
        "settings": settings,
    }


def write(folder: Path, content: dict | str, metrics: str | None = METRICS) -> None:
    """Writes a run's folder."""

    folder.mkdir(parents=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "result.json").write_text(text, encoding="utf-8")
    if metrics is not None:
        (folder / "metrics.csv").write_text(metrics, encoding="utf-8")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def runs(tmp_path):
    """A folder with two schemes of three seeds each."""

    for seed in (10, 9, 2):
        for scheme in ("Stable", "Fair"):
            write(tmp_path / f"{scheme}-{seed}", result(seed, scheme))
    return tmp_path


def test_runs_are_rows(runs):
    table = collect(runs)
    assert table.varying == ["scheme", "seed"]
    assert not table.failed
    found = rows(runs / "runs.csv")
    assert [row["run"] for row in found] == ["Fair-2", "Fair-9", "Fair-10", "Stable-2", "Stable-9", "Stable-10"]
    assert found[1] == {
        "run": "Fair-9",
        "scheme": "Fair",
        "seed": "9",
        "v_star": "0.59",
        "rho": "0.75",
        "spread": "0.125",
        "t": "100",
        "lengthscale": "0.25",
        "correlation_size": "0.9",
        "correlation_accuracy": "",
        "beta_correlation_size": "-0.8",
        "accuracy": "0.625",
        "accuracy_gain": "0.125",
        "seconds": "1.5",
        "warnings": "1",
    }


def test_metrics_are_tidy(runs):
    collect(runs)
    found = rows(runs / "metrics.csv")
    assert len(found) == 6 * 3
    assert list(found[0].values()) == ["Fair-2", "Fair", "2", "0", "1", "size", "10"]
    assert list(found[1].values()) == ["Fair-2", "Fair", "2", "0", "1", "increasing", ""]


def test_the_summary_has_means_and_standard_errors_over_seeds(runs):
    table = collect(runs)
    v = [0.5 + seed / 100 for seed in (2, 9, 10)]
    cell = f"{statistics.mean(v):.4g} ± {statistics.stdev(v) / math.sqrt(3):.2g}"
    text = (runs / "summary.md").read_text(encoding="utf-8")
    assert text.startswith("# 6 runs, 0 failed, cut off or damaged\n")
    head, _, *lines = [line for line in text.splitlines() if line.startswith("|")]
    head = head.strip("| ").split(" | ")
    assert head[:3] == ["scheme", "runs", "v_star"]
    assert "seconds" not in head
    for line, scheme in zip(lines, ("Fair", "Stable"), strict=True):
        assert line.startswith(f"| {scheme} | 3 | {cell} | 0.75 ± 0 | ")
    assert table.summary(["v_star", "t"])[1] == ["Fair", "3", cell, "100 ± 0"]
    assert cell in table.brief()


def test_a_mean_tells_of_how_many_it_is(tmp_path):
    for seed, mean in enumerate((0.5, 0.7, None)):
        content = result(seed)
        content["correlations"]["accuracy"]["mean"] = mean
        write(tmp_path / f"run{seed}", content)
    table = collect(tmp_path)
    assert table.summary(["correlation_accuracy"])[1] == ["3", "0.6 ± 0.1 (2 of 3)"]
    one = tmp_path / "one"
    write(one / "run", result())
    assert collect(one).summary(["v_star", "correlation_accuracy"]) == [
        ["runs", "v_star", "correlation_accuracy"],
        ["1", "0.5", ""],
    ]


def test_the_same_runs_give_the_same_bytes(runs, tmp_path_factory):
    collect(runs)
    other = tmp_path_factory.mktemp("other")
    for path in sorted(runs.glob("*-*"), reverse=True):
        content = json.loads((path / "result.json").read_text())
        content["seconds"]["data"] = 7.0
        write(other / path.name, dict(reversed(content.items())))
    collect(other)
    collect(other)  # its own files are not taken for a run's
    for name in ("metrics.csv", "summary.md"):
        assert (other / name).read_bytes() == (runs / name).read_bytes()
    for mine, theirs in zip(rows(runs / "runs.csv"), rows(other / "runs.csv"), strict=True):
        assert (mine.pop("seconds"), theirs.pop("seconds")) == ("1.5", "7.5")
        assert mine == theirs
    assert {path.name for path in other.iterdir() if path.is_file()} == {"runs.csv", "metrics.csv", "summary.md"}


def test_a_run_that_is_there_twice_is_one_sample(tmp_path):
    for folder, seeds in (("one", (0, 1)), ("other", (0, 1, 2))):
        for seed in seeds:
            content = result(seed)
            content["settings"]["figures"] = folder == "one"  # of which no number depends
            write(tmp_path / folder / f"seed{seed}", content)
    table = collect(tmp_path)
    assert len(table.runs) == 5
    v = [0.5, 0.51, 0.52]
    error = statistics.stdev(v) / math.sqrt(3)
    assert table.summary(["v_star"]) == [["runs", "v_star"], ["3", f"0.51 ± {error:.2g}"]]


def test_an_option_that_follows_from_its_class_is_no_column(tmp_path):
    kinds = [
        {"class": "KDE", "bandwidth": "scott"},
        {"class": "Mixture", "components": 3, "iterations": 9},
        {"class": "Mixture", "components": 4, "iterations": 9},
    ]
    for k, kind in enumerate(kinds):
        content = result()
        content["settings"]["generator"] = kind
        write(tmp_path / f"run{k}", content)
    assert collect(tmp_path).varying == ["generator", "generator.components"]


BROKEN = {
    "empty": ("", METRICS, "result.json is damaged or no run's"),
    "cut": (json.dumps(result())[:-20], METRICS, "result.json is damaged or no run's"),
    "a list": ("[1]", METRICS, "result.json is damaged or no run's"),
    "not text": ("\udcff", METRICS, "result.json is damaged or no run's"),
    "no scheme": (json.dumps({k: v for k, v in result().items() if k != "scheme"}), METRICS, "KeyError: 'scheme'"),
    "no number": (json.dumps(result() | {"t": "many"}), METRICS, "t is no number"),
    "no settings": (json.dumps(result() | {"settings": None}), METRICS, "no settings"),
    "no metrics": (result(), None, "metrics.csv is lost or damaged"),
    "other metrics": (result(), "a,b\n1,2\n", "metrics.csv is lost or damaged"),
    "cut metrics": (result(), METRICS + "1,1,si", "metrics.csv is lost or damaged"),
    "bad metrics": (result(), METRICS + "1,1,size,many\n", "metrics.csv is lost or damaged"),
}


def test_what_is_broken_is_skipped_and_named(runs):
    for name, (content, metrics, _) in BROKEN.items():
        if name == "not text":
            write(runs / name, "", metrics)
            (runs / name / "result.json").write_bytes(b"\xff\xfe\x00")
        else:
            write(runs / name, content, metrics)
    for name, message in (("failed", {"message": "seed=-1: no\nnumber"}), ("failed badly", "")):
        (runs / name / ".hydra").mkdir(parents=True)
        (runs / name / "error.json").write_text(json.dumps(message))
    (runs / "cut off" / ".hydra").mkdir(parents=True)
    (runs / "empty folder").mkdir()
    write(runs / ".hidden", "broken")

    table = collect(runs)
    assert [run.name for run in table.runs] == [row["run"] for row in rows(runs / "runs.csv")]
    assert len(table.runs) == 6
    expected = {name: reason for name, (_, _, reason) in BROKEN.items()}
    expected |= {"failed": "seed=-1: no", "failed badly": "error.json is damaged", "cut off": "no result.json"}
    assert set(table.failed) == set(expected)
    for name, reason in expected.items():
        assert reason in table.failed[name], name
    text = (runs / "summary.md").read_text(encoding="utf-8")
    assert text.startswith(f"# 6 runs, {len(expected)} failed, cut off or damaged\n")
    assert "- `failed`: seed=-1: no number\n" in text
    assert text.count("\n- `") == len(expected)


def test_a_run_may_be_complete_and_have_failed_later(runs):
    (runs / "Fair-2" / "error.json").write_text('{"message": "objective=x: no"}')
    table = collect(runs)
    assert len(table.runs) == 6
    assert table.failed == {"Fair-2": "objective=x: no"}


def test_nothing_to_collect(tmp_path):
    table = collect(tmp_path)
    assert (table.runs, table.failed, table.brief()) == ([], {}, "")
    assert rows(tmp_path / "runs.csv") == []


def test_folders_within_folders(tmp_path):
    write(tmp_path / "a" / "x", result(1))
    write(tmp_path / "b" / "y" / "z", result(2))
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert [run.name for run in collect(tmp_path).runs] == ["a/x", "b/y/z"]
    collect(tmp_path / "a")
    assert [run.name for run in collect(tmp_path).runs] == ["a/x", "b/y/z"]


def test_a_run_itself_is_not_overwritten(runs):
    with pytest.raises(ValueError, match=r"is the folder of one run; expected a folder that holds such folders"):
        collect(runs / "Fair-2")
    assert (runs / "Fair-2" / "metrics.csv").read_text() == METRICS
    with pytest.raises(NotADirectoryError, match="there is no such folder"):
        collect(runs / "no such")


def test_what_a_class_does_not_show_is_told_by_the_configuration(tmp_path):
    for shift in (0.0, 1.0):
        content = result(seed=1)
        content["settings"]["generator"] = "MyGenerator"  # no dataclass
        write(tmp_path / f"run{shift}", content)
        given = {"_target_": "cgm.Experiment", "seed": 1, "generator": {"_target_": "my.MyGenerator", "shift": shift}}
        given["dataset"] = {"_target_": "cgm.data.Digits", "test_share": 0.2}
        (tmp_path / f"run{shift}" / "configuration.json").write_text(json.dumps(given))
    table = collect(tmp_path)
    assert table.varying == ["generator.shift"]
    assert [row[:2] for row in table.summary([])] == [["generator.shift", "runs"], ["0", "1"], ["1", "1"]]


def test_hundreds_of_runs(tmp_path):
    for k in range(300):
        content = result(k % 10, epsilon=k // 10)
        write(tmp_path / f"run{k}", content)
        (tmp_path / f"run{k}" / "rewards.npz").write_bytes(b"never read")
    table = collect(tmp_path)
    assert table.varying == ["scheme.epsilon", "seed"]
    assert len(table.runs) == 300
    assert [float(row[0]) for row in table.summary([])[1:]] == list(range(30))
    assert "... and 10 more rows" in table.brief()


def test_headline_numbers_by_name_and_by_path():
    whole = result(seed=3)
    assert number(whole, "v_star") == number(whole, "scheme.v_star") == 0.53
    assert number(whole, "seconds") == 1.5
    assert number(whole, "seconds.data") == 1.0
    assert number(whole, "correlation_size") == number(whole, "correlations.size.mean") == 0.9
    assert math.isnan(number(whole, "correlations.accuracy.mean"))
    with pytest.raises(ValueError, match=r"objective=scheme\.v: no 'v' in scheme; there are rho, spread, v_star$"):
        number(whole, "scheme.v")
    with pytest.raises(ValueError, match=r"no 'x' in scheme\.rho; that is no section"):
        number(whole, "scheme.rho.x")
    with pytest.raises(ValueError, match="is no number, but dict"):
        number(whole, "correlations.size")
    without = copy.deepcopy(whole) | {"downstream": []}
    del without["scheme"]["spread"]  # as in old records
    assert headline(without)["spread"] is None
    assert headline(without)["accuracy_gain"] is None
    assert math.isnan(number(without, "accuracy_gain"))


def test_names_of_numbers_are_checked_before_a_run():
    for path in (*headline(result()), "scheme.v_star", "correlations.size.spearman.mean", "incentives.R1.slack"):
        check_number(path)
    for path in ("", "v", "scheme", "correlation_", "settings.seed", "schema.v_star"):
        with pytest.raises(ValueError, match=rf"objective={path}: expected a column of runs\.csv \(v_star, "):
            check_number(path)


def test_settings_are_named_as_on_the_command_line():
    settings = result()["settings"]
    assert flatten(settings) == {
        "dataset": "Digits",
        "dataset.test_share": 0.2,
        "scheme": "RewardScheme",
        "scheme.epsilon": 0.001,
        "scheme.rho": None,
        "sampling": "WeightedSampling",
        "sampling.betas": [1.0, "inf"],
        "seed": 0,
        "figures": False,
    }


def test_canonical():
    assert canonical({"b": 1.0, "a": [2.5, True, None, "x"]}) == '{"a": [2.5, true, null, "x"], "b": 1}'
    assert canonical(1e300) == "1e+300"
    assert canonical(math.inf) == "Infinity"


def test_the_command_line(runs, capsys):
    main([str(runs)])
    out = capsys.readouterr().out
    assert "Fair" in out
    assert out.endswith(f"{runs}/: runs.csv, metrics.csv, summary.md\n")
    for arguments, message in (
        ([], "usage: python -m cgm.collect FOLDER"),
        (["--help"], "usage: python -m cgm.collect FOLDER"),
        ([str(runs / "no such")], "cgm.collect: error: .*there is no such folder"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(arguments)


def test_neither_torch_nor_hydra_is_imported(runs):
    code = "import sys, cgm.collect as c; c.main(sys.argv[1:]); print({'torch', 'hydra', 'pandas'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", code, str(runs)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("set()\n")
