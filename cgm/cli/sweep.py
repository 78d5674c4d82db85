"""Sweeps: names of folders, progress, and the callback that writes the table.

`conf/config.yaml` refers to this module: importing it registers the resolvers of the names, which the processes of a
launcher need before they read their configuration.
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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cgm.cli.check import check_job, check_sweep
from cgm.cli.collect import write_page
from cgm.cli.errors import REFUSALS, explain
from cgm.cli.settings import OF_THE_PROGRAM, check_extras, check_launcher, digest, resolved_settings
from cgm.records.collect import TABLES, collect
from cgm.records.settings import canonical
from cgm.utils.files import Locked, locked, remove_parts, write_whole

STATES = ("running", "done", "skipped", "failed")

# conf/hydra/launcher has options of the same names as the launchers register. Hydra 1.3 merges the two; a later version
# will use ours alone, which gives the same result.
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")


def settings_digest(_root_: DictConfig) -> str:
    """Return the digest of a job's settings, which does not depend on how their values are written."""

    return digest(canonical(resolved_settings(_root_, _root_.hydra.overrides.task)))


def job_name(_root_: DictConfig) -> str:
    """Return the name of a job's folder, such as `mnist-unequal-mmd_gan-seed3-1a2b3c4d5e`."""

    choices = _root_.hydra.runtime.choices
    parts = [choices.get(group) for group in ("dataset", "split", "generator")]
    readable = "-".join(str(part) for part in (*parts, f"seed{_root_.get('seed')}") if part is not None)
    return f"{_clean(readable, max_length=80)}-{settings_digest(_root_)}"


def sweep_name(_root_: DictConfig) -> str:
    """Return the name of a sweep's folder, which depends on its overrides but not on their order.

    The name is computed once: Hydra copies the cache to the configurations of the jobs, which have other overrides.
    """

    cache = OmegaConf.get_cache(_root_)["cgm.sweep"]
    if "name" not in cache:
        cache["name"] = _name_of(sweep_overrides(_root_))
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
    return f"{_clean(readable, max_length=60) or 'sweep'}-{digest(canonical(choices))}"


def count_jobs(config: DictConfig) -> int | None:
    """Return the number of jobs of a sweep: combinations of its choices or trials of a search; `None` if unknown."""

    if not config.hydra.sweeper._target_.endswith("BasicSweeper"):
        return config.hydra.sweeper.get("n_trials")
    choices = {override.get_key_element(): override for override in sweep_overrides(config)}
    return math.prod(
        len(list(override.sweep_string_iterator())) for override in choices.values() if override.is_discrete_sweep()
    )


class Progress:
    """The states of a sweep's jobs, as files in its folder: jobs may run in other processes and on other machines.

    Arguments:
        folder: The folder of the sweep.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder) / ".progress"

    def start(self, jobs: int | None) -> None:
        """Start recording states, and delete those of an earlier sweep.

        Arguments:
            jobs: The number of jobs, `None` if it is unknown.
        """

        self.end()
        write_whole(self.folder / "sweep.json", json.dumps({"jobs": jobs, "begin": time.time()}).encode())

    def end(self) -> None:
        """Stop recording states, and delete them."""

        shutil.rmtree(self.folder, ignore_errors=True)

    def mark(self, job: int, state: str) -> None:
        """Record that a job is `running`, `done`, `skipped` or `failed`, if states are recorded."""

        if self.folder.is_dir():
            write_whole(self.folder / f"job-{job}", state.encode())

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state."""

        states = [path.read_text() for path in self.folder.glob("job-*")]
        return {state: states.count(state) for state in STATES}

    def line(self) -> str:
        """Return a line with the number of finished jobs and, where possible, an estimate of the remaining time."""

        counts = self.counts()
        try:
            sweep = json.loads((self.folder / "sweep.json").read_text())
        except OSError:  # states are not recorded
            return ""
        finished, run = sum(counts.values()) - counts["running"], counts["done"] + counts["failed"]
        of = "" if sweep["jobs"] is None else f" of {sweep['jobs']}"
        line = f"{finished}{of} jobs done ({counts['skipped']} skipped, {counts['failed']} failed)"
        if counts["running"]:
            line += f", {counts['running']} running"
        if run and sweep["jobs"] is not None and sweep["jobs"] > finished:
            line += f", about {_duration((time.time() - sweep['begin']) / run * (sweep['jobs'] - finished))} left"
        return line

    def watch(self, seconds: float = 1.0) -> None:
        """Print the line whenever a state changes, until states are no longer recorded.

        Arguments:
            seconds: The time between two checks.
        """

        last: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError):  # the files are deleted when the sweep ends
            while self.folder.is_dir():
                counts = self.counts()
                if counts != last and any(counts.values()):
                    print(self.line(), flush=True)
                    last = counts
                time.sleep(seconds)


class Sweep(Callback):
    """A callback of Hydra: checks settings before a run or a sweep; writes the table of a sweep.

    The program exits with status 1 if settings are invalid or a job failed. The folder of a sweep is locked while it
    runs.
    """

    def __init__(self) -> None:
        self._lock = contextlib.ExitStack()

    def __reduce__(self) -> tuple[type[Sweep], tuple[()]]:
        """Leave the lock in this process when launchers send the callback to others."""

        return Sweep, ()

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the settings of a single run, before its folder is created."""

        hydra = config.hydra
        with _refusing():
            check_job(config, hydra.overrides.task, hydra.runtime.choices)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the settings of the sweep and start its progress, before the first job."""

        folder = Path(config.hydra.sweep.dir)
        with _refusing():
            check_extras(config.hydra.runtime.choices)
            check_launcher(config)
            check_sweep(config, sweep_overrides(config), GlobalHydra.instance().config_loader())
            if config.hydra.sweeper._target_.endswith("cgm_optuna.OptunaSweeper"):
                from hydra_plugins.cgm_optuna import search_space

                instantiate(config.hydra.sweeper)
                search_space(config)
        try:
            self._lock.enter_context(locked(folder / ".sweep.lock"))
            remove_parts(folder, folder / "figures")
            progress = Progress(folder)
            progress.start(count_jobs(config))
        except Locked as error:
            sys.exit(f"cgm: error: {error}; wait for that sweep, or name another folder: hydra.sweep.dir=FOLDER")
        except OSError as error:  # Hydra would turn it into a warning
            sys.exit(f"cgm: error: {error}")
        if "submitit" in config.hydra.launcher._target_:  # jobs print to files of their own
            threading.Thread(target=progress.watch, daemon=True).start()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the tables of the sweep, its figures and page unless `figures` is false, and print its summary."""

        folder = Path(config.hydra.sweep.dir)
        progress = Progress(folder)
        counts = progress.counts()
        progress.end()
        logging.getLogger("fontTools").setLevel(logging.WARNING)  # lists the glyphs of each PDF
        try:
            table = collect(folder)
            written = [*TABLES, *(write_page(table, folder) if config.get("figures", True) else ())]
        except Exception as error:  # Hydra would turn it into a warning
            sys.exit(f"cgm: error: the tables and the page of the sweep could not be written: {error}")
        finally:
            self._lock.close()
        jobs = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state] or state == "done")
        print(f"\n{table.console_summary()}\n\n{jobs}\n{folder.resolve()}: {', '.join(written)}")
        if counts["failed"] or counts["running"]:
            sys.exit(1)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """End the program with one line if settings are invalid: Hydra would turn other exceptions into warnings."""

    try:
        yield
    except REFUSALS as error:
        raise SystemExit(f"cgm: error: {explain(error)}") from error


def sweep_overrides(config: DictConfig) -> list[Override]:
    """Return the overrides of a sweep, parsed: those in the sweeper's `params`, then those of the command line."""

    params = config.hydra.sweeper.get("params") or {}
    lines = [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]
    return OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(lines)


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if override.is_discrete_sweep():
        return sorted(set(override.sweep_string_iterator()))
    return [override.get_value_string()]


def _clean(name: str, max_length: int) -> str:
    """Return a name of a folder that needs no quotes in a shell or in an override."""

    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)[:max_length].strip("._-")


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


OmegaConf.register_new_resolver("cgm.sweep", sweep_name, replace=True)
OmegaConf.register_new_resolver("cgm.job", job_name, replace=True)
OmegaConf.register_new_resolver("cgm.settings", settings_digest, replace=True)
