"""One job of the command line: an experiment that is run, or skipped if its folder holds its result already."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
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
from cgm.records.plain import NUMERICS, plain
from cgm.records.result import Result
from cgm.records.runs import check_files, read_run
from cgm.utils.files import locked, remove_parts, write_whole
from cgm.utils.threads import limited

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

    Arguments:
        folder: The folder of the run.
        configuration: The resolved settings of the job.
        experiment: The experiment that they describe.
    """

    try:
        result, _ = read_run(folder)
        check_files(folder)
        kept = json.loads((folder / "configuration.json").read_text(encoding="utf-8"))
        same = kept == plain(configuration) and result.settings == plain(experiment)
        same = same and result.versions.get("numerics") == str(NUMERICS)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if same else None
