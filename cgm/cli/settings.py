"""The settings of a job: those of the experiment, those of the program, and what they need on this machine."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, resolvers

from cgm.utils.settings import Integer, Settings

# sections and settings on which the numbers of a run do not depend
OF_THE_PROGRAM = ("hydra", "force", "objective", "threads", "logger", "engine")
PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")  # packages from which Hydra loads launchers and sweepers

# choices that need an optional dependency: its module, and the extra of cgm that installs it
EXTRAS = {
    "hydra/launcher=joblib": ("hydra_plugins.hydra_joblib_launcher", "sweep"),
    "hydra/launcher=ray": ("ray", "ray"),
    "hydra/launcher=submitit_local": ("hydra_plugins.hydra_submitit_launcher", "sweep"),
    "hydra/launcher=submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "sweep"),
    "hydra/sweeper=optuna": ("optuna", "sweep"),
    "generator=flow": ("zuko", "flow"),
    "logger=tensorboard": ("tensorboard", "tensorboard"),
    "logger=mlflow": ("mlflow", "mlflow"),
}


@dataclass(frozen=True)
class Program(Settings):
    """Settings of the program.

    Arguments:
        threads: The maximum number of threads; `None` for all cores, or the share that a launcher gives to a job.
        force: Whether complete runs are run again.
        objective: The number of a run that sweepers optimise, see `cgm.records.headline.objective_value`.
    """

    threads: Annotated[int, Integer(min=1)] | None = None
    force: bool = False
    objective: str | None = None


def task_overrides(hydra: Any) -> list[str]:
    """Return the overrides of a job as they are given, from Hydra's section of its configuration."""

    return cast(list[str], OmegaConf.to_container(hydra.overrides.task, resolve=False))


def resolve(config: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Resolve a configuration without Hydra's section, once: the result is kept with the configuration and its copies.

    Arguments:
        config: The configuration of a job.
        overrides: The overrides of the job.
    """

    cache = OmegaConf.get_cache(config)["cgm.settings"]
    key = tuple(overrides)  # Hydra copies the cache of a sweep to the configurations of its jobs
    if key not in cache:
        settings = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
        drop_other_options(settings, overrides)
        with _without_environment():
            cache[key] = OmegaConf.to_container(settings, resolve=True)
    return dict(cache[key])


@contextmanager
def _without_environment() -> Iterator[None]:
    """Refuse values of environment variables in settings: records have the settings, and others read records."""

    def refuse(name: str, *default: Any) -> None:
        raise ValueError(
            f"${{oc.env:{name}}}: settings are written to the record of a run, and a variable may hold a secret; write "
            f"the value itself, or ${name}, which the shell replaces"
        )

    OmegaConf.register_new_resolver("oc.env", refuse, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", resolvers.oc.env, replace=True)


def drop_other_options(config: DictConfig, overrides: Sequence[str]) -> None:
    """Drop the options of a group whose `_target_` is overridden, except those that are overridden as well.

    So `generator._target_=my_package.MyGenerator` is not called with the options of the default generator.
    """

    keys = [override.lstrip("+~").split("=", 1)[0] for override in overrides]
    for group in [key.removesuffix("._target_") for key in keys if key.endswith("._target_")]:
        section = OmegaConf.select(config, group)
        if isinstance(section, DictConfig):
            with open_dict(section):
                for option in list(section):
                    if f"{group}.{option}" not in keys:
                        del section[option]


def check_extras(choices: Mapping[str, str | None]) -> None:
    """Check that the optional dependencies of the chosen options are installed.

    Arguments:
        choices: The chosen option of each group.

    Raises:
        ValueError: If one is not; the message names the extra that installs it.
    """

    for choice in EXTRAS.keys() & {f"{group}={name}" for group, name in choices.items()}:
        module, extra = EXTRAS[choice]
        try:
            is_installed = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # not even its parent package
            is_installed = False
        if not is_installed:
            package = module.rpartition(".")[2]
            raise ValueError(f'{choice}: {package} is not installed; run pip install ".[{extra}]" in a checkout of cgm')


def check_launcher(config: DictConfig) -> None:
    """Check that Hydra can load the launcher and the sweeper of a sweep, and that the launcher can run jobs here.

    Raises:
        ValueError: If not.
    """

    for kind in ("launcher", "sweeper"):
        if not str(target := config.hydra[kind]._target_).startswith(PLUGINS):
            raise ValueError(
                f"hydra.{kind}._target_={target}: expected a plugin of Hydra; choose one by hydra/{kind}=NAME"
            )
    launcher = config.hydra.launcher
    if launcher.get("n_jobs") == 0:
        raise ValueError("hydra.launcher.n_jobs=0: expected a number of jobs, or -1 for as many as there are cores")
    if launcher._target_.endswith(".SlurmLauncher") and shutil.which("srun") is None:
        raise ValueError(
            "hydra/launcher=submitit_slurm: there is no Slurm on this machine (srun was not found); "
            "hydra/launcher=submitit_local and joblib run jobs here"
        )


def share_of_threads() -> int | None:
    """Return the number of threads that the launcher gives to each job; `None` for all cores."""

    launcher = HydraConfig.get().launcher
    if OmegaConf.is_missing(HydraConfig.get().job, "num"):  # a single run has no launcher
        return None
    if "n_jobs" in launcher:
        import joblib  # a dependency of this launcher; knows how many cores this process may use

        cores = joblib.cpu_count()
        return max(1, cores // (launcher.n_jobs if launcher.n_jobs > 0 else max(1, cores + 1 + launcher.n_jobs)))
    return launcher.get("cpus_per_task")
