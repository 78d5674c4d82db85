"""One table of all runs in a folder and below it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from cgm.evaluation.entries import MetricRow
from cgm.evaluation.metrics.base import metric_name
from cgm.evaluation.metrics.paper import paper_metrics
from cgm.records.headline import headline, objective_value
from cgm.records.overrides import Overrides, find_chosen, find_differing, read_choices, read_overrides
from cgm.records.record import (
    COLUMNS,
    CONFIGURATION,
    RESULT,
    check_run,
    find_runs,
    is_run,
    metric_cells,
    read_error,
    read_run,
)
from cgm.records.result import Result
from cgm.records.settings import NO_EFFECT, canonical, cell, find_varying, flatten, sort_key, union, with_metrics
from cgm.utils.files import write_whole
from cgm.utils.text import aligned_lines, csv_text, markdown_table, mean_cell, suggestion

TABLES = ("runs.csv", "metrics.csv", "summary.md")
OF_THE_PAPER = (  # what experiments measure by default
    *(metric_name(name, metric) for name, metric in paper_metrics().items()),
    "size",
    "accuracy",
)
CONSOLE_COLUMNS = (
    "v_star",
    "rho",
    "spread",
    "correlation_neg_mmd2_unbiased",
    "accuracy_gain",
    "attack_gain_value",
    "attack_gain_accuracy",
    "attack_others_mean",
)


@dataclass(frozen=True)
class Run:
    """A run in a table.

    Attributes:
        name: Its folder, relative to the folder of the table.
        settings: Its settings, by their dotted names as on the command line. A group has the name of its class or, see
            `collect`, of its choice.
        numbers: Its headline numbers, and others that were asked for; `None` if a number does not exist.
        metrics: Its metrics.
        synthetic_size: $|G|$ in the end, which is larger than the setting of this name if $G$ grew.
        warnings: Its warnings.
        classes: The class of each group of which `settings` has the choice.
    """

    name: str
    settings: dict[str, Any]
    numbers: dict[str, float | None]
    metrics: list[MetricRow]
    synthetic_size: int | None = None
    warnings: Sequence[str] = ()
    classes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, name: str, folder: Path, extra: Sequence[str] = ()) -> Run:
        """Read a run from its folder, see `read_run`.

        Arguments:
            name: Its name in the table.
            folder: The folder.
            extra: The names of numbers beside the headline numbers, see `collect`.

        Raises:
            FileNotFoundError: If the run is not complete.
            ValueError: If a file is damaged, `rewards.npz` as well.
        """

        result, metrics = read_run(folder)
        check_run(folder, result)
        try:
            # includes the settings of a user's class that is not a dataclass, which result.json lacks
            given = flatten(with_metrics(json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))))
        except FileNotFoundError:  # records of older versions, and of runs that were started in Python, have none
            given = {}
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"{CONFIGURATION} is damaged: {error}") from error
        numbers = headline(result)
        numbers |= {one: _extra_number(result, metrics, one) for one in extra if one not in numbers}
        settings = given | flatten(with_metrics(result.settings))
        return cls(name, settings, numbers, metrics, result.synthetic_size, tuple(result.warnings))

    def cells(self, names: Sequence[str]) -> list[str]:
        """Return some settings as cells of a table."""

        return [cell(self.settings[name]) if name in self.settings else "" for name in names]


@dataclass(frozen=True)
class Table:
    """The runs of a folder.

    Attributes:
        runs: The complete runs, sorted by the settings that vary.
        varying: The names of the settings that are not the same in all of these runs.
        failed: For each run that failed, was cut off or is damaged: its folder, and the reason.
        overrides: For each run, complete or not: its folder, and its overrides; empty if there are no failed runs.
    """

    runs: list[Run]
    varying: list[str]
    failed: dict[str, str]
    overrides: Mapping[str, Overrides] = field(default_factory=dict)

    @property
    def numbers(self) -> list[str]:
        """The names of the headline numbers that at least one run has."""

        names = union(run.numbers for run in self.runs)
        return [name for name in names if any(run.numbers.get(name) is not None for run in self.runs)]

    def failed_settings(self) -> dict[str, str]:
        """Return for each failed run the overrides that are not the same in all runs, as they are typed."""

        names = find_differing(self.overrides.values())
        return {
            run: " ".join(f"{name}={value}" for name, value in own.items() if name in names)
            for run in self.failed
            if (own := self.overrides.get(run)) is not None
        }

    def write(self, folder: str | Path) -> None:
        """Write `runs.csv`, `metrics.csv` and `summary.md`; the same runs give the same bytes except for `seconds`."""

        folder = Path(folder)
        numbers = self.numbers
        columns = ["run", *self.varying]
        runs, metrics = [], []
        for run in self.runs:
            start = [run.name, *run.cells(self.varying)]
            runs.append(start + ["" if (x := run.numbers.get(name)) is None else cell(x) for name in numbers])
            metrics += [start + metric_cells(row) for row in run.metrics]
        write_whole(folder / "runs.csv", csv_text([*columns, *numbers], runs).encode())
        write_whole(folder / "metrics.csv", csv_text([*columns, *COLUMNS], metrics).encode())
        write_whole(folder / "summary.md", self.markdown().encode())

    def markdown(self) -> str:
        """Return means ± standard errors over seeds for each combination of the other settings, and what failed."""

        numbers = [name for name in self.numbers if name != "seconds"]
        runs = f"{len(self.runs)} run" + ("" if len(self.runs) == 1 else "s")
        lines = [f"# {runs}, {len(self.failed)} failed, cut off or damaged", ""]
        if self.runs:
            lines += ["Means over seeds ± their standard errors.", ""]
            head, *rows = self.summary(numbers)
            lines += [markdown_table(head, rows), ""]
        if self.failed:
            lines += ["## Failed, cut off or damaged", ""]
            lines += [f"- {line}" for line in self._failures("`")]
            lines.append("")
        return "\n".join(lines)

    def console_summary(self, max_rows: int = 20) -> str:
        """Return the first rows and a few columns of the summary as plain text, and what failed."""

        lines = []
        if self.runs:
            rows = self.summary([name for name in self.numbers if name in CONSOLE_COLUMNS or _is_added(name)])
            lines += aligned_lines(rows)[: max_rows + 1]
            if len(rows) > max_rows + 1:
                lines.append(f"... and {len(rows) - max_rows - 1} more rows")
        lines += self._failures()
        return "\n".join(lines)

    def _failures(self, quote: str = "") -> list[str]:
        """Return a line for each failed run: its folder, its overrides and the reason."""

        settings, lines = self.failed_settings(), []
        for name, reason in self.failed.items():
            own = f" ({quote}{settings[name]}{quote})" if settings.get(name) else ""
            lines.append(f"{quote}{name}{quote}{own}: {' '.join(reason.split())}")
        return lines

    def summary(self, numbers: Sequence[str]) -> list[list[str]]:
        """Return a head and a row for each combination of the settings that vary, except for the seed."""

        by = [name for name in self.varying if name != "seed"]
        groups: dict[tuple[str, ...], list[Run]] = {}
        for run in self.distinct():
            groups.setdefault(tuple(run.cells(by)), []).append(run)
        rows = [[*by, "runs", *numbers]]
        for cells, runs in groups.items():
            means = [mean_cell([run.numbers.get(name) for run in runs]) for name in numbers]
            rows.append([*cells, str(len(runs)), *means])
        return rows

    def distinct(self) -> list[Run]:
        """Return the runs without those that occur again, as in two sweeps that overlap: they are no other samples."""

        runs: dict[str, Run] = {}
        for run in self.runs:
            settings = {**run.settings, **run.classes}
            identity = canonical({name: value for name, value in settings.items() if name not in NO_EFFECT})
            runs.setdefault(identity, run)
        return list(runs.values())


def collect(folder: str | Path, extra: Sequence[str] = ()) -> Table:
    """Read all runs in a folder and below it, and write `runs.csv`, `metrics.csv` and `summary.md` there.

    Arguments:
        folder: The folder.
        extra: The names of numbers beside the headline numbers, see `read_runs`.

    Raises:
        NotADirectoryError: If there is no such folder.
        ValueError: If it is the folder of a run, whose own `metrics.csv` would be lost, if there are no runs in it, or
            if no run has one of the extra numbers.
        OSError: If the folder cannot be read or written.
    """

    table = read_runs(folder, extra)
    table.write(folder)
    return table


def read_runs(folder: str | Path, extra: Sequence[str] = (), setting: str = "metric") -> Table:
    """Read all runs in a folder and below it.

    Damaged runs are not in the tables but listed as failed. Of `rewards.npz` only the checksum is computed, so that
    hundreds of runs take a second or two.

    Groups have the names of their choices, such as `fair` for `scheme=fair`, if these are known for all runs, as for
    runs from the command line; else the names of their classes.

    Arguments:
        folder: The folder.
        extra: The names of numbers beside the headline numbers: a metric of `metrics.csv`, of which the mean over
            parties and inverse temperatures is taken, or a path in `result.json` such as `values.grand`.
        setting: What these names are called in the error.

    Raises:
        NotADirectoryError: If there is no such folder.
        ValueError: If it is the folder of a run, if there are no runs in it, or if no run has one of the extra numbers.
        OSError: If the folder cannot be read.
    """

    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: there is no such folder")
    if is_run(folder):
        raise ValueError(f"{folder}: is the folder of one run; expected a folder that contains such folders")

    runs, failed = [], {}
    for path in find_runs(folder):
        name = path.relative_to(folder).as_posix()
        reason = read_error(path)
        try:
            runs.append(Run.read(name, path, extra))
        except (OSError, ValueError) as error:
            if reason is None or (path / RESULT).is_file():
                reason = str(error)
        if reason is not None:
            failed[name] = reason
    if not runs and not failed:
        raise ValueError(f"{folder}: there are no runs in this folder; expected the folder of a sweep")

    runs = _with_choices(runs, folder)
    varying = find_varying([run.settings for run in runs])
    runs.sort(key=lambda run: ([sort_key(run.settings.get(name)) for name in varying], run.name))
    overrides = (
        {name: read_overrides(folder / name) for name in [*(run.name for run in runs), *failed]} if failed else {}
    )
    table = Table(runs, varying, failed, overrides)
    for name in extra:
        if name not in table.numbers:
            names = union([dict.fromkeys(table.numbers), *({row.metric: None for row in run.metrics} for run in runs)])
            raise ValueError(
                f"{setting}={name}: no run has such a number; expected one of {', '.join(names)} or the path of a "
                f"number in result.json, such as values.grand{suggestion(name, names)}"
            )
    return table


def _with_choices(runs: Sequence[Run], folder: Path) -> list[Run]:
    """Return runs with the choices of groups that vary in place of the classes, where they are known."""

    varying = {name.partition(".")[0] for name in find_varying([run.settings for run in runs])}
    if not any(isinstance(run.settings.get(name), str) for run in runs for name in varying):
        return list(runs)  # such as seeds alone: no file is read
    choices = [read_choices(folder / run.name) for run in runs]
    groups = varying.intersection(find_chosen([run.settings for run in runs], choices))
    return [
        replace(
            run,
            settings=run.settings | {group: own[group] for group in groups},
            classes={group: run.settings.get(group) for group in groups},
        )
        for run, own in zip(runs, choices, strict=True)
    ]


def _is_added(name: str) -> bool:
    """Return whether a number is the correlation with α of a metric or score that is not in every experiment."""

    return name.startswith("correlation_") and name.removeprefix("correlation_") not in OF_THE_PAPER


def _extra_number(result: Result, metrics: Sequence[MetricRow], name: str) -> float | None:
    """Return the mean of a metric, or else the number at a path in `result.json`; `None` if there is none."""

    values = [row.value for row in metrics if row.metric == name]
    if values:
        known = [value for value in values if value is not None]
        return fmean(known) if known else None
    try:
        number = objective_value(result, name)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
