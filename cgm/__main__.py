"""Composes an experiment by Hydra, and runs it: `cgm` and `python -m cgm`."""

import os
import re
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
    """Says in one line what was wrong and in which group, rather than where in the code it was noticed."""

    key = re.search(r"^\s*full_key: (\S+)$", str(error), re.M)
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(re.sub(r"^\s*(full_key: |object_type=).*$", "", str(error), flags=re.M).split())
    return text if key is None or key[1] in text else f"{text} (in {key[1]})"


if __name__ == "__main__":
    main()
