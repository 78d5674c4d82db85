"""One table of all runs in a folder and below it: `python -m cgm.records.collect FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgm.evaluation.entries import MetricRow
from cgm.records import metrics_table
from cgm.records.headline import headline
from cgm.records.runs import CONFIGURATION, RESULT, find_runs, is_run, read_error, read_run
from cgm.records.settings import canonical, cell, find_varying, flatten, sort_key, union
from cgm.records.tables import aligned_lines, csv_text, markdown_table, mean_cell
from cgm.utils.files import write_whole

TABLES = ("runs.csv", "metrics.csv", "summary.md")
NO_EFFECT = ("figures", "embedding_party", "cache")  # settings that do not change any number of a run
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
        settings: Its settings, by their dotted names as on the command line.
        numbers: Its headline numbers; `None` if a number does not exist.
        metrics: Its metrics.
    """

    name: str
    settings: dict[str, Any]
    numbers: dict[str, float | None]
    metrics: list[MetricRow]

    @classmethod
    def read(cls, name: str, folder: Path) -> Run:
        """Read a run from its folder, see `read_run`."""

        result, metrics = read_run(folder)
        try:
            # includes the settings of a user's class that is not a dataclass, which result.json lacks
            given = flatten(json.loads((folder / CONFIGURATION).read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError):
            given = {}
        return cls(name, given | flatten(result.settings), headline(result), metrics)

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
    """

    runs: list[Run]
    varying: list[str]
    failed: dict[str, str]

    @property
    def numbers(self) -> list[str]:
        """The names of the headline numbers that at least one run has."""

        names = union(run.numbers for run in self.runs)
        return [name for name in names if any(run.numbers.get(name) is not None for run in self.runs)]

    def write(self, folder: str | Path) -> None:
        """Write `runs.csv`, `metrics.csv` and `summary.md`; the same runs give the same bytes except for `seconds`."""

        folder = Path(folder)
        numbers = self.numbers
        columns = ["run", *self.varying]
        runs, metrics = [], []
        for run in self.runs:
            start = [run.name, *run.cells(self.varying)]
            runs.append(start + ["" if (x := run.numbers.get(name)) is None else cell(x) for name in numbers])
            metrics += [start + metrics_table.to_cells(row) for row in run.metrics]
        write_whole(folder / "runs.csv", csv_text([*columns, *numbers], runs).encode())
        write_whole(folder / "metrics.csv", csv_text([*columns, *metrics_table.COLUMNS], metrics).encode())
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
            lines += [f"- `{name}`: {' '.join(reason.split())}" for name, reason in self.failed.items()]
            lines.append("")
        return "\n".join(lines)

    def console_summary(self, max_rows: int = 20) -> str:
        """Return the first rows and a few columns of the summary as plain text, and what failed."""

        lines = []
        if self.runs:
            rows = self.summary([name for name in CONSOLE_COLUMNS if name in self.numbers])
            lines += aligned_lines(rows)[: max_rows + 1]
            if len(rows) > max_rows + 1:
                lines.append(f"... and {len(rows) - max_rows - 1} more rows")
        lines += [f"{name}: {' '.join(reason.split())}" for name, reason in self.failed.items()]
        return "\n".join(lines)

    def summary(self, numbers: Sequence[str]) -> list[list[str]]:
        """Return a head and a row for each combination of the settings that vary, except for the seed.

        A run that occurs twice, as in two sweeps that overlap, counts once: it is not another sample.
        """

        by = [name for name in self.varying if name not in ("seed", *NO_EFFECT)]
        groups: dict[tuple[str, ...], dict[str, Run]] = {}
        for run in self.runs:
            identity = canonical({name: value for name, value in run.settings.items() if name not in NO_EFFECT})
            groups.setdefault(tuple(run.cells(by)), {}).setdefault(identity, run)
        rows = [[*by, "runs", *numbers]]
        for cells, runs in groups.items():
            means = [mean_cell([run.numbers.get(name) for run in runs.values()]) for name in numbers]
            rows.append([*cells, str(len(runs)), *means])
        return rows


def collect(folder: str | Path) -> Table:
    """Read all runs in a folder and below it, and write `runs.csv`, `metrics.csv` and `summary.md` there.

    `rewards.npz` is not read, so that hundreds of runs take a second or two.

    Raises:
        NotADirectoryError: If there is no such folder.
        ValueError: If it is the folder of a run, whose own `metrics.csv` would be lost.
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
            runs.append(Run.read(name, path))
        except (OSError, ValueError) as error:
            if reason is None or (path / RESULT).is_file():
                reason = str(error)
        if reason is not None:
            failed[name] = reason

    varying = find_varying([run.settings for run in runs])
    runs.sort(key=lambda run: ([sort_key(run.settings.get(name)) for name in varying], run.name))
    table = Table(runs, varying, failed)
    table.write(folder)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.exit("usage: python -m cgm.records.collect FOLDER      writes FOLDER/" + ", FOLDER/".join(TABLES))
    try:
        table = collect(arguments[0])
    except (OSError, ValueError) as error:
        sys.exit(f"cgm.records.collect: error: {error}")
    print(f"{table.console_summary()}\n{os.path.join(arguments[0], '')}: {', '.join(TABLES)}")


if __name__ == "__main__":
    main()
