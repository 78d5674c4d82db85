"""Collects the runs in a folder, and below it, into one table: `python -m cgm.collect FOLDER`."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from cgm.records.result import Result
from cgm.utils.files import write_whole

METRICS = ["party", "beta", "metric", "value"]  # the columns of a run's metrics.csv
TABLES = ("runs.csv", "metrics.csv", "summary.md")
MARKS = ("result.json", "error.json", "configuration.json", ".hydra")  # a folder that holds one of them is a run's
SECTIONS = ("scheme", "kernel", "correlations", "beta_correlations", "incentives", "seconds")  # with numbers, by name
COLUMNS = ("v_star", "rho", "spread", "t", "lengthscale", "accuracy", "accuracy_gain", "seconds", "warnings")
IDLE = ("figures", "embedding_party", "cache")  # settings that no number depends on
BRIEF = ("v_star", "rho", "correlation_neg_mmd2_unbiased", "accuracy_gain")  # what is printed, for want of width


@dataclass(frozen=True)
class Run:
    """Holds what a table tells of one run.

    Attributes:
        name: Its folder, relative to the folder that is collected.
        settings: Its settings, by their dotted names as on the command line.
        numbers: Its headline numbers, `None` where there is none.
        metrics: The rows of its `metrics.csv`.
    """

    name: str
    settings: dict[str, Any]
    numbers: dict[str, float | None]
    metrics: list[list[str]]


@dataclass(frozen=True)
class Table:
    """Holds the runs of a folder.

    Attributes:
        runs: The complete runs, sorted by the settings that vary.
        varying: The names of the settings that are not the same in all of these runs.
        failed: For each run that failed, was cut off or is damaged: its folder, and what is wrong.
    """

    runs: list[Run]
    varying: list[str]
    failed: dict[str, str]

    def write(self, folder: str | Path) -> None:
        """Writes `runs.csv`, `metrics.csv` and `summary.md`, the same bytes for the same runs but for `seconds`."""

        folder = Path(folder)
        numbers = _union(run.numbers for run in self.runs)
        head = ["run", *self.varying]
        rows = [[run.name, *_cells(run.settings, self.varying)] for run in self.runs]
        own = [[_text("" if (x := run.numbers.get(name)) is None else x) for name in numbers] for run in self.runs]
        tidy = [row + entry for row, run in zip(rows, self.runs, strict=True) for entry in run.metrics]
        write_whole(folder / "runs.csv", _csv([*head, *numbers], (a + b for a, b in zip(rows, own, strict=True))))
        write_whole(folder / "metrics.csv", _csv([*head, *METRICS], tidy))
        write_whole(folder / "summary.md", self.markdown().encode())

    def markdown(self) -> str:
        """Writes means ± standard errors over seeds for each combination of the other settings, and what failed."""

        numbers = [name for name in _union(run.numbers for run in self.runs) if name != "seconds"]
        lines = [f"# {_count(len(self.runs), 'run')}, {len(self.failed)} failed, cut off or damaged", ""]
        if self.runs:
            lines += ["Means over seeds ± their standard errors.", ""]
            head, *rows = self.summary(numbers)
            lines += [markdown_table(head, rows), ""]
        if self.failed:
            lines += ["## Failed, cut off or damaged", ""]
            lines += [f"- `{name}`: {' '.join(reason.split())}" for name, reason in self.failed.items()]
            lines.append("")
        return "\n".join(lines)

    def brief(self, most: int = 20) -> str:
        """Writes the summary's first rows and few of its columns in plain text, and what failed."""

        lines = []
        if self.runs:
            known = _union(run.numbers for run in self.runs)
            rows = self.summary([name for name in BRIEF if name in known])
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            for row in rows[: most + 1]:
                lines.append("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)))
            if len(rows) > most + 1:
                lines.append(f"... and {len(rows) - most - 1} more rows")
        lines += [f"{name}: {' '.join(reason.split())}" for name, reason in self.failed.items()]
        return "\n".join(lines)

    def summary(self, numbers: Sequence[str]) -> list[list[str]]:
        """Makes a head and a row for each combination of the settings that vary, but for the seed.

        A run that is there twice, as in two sweeps that overlap, counts once: it is no other sample.
        """

        by = [name for name in self.varying if name not in ("seed", *IDLE)]
        groups: dict[tuple[str, ...], dict[str, Run]] = {}
        for run in self.runs:
            what = canonical({name: value for name, value in run.settings.items() if name not in IDLE})
            groups.setdefault(tuple(_cells(run.settings, by)), {}).setdefault(what, run)
        rows = [[*by, "runs", *numbers]]
        for cells, runs in groups.items():
            means = [_mean([run.numbers.get(name) for run in runs.values()]) for name in numbers]
            rows.append([*cells, str(len(runs)), *means])
        return rows


def collect(folder: str | Path) -> Table:
    """Reads every run in a folder and below it, and writes `runs.csv`, `metrics.csv` and `summary.md` there.

    No run's `rewards.npz` is read, so that hundreds of runs take a second or two.

    Raises:
        NotADirectoryError: If there is no such folder.
        ValueError: If it is a run's own folder: its `metrics.csv` would be lost.
    """

    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: there is no such folder")
    if _is_run(folder):
        raise ValueError(f"{folder}: is the folder of one run; expected a folder that holds such folders")

    runs, failed = [], {}
    for path in find_runs(folder):
        name = path.relative_to(folder).as_posix()
        if (path / "error.json").is_file():
            failed[name] = _reason(path / "error.json")
        try:
            runs.append(_run(name, path))
        except FileNotFoundError as error:
            failed.setdefault(name, str(error))
        except ValueError as error:
            failed[name] = str(error)

    varying = find_varying([run.settings for run in runs])
    runs.sort(key=lambda run: ([_order(run.settings.get(name)) for name in varying], run.name))
    table = Table(runs, varying, failed)
    table.write(folder)
    return table


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Writes a Markdown table."""

    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def find_varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Finds the settings that are not the same everywhere, the seed last.

    An option that a section's class decides, such as the bandwidth of the only generator that has one, is left out.
    """

    def differ(name: str, where: Sequence[Mapping[str, Any]]) -> bool:
        return len({_text(entry.get(name, "")) for entry in where}) > 1

    varying = []
    for name in _union(settings):
        section = name.rpartition(".")[0]
        classes: dict[str, list[Mapping[str, Any]]] = {}
        for entry in settings:
            classes.setdefault(_text(entry.get(section, "")), []).append(entry)
        if any(differ(name, entries) for entries in classes.values()):
            varying.append(name)
    return sorted(varying, key=lambda name: (name == "seed", name))  # seeds of one combination stand together


def find_runs(folder: str | Path) -> Iterator[Path]:
    """Walks the folders of runs, in the order of their names; a run's folder is not searched for more."""

    for path in sorted(path for path in Path(folder).iterdir() if path.is_dir() and not path.name.startswith(".")):
        if _is_run(path):
            yield path
        elif not path.is_symlink():  # which could lead around in circles
            yield from find_runs(path)


def read_run(folder: str | Path) -> tuple[Result, list[list[str]]]:
    """Read a run's `result.json` and the rows of its `metrics.csv`.

    Raises:
        FileNotFoundError: If the run is not complete.
        ValueError: If one of the two is damaged, or `metrics.csv` is lost.
    """

    folder = Path(folder)
    if not (folder / "result.json").is_file():
        raise FileNotFoundError("no result.json: the run is not finished, or was interrupted")
    try:
        result = Result.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"result.json is damaged or not that of a run ({error})") from error
    try:
        with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file)
        if head != METRICS:
            raise ValueError(f"it has the columns {head}")
        for party, beta, _metric, value in rows:
            int(party), float(beta), float(value or 0)
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"metrics.csv is lost or damaged ({error})") from error
    return result, rows


def headline(result: Result) -> dict[str, float | None]:
    """Return the numbers that a table shows of a run: means over β or parties, or over both for accuracies."""

    after = [entry.accuracy for entry in result.downstream if entry.accuracy is not None]
    gains = [
        entry.accuracy - entry.accuracy_before
        for entry in result.downstream
        if entry.accuracy is not None and entry.accuracy_before is not None
    ]
    numbers = {name: result.scheme.number(name) for name in ("v_star", "rho")}
    numbers |= {"spread": result.scheme.spread, "t": result.t, "lengthscale": result.kernel.lengthscale}
    numbers |= {f"correlation_{metric}": entry.mean for metric, entry in result.correlations.items()}
    numbers |= {f"beta_correlation_{metric}": entry.mean for metric, entry in result.beta_correlations.items()}
    numbers |= {"accuracy": _fmean(after), "accuracy_gain": _fmean(gains)}
    return numbers | {"seconds": sum(result.seconds.values()), "warnings": len(result.warnings)}


def number(result: Result, path: str) -> float:
    """Return a column of `runs.csv`, or the number at a dotted path in `result.json`; NaN where a run has none.

    Raises:
        ValueError: If there is no such number.
    """

    numbers = headline(result)
    if path in numbers:
        value: Any = numbers[path]
    else:
        value, done = result.to_json(), []
        for key in path.split("."):
            if not (isinstance(value, Mapping) and key in value):
                there = sorted(value) if isinstance(value, Mapping) else []
                what = f"there are {', '.join(there)}" if there else "that is not a section"
                raise ValueError(f"objective={path}: no {key!r} in {'.'.join(done) or 'result.json'}; {what}")
            value = value[key]
            done.append(key)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"objective={path}: is not a number, but {type(value).__name__}")
    return float(value)


def check_number(path: str) -> None:
    """Refuses a name or path that `number` cannot find in any run.

    Raises:
        ValueError: If so.
    """

    section, dot, _ = path.partition(".")
    if dot and section in SECTIONS:
        return
    if not dot and (path in COLUMNS or re.match("(beta_)?correlation_.", path)):
        return
    raise ValueError(
        f"objective={path}: expected a column of runs.csv ({', '.join(COLUMNS)}, correlation_... or "
        f"beta_correlation_... of a metric) or a path in result.json that begins with {', '.join(SECTIONS)}"
    )


def canonical(value: Any) -> str:
    """Writes a value as JSON in one way only: keys sorted, 1.0 as 1."""

    def whole(x: Any) -> Any:
        if isinstance(x, Mapping):
            return {str(key): whole(entry) for key, entry in x.items()}
        if isinstance(x, list | tuple):
            return [whole(entry) for entry in x]
        return int(x) if isinstance(x, float) and x.is_integer() and abs(x) < 2**53 else x

    return json.dumps(whole(value), sort_keys=True, ensure_ascii=False, default=str)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Names nested settings by dotted paths; a section itself is named after its class."""

    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if key in ("class", "_target_"):  # in result.json, and in configuration.json
            if prefix:
                flat[prefix[:-1]] = str(value).rsplit(".", 1)[-1]
        elif isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _run(name: str, path: Path) -> Run:
    result, rows = read_run(path)
    try:
        settings = flatten(result.settings)
    except (KeyError, AttributeError) as error:
        raise ValueError("result.json is damaged (no settings)") from error
    try:
        # what a class of the user's own was given, but does not show in the result
        given = flatten(json.loads((path / "configuration.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError):
        given = {}
    return Run(name, given | settings, headline(result), rows)


def _is_run(folder: Path) -> bool:
    return any((folder / mark).exists() for mark in MARKS)


def _reason(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return "failed; error.json is damaged"


def _union(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _cells(settings: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [_text(settings[name]) if name in settings else "" for name in names]


def _text(value: Any) -> str:
    """Writes a setting as it is typed on the command line, and a number with all its digits."""

    return value if isinstance(value, str) else canonical(value)


def _order(value: Any) -> tuple[bool, float, str]:
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if is_number else 0.0, _text(value)


def _fmean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    error = f" ± {stdev(known) / math.sqrt(len(known)):.2g}" if len(known) > 1 else ""
    missing = f" ({len(known)} of {len(values)})" if len(known) < len(values) else ""
    digits = 4 if any(isinstance(value, float) for value in known) else 9
    return f"{fmean(known):.{digits}g}{error}{missing}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def _csv(head: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.exit("usage: python -m cgm.collect FOLDER      writes FOLDER/" + ", FOLDER/".join(TABLES))
    try:
        table = collect(arguments[0])
    except (OSError, ValueError) as error:
        sys.exit(f"cgm.collect: error: {error}")
    print(f"{table.brief()}\n{os.path.join(arguments[0], '')}: {', '.join(TABLES)}")


if __name__ == "__main__":
    main()
