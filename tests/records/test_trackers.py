"""Tests of trackers: what they keep of a finished run."""

import importlib.util
import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from cgm.evaluation.entries import MetricRow
from cgm.records.record import Record
from cgm.records.trackers import MLflow, NoLogger, TensorBoard, headline_scalars, scalars
from cgm.rewards.schemes.base import Rewards
from tests.records.results import alpha_correlation, beta_correlation, make_record, make_result, make_rewards
from tests.scores import accuracies

EXPECTED = {"size/party_1/beta_1": 12, "size/party_2/beta_0.5": 7}
NUMBERS = {"v_star": 0.3, "rho": 1, "spread": 0.1, "t": 10, "lengthscale": 0.25, "correlation_size": 0.5}
NUMBERS |= {"accuracy": 0.9, "accuracy_gain": 0.2, "seconds": 1.5, "warnings": 1}


def needs(module: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f'{module} is not installed: pip install ".[{module}]"')


def save(folder: Path, scheme: Rewards) -> None:
    """Save a run of two parties, one of its values missing, with one figure."""

    result = make_result(
        2,
        scheme=scheme,
        t=10,
        correlations={"size": alpha_correlation(0.5)},
        beta_correlations={"size": beta_correlation(None)},
        downstream=[accuracies(0, 1.0, 0.9, 0.7, None)],
        settings={"seed": 3, "kernel": {"class": "SquaredExponential", "lengthscale": "fit"}, "data_dir": None},
    )
    metrics = [
        MetricRow(0, 1.0, "size", 12),
        MetricRow(1, 0.5, "size", 7),
        MetricRow(1, float("inf"), "neg_reverse_kl", None),
    ]
    make_record(result, metrics).save(folder)
    matplotlib.image.imsave(folder / "correlations.png", np.zeros((4, 6, 3)))


@pytest.fixture
def run(tmp_path) -> Path:
    save(tmp_path / "run", make_rewards([0.3, 0.2], v_star=0.3, rho=1.0))
    return tmp_path / "run"


def test_names_of_scalars(run):
    record = Record.load(run)
    assert dict(scalars(record)) == EXPECTED
    assert headline_scalars(record) == pytest.approx({f"run/{name}": value for name, value in NUMBERS.items()})


def test_numbers_that_a_scheme_does_not_have_are_left_out(tmp_path):
    save(tmp_path, make_rewards([0.3, 0.2]))
    assert set(headline_scalars(Record.load(tmp_path))) == {f"run/{name}" for name in NUMBERS} - {
        "run/v_star",
        "run/rho",
    }


def test_no_logger(run):
    before = sorted(run.iterdir())
    assert NoLogger().has(run)
    NoLogger().write(run)
    assert sorted(run.iterdir()) == before


@needs("tensorboard")
def test_tensorboard_keeps_the_run(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoard()
    assert not logger.has(run)
    logger.write(run)
    logger.write(run)  # replaces the first
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
    assert json.loads(text.tensor_proto.string_val[0]) == Record.load(run).result.settings
    data = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"kernel.lengthscale" in data
    assert b"SquaredExponential" in data


@needs("mlflow")
def test_mlflow_keeps_the_run(run, tmp_path):
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
