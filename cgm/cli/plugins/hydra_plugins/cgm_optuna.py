"""A sweeper for Hydra that searches with Optuna: `hydra/sweeper=optuna`.

Hydra accepts sweepers from the package `hydra_plugins` only, where this module is installed, and imports all modules of
that package whenever it starts; so optional or slow dependencies are imported inside functions. Hydra has an Optuna
sweeper of its own, but that for Hydra 1.3 requires Optuna 2 (of 2022) and stops at the first job that fails.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from cgm.utils.settings import Integer, Settings

log = logging.getLogger("cgm")


@dataclass  # annotations are no strings: Hydra executes this module before it is in sys.modules
class OptunaSweeper(Settings, Sweeper):
    """A search for the settings with the best objective, by the tree-structured Parzen estimator.

    A search is reproducible, so one that was interrupted can be resumed: it suggests the same jobs again, and those
    that are complete are skipped. A job that fails counts as a trial without a value.

    References:
        Algorithms for Hyper-Parameter Optimization (Bergstra et al., 2011)

    Arguments:
        direction: `"maximize"` or `"minimize"`.
        n_trials: The number of jobs.
        n_jobs: The number of jobs that are suggested at once, before the values of any of them are known.
        startup_trials: The number of random trials at the start.
        seed: The seed of the suggestions.
        params: The search space, in addition to the overrides of the command line: for each setting, the value of an
            override, such as `interval(0, 1)`.

    Raises:
        ValueError: If a setting is out of range.
    """

    section = "hydra.sweeper"
    direction: Literal["maximize", "minimize"]
    n_trials: Annotated[int, Integer(min=1)]
    n_jobs: Annotated[int, Integer(min=1)]
    startup_trials: Annotated[int, Integer(min=1)]
    seed: int
    params: Mapping[str, str] | None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the configuration, the search space and the launcher, before `sweep`.

        Raises:
            ValueError: If no setting is searched, or an interval has no ends.
        """

        self.config = config
        self.space, self.fixed = search_space(config)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials, log the best one and write all of them to `search.json`."""

        import optuna

        from cgm.utils.files import write_whole

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        config, launcher = self.config, self.launcher
        assert config is not None, "setup has not been called"
        assert launcher is not None, "setup has not been called"
        sweep_folder = Path(config.hydra.sweep.dir)
        sampler = optuna.samplers.TPESampler(
            seed=self.seed, n_startup_trials=self.startup_trials, constant_liar=self.n_jobs > 1
        )
        study = optuna.create_study(direction=self.direction, sampler=sampler)

        trials: list[dict[str, Any]] = []
        while len(trials) < self.n_trials:
            batch = [study.ask(self.space) for _ in range(min(self.n_jobs, self.n_trials - len(trials)))]
            jobs = [[*self.fixed, *(f"{name}={value}" for name, value in trial.params.items())] for trial in batch]
            runs = launcher.launch(jobs, initial_job_idx=len(trials))
            for trial, run in zip(batch, runs, strict=True):
                value = objective(run)
                if value is None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    study.tell(trial, value)
                trials.append({"folder": folder_name(run), "value": value, "settings": trial.params})

        best = best_of(trials, self.direction)
        search = {"objective": config.objective, "direction": self.direction, "best": best, "trials": trials}
        write_whole(sweep_folder / "search.json", json.dumps(search, indent=2).encode())
        if best is None:
            log.warning("none of %d trials has a value", len(trials))
        else:
            settings = " ".join(f"{name}={value}" for name, value in best["settings"].items())
            log.info(
                "best of %d trials: %s = %.6g with %s (%s)",
                len(trials),
                config.objective,
                best["value"],
                settings,
                best["folder"],
            )


def search_space(config: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """Return the distribution of each setting that is searched, and the overrides of the others.

    Raises:
        ValueError: If no setting is searched, or an interval has no ends.
    """

    from cgm.cli.sweep import sweep_overrides

    overrides = {override.get_key_element(): override for override in sweep_overrides(config)}  # the last one wins
    space = {name: distribution(override) for name, override in overrides.items() if override.is_sweep_override()}
    if not space:
        raise ValueError("hydra/sweeper=optuna: empty search space; try scheme.epsilon='interval(1e-4,1e-2)'")
    return space, [f"{name}={o.get_value_element_as_str()}" for name, o in overrides.items() if name not in space]


def distribution(override: Override) -> Any:
    """Convert an override to a distribution of Optuna.

    `int(interval(1, 9))` is uniform over integers, an interval with the tag `log` is uniform in the logarithm. Choices
    and ranges are categories without an order.
    """

    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    interval = override.value()
    if not isinstance(interval, IntervalSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    low, high, is_log = interval.start, interval.end, "log" in interval.tags
    if low is None or high is None:
        raise ValueError(f"{override.input_line}: expected an interval with two ends")
    if low > high:
        raise ValueError(f"{override.input_line}: expected the lower end first")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=is_log)
    return FloatDistribution(float(low), float(high), log=is_log)


def objective(run: JobReturn) -> float | None:
    """Return the value of a job; `None` if it failed or its objective could not be computed."""

    if run.status != JobStatus.COMPLETED or not isinstance(run.return_value, int | float):
        return None
    return float(run.return_value) if math.isfinite(run.return_value) else None


def folder_name(run: JobReturn) -> str | None:
    """Return the name of a job's folder."""

    return None if run.hydra_cfg is None else Path(run.hydra_cfg.hydra.runtime.output_dir).name


def best_of(trials: Sequence[dict[str, Any]], direction: str) -> dict[str, Any] | None:
    """Return the first trial with the best value; `None` if no trial has a value."""

    known = [trial for trial in trials if trial["value"] is not None]
    sign = 1 if direction == "maximize" else -1
    return max(known, key=lambda trial: sign * trial["value"], default=None)
