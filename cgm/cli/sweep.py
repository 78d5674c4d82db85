"""Names, counts and sums up the jobs of a sweep: what `conf/config.yaml` tells Hydra to call.

Beside `__main__`, the only module that knows Hydra. It is one of its own because a launcher's processes have to import
it, and so register the names of folders, before they know what to run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from cgm.cli.settings import OF_THE_PROGRAM, check_extras, digest, settings_of
from cgm.records.collect import TABLES, canonical, check_number, collect
from cgm.utils.files import write_whole

log = logging.getLogger("cgm")

# conf/hydra/launcher fills in configurations of the launchers' own, by the same names; later versions of Hydra take it
# in their place, which is as good
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
STATES = ("running", "done", "skipped", "failed")


def settings_digest(_root_: DictConfig) -> str:
    """Shortens a job's settings: the same settings, the same digits, however they were spelt."""

    return digest(canonical(settings_of(_root_, _root_.hydra.overrides.task)))


def job_name(_root_: DictConfig) -> str:
    """Names a job after its settings, such as `mnist-unequal-mmd_gan-seed3-1a2b3c4d5e`."""

    choices = _root_.hydra.runtime.choices
    parts = [choices.get(group) for group in ("dataset", "split", "generator")]
    readable = "-".join(str(part) for part in (*parts, f"seed{_root_.get('seed')}") if part is not None)
    return f"{_clean(readable, 80)}-{settings_digest(_root_)}"


def sweep_name(_root_: DictConfig) -> str:
    """Names a sweep after its overrides, in whatever order: the same sweep, the same folder.

    The name is found once. Hydra hands the cache on to the configurations of the jobs, whose own overrides are others.
    """

    cache = OmegaConf.get_cache(_root_)["cgm.sweep"]
    if "name" not in cache:
        cache["name"] = _name_of(asked_for(_root_))
    return cache["name"]


def _name_of(overrides: Sequence[Override]) -> str:
    choices = {}
    for override in overrides:
        key = override.get_key_element()
        if re.split("[./]", key.lstrip("+~"))[0] not in OF_THE_PROGRAM:
            choices[key] = _values(override)
    several = {key: values for key, values in choices.items() if len(values) > 1} or choices
    readable = "-".join(
        f"{re.split('[./]', key)[-1]}_{'_'.join(values)}".rstrip("_") for key, values in sorted(several.items())
    )
    return f"{_clean(readable, 60) or 'sweep'}-{digest(canonical(choices))}"


def count_jobs(config: DictConfig) -> int | None:
    """Counts the jobs of a sweep: the product of its choices, or the trials of a search; `None` if nobody knows."""

    if not config.hydra.sweeper._target_.endswith("BasicSweeper"):
        return config.hydra.sweeper.get("n_trials")
    choices = {override.get_key_element(): override for override in asked_for(config)}
    return math.prod(
        len(list(override.sweep_string_iterator())) for override in choices.values() if override.is_discrete_sweep()
    )


class Progress:
    """Counts a sweep's jobs by files in its folder, for they may run in other processes and on other machines.

    Arguments:
        folder: The sweep's folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder) / ".progress"

    def start(self, jobs: int | None) -> None:
        """Forgets an earlier sweep, and begins to count."""

        self.end()
        write_whole(self.folder / "sweep.json", json.dumps({"jobs": jobs, "begin": time.time()}).encode())

    def end(self) -> None:
        """Leaves nothing behind."""

        shutil.rmtree(self.folder, ignore_errors=True)

    def mark(self, job: int, state: str) -> None:
        """Tells that a job is `running`, `done`, `skipped` or `failed`."""

        if self.folder.is_dir():
            write_whole(self.folder / f"job-{job}", state.encode())

    def counts(self) -> dict[str, int]:
        """Counts the jobs in each state."""

        states = [path.read_text() for path in self.folder.glob("job-*")]
        return {state: states.count(state) for state in STATES}

    def line(self) -> str:
        """Tells how many jobs are done, and how long the others may take, if that can be known."""

        counts = self.counts()
        try:
            sweep = json.loads((self.folder / "sweep.json").read_text())
        except OSError:  # nobody counts
            return ""
        over, worked = sum(counts.values()) - counts["running"], counts["done"] + counts["failed"]
        of = "" if sweep["jobs"] is None else f" of {sweep['jobs']}"
        line = f"{over}{of} jobs done ({counts['skipped']} skipped, {counts['failed']} failed)"
        if counts["running"]:
            line += f", {counts['running']} running"
        if worked and sweep["jobs"] is not None and sweep["jobs"] > over:
            line += f", about {_duration((time.time() - sweep['begin']) / worked * (sweep['jobs'] - over))} left"
        return line

    def watch(self, seconds: float = 1.0) -> None:
        """Prints how many jobs are done whenever that changes, until nobody counts any more."""

        told: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError):  # the files go when the sweep ends
            while self.folder.is_dir():
                counts = self.counts()
                if counts != told and any(counts.values()):
                    print(self.line(), flush=True)
                    told = counts
                time.sleep(seconds)


class Sweep(Callback):
    """Begins to count when a sweep begins; when it ends, writes its table, and exits with status 1 if a job failed."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Is called by Hydra before the first job."""

        try:
            check_extras(config.hydra.runtime.choices)
            if config.get("objective") is not None:  # no job can have it: refused once, not by each
                check_number(str(config.objective))
        except ValueError as error:
            sys.exit(f"cgm: error: {error}")
        progress = Progress(config.hydra.sweep.dir)
        progress.start(count_jobs(config))
        if "submitit" in config.hydra.launcher._target_:  # whose jobs print to files of their own
            threading.Thread(target=progress.watch, daemon=True).start()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Is called by Hydra after the last job."""

        folder = Path(config.hydra.sweep.dir)
        progress = Progress(folder)
        counts = progress.counts()
        progress.end()
        try:
            table = collect(folder)
        except Exception as error:  # which Hydra would make a mere warning
            sys.exit(f"cgm: error: the sweep's table could not be written: {error}")
        jobs = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state] or state == "done")
        print(f"\n{table.brief()}\n\n{jobs}\n{folder.resolve()}: {', '.join(TABLES)}")
        if counts["failed"] or counts["running"]:
            sys.exit(1)


def asked_for(config: DictConfig) -> list[Override]:
    """Parses what a sweep was asked for: by the configuration of the sweeper, and on the command line."""

    params = config.hydra.sweeper.get("params") or {}
    lines = [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]
    return OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(lines)


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if override.is_discrete_sweep():
        return sorted(set(override.sweep_string_iterator()))
    return [override.get_value_string()]


def _clean(name: str, most: int) -> str:
    """Makes a name of a folder that needs no quotes in a shell, nor in an override."""

    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)[:most].strip("._-")


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


OmegaConf.register_new_resolver("cgm.sweep", sweep_name, replace=True)
OmegaConf.register_new_resolver("cgm.job", job_name, replace=True)
OmegaConf.register_new_resolver("cgm.settings", settings_digest, replace=True)
