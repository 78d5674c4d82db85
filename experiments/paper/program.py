"""Reproduction of the paper's Section 6: run or resume all experiments, and write the report.

    python -m experiments.paper
    python -m experiments.paper 'what=[paper]' 'datasets=[mnist,cifar10]' seeds=1
    python -m experiments.paper size=small
    python -m experiments.paper 'what=[]'
    python -m experiments.paper check

Each run is composed like `cgm experiment=paper_... split=... seed=...` and has a folder of its own. It is skipped if
this folder holds its complete result, with the same settings and the same version of cgm's numerics. A run that fails
leaves `error.json`, and the others continue. The report is written from the records alone: `what=[]` only writes the
report. Smaller runs cover the choices that the paper leaves open. `check` tells
which claims and published numbers are reproduced, see `experiments.paper.check`.
"""

import sys
from pathlib import Path

from omegaconf import DictConfig

from experiments.jobs import run_jobs
from experiments.paper.plan import plan_jobs
from experiments.paper.report import write_report
from experiments.settings import as_dict, program

FOLDERS = {"full": "outputs/paper", "small": "outputs/reproduction"}


@program("paper/paper.yaml")
def main(config: DictConfig) -> None:
    """Run the jobs that the configuration asks for, and write the report."""

    settings = as_dict(config)
    folder = settings.pop("folder")
    try:
        jobs = plan_jobs(**settings)
    except ValueError as error:
        sys.exit(f"experiments.paper: error: {error}")
    target = Path(folder or FOLDERS[settings["size"]])
    failed = run_jobs(jobs, target)
    print(f"\n{write_report(target)}")
    if failed:
        sys.exit(1)
