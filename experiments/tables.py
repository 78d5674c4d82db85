"""Time and memory of `cgm settle` for many rows: 20 parties, 100,000 rows, 12 columns of numbers and 8 of categories.

    python -m experiments.tables
    python -m experiments.tables --rows 20000 --parties 5 -- kernel.lengthscale=median

The rows are drawn from the breast cancer data that comes with scikit-learn: measurements with 5 % noise, so that no row
occurs twice; eight of them are cut into categories. Half of the parties prefer large tumours or small ones, and 3 % of
the cells in four columns are empty. What follows `--` goes to `cgm settle`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer

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
        out = folder / "settlement"
        command = [sys.executable, "-m", "cgm", "settle", *map(str, files), f"out={out}", f"seed={given.seed}"]
        start = time.perf_counter()
        subprocess.run([*command, *given.settings], check=True)
        wall, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = json.loads((out / "mediator" / "result.json").read_text())["seconds"]
        print(
            json.dumps(
                {
                    "rows": given.rows,
                    "parties": given.parties,
                    "wall_seconds": round(wall, 1),
                    "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
                    "peak_memory_gib": round(used.ru_maxrss / 2**20, 2),
                    "seconds": {name: round(amount, 1) for name, amount in seconds.items()},
                },
                indent=2,
            )
        )


if __name__ == "__main__":
    main()
