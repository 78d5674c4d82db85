"""Composes an experiment by Hydra, and runs it: `cgm` and `python -m cgm`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

HERE = Path(__file__).resolve().parent
CONF = next(folder for folder in (HERE / "conf", HERE.parent / "conf") if folder.is_dir())  # installed, or a checkout


def main() -> None:
    """Runs the command line."""

    sys.path.insert(0, os.getcwd())  # `python -m cgm` finds classes of the user's own here; so shall `cgm`
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(run)()


def run(config: DictConfig) -> None:
    """Runs the experiment that a configuration describes, and prints its headline numbers."""

    job = HydraConfig.get()
    keep_own_options(config, job.overrides.task)
    try:
        experiment = hydra.utils.instantiate(config, _convert_="all")  # imports torch: late, so that --help is quick
        record = experiment.run(job.runtime.output_dir)
    except (ValueError, OSError, InstantiationException, OmegaConfBaseException) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(f"cgm: error: {explain(error)}")

    print(f"\n{record.table()}\n{job.runtime.output_dir}")


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


def explain(error: Exception) -> str:
    """Says what was wrong, rather than where in the code it was noticed."""

    if not isinstance(error, InstantiationException):
        return str(error)
    cause = error.__cause__
    where = f" (in {error.full_key})" if getattr(error, "full_key", None) else ""
    if isinstance(cause, ValueError | OSError | ImportError | TypeError):
        return f"{cause}{where}"
    return str(error).replace("\n", " ")


if __name__ == "__main__":
    main()
