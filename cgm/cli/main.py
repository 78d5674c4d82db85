"""The entry point of the command line: `cgm` and `python -m cgm`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from cgm.cli import collect, settle, verify
from cgm.cli.errors import REFUSALS, explain
from cgm.cli.jobs import run
from cgm.cli.settings import CONF
from cgm.utils.version import __version__

FULL_ERROR = "HYDRA_FULL_ERROR"  # an environment variable; 1: errors are raised with their traceback


def main() -> None:
    """Run the command line: a command such as `verify`, or an experiment.

    Raises:
        SystemExit: If a command ends, with its status, or if settings are invalid.
    """

    if sys.argv[1:2] == ["verify"]:
        raise SystemExit(verify.main(sys.argv[2:]))
    if sys.argv[1:2] == ["collect"]:
        collect.main(sys.argv[2:])
        return
    if "--version" in sys.argv[1:]:  # Hydra would print its own version
        print(f"cgm {__version__}")
        return
    if sys.argv[1:2] == ["settle"]:
        sys.argv[1:] = settle.to_overrides(sys.argv[2:])
        launch(settle.run, CONF, "settle")
        return
    launch(run, CONF, "config")


def launch(task: Callable[[DictConfig], Any], folder: Path, name: str, program: str = "cgm") -> None:
    """Run a function with the configuration that Hydra composes from the command line.

    Invalid settings end the program with status 1 and one line on stderr, unless `HYDRA_FULL_ERROR=1` is set.

    Arguments:
        task: The function.
        folder: The folder of the configuration.
        name: The name of the primary configuration in it, without `.yaml`.
        program: The name of the program, for error messages.
    """

    sys.path.insert(0, os.getcwd())  # classes of the user: `python -m cgm` finds them here, a console script does not
    given = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"  # otherwise Hydra prints its errors itself, over several lines
    try:
        hydra.main(version_base="1.3", config_path=str(folder), config_name=name)(task)()
    except SystemExit as end:
        if given == "1" and end.__cause__ is not None:
            raise end.__cause__ from None
        raise
    except REFUSALS as error:
        if given == "1":
            raise
        raise SystemExit(f"{program}: error: {explain(error)}") from error
    finally:
        if given is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = given
