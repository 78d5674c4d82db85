"""Tests of the table of runs, on folders made by hand."""

import csv
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from cgm.records.collect import collect
from cgm.records.record import sums
from cgm.records.result import Result
from tests.records.results import SETTINGS, alpha_correlation, beta_correlation, make_result, make_rewards
from tests.scores import accuracies

METRICS = "party,beta,metric,value\n0,1,size,10\n0,1,increasing,\n1,1,size,20\n"


def result(seed: int = 0, scheme: str = "ShapleyFair", epsilon: float = 0.001, **changes) -> Result:
    """Return a result of some settings; v* is 0.5 + seed / 100."""

    settings = SETTINGS | {"seed": seed, "scheme": {"class": scheme, "epsilon": epsilon, "rho": None}}
    numbers = {
        "t": 100,
        "scheme": make_rewards([0.5, 0.5, 0.625], scheme, v_star=0.5 + seed / 100, rho=0.75),
        "correlations": {"size": alpha_correlation(0.9), "accuracy": alpha_correlation(None)},
        "beta_correlations": {"size": beta_correlation(-0.8)},
        "downstream": [
            accuracies(0, 1.0, 0.75, 0.5, None),
            accuracies(1, 1.0, 0.5, 0.5, None),
            accuracies(2, 1.0, None, None, "why"),
        ],
        "settings": settings,
    }
    return make_result(**(numbers | changes))


def with_settings(result: Result, **settings) -> Result:
    return dataclasses.replace(result, settings=result.settings | settings)


def write(folder: Path, content: Result | str, metrics: str | None = METRICS) -> None:
    """Write the folder of a run."""

    folder.mkdir(parents=True)
    text = content if isinstance(content, str) else content.dumps()
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
    assert cell in table.console_summary()
    assert table.console_summary().splitlines()[0].split() == [
        "scheme",
        "runs",
        "v_star",
        "rho",
        "spread",
        "accuracy_gain",
    ]


def test_a_mean_of_some_runs_has_their_number(tmp_path):
    for seed, mean in enumerate((0.5, 0.7, None)):
        write(tmp_path / f"run{seed}", result(seed, correlations={"accuracy": alpha_correlation(mean)}))
    table = collect(tmp_path)
    assert table.summary(["correlation_accuracy"])[1] == ["3", "0.6 ± 0.1 (2 of 3)"]
    one = tmp_path / "one"
    write(one / "run", result(correlations={"accuracy": alpha_correlation(None)}))
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
        write(other / path.name, json.dumps(dict(reversed(content.items()))))
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
            content = with_settings(result(seed), figures=folder == "one")  # no number depends on it
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
        write(tmp_path / f"run{k}", with_settings(result(), generator=kind))
    assert collect(tmp_path).varying == ["generator", "generator.components"]


def changed(**sections) -> str:
    return json.dumps({key: value for key, value in (result().to_json() | sections).items() if value != "drop"})


DAMAGED = "result.json is damaged or not that of a run: "
BROKEN = {
    "empty": ("", METRICS, DAMAGED + "Expecting value: line 1 column 1"),
    "cut": (result().dumps()[:-20], METRICS, DAMAGED),
    "a list": ("[1]", METRICS, DAMAGED + "not a result of cgm"),
    "not text": ("", METRICS, DAMAGED + "'utf-8' codec can't decode"),
    "nested": ("[" * 100_000, METRICS, DAMAGED),
    "no scheme": (changed(scheme="drop"), METRICS, DAMAGED + "Object missing required field `scheme`"),
    "no number": (changed(t="many"), METRICS, DAMAGED + "Expected `int`, got `str` - at `$.t`"),
    "no settings": (changed(settings=None), METRICS, DAMAGED + "Expected `object`, got `null` - at `$.settings`"),
    "old schema": (changed(schema=1), METRICS, DAMAGED + "schema 1, but this version of cgm reads schema 2"),
    "no metrics": (result(), None, "no metrics.csv, although there is a result.json"),
    "other metrics": (result(), "a,b\n1,2\n", "metrics.csv is damaged: has the columns a, b, expected party, beta"),
    "cut metrics": (result(), METRICS + "1,1,si", "metrics.csv is damaged: a row has 3 cells, expected 4: 1, 1, si"),
    "bad metrics": (result(), METRICS + "1,1,size,many\n", "metrics.csv is damaged: could not convert string to float"),
}


def test_what_is_broken_is_skipped_and_reported(runs):
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


def test_files_that_are_not_as_they_were_written_are_reported(tmp_path):
    def save(name: str, numerics: str = "5") -> Path:
        """Write the folder of a run with its checksums."""

        folder = tmp_path / name
        write(folder, dataclasses.replace(result(), versions={"numerics": numerics}))
        (folder / "configuration.json").write_text('{"_target_": "cgm.Experiment"}')
        (folder / "rewards.npz").write_bytes(b"points")
        files = ("configuration.json", "metrics.csv", "result.json", "rewards.npz")
        (folder / "SHA256SUMS").write_bytes(sums({file: (folder / file).read_bytes() for file in files}))
        return folder

    save("whole")
    (save("older", numerics="4") / "SHA256SUMS").unlink()
    for file in ("rewards.npz", "SHA256SUMS"):
        (save(f"without {file}") / file).unlink()
    kept = save("kept")  # as in a repository
    (kept / "rewards.npz").unlink()
    (kept / "SHA256SUMS").unlink()
    (save("flipped") / "rewards.npz").write_bytes(b"pointz")
    (save("cut") / "configuration.json").write_text('{"_target_": "cgm.Exp')
    cut = save("cut without sums", numerics="4")
    (cut / "configuration.json").write_text('{"_target_": "cgm.Exp')
    (cut / "SHA256SUMS").unlink()

    table = collect(tmp_path)
    assert [run.name for run in table.runs] == ["kept", "older", "whole", "without rewards.npz"]
    changed = "is damaged or was changed: its SHA-256 is not that in SHA256SUMS"
    reason = "configuration.json is damaged: Unterminated string starting at: line 1 column 14 (char 13)"
    assert table.failed == {
        "cut": f"configuration.json {changed}",
        "cut without sums": reason,
        "flipped": f"rewards.npz {changed}",
        "without SHA256SUMS": "no SHA256SUMS, although there is a rewards.npz",
    }


def test_failed_runs_are_listed_with_the_overrides_that_differ(tmp_path):
    """Whether they failed, were cut off or are damaged."""

    def start(name: str, size: int, points: int) -> Path:
        folder = tmp_path / name
        (folder / ".hydra").mkdir(parents=True)
        overrides = ["figures=false", f"synthetic_size={size}", f"split.points_per_party={points}"]
        (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {line}\n" for line in overrides))
        return folder

    for size in (600, 1500):
        whole = with_settings(result(), synthetic_size=size)
        (start(f"whole{size}", size, 100) / "result.json").write_text(whole.dumps(), encoding="utf-8")
        (tmp_path / f"whole{size}" / "metrics.csv").write_text(METRICS)
    error = {
        "message": "no\npoints",
        "overrides": ["figures=false", "synthetic_size=300", "split.points_per_party=100"],
    }
    (start("failed", 0, 0) / "error.json").write_text(json.dumps(error))
    start("cut off", 600, 2000)
    (start("damaged", 1500, 2000) / "result.json").write_text("{")
    table = collect(tmp_path)
    assert len(table.runs) == 2
    settings = {
        "failed": "synthetic_size=300 split.points_per_party=100",
        "cut off": "synthetic_size=600 split.points_per_party=2000",
        "damaged": "synthetic_size=1500 split.points_per_party=2000",
    }
    assert table.failed_settings() == settings
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert f"- `failed` (`{settings['failed']}`): no points\n" in text
    assert all(f"- `{name}` (`{own}`): " in text for name, own in settings.items())
    assert f"failed ({settings['failed']}): no points" in table.console_summary().splitlines()


def choose(folder: Path, **choices: str) -> None:
    """Record the choices of a run as Hydra does."""

    (folder / ".hydra").mkdir()
    content = {"hydra": {"runtime": {"choices": {"experiment": None, "hydra/sweeper": "basic"} | choices}}}
    (folder / ".hydra" / "hydra.yaml").write_text(json.dumps(content))  # JSON is YAML


SCHEMES = [  # a choice, its class and its options
    ("fair", {"class": "ShapleyFair", "stable": False}),
    ("stable", {"class": "ShapleyFair", "stable": True}),
    ("equal", {"class": "EqualRewards"}),
]


def test_choices_have_the_names_that_were_typed(tmp_path):
    for choice, settings in SCHEMES:
        for seed in (0, 1):
            name = f"{choice}{seed}"
            write(tmp_path / name, with_settings(result(seed), scheme=settings))
            choose(tmp_path / name, scheme=choice, kernel="laplacian")
    table = collect(tmp_path)
    assert table.varying == ["scheme", "seed"]
    assert [row[:2] for row in table.summary([])] == [
        ["scheme", "runs"],
        ["equal", "2"],
        ["fair", "2"],
        ["stable", "2"],
    ]
    assert {row["scheme"] for row in rows(tmp_path / "runs.csv")} == {"equal", "fair", "stable"}

    # the same settings by another choice are no other sample
    write(tmp_path / "again", with_settings(result(0), scheme=SCHEMES[1][1]))
    choose(tmp_path / "again", scheme="paper", kernel="laplacian")
    assert len(collect(tmp_path).runs) == 7
    assert len(collect(tmp_path).distinct()) == 6

    # without the choices of all runs, classes
    (tmp_path / "fair0" / ".hydra" / "hydra.yaml").unlink()
    table = collect(tmp_path)
    assert table.varying == ["scheme", "scheme.stable", "seed"]
    assert {run.settings["scheme"] for run in table.runs} == {"ShapleyFair", "EqualRewards"}


def test_damaged_choices_are_unknown(tmp_path):
    for choice, settings in SCHEMES:
        write(tmp_path / choice, with_settings(result(), scheme=settings))
        choose(tmp_path / choice, scheme=choice)
    for text in ("", "{", "hydra: {runtime: null}", "[1]", "hydra: {runtime: {choices: [scheme]}}"):
        for choice, _ in SCHEMES:
            (tmp_path / choice / ".hydra" / "hydra.yaml").write_text(text)
        assert {run.settings["scheme"] for run in collect(tmp_path).runs} == {"ShapleyFair", "EqualRewards"}, text


def test_a_choice_whose_class_was_replaced_is_not_shown(tmp_path):
    for k, (choice, kind) in enumerate([("kde", "KDE"), ("kde", "MyGenerator"), ("copula", "Copula")]):
        write(tmp_path / f"run{k}", with_settings(result(), generator={"class": kind}))
        choose(tmp_path / f"run{k}", generator=choice)
    assert [run.settings["generator"] for run in collect(tmp_path).runs] == ["Copula", "KDE", "MyGenerator"]


def test_a_run_may_be_complete_and_have_failed_later(runs):
    (runs / "Fair-2" / "error.json").write_text('{"message": "objective=x: no"}')
    table = collect(runs)
    assert len(table.runs) == 6
    assert table.failed == {"Fair-2": "objective=x: no"}


def test_a_folder_without_runs_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no run")
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path, tmp_path / "empty"):
        with pytest.raises(ValueError, match="there are no runs in this folder; expected the folder of a sweep"):
            collect(folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "notes.txt"]


def test_numbers_beside_the_headline_numbers(runs):
    table = collect(runs, ["size", "values.grand", "v_star"])
    grand = json.loads((runs / "Fair-2" / "result.json").read_text())["values"]["grand"]
    assert table.runs[0].numbers["size"] == 15  # the mean over parties and betas
    assert table.runs[0].numbers["values.grand"] == grand
    found = rows(runs / "runs.csv")[0]
    assert (found["size"], found["values.grand"], found["v_star"]) == ("15", str(grand), "0.52")
    for name in ("no_such", "values.no_such", "values.party", "dataset", "increasing"):  # the last is always unknown
        with pytest.raises(
            ValueError, match=f"metric={name}: no run has such a number; expected one of v_star, .*size, "
        ):
            collect(runs, [name])


def test_runs_have_their_pool_and_warnings(runs):
    run = collect(runs).runs[0]
    assert (run.synthetic_size, run.warnings) == (12345, ("beware",))


def test_folders_within_folders(tmp_path):
    write(tmp_path / "a" / "x", result(1))
    write(tmp_path / "b" / "y" / "z", result(2))
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert [run.name for run in collect(tmp_path).runs] == ["a/x", "b/y/z"]
    collect(tmp_path / "a")
    assert [run.name for run in collect(tmp_path).runs] == ["a/x", "b/y/z"]


def test_a_run_itself_is_not_overwritten(runs):
    with pytest.raises(ValueError, match=r"is the folder of one run; expected a folder that contains such folders"):
        collect(runs / "Fair-2")
    assert (runs / "Fair-2" / "metrics.csv").read_text() == METRICS
    with pytest.raises(NotADirectoryError, match="there is no such folder"):
        collect(runs / "no such")


def test_settings_of_a_class_that_is_not_a_dataclass_come_from_the_configuration(tmp_path):
    for shift in (0.0, 1.0):
        write(tmp_path / f"run{shift}", with_settings(result(seed=1), generator="MyGenerator"))
        given = {"_target_": "cgm.Experiment", "seed": 1, "generator": {"_target_": "my.MyGenerator", "shift": shift}}
        given["dataset"] = {"_target_": "cgm.data.Digits", "test_share": 0.2}
        (tmp_path / f"run{shift}" / "configuration.json").write_text(json.dumps(given))
    table = collect(tmp_path)
    assert table.varying == ["generator.shift"]
    assert [row[:2] for row in table.summary([])] == [["generator.shift", "runs"], ["0", "1"], ["1", "1"]]


def test_hundreds_of_runs(tmp_path):
    for k in range(300):
        write(tmp_path / f"run{k}", result(k % 10, epsilon=k // 10))
        (tmp_path / f"run{k}" / "rewards.npz").write_bytes(b"never read")
    table = collect(tmp_path)
    assert table.varying == ["scheme.epsilon", "seed"]
    assert len(table.runs) == 300
    assert [float(row[0]) for row in table.summary([])[1:]] == list(range(30))
    assert "... and 10 more rows" in table.console_summary()


def test_a_run_that_failed_later_keeps_both_reasons_apart(runs):
    (runs / "Fair-2" / "error.json").write_text('{"message": "seed=-1: no"}')
    (runs / "Fair-2" / "metrics.csv").unlink()
    (runs / "Fair-9" / "error.json").write_text('{"message": "seed=-1: no"}')
    (runs / "Fair-9" / "result.json").unlink()
    assert collect(runs).failed == {
        "Fair-2": "no metrics.csv, although there is a result.json",
        "Fair-9": "seed=-1: no",
    }


def test_runs_of_schemes_with_and_without_v_star(tmp_path):
    write(tmp_path / "paper", result())
    write(
        tmp_path / "mine",
        dataclasses.replace(with_settings(result(), scheme={"class": "Mine"}), scheme=make_rewards([0.5] * 3)),
    )
    table = collect(tmp_path)
    assert table.failed == {}
    assert table.summary(["v_star", "rho"])[1:] == [["Mine", "1", "", ""], ["ShapleyFair", "1", "0.5", "0.75"]]
    assert [(row["v_star"], row["rho"]) for row in rows(tmp_path / "runs.csv")] == [("", ""), ("0.5", "0.75")]


def test_a_number_that_no_run_has_is_no_column(tmp_path):
    for seed, gain in enumerate((None, 0.5)):
        scheme = make_rewards([0.5, 0.5, 0.75], rho=None)
        downstream = [accuracies(0, 1.0, 0.75, gain, None if gain else "why")]
        write(tmp_path / f"run{seed}", dataclasses.replace(result(seed, downstream=downstream), scheme=scheme))
    table = collect(tmp_path)
    columns = ["spread", "t", "lengthscale", "correlation_size", "beta_correlation_size", "accuracy", "accuracy_gain"]
    assert table.numbers == [*columns, "seconds", "warnings"]
    assert list(rows(tmp_path / "runs.csv")[0]) == ["run", "seed", *table.numbers]
    assert f"| {' | '.join(['runs', *columns, 'warnings'])} |\n" in (tmp_path / "summary.md").read_text(
        encoding="utf-8"
    )
    head, row = table.console_summary().splitlines()
    assert head.split() == ["runs", "spread", "accuracy_gain"]
    assert row.split() == ["2", "0.25", "±", "0", "0.25", "(1", "of", "2)"]


def test_neither_hydra_nor_matplotlib_is_imported(runs):
    code = (
        "import sys, cgm.records.collect as c; c.collect(sys.argv[1]); "
        "print({'hydra', 'matplotlib', 'umap'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", code, str(runs)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("set()\n")
