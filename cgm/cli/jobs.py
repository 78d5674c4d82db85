"""Composes an experiment by Hydra, and runs it: `cgm` and `python -m cgm`."""

import json
import logging
import math
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cgm.cli.settings import check_extras, own_settings, settings_of, threads_of
from cgm.cli.sweep import Progress
from cgm.records.collect import check_number, number, read_run
from cgm.records.result import Result
from cgm.utils.files import write_whole

log = logging.getLogger("cgm")

REFUSALS = (ValueError, OSError, InstantiationException, OmegaConfBaseException)  # what one line can explain


def run(config: DictConfig) -> float | None:
    """Runs the experiment that a configuration describes, unless its folder holds just that already.

    A failure is kept in `error.json`. In a sweep it is told, and the sweep goes on; else it ends the program.

    Returns:
        The number that `objective` names, for sweepers; NaN if there is none.
    """

    job = HydraConfig.get()
    folder, overrides = Path(job.runtime.output_dir), list(job.overrides.task)
    in_sweep = not OmegaConf.is_missing(job.job, "num")
    progress = Progress(job.sweep.dir) if in_sweep else None
    state = "failed"
    try:
        if progress:
            progress.mark(job.job.num, "running")
        check_extras(job.runtime.choices)
        state, objective = resume(config, folder, overrides, threads_of(config))
    except Exception as error:
        write_error(folder, overrides, error)
        if not in_sweep:
            if not isinstance(error, REFUSALS) or os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
            sys.exit(f"cgm: error: {explain(error)}")
        log.error("failed: %s", reason(error))
        objective = math.nan

    if progress:
        progress.mark(job.job.num, state)
        print(progress.line(), flush=True)
    return objective


def resume(
    config: DictConfig, folder: Path, overrides: Sequence[str], threads: int | None = None
) -> tuple[str, float | None]:
    """Runs a job, by so many threads, or skips it, and gives `"done"` or `"skipped"` and its objective."""

    configuration = settings_of(config, overrides)
    (folder / "error.json").unlink(missing_ok=True)
    force, objective = config.get("force", False), config.get("objective")
    if not isinstance(force, bool):
        raise ValueError(f"force={force}: expected true or false")
    if objective is not None:
        check_number(str(objective))
    own = own_settings(config, overrides)
    experiment = hydra.utils.instantiate(own, _convert_="all")  # imports torch: late, so that --help is quick
    logger = hydra.utils.instantiate(config.logger, _convert_="all")

    from cgm.records.plain import plain
    from cgm.utils.threads import limited

    result = None if force else complete(folder, configuration, experiment)
    if result is None:
        (folder / "result.json").unlink(missing_ok=True)  # first: what is left must not pass for the new settings'
        write_whole(folder / "configuration.json", json.dumps(plain(configuration), indent=2).encode())
        with limited(threads):
            record = experiment.run(folder)
        result = record.result
        print(f"\n{record.table()}\n{folder}")
        state = "done"
    else:
        print(f"skipped, for it is complete (force=true runs it anew): {folder}")
        state = "skipped"
    if state == "done" or not logger.has(folder):
        logger.write(folder)

    return state, None if objective is None else number(result, str(objective))


def complete(folder: Path, configuration: dict[str, Any], experiment: Any) -> Result | None:
    """Reads the result in a folder, if it is whole and of these settings and this version of cgm's numerics."""

    from cgm.records.plain import plain, versions

    try:
        result, _ = read_run(folder)
        kept = json.loads((folder / "configuration.json").read_text(encoding="utf-8"))
        same = kept == plain(configuration) and result.settings == plain(experiment)
        now = versions()
        same = same and all(result.versions.get(name) == now[name] for name in ("cgm", "numerics"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if same else None


def write_error(folder: Path, overrides: Sequence[str], error: Exception) -> None:
    """Keeps in `error.json` what a job was asked for, what was wrong with it, and where in the code."""

    what = {
        "overrides": list(overrides),
        "message": reason(error),
        "traceback": "".join(traceback.format_exception(error)),
    }
    write_whole(folder / "error.json", json.dumps(what, indent=2, ensure_ascii=False).encode())


def explain(error: Exception) -> str:
    """Says in one line what was wrong and in which group, rather than where in the code it was noticed."""

    key = re.search(r"^\s*full_key: (\S+)$", str(error), re.M)
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(re.sub(r"^\s*(full_key: |object_type=).*$", "", str(error), flags=re.M).split())
    return text if key is None or key[1] in text else f"{text} (in {key[1]})"


def reason(error: Exception) -> str:
    """Says in one line what was wrong, and of which kind it is if cgm did not foresee it."""

    return explain(error) if isinstance(error, REFUSALS) else f"{type(error).__name__}: {explain(error)}"
