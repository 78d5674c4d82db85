"""Can the scheme be gamed: run or resume honest and attacked experiments, and write the report.

    python -m experiments.robustness
    python -m experiments.robustness 'datasets=[credit_card]' 'what=[scheme]' 'attacks=[split,noise]' seeds=1
    python -m experiments.robustness size=small
    python -m experiments.robustness 'attacks=[]'

Honest runs come first: the parties with the smallest and the largest α of the same dataset, split and seed are the
attackers. Each run has a folder of its own, and is skipped if this folder holds its complete result, with the same
settings and the same version of cgm's numerics. A run that fails leaves `error.json`, and the others continue. The
report is written from the records alone: `attacks=[]` only writes the report.
"""

import sys
from pathlib import Path

from omegaconf import DictConfig

from experiments.jobs import run_jobs
from experiments.robustness.plan import Study
from experiments.robustness.records import read_honest
from experiments.robustness.report import write_report
from experiments.settings import as_dict, program

FOLDERS = {"full": "outputs/robustness", "small": "outputs/robustness-small"}
SECONDS = {  # of one core, measured for an honest and for an attacked run at full size
    "credit_ratings": (2.0, 2.2),
    "credit_card": (4.0, 4.2),
    "mnist": (6.3, 6.1),
    "cifar10": (11.0, 11.0),
}


@program("robustness/robustness.yaml")
def main(config: DictConfig) -> None:
    """Run the study that the configuration asks for, and write the report."""

    settings = as_dict(config)
    folder = settings.pop("folder")
    try:
        study = Study(**settings)
    except ValueError as error:
        sys.exit(f"experiments.robustness: error: {error}")
    target = Path(folder or FOLDERS[study.size])
    print(describe(study), flush=True)
    failed = run_jobs(study.honest(), target)
    failed += run_jobs(study.attacked(read_honest(target)), target)
    print(f"\n{write_report(target)}")
    if failed:
        sys.exit(1)


def describe(study: Study) -> str:
    """Return the number of runs and, at full size, an estimate of the time they take."""

    counts = study.count()
    honest, attacked = (sum(count[k] for count in counts.values()) for k in (0, 1))
    text = f"{honest} honest runs and {attacked} with an attack"
    if study.size != "full" or study.synthetic_size is not None or not counts or not counts.keys() <= SECONDS.keys():
        return text
    seconds = sum(n * t for name, count in counts.items() for n, t in zip(count, SECONDS[name], strict=True))
    return f"{text}, about {seconds / 60:.0f} minutes of one core if none is complete"
