"""The entry point of the command line: `cgm` and `python -m cgm`."""

from __future__ import annotations

import os
import sys
from itertools import pairwise

from cgm import __version__
from cgm.cli.help import COMMANDS, WITH_VALUE, help_text, say
from cgm.utils.choices import CONF
from cgm.utils.text import printable

VALUED = {*WITH_VALUE, *WITH_VALUE.values()}
PLANTED = {  # files of the current folder, beside the data of others, that packages take for settings of the user
    ".numba_config.yaml": "numba, which can load code by it,",
    "matplotlibrc": "matplotlib, which can start other programs by it,",
}
LINE = "COMP_LINE"  # an environment variable: the line that a shell completes


def main() -> None:
    """Run the command line: a command such as `verify`, or an experiment.

    Raises:
        SystemExit: If a command ends, with its status, if settings are invalid, or if it is interrupted.
    """

    try:
        run()
    except KeyboardInterrupt:  # while modules are imported; `launch` has more to say
        print("cgm: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def run() -> None:
    """Run the command that the first argument names, or an experiment.

    Hydra and torch are imported where they are needed: their import is slower than all that `--help` does.
    """

    os.environ.setdefault("PYTHONSAFEPATH", "1")  # other processes do not import from the current folder, see __main__
    arguments = sys.argv[1:]
    command = arguments[0] if arguments and arguments[0] in COMMANDS else ""
    if command and (planted := [name for name in PLANTED if os.path.lexists(name)]):
        raise SystemExit(f"cgm: error: {planted[0]}: {PLANTED[planted[0]]} would use it; run cgm in another folder")
    if command in ("collect", "verify"):  # have options of their own
        from cgm.cli import commands

        if status := getattr(commands, command)(arguments[1:]):
            raise SystemExit(status)
    elif command in ("schema", "key", "sketch", "reward"):
        from cgm.cli import private

        getattr(private, command)(arguments[1:])
    elif command == "settle" and any(argument.endswith(".sketch") and "=" not in argument for argument in arguments):
        from cgm.cli import private

        private.settle(arguments[1:])
    elif "--version" in arguments:  # Hydra would print its own version
        print(f"cgm {__version__}")
    elif {"--help", "-h"} & set(arguments):
        try:
            say(help_text(arguments[1:] if command else arguments, command))
        except (ValueError, OSError) as error:
            raise SystemExit(printable(f"cgm: error: {error}")) from error
    elif {"--shell-completion", "-sc"} & set(arguments) and LINE in os.environ:
        if name := complete():
            from cgm.cli.launch import show

            show(CONF, name)
    elif command == "settle":
        from cgm.cli import settle
        from cgm.cli.launch import launch

        sys.argv[1:] = settle.to_overrides(arguments[1:])
        launch(settle.prepare, CONF, "settle")
    else:
        from cgm.cli.jobs import prepare
        from cgm.cli.launch import launch
        from cgm.cli.sweep import run_sweep

        launch(prepare, CONF, "config", sweep=run_sweep)


def complete() -> str | None:
    """Print the commands that the first word of a line may become, and leave the settings of the line to Hydra.

    Returns:
        The primary configuration whose settings complete the line; `None` if only names of files do, which the shell
        knows.
    """

    program, *words = os.environ[LINE].split()
    if os.environ[LINE].endswith(" "):
        words.append("")  # a new word
    if len(words) < 2:
        print(*(command for command in COMMANDS if command.startswith("".join(words))))
        return "config"
    if words[0] != "settle":
        return None if words[0] in COMMANDS else "config"

    # without the command and the files, neither of which Hydra knows
    settings = [word for before, word in pairwise(words[:-1]) if "=" in word or word[0] in "-+~" or before in VALUED]
    os.environ[LINE] = " ".join([program, *settings, words[-1]])
    return "settle"
