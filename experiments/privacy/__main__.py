"""What privacy costs on the paper's four datasets: run what is missing, and write the report.

    python -m experiments.privacy
    python -m experiments.privacy --datasets credit_ratings credit_card
    python -m experiments.privacy --report

Each run is appended to `runs.jsonl`; those that are there are not repeated. They cannot be: the noise comes from the
operating system. The report is written from this file alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path

from experiments.privacy.report import write_report
from experiments.privacy.study import DATASETS, Job, plan, run

RUNS = "runs.jsonl"


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the report."""

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=list(DATASETS), metavar="DATASET")
    parser.add_argument("--folder", type=Path, default=Path("outputs/privacy"))
    parser.add_argument("--cache", default="outputs/cache", help="where features of images are kept")
    parser.add_argument("--most", type=int, default=None, help="the number of runs after which it ends")
    parser.add_argument("--report", action="store_true", help="write the report from the runs that there are")
    given = parser.parse_args(arguments)
    logging.getLogger("cgm").setLevel(logging.ERROR)
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / RUNS
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    done = {tuple(line[name] for name in vars(next(plan()))) for line in lines}
    jobs = [job for job in plan() if job.dataset in given.datasets and tuple(vars(job).values()) not in done]
    for job in [] if given.report else jobs[: given.most]:
        start = time.perf_counter()
        line = run(job, given.cache)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{_name(job)}: {time.perf_counter() - start:.0f} s", flush=True)
    print(write_report(path, given.folder))


def _name(job: Job) -> str:
    return ", ".join(f"{name}={value}" for name, value in vars(job).items())


if __name__ == "__main__":
    main()
