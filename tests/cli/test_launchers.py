"""Tests of launchers, the search and trackers, as the command line runs them."""

import csv
import importlib.util
import json
from pathlib import Path

import numba
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from threadpoolctl import threadpool_info

from cgm import Record
from cgm.cli.settings import EXTRAS, check_extras
from cgm.records.trackers import TensorBoard
from cgm.utils.run import limited

SMALL = ["experiment=debug", "figures=false", "synthetic_size=300", "split.points_per_party=60", "split.n_parties=3"]
SMALL += ["scheme=fair", "sampling.betas=[1,8]"]


def needs(module: str, extra: str) -> pytest.MarkDecorator:
    try:
        there = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        there = False
    return pytest.mark.skipif(not there, reason=f'{module} is not installed: pip install ".[{extra}]"')


def rows(folder: str) -> list[dict[str, str]]:
    with Path(folder, "runs.csv").open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/:UserWarning")  # see cgm/cli/sweep.py
@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param("joblib", marks=needs("hydra_plugins.hydra_joblib_launcher", "sweep")),
        pytest.param("ray", marks=needs("ray", "ray")),
        pytest.param("submitit_local", marks=needs("hydra_plugins.hydra_submitit_launcher", "sweep")),
    ],
)
def test_a_launcher_has_the_numbers_of_the_serial_sweep(cgm, launcher):
    sweep = ["-m", *SMALL, "downstream=none", "seed=1,2"]
    cgm(*sweep, "hydra.sweep.dir=serial")
    assert "2 done" in cgm(*sweep, f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep")
    assert len(rows("serial")) == 2
    assert rows("sweep") == rows("serial")
    for name in ("metrics.csv", "summary.md"):
        assert Path("sweep", name).read_bytes() == Path("serial", name).read_bytes()


@pytest.mark.slow
@needs("optuna", "sweep")
def test_the_search_runs_ten_trials_and_finds_the_best_of_them(cgm):
    search = ["hparams_search=kernel_and_split", *SMALL, "downstream=none", "hydra.sweep.dir=sweep"]
    out = cgm(*search)
    assert "10 of 10 jobs done (0 skipped, 0 failed)" in out
    found = json.loads(Path("sweep/search.json").read_text())
    assert len({trial["folder"] for trial in found["trials"]}) == len(found["trials"]) == 10
    for trial in found["trials"]:
        result = Record.load(Path("sweep", trial["folder"])).result
        assert trial["value"] == result.correlations["neg_mmd2_unbiased"].mean
        for name, (low, high) in {"scheme.epsilon": (1e-4, 1e-2), "split.majority": (0.6, 0.96)}.items():
            section, option = name.split(".")
            assert low <= trial["settings"][name] == result.settings[section][option] <= high
    assert found["best"]["value"] == max(trial["value"] for trial in found["trials"])
    assert len({trial["settings"]["kernel"] for trial in found["trials"]}) > 1

    out = cgm(*search)  # suggests the same jobs again
    assert "10 of 10 jobs done (10 skipped, 0 failed)" in out
    assert json.loads(Path("sweep/search.json").read_text()) == found


@needs("optuna", "sweep")
def test_a_search_continues_after_failed_jobs(cgm, capsys):
    search = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweep.dir=sweep", *SMALL[:2]]
    with pytest.raises(SystemExit) as caught:
        cgm(*search, "split.points_per_party=choice(10000,20000)", "seed=int(interval(0,9))")
    assert caught.value.code == 1
    out = capsys.readouterr().out
    assert "3 of 3 jobs done (0 skipped, 3 failed)" in out
    assert "none of 3 trials has a value" in out
    found = json.loads(Path("sweep/search.json").read_text())
    assert found["best"] is None
    assert [trial["value"] for trial in found["trials"]] == [None] * 3


@needs("optuna", "sweep")
def test_an_invalid_search_is_refused_in_one_line(cgm):
    for overrides, message in (
        (["seed=0"], r"hydra/sweeper=optuna: empty search space; try scheme\.epsilon='interval\(1e-4,1e-2\)'"),
        (["hydra.sweeper.direction=up"], r"hydra\.sweeper\.direction=up: expected one of maximize, minimize"),
        (["hydra.sweeper.n_trials=0"], r"hydra\.sweeper\.n_trials=0: expected an integer >= 1"),
        (
            ["hydra.sweeper.n_trial=2"],
            r"hydra\.sweeper\.n_trial: unknown setting; did you mean hydra\.sweeper\.n_trials",
        ),
        (["scheme.rho=interval(1,0)"], r"scheme\.rho=interval\(1,0\): expected the lower end first"),
        (["hydra.sweeper.n_jobs=few"], r"hydra\.sweeper\.n_jobs=few: expected an integer >= 1"),
        (["hydra.sweeper.startup_trials=0"], r"hydra\.sweeper\.startup_trials=0: expected an integer >= 1"),
    ):
        with pytest.raises(SystemExit, match=f"^cgm: error: .*{message}") as caught:
            cgm("-m", "hydra/sweeper=optuna", "hydra.sweep.dir=sweep", *overrides)
        assert "\n" not in caught.value.code


@needs("optuna", "sweep")
def test_an_override_is_converted_to_a_distribution():
    from hydra_plugins.cgm_optuna import distribution

    for override, expected in (
        ("x=int(interval(1,5))", {"low": 1, "high": 5, "log": False, "step": 1}),
        ("x=tag(log,int(interval(1,100)))", {"low": 1, "high": 100, "log": True, "step": 1}),
        ("x=interval(0.5,5)", {"low": 0.5, "high": 5.0, "log": False, "step": None}),
        ("x=tag(log,interval(1e-4,1e-2))", {"low": 1e-4, "high": 1e-2, "log": True, "step": None}),
        ("x=choice(a,b)", {"choices": ("a", "b")}),
        ("x=1,2", {"choices": ("1", "2")}),
        ("x=range(3)", {"choices": ("0", "1", "2")}),
    ):
        (parsed,) = OverridesParser.create().parse_overrides([override])
        assert distribution(parsed)._asdict() == expected


def test_launchers_and_sweepers_are_plugins_of_hydra(cgm):
    for overrides, message in (
        (["hydra.launcher._target_=os.mkdir"], r"hydra\.launcher\._target_=os\.mkdir: .* hydra/launcher=NAME$"),
        (["hydra.sweeper._target_=mine.Own"], r"hydra\.sweeper\._target_=mine\.Own: .* hydra/sweeper=NAME$"),
        (["hydra.sweep.dirr=x"], r"hydra\.sweep\.dirr: unknown setting; did you mean hydra\.sweep\.dir\?"),
    ):
        with pytest.raises(SystemExit, match=f"^cgm: error: {message}"):
            cgm("-m", "seed=0,1", *overrides)


@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/:UserWarning")
@needs("hydra_plugins.hydra_joblib_launcher", "sweep")
@pytest.mark.parametrize(("jobs", "message"), [("0", r"=0: expected a number of jobs, or -1"), ("two", r"=two: ")])
def test_a_number_of_jobs_of_joblib_is_refused_in_one_line(cgm, jobs, message):
    with pytest.raises(SystemExit, match=rf"^cgm: error: hydra\.launcher\.n_jobs{message}") as caught:
        cgm("-m", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={jobs}", "seed=0,1")
    assert "\n" not in caught.value.code
    assert not Path("outputs").exists()


@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/:UserWarning")
@needs("hydra_plugins.hydra_submitit_launcher", "sweep")
def test_slurm_is_refused_where_there_is_none(cgm, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match=r"^cgm: error: hydra/launcher=submitit_slurm: there is no Slurm") as caught:
        cgm("-m", "hydra/launcher=submitit_slurm", "seed=0,1")
    assert "\n" not in caught.value.code


def test_a_job_of_ray_needs_no_more_cores_than_there_are():
    from hydra_plugins.cgm_ray import _check_cores

    _check_cores(2, 2.0)
    with pytest.raises(ValueError, match=r"^hydra\.launcher\.cpus_per_task=64: Ray has 2 cores on this machine$"):
        _check_cores(64, 2.0)


def test_a_missing_package_is_reported_with_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    for choice, (_, extra) in EXTRAS.items():
        group, name = choice.split("=")
        message = rf'{choice}: \w+ is not installed; run pip install "\.\[{extra}\]"'
        with pytest.raises(ValueError, match=message):
            check_extras({"dataset": "digits", group: name})
    check_extras({"dataset": "digits", "logger": "none", "hydra/launcher": "basic", "experiment": None})


def test_threads_are_limited_and_then_restored():
    threads = torch.get_num_threads()
    numba.get_num_threads()  # starts numba's threads, which changes torch's
    torch.set_num_threads(threads)
    before = torch.get_num_threads(), numba.get_num_threads(), threadpool_info()
    with limited(1):
        assert (torch.get_num_threads(), numba.get_num_threads()) == (1, 1)
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    with limited(None):
        assert torch.get_num_threads() == before[0]
    assert (torch.get_num_threads(), numba.get_num_threads(), threadpool_info()) == before


@needs("tensorboard", "tensorboard")
def test_a_tracker_and_threads_do_not_belong_to_the_settings_of_a_run(cgm):
    arguments = [*SMALL, "downstream=none", "hydra.run.dir=run"]
    cgm(*arguments)
    assert not TensorBoard().has(Path("run"))
    out = cgm(*arguments, "logger=tensorboard", "threads=1")
    assert "skipped, already complete" in out
    assert TensorBoard().has(Path("run"))
    with pytest.raises(SystemExit, match="threads=0: expected an integer >= 1 or null"):
        cgm(*arguments, "threads=0")
