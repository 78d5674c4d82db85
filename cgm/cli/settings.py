"""Names, counts and sums up the jobs of a sweep: what `conf/config.yaml` tells Hydra to call.

Beside `__main__`, the only module that knows Hydra. It is one of its own because a launcher's processes have to import
it, and so register the names of folders, before they know what to run.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

# sections and settings that a run's numbers do not depend on
OF_THE_PROGRAM = ("hydra", "force", "objective", "threads", "logger")
EXTRAS = {  # the choices of groups that need more than cgm alone: the module, and the extra that brings it
    "hydra/launcher=joblib": ("hydra_plugins.hydra_joblib_launcher", "sweep"),
    "hydra/launcher=submitit_local": ("hydra_plugins.hydra_submitit_launcher", "sweep"),
    "hydra/launcher=submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "sweep"),
    "hydra/sweeper=optuna": ("optuna", "sweep"),
    "logger=tensorboard": ("tensorboard", "tensorboard"),
    "logger=mlflow": ("mlflow", "mlflow"),
}


def check_extras(choices: Mapping[str, str | None]) -> None:
    """Refuses choices of groups that need a package which is not installed.

    Raises:
        ValueError: If so; it names the extra of cgm that brings the package.
    """

    for group, choice in choices.items():
        module, extra = EXTRAS.get(f"{group}={choice}", (None, None))
        try:
            found = module is None or importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # not even the package that it would be in
            found = False
        if not found:
            package = module.rpartition(".")[2]
            raise ValueError(f"{group}={choice}: {package} is not installed; pip install 'cgm[{extra}]' brings it")


def threads_of(config: DictConfig) -> int | None:
    """Tells how many threads a job may use: `threads`, or what the launcher gives each job; `None` for all cores.

    Raises:
        ValueError: If `threads` is bad.
    """

    threads, launcher = config.get("threads"), HydraConfig.get().launcher
    if threads is not None:
        if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
            raise ValueError(f"threads={threads}: expected a whole number from 1, or null")
        return threads
    if OmegaConf.is_missing(HydraConfig.get().job, "num"):  # a single run has no launcher
        return None
    if "n_jobs" in launcher:
        import joblib  # which the launcher needs, too; it knows what share of the cores is the process's own

        cores = joblib.cpu_count()
        return max(1, cores // (launcher.n_jobs if launcher.n_jobs > 0 else max(1, cores + 1 + launcher.n_jobs)))
    return launcher.get("cpus_per_task")


def own_settings(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Copies the settings that make a job what it is, those of its experiment: all but those of the program.

    Arguments:
        config: The whole configuration.
        overrides: The job's overrides.
    """

    own = copy.deepcopy(config)
    OmegaConf.set_struct(own, False)
    OmegaConf.set_readonly(own, False)
    for key in OF_THE_PROGRAM:
        own.pop(key, None)
    keep_own_options(own, overrides)

    return own


def settings_of(config: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Resolves the job's own settings."""

    own = own_settings(config, overrides)
    try:
        return OmegaConf.to_container(own, resolve=True)
    except OmegaConfBaseException:  # refers to nothing: whoever instantiates it will say so
        return OmegaConf.to_container(own, resolve=False)


def keep_own_options(config: DictConfig, overrides: Sequence[str]) -> None:
    """Drops a group's options when its `_target_` is overridden, but for those that are overridden as well.

    So `generator._target_=my_package.MyGenerator` is not given the options of the default generator.
    """

    keys = [override.lstrip("+~").split("=", 1)[0] for override in overrides]
    for group in [key.removesuffix("._target_") for key in keys if key.endswith("._target_")]:
        section = config.get(group)
        if isinstance(section, DictConfig):
            with open_dict(section):
                for option in list(section):
                    if f"{group}.{option}" not in keys:
                        del section[option]


def digest(text: str) -> str:
    """Shortens a text to ten hexadecimal digits of its SHA-256."""

    return hashlib.sha256(text.encode()).hexdigest()[:10]
