r"""The interface of experiment trackers, and what they keep: scalars for each party and $\beta$, figures, settings."""

from __future__ import annotations

import json
import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgm.records.headline import headline
from cgm.records.record import METRICS, RESULT, Record
from cgm.records.settings import flatten
from cgm.utils.files import write_whole
from cgm.utils.settings import Settings


class Logger(Settings, ABC):
    """Base class of experiment trackers.

    A tracker is a frozen dataclass of its settings with two methods, `has` and `write`. It reads the folder of a
    finished run, so that no number of the run depends on it.
    """

    section = "logger"

    @abstractmethod
    def has(self, folder: Path) -> bool:
        """Return whether the run in a folder has been written to the tracker.

        Arguments:
            folder: The folder of a finished run.
        """

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Write the run in a folder to the tracker; packages that are optional are imported here.

        Arguments:
            folder: The folder of a finished run.

        Raises:
            ImportError: If a package is not installed.
        """


def scalars(record: Record) -> Iterator[tuple[str, float]]:
    """Return the metrics of a run by names such as `neg_mmd2_unbiased/party_1/beta_0.5`; parties count from 1."""

    for row in record.metrics:
        if row.value is not None and math.isfinite(row.value):
            yield f"{row.metric}/party_{row.party + 1}/beta_{row.beta:g}", row.value


def headline_scalars(record: Record) -> dict[str, float]:
    """Return the headline numbers of a run by names such as `run/v_star`."""

    return {f"run/{name}": float(value) for name, value in headline(record.result).items() if value is not None}


def figures(folder: Path) -> list[Path]:
    """Return the paths of a run's figures."""

    return sorted(folder.glob("*.png"))


@dataclass(frozen=True)
class NoLogger(Logger):
    """No tracker."""

    def has(self, folder: Path) -> bool:
        """Return True: there is nothing to write."""

        return True

    def write(self, folder: Path) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class TensorBoard(Logger):
    r"""TensorBoard's event files, in `tensorboard/` in the folder of the run.

    There is a scalar `{metric}/party_{i}/beta_{β}` for each party, from 1, and $\beta$. The headline numbers are in the
    table of hyperparameters, next to the settings.
    """

    def has(self, folder: Path) -> bool:
        """Return whether there are event files of the run."""

        return (folder / "tensorboard").is_dir()

    def write(self, folder: Path) -> None:
        """Write the event files of the run, replacing earlier ones."""

        import matplotlib.image
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        record, part = Record.load(folder), folder / ".tensorboard"
        for old in (part, folder / "tensorboard"):
            shutil.rmtree(old, ignore_errors=True)
        with SummaryWriter(str(part)) as writer:
            for name, value in scalars(record):
                writer.add_scalar(name, value)
            for path in figures(folder):
                # the last of a pixel's four numbers is its opacity, which is the same everywhere
                writer.add_image(path.stem, matplotlib.image.imread(path)[:, :, :3], dataformats="HWC")
            settings = json.dumps(record.result.settings, indent=4)
            writer.add_text("settings", "    " + settings.replace("\n", "\n    "))  # indented: Markdown's code block
            texts = {name: _hyperparameter(value) for name, value in flatten(record.result.settings).items()}
            numbers = headline_scalars(record)
            for summary in hparams(texts, numbers):
                writer.file_writer.add_summary(summary)
            for name, value in numbers.items():
                writer.add_scalar(name, value)
        part.rename(folder / "tensorboard")  # complete or not at all


def _hyperparameter(value: Any) -> bool | int | float | str:
    """Return a setting as TensorBoard's table can show it: as text, unless it is a number, a bool or text."""

    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


MAX_METRICS, MAX_PARAMS = 500, 100  # of a request: MLflow's servers refuse larger ones


@dataclass(frozen=True)
class MLflow(Logger):
    """A run of MLflow, whose id is written to `mlflow.json` in the folder of the run.

    Runs that end at the same time on one machine write to a local database one after the other. Nothing is sent over
    the network unless `tracking_uri` is the address of a server.

    Arguments:
        tracking_uri: MLflow's store: `sqlite:///` and a file relative to the current folder, or a server.
        experiment: The name of MLflow's experiment.
    """

    tracking_uri: str = "sqlite:///outputs/mlflow.db"
    experiment: str = "cgm"

    def has(self, folder: Path) -> bool:
        """Return whether the run has been written to MLflow."""

        return (folder / "mlflow.json").is_file()

    def write(self, folder: Path) -> None:
        """Write the run to MLflow, as a further one if it has been written before."""

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
        numbers = [*scalars(record), *headline_scalars(record).items()]
        metrics = [Metric(name, value, 0, 0) for name, value in numbers]
        params = [Param(name, str(value)) for name, value in flatten(record.result.settings).items()]
        for k in range(0, len(metrics), MAX_METRICS):
            client.log_batch(run, metrics=metrics[k : k + MAX_METRICS])
        for k in range(0, len(params), MAX_PARAMS):
            client.log_batch(run, params=params[k : k + MAX_PARAMS])
        for path in (*figures(folder), folder / RESULT, folder / METRICS):
            client.log_artifact(run, str(path))
        client.set_terminated(run)
        identifier = {"tracking_uri": self.tracking_uri, "experiment": self.experiment, "run": run}
        write_whole(folder / "mlflow.json", json.dumps(identifier, indent=2).encode())
