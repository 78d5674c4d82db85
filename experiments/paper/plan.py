"""Reproduces the paper's Section 6: runs or resumes every experiment, and writes the report.

    python experiments/reproduce.py
    python experiments/reproduce.py what=[paper] datasets=[mnist,cifar10] seeds=1
    python experiments/reproduce.py size=small
    python experiments/reproduce.py what=[]

Each run is what `cgm experiment=paper_... split=... seed=...` composes. It goes to a folder of its own, and is skipped
if that holds it already, whole, of the same settings and the same version of cgm's numerics. A run that fails leaves
`error.json`, and the others go on. The report (experiments/report.py) is written from the records alone: `what=[]`
writes nothing else. Beside the paper's runs there are smaller ones for the choices that the paper leaves open.
"""

import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra import compose
from omegaconf import DictConfig, OmegaConf
from report import write_report

from cgm.cli.jobs import reason, resume, write_error
from cgm.cli.main import CONF
from cgm.cli.sweep import Progress
from cgm.utils.checks import check_integer

log = logging.getLogger("cgm.reproduce")

FOLDERS = {"full": "outputs/paper", "small": "outputs/reproduction"}
SPLITS = ("equal_disjoint", "unequal")
DATASETS: dict[str, tuple[str, ...]] = {
    "credit_ratings": ("experiment=paper_credit_ratings", "dataset.reference=true"),  # the paper's very points
    "credit_card": ("experiment=paper_credit_card",),
    "mnist": ("experiment=paper_mnist",),
    "cifar10": ("experiment=paper_cifar10",),
    # not in the paper: images that need no file
    "digits": ("dataset=digits", "features=pca", "synthetic_size=5000", "split.points_per_party=200"),
}
IMAGES = ("mnist", "cifar10")
IN_SIZE = {  # what is left out if datasets=null
    "full": ("credit_ratings", "credit_card", "mnist", "cifar10"),
    "small": ("credit_ratings", "digits", "credit_card", "mnist", "cifar10"),
}
SIZES: dict[str, tuple[str, ...]] = {
    "full": (),
    "small": ("synthetic_size=5000", "split.points_per_party=200"),
}
SEEDS = {"credit_ratings": 5, "credit_card": 5}  # other datasets: FEWER
FEWER = {"full": 3, "small": 2}

BASE = "base"  # the folder of the choices' common starting point
CHOICES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {  # what differs, one at a time, and for which data
    "features": ({"pca": "features=pca", "umap": "features=umap"}, IMAGES),
    "bandwidth": ({"0.1": "generator.bandwidth=0.1", "0.5": "generator.bandwidth=0.5"}, ("credit_card",)),
    "scheme": ({"fair": "scheme=fair"}, tuple(DATASETS)),
    "labeller": ({"knn": "downstream.labeller=knn"}, IMAGES),
    "test": ({"others": "downstream.test=others"}, tuple(DATASETS)),
}
CHOICE_SIZES: dict[str, tuple[str, ...]] = {  # 20 synthetic points for each of a party's, as in most of the paper
    "full": ("synthetic_size=10000", "split.points_per_party=500", "figures=false"),
    "small": ("synthetic_size=2000", "split.points_per_party=100", "figures=false"),
}
CHOICE_SEEDS = {"full": 3, "small": 1}


@dataclass(frozen=True)
class Job:
    """Holds one run of the grid.

    Attributes:
        dataset: The name of its dataset.
        folder: Where it goes, relative to the folder of the reproduction.
        overrides: Its settings, as on the command line of `cgm`.
    """

    dataset: str
    folder: str
    overrides: tuple[str, ...]


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="reproduce")
def main(config: DictConfig) -> None:
    """Runs what the configuration says, and writes the report."""

    settings = OmegaConf.to_container(config, resolve=True)
    folder = settings.pop("folder")
    try:
        jobs = plan(**settings)
    except ValueError as error:
        sys.exit(f"reproduce: error: {error}")
    target = Path(folder or FOLDERS[config.size])
    failed = run(jobs, target)
    print(f"\n{write_report(target)}")
    if failed:
        sys.exit(1)


def plan(
    what: Sequence[str],
    datasets: Sequence[str] | None = None,
    splits: Sequence[str] = SPLITS,
    seeds: int | None = None,
    size: str = "full",
    more: Sequence[str] = (),
) -> list[Job]:
    """Lists the runs of the grid.

    Arguments:
        what: `"paper"` and names of `CHOICES`.
        datasets: Names of `DATASETS`; those of the size, if `None`.
        splits: Names of splits.
        seeds: The number of seeds; the size's and dataset's own, if `None`.
        size: `"full"` or `"small"`.
        more: Further overrides of every run.

    Raises:
        ValueError: If a setting is out of range.
    """

    if size not in SIZES:
        raise ValueError(f"size={size}: expected one of {', '.join(SIZES)}")
    datasets = IN_SIZE[size] if datasets is None else datasets
    for name, values, known in (
        ("what", what, ("paper", *CHOICES)),
        ("datasets", datasets, tuple(DATASETS)),
        ("splits", splits, SPLITS),
    ):
        if isinstance(values, str) or not set(values) <= set(known):
            raise ValueError(f"{name}={values}: expected a list of some of {', '.join(known)}")
    if seeds is not None:
        check_integer("seeds", seeds, min=1)

    jobs = []
    if "paper" in what:
        for dataset in datasets:
            own = FEWER[size] if size == "small" else SEEDS.get(dataset, FEWER[size])
            for seed in range(seeds or own):
                settings = (*SIZES[size], f"figures={str(seed == 0).lower()}", *more)
                jobs += [_job("runs", dataset, split, seed, settings) for split in splits]

    asked = {name: choice for name, choice in CHOICES.items() if name in what}
    variants = {BASE: ("", tuple(DATASETS))} if asked else {}
    for name, (options, where) in asked.items():
        variants |= {f"{name}-{option}": (override, where) for option, override in options.items()}
    for variant, (override, where) in variants.items():
        for dataset in [dataset for dataset in datasets if dataset in where]:
            settings = (*CHOICE_SIZES[size], *([override] if override else []), *more)
            for seed in range(seeds or CHOICE_SEEDS[size]):
                jobs += [_job(f"choices/{variant}", dataset, split, seed, settings) for split in splits]
    return jobs


def run(jobs: Iterable[Job], folder: Path) -> list[str]:
    """Runs the jobs, one after another, but for those whose data is missing and those that are complete.

    Hydra is to be at work, by `hydra.main` or `hydra.initialize_config_dir`, with the folder of cgm's settings.

    Returns:
        The folders of those that failed.
    """

    failed, progress = [], Progress(folder)
    jobs = _with_data(jobs)
    progress.start(len(jobs))
    for number, job in enumerate(jobs):
        progress.mark(number, "running")
        print(f"\n{job.folder}: {' '.join(job.overrides)}", flush=True)
        try:
            state, _ = resume(compose("config", list(job.overrides)), folder / job.folder, job.overrides)
        except Exception as error:
            write_error(folder / job.folder, job.overrides, error)
            log.error("failed: %s", reason(error))
            failed.append(job.folder)
            state = "failed"
        progress.mark(number, state)
        print(progress.line(), flush=True)
    progress.end()
    return failed


def _with_data(jobs: Iterable[Job]) -> list[Job]:
    """Leaves out the jobs of datasets whose files are missing, and names these datasets."""

    missing: dict[str, str | None] = {}
    kept = []
    for job in jobs:
        if job.dataset not in missing:
            missing[job.dataset] = _missing(job)
            if missing[job.dataset] is not None:
                print(f"left out, for its data is missing: {missing[job.dataset]}")
        if missing[job.dataset] is None:
            kept.append(job)
    return kept


def _missing(job: Job) -> str | None:
    """Tells that a dataset has no files. Whatever else is wrong will fail the run itself, and be kept with it."""

    try:
        config = compose("config", list(job.overrides))
        hydra.utils.instantiate(config.dataset, _convert_="all").load(config.data_dir, config.seed)
    except FileNotFoundError as error:
        return str(error)
    except Exception as error:
        log.debug("%s", error)
    return None


def _job(folder: str, dataset: str, split: str, seed: int, settings: Sequence[str]) -> Job:
    own = (*DATASETS[dataset], f"split={split}", f"seed={seed}", *settings)
    return Job(dataset, f"{folder}/{dataset}-{split}-seed{seed}", own)


if __name__ == "__main__":
    main()
