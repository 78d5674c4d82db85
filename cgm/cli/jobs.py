"""One job of the command line: an experiment that is run, or skipped if its folder holds its result already."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
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
from cgm.records.headline import check_objective, objective_value
from cgm.records.record import CONFIGURATION, RESULT, check_run, read_run
from cgm.records.result import Result
from cgm.records.settings import flatten, union, with_metrics
from cgm.records.trackers import Logger
from cgm.utils.files import locked, remove_parts, write_whole
from cgm.utils.plain import NUMERICS, plain
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
        check_options({"logger": settings.get("logger")})
        logger = instantiate({"logger": settings.get("logger")}, _convert_="all")["logger"]
        job = cls(instantiate(configuration, _convert_="all"), logger, program, configuration)
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
                record = self.experiment.run(folder)
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

        if not (folder / RESULT).is_file():
            return None
        try:
            result, _ = read_run(folder)
            check_run(folder, result)
            if not (folder / CONFIGURATION).is_file():
                raise ValueError(f"no {CONFIGURATION}, although there is a {RESULT}")
            given = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
            # the settings of a class of the user that is no dataclass are those that were given
            old = with_metrics(result.settings), with_metrics(given)
            pairs = list(zip(old, (plain(self.experiment), plain(self.configuration)), strict=True))
            names = [name for old, new in pairs for name in _different(flatten(old), flatten(new))]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("damaged, runs again: %s", " ".join(str(error).split()))
            return None
        numerics = result.versions.get("numerics")
        if numerics != str(NUMERICS):
            log.warning("has a result of another version of cgm (numerics %s, now %s), runs again", numerics, NUMERICS)
        elif any(old != new for old, new in pairs):
            different = ", ".join(dict.fromkeys(names)) or "other classes"
            log.warning("has a result of other settings, runs again: %s", different)
        else:
            return result
        return None


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


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that are not the same."""

    return [name for name in union((old, new)) if name not in old or name not in new or old[name] != new[name]]


class LogFile(logging.FileHandler):
    """The log of a run, which no longer grows on a full disk, without a traceback for each message.

    Files with results raise an error if they cannot be written.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore that a message could not be written."""

        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)
