"""One job of the command line: an experiment that is run, or skipped if its folder holds its result already."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cgm.cli.errors import REFUSALS, explain, reason, write_error
from cgm.cli.settings import check_extras, check_program, own_settings, resolved_settings, thread_limit
from cgm.cli.sweep import Progress
from cgm.cli.targets import check_targets
from cgm.records.headline import objective_value
from cgm.records.record import CONFIGURATION, RESULT, check_run, read_run
from cgm.records.result import Result
from cgm.records.settings import flatten, union
from cgm.utils.files import locked, remove_parts, write_whole
from cgm.utils.plain import NUMERICS, plain
from cgm.utils.run import limited

log = logging.getLogger("cgm")


def run(config: DictConfig) -> float | None:
    """Run the experiment of a configuration, unless its folder is complete.

    A failure is written to `error.json`. In a sweep it is logged, and the sweep continues; elsewhere it ends the
    program.

    Returns:
        The number that `objective` names, for sweepers; NaN if the job failed.
    """

    job = HydraConfig.get()
    folder, overrides = Path(job.runtime.output_dir), list(job.overrides.task)
    in_sweep = not OmegaConf.is_missing(job.job, "num")
    progress = Progress(job.sweep.dir) if in_sweep else None
    objective: float | None = math.nan
    state = "failed"
    try:
        if progress:
            progress.mark(job.job.num, "running")
        check_extras(job.runtime.choices)
        with locked(folder / ".lock", lambda: log.warning("waiting for another process that runs %s", folder)):
            remove_parts(folder)
            state, objective = resume(config, folder, overrides, thread_limit(config))
    except Exception as error:
        write_error(folder, overrides, error)
        if not in_sweep:
            if isinstance(error, REFUSALS):
                raise SystemExit(f"cgm: error: {explain(error)}") from error
            raise
        log.error("failed: %s", reason(error))

    if progress:
        progress.mark(job.job.num, state)
        print(progress.line(), flush=True)
    return objective


def resume(
    config: DictConfig, folder: Path, overrides: Sequence[str], threads: int | None = None
) -> tuple[str, float | None]:
    """Run a job, or skip it if its folder is complete.

    Arguments:
        config: The whole configuration.
        folder: The folder of the run.
        overrides: The overrides of the job.
        threads: The maximum number of threads. No limit, if `None`.

    Returns:
        `"done"` or `"skipped"`, and the value of the objective.
    """

    configuration = resolved_settings(config, overrides)
    (folder / "error.json").unlink(missing_ok=True)
    force, objective = config.get("force", False), config.get("objective")
    check_program(config)
    own = own_settings(config, overrides)
    check_targets(own)
    check_targets(config.logger, "logger")
    experiment = instantiate(own, _convert_="all")
    logger = instantiate(config.logger, _convert_="all")

    result = None if force else read_complete(folder, configuration, experiment)
    if result is None:
        state = "done"
        (folder / "result.json").unlink(missing_ok=True)  # first: an old result must not pass for one of new settings
        write_whole(folder / "configuration.json", json.dumps(plain(configuration), indent=2).encode())
        with limited(threads):
            record = experiment.run(folder)
        result = record.result
        print(f"\n{record.table()}\n{folder}")
    else:
        state = "skipped"
        print(f"skipped, already complete (force=true runs it again): {folder}")
    if state == "done" or not logger.has(folder):
        logger.write(folder)

    return state, None if objective is None else objective_value(result, str(objective))


def read_complete(folder: Path, configuration: dict[str, Any], experiment: Any) -> Result | None:
    """Read the result in a folder, if it is complete and of the same settings and numerics of cgm.

    The reason why a result is not used is logged.

    Arguments:
        folder: The folder of the run.
        configuration: The resolved settings of the job.
        experiment: The experiment that they describe.
    """

    if not (folder / RESULT).is_file():
        return None
    try:
        result, _ = read_run(folder)
        check_run(folder, result)
        if not (folder / CONFIGURATION).is_file():
            raise ValueError(f"no {CONFIGURATION}, although there is a {RESULT}")
        kept = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
        pairs = ((kept, plain(configuration)), (result.settings, plain(experiment)))
        is_same = all(old == new for old, new in pairs)
        names = [name for old, new in pairs for name in _different(flatten(old), flatten(new))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("damaged, runs again: %s", " ".join(str(error).split()))
        return None
    numerics = result.versions.get("numerics")
    if numerics != str(NUMERICS):
        log.warning("has a result of another version of cgm (numerics %s, now %s), runs again", numerics, NUMERICS)
    elif not is_same:
        different = ", ".join(dict.fromkeys(names)) or "other classes"
        log.warning("has a result of other settings, runs again: %s", different)
    else:
        return result
    return None


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that are not the same."""

    return [name for name in union((old, new)) if name not in old or name not in new or old[name] != new[name]]
