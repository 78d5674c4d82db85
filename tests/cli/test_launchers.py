"""Tests launchers, the search and the trackers, each as the command line runs them."""

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
from cgm.records.plain import versions
from cgm.records.trackers import MLflow, NoLogger, TensorBoard, numbers_of, scalars
from cgm.utils.threads import limited

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["experiment=debug", "figures=false", "synthetic_size=300", "split.points_per_party=60", "split.n_parties=3"]
SMALL += ["scheme=fair", "sampling.betas=[1,8]"]


def needs(module: str, extra: str) -> pytest.MarkDecorator:
    try:
        there = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        there = False
    return pytest.mark.skipif(not there, reason=f"{module} is not installed: pip install 'cgm[{extra}]'")


def rows(folder: str) -> list[dict[str, str]]:
    with Path(folder, "runs.csv").open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param("joblib", marks=needs("hydra_plugins.hydra_joblib_launcher", "sweep")),
        pytest.param("submitit_local", marks=needs("hydra_plugins.hydra_submitit_launcher", "sweep")),
    ],
)
def test_a_launcher_gives_the_numbers_of_the_serial_sweep(cgm, launcher):
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
    told = json.loads(Path("sweep/search.json").read_text())
    assert len({trial["folder"] for trial in told["trials"]}) == len(told["trials"]) == 10
    for trial in told["trials"]:
        result = Record.load(Path("sweep", trial["folder"])).result
        assert trial["value"] == result["correlations"]["neg_mmd2_unbiased"]["mean"]
        for name, (low, high) in {"scheme.epsilon": (1e-4, 1e-2), "split.majority": (0.6, 0.96)}.items():
            section, option = name.split(".")
            assert low <= trial["settings"][name] == result["settings"][section][option] <= high
    assert told["best"]["value"] == max(trial["value"] for trial in told["trials"])
    assert len({trial["settings"]["kernel"] for trial in told["trials"]}) > 1

    out = cgm(*search)  # the same choices again
    assert "10 of 10 jobs done (10 skipped, 0 failed)" in out
    assert json.loads(Path("sweep/search.json").read_text()) == told


@needs("optuna", "sweep")
def test_a_search_outlives_a_job_that_fails(cgm, capsys):
    search = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweep.dir=sweep", *SMALL[:2]]
    with pytest.raises(SystemExit) as caught:
        cgm(*search, "synthetic_size=choice(-1,0)", "seed=int(interval(0,9))")
    assert caught.value.code == 1
    out = capsys.readouterr().out
    assert "3 of 3 jobs done (0 skipped, 3 failed)" in out
    assert "none of 3 trials gave a number" in out
    told = json.loads(Path("sweep/search.json").read_text())
    assert told["best"] is None
    assert [trial["value"] for trial in told["trials"]] == [None] * 3


@needs("optuna", "sweep")
@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("x=int(interval(1,5))", {"low": 1, "high": 5, "log": False, "step": 1}),
        ("x=tag(log,int(interval(1,100)))", {"low": 1, "high": 100, "log": True, "step": 1}),
        ("x=interval(0.5,5)", {"low": 0.5, "high": 5.0, "log": False, "step": None}),
        ("x=tag(log,interval(1e-4,1e-2))", {"low": 1e-4, "high": 1e-2, "log": True, "step": None}),
        ("x=choice(a,b)", {"choices": ("a", "b")}),
        ("x=1,2", {"choices": ("1", "2")}),
        ("x=range(3)", {"choices": ("0", "1", "2")}),
    ],
)
def test_what_is_drawn_from(override, expected):
    from hydra_plugins.cgm_optuna import distribution

    (parsed,) = OverridesParser.create().parse_overrides([override])
    assert distribution(parsed)._asdict() == expected


@pytest.mark.parametrize("choice", EXTRAS)
def test_a_missing_package_is_told_with_the_extra_that_brings_it(choice, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    group, name = choice.split("=")
    with pytest.raises(ValueError, match=rf"{choice}: \w+ is not installed; pip install 'cgm\[{EXTRAS[choice][1]}\]'"):
        check_extras({"dataset": "digits", group: name})
    check_extras({"dataset": "digits", "logger": "none", "hydra/launcher": "basic", "experiment": None})


def test_threads_are_limited_and_as_before_afterwards():
    threads = torch.get_num_threads()
    numba.get_num_threads()  # starts numba's threads, which sets torch's
    torch.set_num_threads(threads)
    before = torch.get_num_threads(), numba.get_num_threads(), threadpool_info()
    with limited(1):
        assert (torch.get_num_threads(), numba.get_num_threads()) == (1, 1)
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    with limited(None):
        assert torch.get_num_threads() == before[0]
    assert (torch.get_num_threads(), numba.get_num_threads(), threadpool_info()) == before


@pytest.fixture
def run(tmp_path) -> Path:
    """The folder of a run of two parties, one of its values missing, and one figure."""

    correlation = {"mean": 0.5, "stderr": 0.1}
    result = {
        "scheme": {"v_star": 0.3, "rho": 1.0, "spread": 0.1},
        "downstream": [{"party": 0, "beta": 1.0, "accuracy": 0.9, "accuracy_before": 0.7}],
        "t": 10,
        "kernel": {"lengthscale": 2.0},
        "correlations": {"size": correlation},
        "beta_correlations": {"size": {"mean": None, "stderr": None}},
        "seconds": {"data": 1.5},
        "warnings": [],
        "settings": {"seed": 3, "kernel": {"class": "SquaredExponential", "lengthscale": "fit"}, "data_dir": None},
        "versions": versions(),
    }
    metrics = [(0, 1.0, "size", 12), (1, 0.5, "size", 7), (1, float("inf"), "neg_reverse_kl", None)]
    record = Record(result, metrics, {(0, 1.0): torch.arange(3)}, torch.zeros(10, 2))
    record.save(tmp_path / "run")
    import matplotlib.image
    import numpy as np

    matplotlib.image.imsave(tmp_path / "run/correlations.png", np.zeros((4, 6, 3)))
    return tmp_path / "run"


EXPECTED = {"size/party_1/beta_1": 12, "size/party_2/beta_0.5": 7}
NUMBERS = {"v_star": 0.3, "rho": 1, "spread": 0.1, "t": 10, "lengthscale": 2, "correlation_size": 0.5}
NUMBERS |= {"accuracy": 0.9, "accuracy_gain": 0.2, "seconds": 1.5, "warnings": 0}


def test_names_of_scalars(run):
    record = Record.load(run)
    assert dict(scalars(record)) == EXPECTED
    assert numbers_of(record) == pytest.approx({f"run/{name}": value for name, value in NUMBERS.items()})
    assert NoLogger().has(run)


@needs("tensorboard", "tensorboard")
def test_tensorboard_holds_the_run(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoard()
    assert not logger.has(run)
    logger.write(run)
    logger.write(run)  # once more, in its place
    assert logger.has(run)
    assert [path.name for path in run.iterdir() if "tensorboard" in path.name] == ["tensorboard"]
    assert len(list((run / "tensorboard").iterdir())) == 1

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    found = {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    expected = EXPECTED | {f"run/{name}": value for name, value in NUMBERS.items()}
    assert {tag: len(values) for tag, values in found.items()} == dict.fromkeys(expected, 1)
    assert {tag: values[0] for tag, values in found.items()} == pytest.approx(expected, rel=1e-6)
    (image,) = events.Images("correlations")
    assert (image.height, image.width) == (4, 6)
    (text,) = events.Tensors("settings/text_summary")
    assert json.loads(text.tensor_proto.string_val[0]) == Record.load(run).result["settings"]
    data = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"kernel.lengthscale" in data
    assert b"SquaredExponential" in data


@needs("mlflow", "mlflow")
def test_mlflow_holds_the_run(run, tmp_path):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    logger = MLflow(uri, "trial")
    assert not logger.has(run)
    logger.write(run)
    assert logger.has(run)
    client = MlflowClient(tracking_uri=uri)
    kept = client.get_run(json.loads((run / "mlflow.json").read_text())["run"])
    assert kept.info.status == "FINISHED"
    assert kept.data.metrics == pytest.approx(EXPECTED | {f"run/{name}": value for name, value in NUMBERS.items()})
    assert kept.data.params["kernel.lengthscale"] == "fit"
    names = {entry.path for entry in client.list_artifacts(kept.info.run_id)}
    assert names == {"correlations.png", "result.json", "metrics.csv"}


@needs("tensorboard", "tensorboard")
def test_a_tracker_and_threads_are_no_settings_of_a_run(cgm):
    arguments = [*SMALL, "downstream=none", "hydra.run.dir=run"]
    cgm(*arguments)
    assert not TensorBoard().has(Path("run"))
    out = cgm(*arguments, "logger=tensorboard", "threads=1")
    assert "skipped, for it is complete" in out
    assert TensorBoard().has(Path("run"))
    with pytest.raises(SystemExit, match="threads=0: expected a whole number from 1, or null"):
        cgm(*arguments, "threads=0")
