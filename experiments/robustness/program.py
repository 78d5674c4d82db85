"""Can the scheme be gamed: run or resume honest and attacked experiments, and write the report.

    python -m experiments.robustness
    python -m experiments.robustness 'datasets=[credit_card]' 'what=[scheme]' 'attacks=[split,noise]' seeds=1
    python -m experiments.robustness size=small
    python -m experiments.robustness 'attacks=[]'

For each dataset, split and seed, honest runs come first: the parties with the smallest and the largest α are the
attackers. These runs share what they have in common: data, pools, valuations, and the honest settlements. Each run has
a folder of its own, and is skipped if this folder holds its complete result, with the same settings and the same
version of cgm's numerics. A run that fails leaves `error.json`, and the others continue. The report is written from
the records alone: `attacks=[]` only writes the report.
"""

import sys
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from experiments.jobs import run_jobs
from experiments.robustness.plan import FEATURE_CHOICES, Study
from experiments.robustness.records import read_features, read_honest
from experiments.robustness.report import write_report
from experiments.robustness.sharing import Experiment, Memory
from experiments.settings import as_dict, program

FOLDERS = {"full": "outputs/robustness", "small": "outputs/robustness-small"}
SECONDS = {  # of one core, measured for an honest and for an attacked run at full size
    "credit_ratings": (0.5, 0.7),
    "credit_card": (2.0, 1.2),
    "mnist": (2.2, 1.4),
    "cifar10": (3.3, 2.3),
}
FEATURE_SECONDS = 600  # of the runs with other features, at full size


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
    failed = run_study(study, target)
    print(f"\n{write_report(target)}")
    if failed:
        sys.exit(1)


def run_study(study: Study, folder: Path) -> list[str]:
    """Run or resume a study, and return the folders of the runs that failed."""

    failed: list[str] = []
    missing: dict[str, str | None] = {}
    for place in study.places():
        shared = partial(Experiment.of, memory=Memory())
        failed += run_jobs(study.honest(place), folder, missing, shared)
        failed += run_jobs(study.attacked(place, read_honest(folder)), folder, missing, shared)
    for place in study.feature_places():
        shared = partial(Experiment.of, memory=Memory())
        failed += run_jobs(study.with_features(place), folder, missing, shared)
        failed += run_jobs(study.with_features(place, read_features(folder)), folder, missing, shared)
    return failed


def describe(study: Study) -> str:
    """Return the number of runs and, at full size, an estimate of the time they take."""

    counts = study.count()
    honest, attacked = (sum(count[k] for count in counts.values()) for k in (0, 1))
    features = len(study.feature_places()) * len(FEATURE_CHOICES)
    text = f"{honest} honest runs and {attacked} with an attack"
    text += f", and {2 * features} with other features" if features else ""
    if study.size != "full" or study.synthetic_size is not None or not counts or not counts.keys() <= SECONDS.keys():
        return text
    seconds = sum(n * t for name, count in counts.items() for n, t in zip(count, SECONDS[name], strict=True))
    seconds += FEATURE_SECONDS if features else 0
    return f"{text}, about {seconds / 60:.0f} minutes of one core if none is complete"
