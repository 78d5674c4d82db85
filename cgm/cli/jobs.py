"""One job of the command line: an experiment that is run, or skipped if its folder holds its result already."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from cgm.cli.errors import write_error
from cgm.cli.settings import OF_THE_PROGRAM, Program, check_extras, resolve, share_of_threads, task_overrides
from cgm.cli.targets import check_options, check_targets
from cgm.experiment import Experiment
from cgm.networks.training import seeded
from cgm.records.earlier import find_earlier
from cgm.records.headline import check_objective, objective_value
from cgm.records.record import CONFIGURATION, RESULT
from cgm.records.result import Result
from cgm.records.trackers import Logger
from cgm.utils.files import locked, remove_parts, write_whole
from cgm.utils.plain import plain
from cgm.utils.run import limited
from cgm.utils.text import printable, printable_lines

log = logging.getLogger("cgm")


@dataclass(frozen=True)
class Job:
    """An experiment, constructed from a configuration.

    Attributes:
        experiment: The experiment.
        logger: The tracker of its record.
        program: The settings of the program.
        configuration: The resolved settings of the experiment, as they are given.
    """

    experiment: Experiment
    logger: Logger | None
    program: Program
    configuration: dict[str, Any]

    @classmethod
    def construct(cls, config: DictConfig, overrides: Sequence[str] = ()) -> Job:
        """Construct the job of a configuration.

        Raises:
            ValueError, HydraException, OmegaConfBaseException: If a setting is invalid; the message names it.
        """

        settings = resolve(config, overrides)
        if "metric=[]" in overrides:  # Hydra composes no section of it, and the default would be measured
            raise ValueError("metric=[]: expected names of metrics; for none at all, metric=none")
        program = Program(**{name: settings[name] for name in ("threads", "force", "objective") if name in settings})
        configuration = {name: value for name, value in settings.items() if name not in OF_THE_PROGRAM}
        check_targets(settings)
        check_options(configuration)
        check_options({name: settings.get(name) for name in ("logger", "engine")})
        logger = instantiate({"logger": settings.get("logger")}, _convert_="all")["logger"]
        engine = {"engine": settings["engine"]} if "engine" in settings else {}
        with seeded(0):  # a network of the user may have weights at random
            experiment = instantiate({**configuration, **engine}, _convert_="all")
        job = cls(experiment, logger, program, configuration)
        job.experiment.engine.check_package()
        if program.objective is not None:
            chosen = any(override.startswith("objective=") for override in overrides)  # the default may be unmeasured
            correlated = job.experiment.correlated if chosen else None
            check_objective(program.objective, job.experiment.downstream.scores, correlated)
        return job

    def run(self, folder: Path, threads: int | None = None) -> tuple[str, float | None]:
        """Run the experiment, or skip it if its folder is complete.

        Arguments:
            folder: The folder of the run.
            threads: The maximum number of threads, if the program's settings have none.

        Returns:
            `"done"` or `"skipped"`, and the value of the objective.
        """

        (folder / "error.json").unlink(missing_ok=True)
        result = None if self.program.force else self.read(folder)
        state = "done" if result is None else "skipped"
        if result is None:
            (folder / RESULT).unlink(missing_ok=True)  # first: an old result must not pass for one of new settings
            write_whole(folder / CONFIGURATION, json.dumps(plain(self.configuration), indent=2).encode())
            with limited(self.program.threads or threads):
                record = self.experiment.run_anew(folder)
            result = record.result
            print(printable_lines(f"\n{record.table()}\n{folder}"))
        else:
            print(printable(f"skipped, already complete (force=true runs it again): {folder}"))
        if self.logger is not None and (state == "done" or not self.logger.has(folder)):
            self.logger.write(folder)

        objective = self.program.objective
        return state, None if objective is None else objective_value(result, objective)

    def read(self, folder: Path) -> Result | None:
        """Read the result in a folder, if it is complete and of the same settings and numerics of cgm.

        The reason why a result is not used is logged.
        """

        earlier = find_earlier(folder, plain(self.experiment), plain(self.configuration))
        if earlier.problem:
            log.warning("%s", earlier.problem)
        return earlier.result


def prepare(config: DictConfig) -> Callable[[], float | None]:
    """Construct the job of a single run, before its folder is created; return what runs it.

    A failure is written to `error.json`.
    """

    check_extras(config.hydra.runtime.choices)
    job = Job.construct(config, task_overrides(config.hydra))

    def work() -> float | None:
        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        try:
            return run_alone(job, folder)[1]
        except Exception as error:
            write_error(folder, task_overrides(hydra), error)
            raise

    return work


def run_alone(job: Job, folder: Path) -> tuple[str, float | None]:
    """Run a job in a folder that no other process uses at the same time."""

    with locked(folder / ".lock", partial(log.warning, "waiting for another process that runs %s", folder)):
        remove_parts(folder)
        return job.run(folder, share_of_threads())


class LogFile(logging.FileHandler):
    """The log of a run, which no longer grows on a full disk, without a traceback for each message.

    Files with results raise an error if they cannot be written.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore that a message could not be written."""

        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)
