"""Runs of cgm that a study consists of, one after another."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra.utils import instantiate

from cgm.cli.errors import reason, write_error
from cgm.cli.jobs import Job as Run
from cgm.cli.sweep import Progress
from cgm.experiment import Experiment
from experiments.settings import compose_run

log = logging.getLogger("cgm.experiments")


@dataclass(frozen=True)
class Job:
    """A run of a study.

    Attributes:
        dataset: The name of its dataset.
        folder: Its folder, relative to the folder of the study.
        overrides: Its settings, as on the command line of `cgm`.
    """

    dataset: str
    folder: str
    overrides: tuple[str, ...]


def run_jobs(
    jobs: Iterable[Job],
    folder: Path,
    missing: dict[str, str | None] | None = None,
    prepare: Callable[[Experiment], Experiment] = lambda experiment: experiment,
) -> list[str]:
    """Run jobs one after another, except those whose data is missing and those that are complete.

    Arguments:
        jobs: The jobs.
        folder: The folder of the study.
        missing: What datasets lack, as far as known; what is found out is added. `None`: nothing is known.
        prepare: Returns the experiment that runs in place of one with the same settings.

    Returns:
        The folders of the jobs that failed.
    """

    failed = []
    jobs = _with_data(jobs, {} if missing is None else missing)
    with TemporaryDirectory() as own:  # other processes may run jobs in the same folder
        progress = Progress(own)
        progress.start(len(jobs))
        for number, job in enumerate(jobs):
            progress.mark(number, "running")
            print(f"\n{job.folder}: {' '.join(job.overrides)}", flush=True)
            try:
                run = Run.construct(compose_run(job.overrides), job.overrides)
                state, _ = replace(run, experiment=prepare(run.experiment)).run(folder / job.folder)
            except Exception as error:
                write_error(folder / job.folder, job.overrides, error)
                log.error("failed: %s", reason(error))
                failed.append(job.folder)
                state = "failed"
            progress.mark(number, state)
            print(progress.line(), flush=True)
    return failed


def _with_data(jobs: Iterable[Job], missing: dict[str, str | None]) -> list[Job]:
    """Return the jobs whose dataset has its files, and print the other datasets."""

    kept = []
    for job in jobs:
        if job.dataset not in missing:
            missing[job.dataset] = _missing_data(job)
            if missing[job.dataset] is not None:
                print(f"left out because data is missing: {missing[job.dataset]}")
        if missing[job.dataset] is None:
            kept.append(job)
    return kept


def _missing_data(job: Job) -> str | None:
    """Return what is missing if a dataset lacks its files. Any other error will fail the run and be kept with it."""

    try:
        config = compose_run(job.overrides)
        instantiate(config.dataset, _convert_="all").load(config.data_dir, config.seed)
    except FileNotFoundError as error:
        return str(error)
    except Exception as error:
        log.debug("%s", error)
    return None
