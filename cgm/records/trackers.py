"""Hands finished runs to experiment trackers: scalars for each party and β, figures, settings."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import matplotlib.image

from cgm.records.collect import flatten, headline
from cgm.records.record import Record
from cgm.utils.files import write_whole


class Logger(Protocol):
    """What keeps a finished run for a tracker: it reads the run's folder, so that no number of a run depends on it."""

    def has(self, folder: Path) -> bool:
        """Tells whether the run in a folder has been kept."""

    def write(self, folder: Path) -> None:
        """Keeps the run in a folder."""


class NoLogger:
    """Keeps nothing."""

    def has(self, folder: Path) -> bool:
        """Tells that nothing is to be done."""

        return True

    def write(self, folder: Path) -> None:
        """Does nothing."""


class TensorBoard:
    """Writes TensorBoard's event files to `tensorboard/` in the run's folder.

    There is a scalar `{metric}/party_{i}/beta_{β}` for each party, from 1, and β; the headline numbers are in the
    table of hyperparameters, beside the settings.
    """

    def has(self, folder: Path) -> bool:
        """Tells whether the run in a folder has been kept."""

        return (folder / "tensorboard").is_dir()

    def write(self, folder: Path) -> None:
        """Keeps the run in a folder, anew if it has been kept."""

        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        record, part = Record.load(folder), folder / ".tensorboard"
        for old in (part, folder / "tensorboard"):
            shutil.rmtree(old, ignore_errors=True)
        with SummaryWriter(str(part)) as writer:
            for name, value in scalars(record):
                writer.add_scalar(name, value)
            for path in figures(folder):
                # of the pixels' four numbers, the last is how opaque they are, which figures are throughout
                writer.add_image(path.stem, matplotlib.image.imread(path)[:, :, :3], dataformats="HWC")
            settings = json.dumps(record.result.settings, indent=4)
            writer.add_text("settings", "    " + settings.replace("\n", "\n    "))  # indented: as it stands
            texts = {name: _hyperparameter(value) for name, value in flatten(record.result.settings).items()}
            numbers = numbers_of(record)
            for summary in hparams(texts, numbers):
                writer.file_writer.add_summary(summary)
            for name, value in numbers.items():
                writer.add_scalar(name, value)
        part.rename(folder / "tensorboard")  # whole or not at all


class MLflow:
    """Writes a run of MLflow, and its id to `mlflow.json` in the run's folder.

    Runs that end at the same time on one machine write to a local database one after the other. Nothing is sent to
    anybody, unless `tracking_uri` names a server.

    Arguments:
        tracking_uri: MLflow's store: `sqlite:///`, and a file relative to the current folder; or a server.
        experiment: The name of the experiment that the run belongs to.
    """

    def __init__(self, tracking_uri: str = "sqlite:///outputs/mlflow.db", experiment: str = "cgm") -> None:
        self.tracking_uri, self.experiment = tracking_uri, experiment

    def has(self, folder: Path) -> bool:
        """Tells whether the run in a folder has been kept."""

        return (folder / "mlflow.json").is_file()

    def write(self, folder: Path) -> None:
        """Keeps the run in a folder, once more if it has been kept."""

        from filelock import FileLock

        (folder / "mlflow.json").unlink(missing_ok=True)
        if not self.tracking_uri.startswith("sqlite:///"):
            self._write(folder, None)
            return
        database = Path(self.tracking_uri.removeprefix("sqlite:///")).resolve()
        database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{database}.lock"):
            self._write(folder, (database.parent / "mlartifacts").as_uri())

    def _write(self, folder: Path, artifacts: str | None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        record, client = Record.load(folder), MlflowClient(tracking_uri=self.tracking_uri)
        experiment = client.get_experiment_by_name(self.experiment)
        identity = experiment.experiment_id if experiment else client.create_experiment(self.experiment, artifacts)
        run = client.create_run(identity, run_name=folder.name, tags={"folder": str(folder.resolve())}).info.run_id
        metrics = [Metric(name, value, 0, 0) for name, value in [*scalars(record), *numbers_of(record).items()]]
        params = [Param(name, str(value)) for name, value in flatten(record.result.settings).items()]
        for k in range(0, len(metrics), 500):  # a server refuses more than a thousand at once
            client.log_batch(run, metrics=metrics[k : k + 500])
        for k in range(0, len(params), 100):
            client.log_batch(run, params=params[k : k + 100])
        for path in (*figures(folder), folder / "result.json", folder / "metrics.csv"):
            client.log_artifact(run, str(path))
        client.set_terminated(run)
        told = {"tracking_uri": self.tracking_uri, "experiment": self.experiment, "run": run}
        write_whole(folder / "mlflow.json", json.dumps(told, indent=2).encode())


def scalars(record: Record) -> Iterator[tuple[str, float]]:
    """Names each value of a run's `metrics.csv`, such as `neg_mmd2_unbiased/party_1/beta_0.5`; parties count from 1."""

    for party, beta, metric, value in record.metrics:
        if value is not None and math.isfinite(value):
            yield f"{metric}/party_{party + 1}/beta_{beta:g}", value


def numbers_of(record: Record) -> dict[str, float]:
    """Names a run's headline numbers, those of `runs.csv`: `run/v_star`, and so on."""

    return {f"run/{name}": float(value) for name, value in headline(record.result).items() if value is not None}


def figures(folder: Path) -> list[Path]:
    """Lists a run's figures."""

    return sorted(folder.glob("*.png"))


def _hyperparameter(value: Any) -> bool | int | float | str:
    """Leaves what TensorBoard's table can hold as it is, and writes the rest as text."""

    return value if isinstance(value, bool | int | float | str) else json.dumps(value)
