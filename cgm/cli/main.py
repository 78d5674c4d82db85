"""The entry point of the command line: `cgm` and `python -m cgm`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from cgm import __version__
from cgm.cli.completion import complete, completes
from cgm.cli.conf import CONF
from cgm.cli.help import help_text

FULL_ERROR = "HYDRA_FULL_ERROR"  # an environment variable; 1: errors are raised with their traceback


def main() -> None:
    """Run the command line: a command such as `verify`, or an experiment.

    Hydra is imported where it is needed: its import is slower than all that `--help` and `--version` do.

    Raises:
        SystemExit: If a command ends, with its status, or if settings are invalid.
    """

    arguments = sys.argv[1:]
    if arguments[:1] == ["verify"]:  # has options of its own
        from cgm.cli import verify

        raise SystemExit(verify.main(arguments[1:]))
    if arguments[:1] == ["collect"]:
        from cgm.cli import collect

        collect.main(arguments[1:])
        return
    if "--version" in arguments:  # Hydra would print its own version
        print(f"cgm {__version__}")
        return
    command = "settle" if arguments[:1] == ["settle"] else ""
    if "--help" in arguments or "-h" in arguments:
        try:
            print(help_text(arguments[1:] if command else arguments, command), flush=True)
        except BrokenPipeError:  # the reader, such as `head`, has read enough; Python writes what is left when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (ValueError, OSError) as error:
            raise SystemExit(f"cgm: error: {error}") from error
        return
    if command:
        from cgm.cli import settle

        sys.argv[1:] = settle.to_overrides(arguments[1:])
        launch(settle.run, CONF, "settle")
        return

    name = complete() if completes(arguments) else "config"
    if name is not None:
        from cgm.cli import jobs

        launch(jobs.run, CONF, name)


def launch(task: Callable[[DictConfig], Any], folder: Path, name: str, program: str = "cgm") -> None:
    """Run a function with the configuration that Hydra composes from the command line.

    Invalid settings end the program with status 1 and one line on stderr, unless `HYDRA_FULL_ERROR=1` is set.

    Arguments:
        task: The function.
        folder: The folder of the configuration.
        name: The name of the primary configuration in it, without `.yaml`.
        program: The name of the program, for error messages.
    """

    import hydra

    from cgm.cli.callbacks import checked_callbacks
    from cgm.cli.errors import REFUSALS, explain

    sys.path.insert(0, os.getcwd())  # classes of the user: `python -m cgm` finds them here, a console script does not
    given = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"  # otherwise Hydra prints its errors itself, over several lines
    try:
        with checked_callbacks():
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
