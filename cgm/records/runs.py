"""The folders of runs: which folders they are, and what they record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from cgm.evaluation.entries import MetricRow
from cgm.records import metrics_table
from cgm.records.checksums import SUMS, check_sums
from cgm.records.result import Result

RESULT, METRICS, ERROR, CONFIGURATION = "result.json", "metrics.csv", "error.json", "configuration.json"
REWARDS = "rewards.npz"
SUMMED = (CONFIGURATION, METRICS, REWARDS, RESULT)  # the files whose digests a run records
SUMMED_SINCE = 5  # the first `numerics` whose runs all have `SHA256SUMS`
RUN_FILES = (RESULT, ERROR, CONFIGURATION, ".hydra")  # the folder of a run has at least one of them


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run, complete or not."""

    return any((folder / name).exists() for name in RUN_FILES)


def find_runs(folder: str | Path) -> Iterator[Path]:
    """Find the folders of runs in a folder and below it, in the order of their names.

    Folders within the folder of a run are not searched, and neither are hidden folders and links.
    """

    for path in sorted(path for path in Path(folder).iterdir() if path.is_dir() and not path.name.startswith(".")):
        if is_run(path):
            yield path
        elif not path.is_symlink():  # a link could lead around in circles
            yield from find_runs(path)


def read_run(folder: str | Path) -> tuple[Result, list[MetricRow]]:
    """Read a run's `result.json` and `metrics.csv`.

    Raises:
        FileNotFoundError: If the run is not complete.
        ValueError: If a file is damaged, or not as it was written; the message names the file, and the key or the row.
    """

    folder = Path(folder)
    if not (folder / RESULT).is_file():
        raise FileNotFoundError(f"no {RESULT}: the run is not finished, or was interrupted")
    if not (folder / METRICS).is_file():
        raise FileNotFoundError(f"no {METRICS}, although there is a {RESULT}")
    try:
        result = Result.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{RESULT} is damaged or not that of a run: {error}") from error
    try:
        metrics = metrics_table.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{METRICS} is damaged: {error}") from error
    check_files(folder, (RESULT, METRICS, CONFIGURATION))
    return result, metrics


def check_run(folder: Path, result: Result) -> None:
    """Compare the file of a run that `read_run` does not compare, `rewards.npz`, with its digest.

    Records may be kept without `rewards.npz` and `SHA256SUMS`, as those in `outputs/paper/runs`: there is nothing to
    compare. A run with `rewards.npz` must have `SHA256SUMS`, unless a version of cgm wrote it that had no such file.

    Arguments:
        folder: The folder of the run.
        result: Its result.

    Raises:
        ValueError: If the file is not as it was written, or cannot be compared.
    """

    # SHA-256 takes about 1.3 ms for each MB, and rewards.npz has 0.1 to 1 MB: at most half a second for 300 runs
    check_files(folder, (REWARDS,))
    numerics = result.versions.get("numerics", "")
    is_summed = numerics.isdecimal() and int(numerics) >= SUMMED_SINCE
    if is_summed and (folder / REWARDS).is_file() and not (folder / SUMS).is_file():
        raise ValueError(f"no {SUMS}, although there is a {REWARDS}")


def check_files(folder: Path, names: Sequence[str] = SUMMED) -> None:
    """Compare the files of a run with the digests that it has recorded, if it has. Files may be missing.

    Raises:
        ValueError: If a file is not as it was written; the message names it.
    """

    try:
        check_sums(folder, [name for name in names if (folder / name).is_file()], SUMMED)
    except OSError as error:
        raise ValueError(f"a file cannot be read: {error}") from error


def read_error(folder: str | Path) -> str | None:
    """Return the message of a run's `error.json`, or `None` if there is no such file."""

    path = Path(folder) / ERROR
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"failed; {ERROR} is damaged"
