"""MLflow."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from cgm.records.record import Record
from cgm.records.runs import METRICS, RESULT
from cgm.records.settings import flatten
from cgm.records.trackers.base import Logger, figures, headline_scalars, scalars
from cgm.utils.checks import check_text
from cgm.utils.files import write_whole

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

    def __post_init__(self) -> None:
        check_text("logger.tracking_uri", self.tracking_uri)
        check_text("logger.experiment", self.experiment)

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
