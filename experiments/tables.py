"""Time and memory of `cgm settle` for many rows: 20 parties, 12 columns of numbers and 8 of categories, files to files.

    python -m experiments.tables                                        100,000 rows
    python -m experiments.tables --rows 1000000 -- sampling.betas=[2]
    python -m experiments.tables --rows 20000 --parties 5 -- kernel.lengthscale=median

The rows are drawn from the breast cancer data that comes with scikit-learn: measurements with 5 % noise, so that no row
occurs twice; eight of them are cut into categories. Half of the parties prefer large tumours or small ones, and 3 % of
the cells in four columns are empty. What follows `--` goes to `cgm settle`.

Beside the seconds of each station by the clock there are those of all cores, which other programs hardly change, and
its peak memory. All is measured in one new process, whose peak memory includes what Python and torch need, some 600
MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer

from cgm.utils.run import peak_memory, reset_peak, timed
from experiments.benchmark.growth import in_child

CATEGORIES = 8
LEVELS = (2, 3, 4, 5, 6, 8, 10, 12)
COLUMNS = 20
GAPS = 4  # columns with empty cells


def make_table(n: int, seed: int) -> pd.DataFrame:
    """Draw n rows of 12 numbers and 8 categories.

    Arguments:
        n: The number of rows.
        seed: The seed.
    """

    random = np.random.default_rng(seed)
    real = load_breast_cancer(as_frame=True).data.iloc[:, :COLUMNS]
    rows = real.iloc[random.integers(len(real), size=n)].reset_index(drop=True)
    rows += 0.05 * real.std().to_numpy() * random.normal(size=rows.shape)
    table = rows.round(5)
    for name, levels in zip(real.columns[-CATEGORIES:], LEVELS, strict=True):
        table[name] = pd.qcut(rows[name], levels, labels=[f"level {k + 1}" for k in range(levels)]).astype(str)
    for name in real.columns[1 :: COLUMNS // GAPS]:
        table.loc[random.random(n) < 0.03, name] = np.nan

    return table


def deal(table: pd.DataFrame, parties: int, seed: int) -> list[pd.DataFrame]:
    """Deal rows to parties of unequal sizes, of which every second one prefers small or large tumours."""

    random = np.random.default_rng(seed)
    size = table["mean radius"].rank(pct=True).to_numpy()
    taste = np.array([(-1) ** k * (k % 2) * 1.5 for k in range(parties)])  # 0, -1.5, 0, -1.5, ...
    taste[3::4] *= -1
    weights = np.linspace(1, 3, parties) * np.exp(taste * (size[:, None] - 0.5))
    weights /= weights.sum(1, keepdims=True)
    owner = (random.random((len(table), 1)) > weights.cumsum(1)).sum(1).clip(max=parties - 1)

    return [table[owner == party] for party in range(parties)]


def measure(arguments: list[str]) -> dict[str, Any]:
    """Run `cgm settle`, and return the seconds and the peak memory in MiB of each station and of all.

    Arguments:
        arguments: Those of `cgm settle`.
    """

    from cgm.cli import settle
    from cgm.cli.main import main as cgm
    from cgm.settlements import folder, tables  # noqa: F401  # its stations are measured

    stations: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def measured(part: str) -> Iterator[None]:
        wall, used = time.perf_counter(), time.process_time()
        reset_peak()
        try:
            with timed(part):
                yield
        finally:
            station = stations.setdefault(part, {"wall": 0.0, "cpu": 0.0, "mebibytes": 0.0})
            station["wall"] += time.perf_counter() - wall
            station["cpu"] += time.process_time() - used
            station["mebibytes"] = max(station["mebibytes"], peak_memory())
            reset_peak()

    def as_station(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*arguments: Any, **settings: Any) -> Any:
            with measured(part):
                return function(*arguments, **settings)

        return run

    for module in [module for name, module in sys.modules.items() if name.startswith("cgm.")]:
        if getattr(module, "timed", None) is timed:
            setattr(module, "timed", measured)  # noqa: B010  # of any module
    for module, name, part in (
        (settle, "read_parties", "reading"),
        (folder, "mediator_files", "files of the mediator"),
        (folder, "party_files", "files of parties"),
        (folder, "report", "report"),
    ):
        setattr(module, name, as_station(getattr(module, name), part))

    sys.argv = ["cgm", "settle", *arguments]
    wall, used = time.perf_counter(), time.process_time()
    try:
        cgm()
    except SystemExit as error:
        if error.code:
            raise RuntimeError(error.code) from error
    total = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - used}
    return {"stations": stations, "total": {**total, "mebibytes": max(x["mebibytes"] for x in stations.values())}}


def main(arguments: list[str] | None = None) -> None:
    """Write the files, run `cgm settle`, and print the numbers as JSON."""

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--parties", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where files and results are kept; a temporary folder by default")
    parser.add_argument("settings", nargs="*", help="settings of cgm settle, after --")
    given = parser.parse_args(arguments)

    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        tables = deal(make_table(given.rows, given.seed), given.parties, given.seed)
        files = [folder / f"party {i + 1:02}.csv" for i in range(given.parties)]
        for path, table in zip(files, tables, strict=True):
            table.to_csv(path, index=False)
        del tables
        out = folder / "settlement"
        found = in_child(measure, [*map(str, files), f"out={out}", f"seed={given.seed}", *given.settings])
        result = json.loads((out / "mediator" / "result.json").read_text())
        seconds = sum(station["cpu"] for station in found["stations"].values())
        for station in found["stations"].values():
            station["share"] = station["cpu"] / seconds
        stated = {"approximation": result["approximation"], "synthetic_size": result["synthetic_size"]}
        print(json.dumps({"rows": given.rows, "parties": given.parties, **found, **stated}, indent=2))


if __name__ == "__main__":
    main()
