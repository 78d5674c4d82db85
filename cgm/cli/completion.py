"""The completion of a line in a shell, which Hydra does for settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise

from cgm.cli.help import WITH_VALUE

COMMANDS = ("settle", "collect", "verify")  # each with arguments of its own, see `cgm.cli.main`
LINE = "COMP_LINE"  # an environment variable: the line so far


def completes(arguments: Sequence[str]) -> bool:
    """Decide whether a shell asks to complete a line."""

    return bool({"--shell-completion", "-sc"} & set(arguments)) and LINE in os.environ


def complete() -> str | None:
    """Print the commands that the first word may become, and leave the settings of the line to Hydra.

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

    settings = []  # without the command and the files, neither of which Hydra knows
    for before, word in pairwise(words[:-1]):
        if "=" in word or word[0] in "-+~" or before in WITH_VALUE:
            settings.append(word)
    os.environ[LINE] = " ".join([program, *settings, words[-1]])
    return "settle"
