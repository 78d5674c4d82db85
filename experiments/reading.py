"""Time and memory from the files of parties to encoded points: reading, kinds and schema, codes, encoding.

    python -m experiments.reading
    python -m experiments.reading --rows 100000 --parties 5

The tables are simulated: 20 columns, eight of text categories with 2 to 12 levels, three of dates in several formats,
five of numbers with a few empty cells and four of integers. All is measured in one new process, whose peak memory
includes what Python and torch need, some 600 MiB.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmark.growth import in_child

LEVELS = (2, 3, 4, 5, 6, 8, 10, 12)
DATES = ("%Y-%m-%d", "%d.%m.%Y", "%Y-%m-%dT%H:%M:%S")


def make_table(n: int, seed: int) -> pd.DataFrame:
    """Draw n rows of 20 columns, as text where a file has text."""

    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for k, levels in enumerate(LEVELS):
        names = np.array([f"level {level}" for level in range(levels)])
        columns[f"category {k}"] = names[random.integers(levels, size=n)]
    for k, form in enumerate(DATES):
        seconds = random.integers(0, 700_000_000, n) if "%S" in form else 86_400 * random.integers(0, 8000, n)
        dates = pd.Series(pd.Timestamp("2000-01-01") + pd.to_timedelta(seconds, unit="s"))
        columns[f"date {k}"] = dates.dt.strftime(form)
    for k in range(5):
        numbers = random.normal(size=n).round(4)
        columns[f"number {k}"] = np.where(random.random(n) < 0.02 * (k < 2), np.nan, numbers)
    for k in range(4):
        columns[f"integer {k}"] = random.integers(0, 50 * 10**k, n)
    return pd.DataFrame(columns)


def measure(files: list[str], threads: int) -> dict[str, Any]:
    """Return the seconds of each station, by the clock and of all cores, and the peak memory of the process in MiB."""

    import pyarrow
    import torch

    from cgm.data.tables.encoding import TableEncoding
    from cgm.data.tables.files import read_parties
    from cgm.data.tables.schema import infer_schema
    from cgm.utils.run import peak_memory

    pyarrow.set_cpu_count(threads)
    stations, before = {}, peak_memory()

    def station(name: str, wall: float, used: float) -> tuple[float, float]:
        stations[name] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - used}
        return time.perf_counter(), time.process_time()

    clock = time.perf_counter(), time.process_time()
    tables, _ = read_parties(files)
    clock = station("reading", *clock)
    schema, parsed = infer_schema(tables)
    del tables
    clock = station("kinds and schema", *clock)
    codes = torch.cat([schema.to_codes(table) for table in parsed.values()])
    clock = station("codes", *clock)
    points = TableEncoding(schema).fit(codes, seed=0).transform(codes)
    station("encoding", *clock)
    total = {key: sum(each[key] for each in stations.values()) for key in ("wall", "cpu")}
    return {
        "seconds": {**stations, "total": total},
        "points": list(points.shape),
        "mebibytes": peak_memory(),
        "mebibytes_before": before,
    }


def main(arguments: list[str] | None = None) -> None:
    """Write the files, measure, and print the numbers as JSON."""

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--parties", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)

    with tempfile.TemporaryDirectory() as folder:
        table = make_table(given.rows, given.seed)
        files = [str(Path(folder) / f"party {k + 1}.csv") for k in range(given.parties)]
        for path, rows in zip(files, np.array_split(np.arange(given.rows), given.parties), strict=True):
            table.iloc[rows].to_csv(path, index=False)
        del table
        found = in_child(measure, files, given.threads)
    print(json.dumps({"rows": given.rows, "parties": given.parties, **found}, indent=2))


if __name__ == "__main__":
    main()
