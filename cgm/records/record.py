r"""The record of a run: the files that it leaves in its folder.

| file | content |
| --- | --- |
| `result.json` | the result, see `cgm.records.result`; written last |
| `metrics.csv` | a row for each party, $\beta$ and metric; a value that could not be computed is empty |
| `rewards.npz` | the pool, and the rows of it that are rewards |
| `SHA256SUMS` | the digests of these files and of `configuration.json`, so that no changed byte goes unnoticed |
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cgm.evaluation.entries import MetricRow
from cgm.records.headline import headline_table
from cgm.records.result import Result
from cgm.rewards.frames import party_frame, reward_frame, states_line
from cgm.utils.files import sha256, write_whole
from cgm.utils.shown import Shown, brief, counted
from cgm.utils.text import csv_text, unescape
from cgm.utils.untrusted import open_arrays

if TYPE_CHECKING:
    import pandas as pd

    from cgm.figures.plots import Points
    from cgm.records.figures.run import RecordPlots

RESULT, METRICS, REWARDS, SUMS = "result.json", "metrics.csv", "rewards.npz", "SHA256SUMS"
ERROR, CONFIGURATION = "error.json", "configuration.json"
SUMMED = (CONFIGURATION, METRICS, REWARDS, RESULT)  # the files whose digests a run records
SUMMED_SINCE = 5  # the first `numerics` whose runs all have `SHA256SUMS`
RUN_FILES = (RESULT, ERROR, CONFIGURATION, ".hydra")  # the folder of a run has at least one of them
COLUMNS = list(MetricRow._fields)  # of metrics.csv


@dataclass(frozen=True)
class Arrays:
    r"""The arrays of a record, the content of `rewards.npz`.

    Attributes:
        rewards: For each (party, beta) the rows of `pool` that are $G_i$, in order of acceptance.
        pool: The synthetic pool $G$, of shape $(|G|, d)$.
    """

    rewards: Mapping[tuple[int, float], torch.Tensor]
    pool: torch.Tensor

    def __repr__(self) -> str:
        return brief(self)

    def to_bytes(self) -> bytes:
        """Return the content of `rewards.npz`."""

        arrays: dict[str, Any] = {
            f"party_{party}_beta_{beta!r}": rows.numpy() for (party, beta), rows in self.rewards.items()
        }
        content = io.BytesIO()
        np.savez_compressed(content, pool=self.pool.cpu().numpy(), **arrays)
        return content.getvalue()

    @classmethod
    def read(cls, folder: Path) -> Arrays:
        """Read `rewards.npz` from the folder of a run.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged.
        """

        if not (folder / REWARDS).is_file():
            raise FileNotFoundError(f"{folder}: no {REWARDS}, although there is a {RESULT}")
        try:
            with open_arrays(folder / REWARDS, links=True) as file:
                arrays = {name: torch.from_numpy(file[name]) for name in file.files}
            pool, rewards = arrays.pop("pool"), {}
            for name, rows in arrays.items():
                match = re.fullmatch(r"party_(\d+)_beta_(.+)", name)
                if match is None:
                    raise ValueError(f"{name} is neither the pool nor a reward")
                rewards[int(match[1]), float(match[2])] = _indices(name, rows, len(pool))
            if pool.dim() != 2 or not pool.is_floating_point() or not torch.isfinite(pool).all():
                raise ValueError(f"the pool has the shape {tuple(pool.shape)}, expected finite points (|G|, d)")
        except Exception as error:  # numpy, zipfile and zlib raise errors of many kinds
            reason = f"no array {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{folder}: {REWARDS} is damaged: {reason}") from error
        try:
            check_files(folder, (REWARDS,))
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error
        return cls(rewards, pool)


@dataclass(frozen=True, repr=False)
class Record(Shown):
    r"""The record of a run. Parties are numbered from 0, here and in the files.

    Attributes:
        result: The content of `result.json`.
        metrics: The content of `metrics.csv`; a value that could not be computed is `None`, and `result.missing`
            has the reason.
        source: The content of `rewards.npz`, or the folder in which it is read when it is first used.
    """

    result: Result
    metrics: list[MetricRow]
    source: Arrays | Path

    @property
    def arrays(self) -> Arrays:
        """The content of `rewards.npz`."""

        return self._arrays

    @cached_property
    def _arrays(self) -> Arrays:  # private, since Tab of Python's own prompt would compute a cached property
        if isinstance(self.source, Arrays):
            return self.source
        arrays = Arrays.read(self.source)
        for party, beta in arrays.rewards:
            if party >= self.result.n_parties:
                raise ValueError(f"{self.source}: {REWARDS} is damaged: party {party}, beta {beta} is not in {RESULT}")
        return arrays

    @property
    def rewards(self) -> Mapping[tuple[int, float], torch.Tensor]:
        """For each (party, beta) the rows of `pool` that are $G_i$, in order of acceptance."""

        return self.arrays.rewards

    @property
    def pool(self) -> torch.Tensor:
        """The synthetic pool $G$, of shape $(|G|, d)$."""

        return self.arrays.pool

    @property
    def plot(self) -> RecordPlots:
        """Figures that are drawn into axes: `plot.correlations()`, `plot.rewards()`, `plot.values()` and so on."""

        from cgm.records.figures.run import RecordPlots  # matplotlib, which takes a second to import

        return RecordPlots(self.result, self._points)

    def to_frame(self) -> pd.DataFrame:
        r"""Return rewards and metrics as a table of pandas, a row for each party and $\beta$.

        The columns are `party` (from 0), `beta`, `points` ($|D_i|$), `alpha`, `own_value` ($v(D_i)$), `reward_value`
        ($r_i$), `value` ($v(D_i \cup G_i)$), `size` ($|G_i|$), `reached`: whether the value reached its target, and the
        metrics by their names in `metrics.csv`. A value that could not be computed is NaN, and `result.missing` has the
        reason.
        """

        result = self.result
        points, own = result.points_per_party, result.values.party
        frame = reward_frame(result.sampling, points, own, result.contributions, result.scheme)
        return add_metrics(frame, self.metrics)

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        result, kinds = self.result, (self.result.contributions.name, self.result.scheme.name)
        names = ", ".join((result.dataset, result.split, result.generator, *kinds))
        parties, pool = counted(result.n_parties, "party"), f"{result.synthetic_size:,}"
        head = f"Record: {names}; {parties}, |G| = {pool}, seed {result.seed}"
        return head, party_frame(self.to_frame()), states_line(result.incentives, result.warnings)

    def _points(self) -> Points:
        from cgm.figures.plots import Points  # matplotlib

        return Points(self.pool, self.rewards)

    def save(self, folder: str | Path) -> None:
        """Write `metrics.csv`, `rewards.npz`, `SHA256SUMS` and finally `result.json` to a folder.

        Each file is written completely or not at all, so that the presence of `result.json` means that the run is
        complete. `SHA256SUMS` has the digests of the other files, and of `configuration.json` if there is one.

        Raises:
            ValueError: If a number of the result is NaN.
        """

        folder = Path(folder)
        files = {METRICS: write_metrics(self.metrics).encode(), REWARDS: self.arrays.to_bytes()}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT).unlink(missing_ok=True)
        for name, data in files.items():
            write_whole(folder / name, data)
        files[RESULT] = self.result.dumps().encode()
        if (folder / CONFIGURATION).is_file():
            files[CONFIGURATION] = (folder / CONFIGURATION).read_bytes()
        write_whole(folder / SUMS, sums(files))
        write_whole(folder / RESULT, files[RESULT])  # last

    @classmethod
    def load(cls, folder: str | Path) -> Record:
        """Read a run from its folder. No code in the files is run.

        `rewards.npz` is read when `rewards` or `pool` is first used, with the same errors as below: a record without
        this file has its result and its metrics.

        Raises:
            FileNotFoundError: If the run is not complete, or if it is no folder of a run; the message says what it is.
            ValueError: If a file is damaged; the message names it.
        """

        if other := _without_run(Path(folder)):
            raise FileNotFoundError(f"{folder}: {other}")
        try:
            return cls(*read_run(folder), Path(folder).absolute())
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"{folder}: {error}") from error

    def table(self) -> str:
        """Return the headline numbers: a row for each party, the scheme, the incentives, a row for each audit."""

        return headline_table(self.result)


def _indices(name: str, rows: torch.Tensor, size: int) -> torch.Tensor:
    """Return the rows of a pool that are a reward, int64, and check that the pool has them, each once."""

    if rows.dim() != 1 or rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool:
        raise ValueError(
            f"{name} has the type {rows.dtype} and the shape {tuple(rows.shape)}, expected numbers of rows"
        )
    if len(rows) and (rows.min() < 0 or rows.max() >= size):
        raise ValueError(f"{name} has the rows {int(rows.min())} to {int(rows.max())} of a pool of {size}")
    return rows.long()


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run, complete or not."""

    return any((folder / name).exists() for name in RUN_FILES)


def has_traces(folder: Path) -> bool:
    """Return whether a folder is that of a run, or has files that one which was interrupted leaves."""

    return is_run(folder) or any((folder / name).is_file() for name in (REWARDS, SUMS))


def find_runs(folder: str | Path) -> Iterator[Path]:
    """Find the folders of runs in a folder and below it, in the order of their names.

    Folders within the folder of a run are not searched, and neither are hidden folders and links.
    """

    for path in sorted(path for path in Path(folder).iterdir() if path.is_dir() and not path.name.startswith(".")):
        if is_run(path):
            yield path
        elif not path.is_symlink():  # a link could lead around in circles
            yield from find_runs(path)


def kind_of_folder(folder: Path) -> str:
    """Say what a folder is that has no runs in it, and what reads it; empty if it may have some."""

    def settled(path: Path) -> bool:
        return (path / "report.html").is_file() and (path / "mediator").is_dir()

    if not folder.is_dir():
        return "expected a folder, found a file" if folder.exists() else "there is no such folder"
    whole = next((path for path in (folder, folder.absolute().parent) if settled(path)), None)
    if whole is not None:
        numbers = whole / "mediator" / RESULT
        return (
            f"belongs to a settlement (cgm settle), not to a run: its report is report.html, its numbers are {numbers}"
        )
    if (folder / "certificate.json").is_file():
        return "what a party received from a settlement (cgm settle), not the folder of a run; cgm.api.verify reads it"
    return ""


def _without_run(folder: Path) -> str:
    """Say what a folder is that is not that of a run; empty if it is, complete or not."""

    if (other := kind_of_folder(folder)) or has_traces(folder):
        return other
    runs = sum(1 for depth in ("*", "*/*", "*/*/*") for _ in folder.glob(f"{depth}/{RESULT}"))
    if runs:
        return f"the folder of a sweep, with {counted(runs, 'run')} in it; cgm.load_sweep reads all of them"
    return f"no {RESULT}: there is no run in this folder"


def add_metrics(frame: pd.DataFrame, metrics: Iterable[MetricRow]) -> pd.DataFrame:
    """Add metrics to a table with the columns `party` and `beta`, a column for each; NaN where there is no value.

    `size` and `value` are in the table already. A metric that has the name of another column gets `metric_` before it.
    """

    columns: dict[str, dict[tuple[int, float], float | None]] = {}
    for row in metrics:
        columns.setdefault(row.metric, {})[row.party, row.beta] = row.value
    keys = list(zip(frame["party"], frame["beta"], strict=True))
    added = {}
    for name, values in columns.items():
        if name not in ("size", "value"):
            numbers = [math.nan if (value := values.get(key)) is None else value for key in keys]
            added[f"metric_{name}" if name in frame else name] = numbers
    return frame.assign(**added)


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
        metrics = read_metrics((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{METRICS} is damaged: {error}") from error
    if metrics and not 0 <= min(row.party for row in metrics) <= max(row.party for row in metrics) < result.n_parties:
        raise ValueError(f"{METRICS} is damaged: has parties that are not in {RESULT}")
    check_files(folder, (RESULT, METRICS, CONFIGURATION))
    return result, metrics


def read_error(folder: str | Path) -> str | None:
    """Return the message of a run's `error.json`, or `None` if there is no such file."""

    path = Path(folder) / ERROR
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["message"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"failed; {ERROR} is damaged"


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


def sums(files: Mapping[str, bytes]) -> bytes:
    """Return the text of `SHA256SUMS`, as `sha256sum --check SHA256SUMS` reads it.

    Arguments:
        files: The contents of the files, by name.
    """

    return "".join(f"{sha256(content)}  {name}\n" for name, content in files.items()).encode()


def check_files(folder: Path, names: Sequence[str] = SUMMED) -> None:
    """Compare the files of a run with their digests in `SHA256SUMS`. Each of the files may be missing.

    Arguments:
        folder: The folder of the run.
        names: The files to compare.

    Raises:
        ValueError: If a file, or `SHA256SUMS` itself, is not as it was written; the message names it.
    """

    if not (folder / SUMS).is_file():
        return
    try:
        lines = (folder / SUMS).read_bytes().decode(errors="replace").splitlines(keepends=True)
        matches = [re.fullmatch(r"([0-9a-f]{64})  ([\w.]+)\n", line) for line in lines]
        digests = {match[2]: match[1] for match in matches if match}
        if not digests or len(digests) != len(lines) or not digests.keys() <= set(SUMMED):
            raise ValueError(f"{SUMS} is damaged")
        for name in names:
            path = folder / name
            if name in digests and path.is_file() and sha256(path.read_bytes()) != digests[name]:
                raise ValueError(f"{name} is damaged or was changed: its SHA-256 is not that in {SUMS}")
    except OSError as error:
        raise ValueError(f"a file cannot be read: {error}") from error


def metric_cells(row: MetricRow) -> list[str]:
    """Return the cells of a row of `metrics.csv`.

    Counts are written without a decimal point and read back as integers: a table that is read and written stays the
    same.
    """

    beta = repr(float(row.beta)).removesuffix(".0")
    return [str(row.party), beta, row.metric, "" if row.value is None else repr(row.value)]


def write_metrics(rows: Iterable[MetricRow]) -> str:
    """Return the text of `metrics.csv`."""

    return csv_text(COLUMNS, map(metric_cells, rows))


def read_metrics(text: str) -> list[MetricRow]:
    """Read rows from the text of `metrics.csv`.

    Raises:
        ValueError: If it is not such a table; the message has the columns or the row.
    """

    try:
        columns, *table = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if columns != COLUMNS:
        raise ValueError(f"has the columns {', '.join(columns) or '(none)'}, expected {', '.join(COLUMNS)}")
    rows = []
    for cells in table:
        if len(cells) != len(COLUMNS):
            raise ValueError(f"a row has {len(cells)} cells, expected {len(COLUMNS)}: {', '.join(cells)}")
        party, beta, metric, value = cells
        try:
            number = None if not value else int(value) if value.isdecimal() else float(value)
            if math.isnan(float(beta)) or (number is not None and math.isnan(number)):
                raise ValueError("NaN is not a number that a metric has")
            rows.append(MetricRow(int(party), float(beta), unescape(metric), number))
        except ValueError as error:
            raise ValueError(f"{error}, in the row {', '.join(cells)}") from error
    return rows
