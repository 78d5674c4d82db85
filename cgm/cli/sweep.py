"""Sweeps: names of folders, the check before the first job, progress, and the tables at the end.

`cgm.cli.main` and the task that launchers send to other processes are here, so importing this module registers the
resolvers of the names that `conf/config.yaml` refers to.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import re
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cgm.cli.errors import REFUSALS, reason, write_error
from cgm.cli.jobs import Job, run_alone
from cgm.cli.settings import OF_THE_PROGRAM, check_extras, check_launcher, resolve, task_overrides
from cgm.cli.targets import not_searching_here
from cgm.records.collect import TABLES, collect
from cgm.records.headline import check_objective
from cgm.records.settings import canonical
from cgm.utils.choices import target_of
from cgm.utils.files import Locked, locked, remove_parts, write_whole
from cgm.utils.plain import snake
from cgm.utils.text import printable_lines

log = logging.getLogger("cgm")

MAX_VALUES = 12  # of each setting of a sweep, which are tried before its first job
MAX_OTHERS = 10  # jobs that are tried in addition if values are invalid together
STATES = ("running", "done", "skipped", "failed")

# conf/hydra/launcher has options of the same names as the launchers register. Hydra 1.3 merges the two; a later version
# will use ours alone, which gives the same result.
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")


def settings_digest(_root_: DictConfig) -> str:
    """Return the digest of a job's settings, which does not depend on how their values are written."""

    overrides = task_overrides(_root_.hydra)
    try:
        settings: Any = resolve(_root_, overrides)
    except OmegaConfBaseException:  # a reference to nothing, which the job reports
        settings = {"overrides": sorted(overrides)}
    return _digest({name: value for name, value in settings.items() if name not in OF_THE_PROGRAM})


def job_name(_root_: DictConfig) -> str:
    """Return the name of a job's folder, such as `mnist-unequal-mmd_gan-seed3-1a2b3c4d5e`."""

    parts = [_part_name(_root_, group) for group in ("dataset", "split", "generator")]
    readable = "-".join(str(part) for part in (*parts, f"seed{_root_.get('seed')}") if part is not None)
    return f"{_clean(readable, max_length=80)}-{settings_digest(_root_)}"


def _part_name(config: DictConfig, group: str) -> str | None:
    """Return the name of the choice of a group, or of the class that takes its place by `_target_`."""

    choice = config.hydra.runtime.choices.get(group)
    target = OmegaConf.select(config, f"{group}._target_")
    if target is None or choice is None or target == target_of(group, choice):
        return choice
    return _class_name(target)


def _class_name(target: str) -> str:
    return snake(target.rpartition(".")[2])


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
    parts = []
    for key, values in sorted(several.items()):
        *sections, name = re.split("[./]", key)
        if name == "_target_" and sections:  # the group, and the classes that take the place of its choice
            name, values = sections[-1], [_class_name(value) for value in values]
        parts.append(f"{name}_{'_'.join(values)}".rstrip("_"))
    readable = "-".join(parts)
    return f"{_clean(readable, max_length=60) or 'sweep'}-{_digest(choices)}"


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


def run_sweep(config: DictConfig, context: HydraContext) -> int:
    """Run the jobs of a sweep, and write its tables, its figures and its page.

    The folder of the sweep is locked meanwhile. If settings are invalid, nothing is written.

    Returns:
        The exit status: 1 if a job failed, 130 if the sweep was interrupted.

    Raises:
        ValueError, HydraException, OmegaConfBaseException: If settings are invalid; the message names one.
    """

    check_extras(config.hydra.runtime.choices)
    check_launcher(config)
    check_jobs(config, context)
    sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=run)
    folder = Path(config.hydra.sweep.dir).absolute()
    progress = Progress(folder)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / ".sweep.lock"))
        except Locked as error:
            raise Locked(f"{error}; wait for that sweep, or name another folder: hydra.sweep.dir=FOLDER") from None
        remove_parts(folder, folder / "figures")
        total = count_jobs(config)
        progress.start(total)
        stack.callback(progress.end)
        if "submitit" in config.hydra.launcher._target_:  # jobs print to files of their own
            threading.Thread(target=progress.watch, daemon=True).start()
        if not config.hydra.launcher._target_.endswith(".BasicLauncher"):
            stack.enter_context(not_searching_here())
        try:
            sweeper.sweep(arguments=task_overrides(config.hydra))
        except KeyboardInterrupt:
            counts = progress.counts()
            of = "" if total is None else f" of {total}"
            finished = sum(counts.values()) - counts["running"]
            print(f"\ninterrupted: {finished}{of} done; the same command goes on", file=sys.stderr)
            return 130

        counts = progress.counts()
        logging.getLogger("fontTools").setLevel(logging.WARNING)  # lists the glyphs of each PDF
        print(printable_lines(f"\n{write_tables(folder, config.get('figures', True), counts)}"))
        return int(bool(counts["failed"] or counts["running"]))


def write_tables(folder: Path, figures: bool, counts: Mapping[str, int]) -> str:
    """Write the tables of a sweep, with its figures and its page if they are wanted; return the summary."""

    from cgm.records.sweep.page import write_page  # imports matplotlib

    try:
        table = collect(folder)
        written = [*TABLES, *(write_page(table, folder) if figures else ())]
    except Exception as error:
        raise ValueError(f"the tables and the page of the sweep could not be written: {error}") from error
    jobs = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state] or state == "done")
    return f"{table.console_summary()}\n\n{jobs}\n{folder}: {', '.join(written)}"


def run(config: DictConfig) -> float | None:
    """Run a job of a sweep. A failure is written to `error.json` and logged, and the sweep continues.

    Returns:
        The number that `objective` names, for sweepers; NaN if the job failed.
    """

    hydra = HydraConfig.get()
    folder, overrides = Path(hydra.runtime.output_dir), task_overrides(hydra)
    progress = Progress(Path(hydra.runtime.cwd, hydra.sweep.dir))  # a job may run in another working directory
    state: str = "failed"
    objective: float | None = math.nan
    try:
        progress.mark(hydra.job.num, "running")
        state, objective = run_alone(Job.construct(config, overrides), folder)
    except Exception as error:
        write_error(folder, overrides, error)
        log.error("failed: %s", reason(error))
    progress.mark(hydra.job.num, state)
    print(progress.line(), flush=True)
    return objective


def check_jobs(config: DictConfig, context: HydraContext) -> None:
    """Construct the experiments of some jobs of a sweep: of up to `MAX_VALUES` values of a setting, each is in one.

    A value is refused if all jobs with it are invalid. If it is valid with some other values only, such as a source of
    copies that must not be the attacker, the sweep runs, and its invalid jobs fail.

    Raises:
        ValueError, HydraException, OmegaConfBaseException: If a value is refused; the message names it.
    """

    is_search = not config.hydra.sweeper._target_.endswith("BasicSweeper")
    by_key = {override.get_key_element(): _values_of(override) for override in sweep_overrides(config)}
    values = [choices for choices in by_key.values() if choices]
    valid: set[str] = set()
    errors: dict[str, Exception] = {}
    folders: dict[str, dict[str, Any]] = {}
    given: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    apart = [] if "${cgm.job:" in str(given["subdir"]) else _neighbours(values)  # names of folders of the user's own
    for number, job in enumerate([*_some_jobs(values), *apart]):
        if number and valid.issuperset(job) and job not in apart:
            continue
        try:
            composed = context.config_loader.load_sweep_config(config, list(job))
            constructed = Job.construct(composed, job)
            objective = constructed.program.objective
            if is_search and objective is not None:
                check_objective(objective, constructed.experiment.downstream.scores, constructed.experiment.correlated)
            settings = constructed.configuration
        except REFUSALS as error:
            errors |= {value: error for value in ("", *job) if value not in errors}
            continue
        valid.update(("", *job))
        composed.hydra.job.num, composed.hydra.job.id = number, str(number)
        name = composed.hydra.sweep.subdir
        if folders.setdefault(name, settings) != settings:
            raise ValueError(f"hydra.sweep.subdir={name}: jobs of different settings would have the same folder")
    for value in ("", *(value for choices in sorted(values, key=len) for value in choices)):
        if value in errors.keys() - valid:
            raise errors[value]


def _some_jobs(values: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the overrides of some jobs: first so many that each value is in one, then others of the same values."""

    values = [_spread(choices) for choices in values]
    longest = max(map(len, values), default=1)
    jobs = (
        tuple(choices[(k + shift * i) % len(choices)] for i, choices in enumerate(values))
        for shift in range(longest)
        for k in range(longest)
    )
    return list(dict.fromkeys(jobs))[: longest + MAX_OTHERS]


def _neighbours(values: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the overrides of jobs that differ from the first in a single setting."""

    first = [choices[0] for choices in values]
    return [(*first[:i], choices[1], *first[i + 1 :]) for i, choices in enumerate(values) if len(choices) > 1]


def _spread(values: Sequence[str]) -> Sequence[str]:
    """Return at most `MAX_VALUES` of some values, evenly among them, with the first and the last."""

    n = len(values)
    return values if n <= MAX_VALUES else [values[k * (n - 1) // (MAX_VALUES - 1)] for k in range(MAX_VALUES)]


def _values_of(override: Override) -> list[str]:
    """Return the overrides that a sweep makes of one; of an interval, those of its ends."""

    key, value = override.get_key_element(), override.value()
    if not override.is_sweep_override():
        values = [override.get_value_element_as_str()]
    elif override.is_discrete_sweep():
        values = list(override.sweep_string_iterator())
    else:
        ends = (value.start, value.end) if isinstance(value, IntervalSweep) else ()
        values = [str(end) for end in ends if end is not None]
    return [f"{key}={each}" for each in dict.fromkeys(values)]


def sweep_overrides(config: DictConfig) -> list[Override]:
    """Return the overrides of a sweep, parsed: those in the sweeper's `params`, then those of the command line."""

    params = config.hydra.sweeper.get("params") or {}
    lines = [*(f"{key}={value}" for key, value in params.items()), *task_overrides(config.hydra)]
    return OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(lines)


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if override.is_discrete_sweep():
        return sorted(set(override.sweep_string_iterator()))
    return [override.get_value_string()]


def _digest(settings: Mapping[str, Any]) -> str:
    """Return the first ten hexadecimal digits of the SHA-256 of settings."""

    return hashlib.sha256(canonical(settings).encode()).hexdigest()[:10]


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
