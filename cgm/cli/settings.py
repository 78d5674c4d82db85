"""The settings of a job: which of them belong to the experiment, their digest."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from cgm.cli.targets import check_plugin
from cgm.utils.checks import check_bool, check_integer

# sections and settings on which the numbers of a run do not depend
OF_THE_PROGRAM = ("hydra", "force", "objective", "threads", "logger")

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


def check_extras(choices: Mapping[str, str | None]) -> None:
    """Check that the optional dependencies of the chosen options are installed.

    Arguments:
        choices: The chosen option of each group.

    Raises:
        ValueError: If one is not; the message names the extra that installs it.
    """

    for group, choice in choices.items():
        if f"{group}={choice}" not in EXTRAS:
            continue
        module, extra = EXTRAS[f"{group}={choice}"]
        try:
            found = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # not even its parent package
            found = False
        if not found:
            package = module.rpartition(".")[2]
            raise ValueError(
                f'{group}={choice}: {package} is not installed; run pip install ".[{extra}]" in a checkout of cgm'
            )


def check_program(config: DictConfig) -> None:
    """Check the settings of the program: `force`, `objective` and `threads`.

    Raises:
        ValueError: If one is invalid.
    """

    check_bool("force", config.get("force", False))
    check_integer("threads", config.get("threads"), min=1, optional=True)
    if config.get("objective") is not None:
        from cgm.records.headline import check_objective  # imports torch

        check_objective(str(config.objective))


def check_launcher(config: DictConfig) -> None:
    """Check that Hydra can load the launcher and the sweeper of a sweep, and that the launcher can run jobs here.

    Raises:
        ValueError: If not.
    """

    launcher = config.hydra.launcher
    check_plugin("hydra.launcher._target_", launcher._target_)
    check_plugin("hydra.sweeper._target_", config.hydra.sweeper._target_)
    if launcher.get("n_jobs") == 0:
        raise ValueError("hydra.launcher.n_jobs=0: expected a number of jobs, or -1 for as many as there are cores")
    if launcher._target_.endswith(".SlurmLauncher") and shutil.which("srun") is None:
        raise ValueError(
            "hydra/launcher=submitit_slurm: there is no Slurm on this machine (srun was not found); "
            "hydra/launcher=submitit_local and joblib run jobs here"
        )


def thread_limit(config: DictConfig) -> int | None:
    """Return the maximum number of threads of a job: `threads`, or the share that the launcher gives to each job.

    Returns:
        The number, or `None` for all cores.

    Raises:
        ValueError: If a setting of the program is invalid.
    """

    check_program(config)
    threads, launcher = config.get("threads"), HydraConfig.get().launcher
    if threads is not None:
        return threads
    if OmegaConf.is_missing(HydraConfig.get().job, "num"):  # a single run has no launcher
        return None
    if "n_jobs" in launcher:
        import joblib  # a dependency of this launcher; knows how many cores this process may use

        cores = joblib.cpu_count()
        return max(1, cores // (launcher.n_jobs if launcher.n_jobs > 0 else max(1, cores + 1 + launcher.n_jobs)))
    return launcher.get("cpus_per_task")


def own_settings(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Copy the settings of the experiment, without those of the program.

    Arguments:
        config: The whole configuration.
        overrides: The overrides of the job.
    """

    own = copy.deepcopy(config)
    OmegaConf.set_struct(own, False)
    OmegaConf.set_readonly(own, False)
    for key in OF_THE_PROGRAM:
        own.pop(key, None)
    drop_other_options(own, overrides)

    return own


def resolved_settings(config: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the experiment with their interpolations resolved."""

    own = own_settings(config, overrides)
    try:
        return cast(dict[str, Any], OmegaConf.to_container(own, resolve=True))
    except OmegaConfBaseException:  # a reference to nothing: reported when the experiment is instantiated
        return cast(dict[str, Any], OmegaConf.to_container(own, resolve=False))


def drop_other_options(config: DictConfig, overrides: Sequence[str]) -> None:
    """Drop the options of a group whose `_target_` is overridden, except those that are overridden as well.

    So `generator._target_=my_package.MyGenerator` is not called with the options of the default generator.
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
    """Return the first ten hexadecimal digits of a text's SHA-256."""

    return hashlib.sha256(text.encode()).hexdigest()[:10]
