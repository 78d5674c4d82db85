"""Settings of the programs, and the configuration of cgm."""

import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from cgm.cli.conf import CONF
from cgm.cli.help import program_help
from cgm.cli.launch import launch
from cgm.utils.text import suggestion

HERE = Path(__file__).parent

OmegaConf.register_new_resolver("experiments.searchpath", lambda: [f"file://{HERE}", f"file://{CONF}"], replace=True)


def program(settings: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Turn a function of a configuration into a command line program.

    Arguments:
        settings: The YAML file of the program's settings, relative to this folder.
    """

    path = HERE / settings

    def decorate(task: Callable[[DictConfig], None]) -> Callable[[], None]:
        @wraps(task)
        def run() -> None:
            if {"--help", "-h"} & set(sys.argv[1:]):
                print(program_help(path.parent, path.stem, sys.modules[task.__module__].__doc__ or ""))
                return
            launch(lambda config: partial(task, config), path.parent, path.stem, f"experiments.{path.parent.name}")

        return run

    return decorate


def compose_run(overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration of a run of `cgm`.

    Arguments:
        overrides: The overrides, as on the command line of `cgm`.
    """

    active = GlobalHydra.instance().hydra  # that of a program, which has another search path
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", list(overrides))
    finally:
        GlobalHydra.instance().hydra = active


def as_dict(config: DictConfig) -> dict[str, Any]:
    """Resolve a configuration without Hydra's section and return it as a dictionary."""

    settings = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
    return cast(dict[str, Any], OmegaConf.to_container(settings, resolve=True))


def check_names(setting: str, value: Any, names: Collection[str]) -> None:
    """Check that a setting is a list of some names.

    Raises:
        ValueError: If it is not.
    """

    if isinstance(value, str) or not set(value) <= set(names):
        wrong = [] if isinstance(value, str) else [str(name) for name in value if name not in names]
        hint = suggestion(wrong[0], names) if wrong else ""
        raise ValueError(f"{setting}={value}: expected a list of some of {', '.join(names)}{hint}")
