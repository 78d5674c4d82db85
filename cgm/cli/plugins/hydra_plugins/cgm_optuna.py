"""Lets Hydra search with Optuna: `hydra/sweeper=optuna`.

Hydra accepts a sweeper from the package `hydra_plugins` alone, which this module is installed to, and imports all that
is there whenever it starts: everything that is slow to import, or not always there, is imported when it is used. There
is a sweeper of Hydra's own for this, but that of Hydra 1.3 wants Optuna 2, of 2022, and ends with the first job that
fails.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

log = logging.getLogger("cgm")


class OptunaSweeper(Sweeper):
    """Looks for the settings with the best objective, by the tree-structured Parzen estimator (Bergstra et al. 2011).

    The same settings make the same choices, so that a search that was cut off goes on where it stopped: its jobs are
    asked for again, and those that are complete are skipped. A job that fails counts as a trial that tells nothing.

    Arguments:
        direction: `"maximize"` or `"minimize"`.
        n_trials: The number of jobs.
        n_jobs: How many are chosen at a time, before what they give is known.
        startup_trials: How many are chosen at random, before the others learn from them.
        seed: The seed of the choices.
        params: What is looked for, beside the overrides of the command line: by setting, as an override's value.

    Raises:
        ValueError: If a setting is bad.
    """

    def __init__(
        self,
        direction: str,
        n_trials: int,
        n_jobs: int,
        startup_trials: int,
        seed: int,
        params: Mapping[str, str] | None,
    ) -> None:
        if direction not in ("maximize", "minimize"):
            raise ValueError(f"hydra.sweeper.direction={direction}: expected 'maximize' or 'minimize'")
        for name, value in (("n_trials", n_trials), ("n_jobs", n_jobs), ("startup_trials", startup_trials)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"hydra.sweeper.{name}={value}: expected an integer >= 1")
        self.direction, self.n_trials, self.n_jobs = direction, n_trials, n_jobs
        self.startup_trials, self.seed = startup_trials, seed

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Is called by Hydra before `sweep`."""

        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the trials, tells which was the best, and writes all of them to `search.json`."""

        import optuna

        from cgm.cli.sweep import asked_for
        from cgm.utils.files import write_whole

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        asked = {override.get_key_element(): override for override in asked_for(self.config)}  # the last is what counts
        space = {name: distribution(override) for name, override in asked.items() if override.is_sweep_override()}
        fixed = [f"{name}={o.get_value_element_as_str()}" for name, o in asked.items() if name not in space]
        if not space:
            raise ValueError("hydra/sweeper=optuna: nothing to look for; try scheme.epsilon='interval(1e-4,1e-2)'")
        sampler = optuna.samplers.TPESampler(
            seed=self.seed, n_startup_trials=self.startup_trials, constant_liar=self.n_jobs > 1
        )
        study = optuna.create_study(direction=self.direction, sampler=sampler)

        trials: list[dict[str, Any]] = []
        while len(trials) < self.n_trials:
            batch = [study.ask(space) for _ in range(min(self.n_jobs, self.n_trials - len(trials)))]
            jobs = [[*fixed, *(f"{name}={value}" for name, value in trial.params.items())] for trial in batch]
            runs = self.launcher.launch(jobs, initial_job_idx=len(trials))
            for trial, run in zip(batch, runs, strict=True):
                value, folder = objective(run), Path(run.hydra_cfg.hydra.runtime.output_dir).name
                if value is None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    study.tell(trial, value)
                trials.append({"folder": folder, "value": value, "settings": trial.params})

        best = best_of(trials, self.direction)
        told = {"objective": self.config.objective, "direction": self.direction, "best": best, "trials": trials}
        write_whole(Path(self.config.hydra.sweep.dir) / "search.json", json.dumps(told, indent=2).encode())
        if best is None:
            log.warning("none of %d trials gave a number", len(trials))
        else:
            settings = " ".join(f"{name}={value}" for name, value in best["settings"].items())
            log.info(
                "best of %d trials: %s = %.6g with %s (%s)",
                len(trials),
                self.config.objective,
                best["value"],
                settings,
                best["folder"],
            )


def distribution(override: Override) -> BaseDistribution:
    """Makes of an override what Optuna draws from.

    `int(interval(1, 9))` holds whole numbers; an interval with the tag `log` is drawn from evenly in the logarithm.
    Choices and ranges are categories, in no order.
    """

    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    interval = override.value()
    if not isinstance(interval, IntervalSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    low, high, is_log = interval.start, interval.end, "log" in interval.tags
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=is_log)
    return FloatDistribution(float(low), float(high), log=is_log)


def objective(run: JobReturn) -> float | None:
    """Reads what a job gave; `None` if it failed or has no such number."""

    if run.status != JobStatus.COMPLETED or not isinstance(run.return_value, int | float):
        return None
    return float(run.return_value) if math.isfinite(run.return_value) else None


def best_of(trials: Sequence[dict[str, Any]], direction: str) -> dict[str, Any] | None:
    """Picks the trial with the best value, the first of them; `None` if there is no value."""

    known = [trial for trial in trials if trial["value"] is not None]
    sign = 1 if direction == "maximize" else -1
    return max(known, key=lambda trial: sign * trial["value"], default=None)
