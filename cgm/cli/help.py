"""`cgm --help`: groups, choices and settings with the comments of the configuration's files, see `cgm.cli.conf`."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from cgm import __version__
from cgm.cli.conf import Configuration, File, Setting
from cgm.utils.choices import CONF
from cgm.utils.text import choice_error, suggestion

WIDTH = 100
# each with arguments of its own, see `cgm.cli.main`
COMMANDS = ("settle", "collect", "verify", "schema", "key", "sketch", "reward")
# options of Hydra with their short forms: those with a value, in the next argument or behind "=", and those without
WITH_VALUE = {"--config-dir": "-cd", "--config-name": "-cn", "--config-path": "-cp", "--package": "-p", "--cfg": "-c"}
FLAGS = {"--multirun": "-m", "--run": "-r", "--resolve": "", "--info": "-i", "--help": "-h"}
FLAGS |= {"--hydra-help": "", "--shell-completion": "-sc"}
LONG = {short: option for option, short in {**WITH_VALUE, **FLAGS}.items() if short}
LAST = "Options of Hydra, such as --multirun, --config-dir and --cfg job: {program} --hydra-help"


def split_options(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split arguments into options of Hydra, by their long names, and all others.

    Raises:
        ValueError: If there is no such option.
    """

    options, others = {}, []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.partition("=")
        name = LONG.get(name, name)
        if name in WITH_VALUE:
            options[name] = value if equals else next(remaining, "")
        elif name in FLAGS:
            options[name] = value
        elif argument.startswith("-"):
            known = [*WITH_VALUE, *FLAGS]
            raise ValueError(f"{argument}: unknown option{suggestion(name, known)}; --hydra-help lists all options")
        else:
            others.append(argument)
    return options, others


def help_text(arguments: Sequence[str], command: str = "") -> str:
    """Return the help that some arguments ask for.

    Arguments:
        arguments: The arguments, with choices such as `generator=mmd_gan` or `generator`, which are shown with their
            settings, or settings outside of groups; without any, all groups and all settings outside of groups.
        command: `"settle"`, or empty for an experiment.

    Raises:
        ValueError: If there is no such option, group or choice, or a file of the user is not valid.
    """

    options, asked = split_options(arguments)
    folders = [CONF, *(Path(options[name]) for name in ("--config-dir",) if name in options)]
    name = options.get("--config-name", command or "config").removesuffix(".yaml")
    configuration = Configuration(folders, name)
    groups = [group for group in configuration.primary.choices if not group.startswith("hydra/")]
    if not command:
        groups += [group for group in configuration.groups() if group not in groups]
    if not asked:
        return _overview(configuration, groups, f"cgm {command}".strip())

    pages = []
    outside = {setting.name: setting for setting in configuration.primary.settings}
    for argument in asked:
        group, equals, choice = argument.lstrip("+").partition("=")
        if group in outside:
            pages.append("\n".join(_setting(outside[group])))
            continue
        if group not in groups:
            raise ValueError(choice_error(f"--help {argument}", group, groups))
        choices = configuration.choices(group)
        if equals and choice not in choices:
            raise ValueError(choice_error(argument, choice, choices))
        pages += [_page(configuration, group, each) for each in ([choice] if equals else choices)]
    return "\n\n".join(pages)


def program_help(folder: Path, name: str, description: str) -> str:
    """Return the help of a program without groups.

    Arguments:
        folder: The folder of its configuration.
        name: The name of the file with its settings, without `.yaml`.
        description: What the program does.
    """

    settings = Configuration([folder], name).primary.settings
    return "\n".join([description.strip(), "", "Settings", *_lines(settings, "")])


def _overview(configuration: Configuration, groups: Sequence[str], program: str) -> str:
    """Show the program, its groups with their choices, and its settings."""

    primary = configuration.primary
    choices = [f"Groups of choices, with * at the default; settings of a choice: {program} --help GROUP=CHOICE"]
    for group in groups:
        choices += ["", group]
        for choice in configuration.choices(group):
            mark = "*" if choice == primary.choices.get(group) else " "
            choices += _columns(f"  {mark} {choice}", _summary(configuration.read(group, choice)), 26)
    settings = _lines(primary.settings, "")
    parts = [settings[1:], choices] if program == "cgm settle" else [choices, settings[1:]]
    first = [f"cgm {__version__}", *_comment(primary.comment)]
    return "\n\n".join("\n".join(part) for part in [first, *parts, _columns("", LAST.format(program=program), 0)])


def _page(configuration: Configuration, group: str, choice: str) -> str:
    """Show a choice: what it is, and its settings."""

    file, name = configuration.read(group, choice), f"{group}={choice}"
    comment = [re.sub(rf"^cgm {re.escape(name)}\s{{2,}}", "", line) for line in file.comment]  # the heading says it
    lines = [name, *(f"  {line}" for line in _comment(comment, WIDTH - 2))]
    lines += [f"  class: {file.target}"] if file.target else []
    chosen = [f"  {other}={value}" for other, value in file.choices.items() if value is not None]
    lines += ["", *chosen] if chosen else []
    # comments of settings where they are declared, for files that give them other values
    declared = list(configuration.primary.settings)
    for other, value in {**configuration.primary.choices, **file.choices}.items():
        if value is not None and any(setting.name.startswith(other.replace("/", ".")) for setting in file.settings):
            declared += configuration.read(other, value).settings if value in configuration.choices(other) else ()
    comments = {setting.name: setting.comment for setting in declared}
    settings = [Setting(s.name, s.value, s.comment or comments.get(s.name, ""), s.heading) for s in file.settings]
    return "\n".join([*lines, *([""] if settings else []), *_lines(settings, "  ")])


def _lines(settings: Iterable[Setting], indent: str) -> list[str]:
    """Show settings, those of Hydra only in a page of their own, with the headings before them."""

    lines = []
    for setting in settings:
        if indent or setting.name.partition(".")[0] != "hydra":
            lines += ["", *_columns(indent, setting.heading, len(indent))] if setting.heading else []
            lines += _setting(setting)
    return lines


def _setting(setting: Setting) -> list[str]:
    left = f"  {setting.name} = {setting.value}" if setting.value else f"  {setting.name}"
    return _columns(left, setting.comment, 36)


def _comment(comment: Iterable[str], width: int = WIDTH) -> list[str]:
    """Wrap the comment at the top of a file; commands, and what stands in columns, keep their lines."""

    lines: list[str] = []
    text: list[str] = []
    for line in [*comment, "cgm"]:  # the last one ends the text
        command = re.match(r"(\s*cgm(?: \S+)*)(?:\s{2,}(.*))?$", line)
        if command:
            lines += textwrap.wrap(" ".join(text), width)
            text = []
            lines += [line] if len(line) <= width else _columns(command[1], command[2] or "", 48, width)
        else:
            text.append(line.strip())
    return lines[:-1]


def _summary(file: File) -> str:
    """Return the first sentence of the comment at the top of a file, without the command that it may begin with."""

    text = " ".join(re.sub(r"^cgm(?: \S+)*(?:\s{2,}|$)", "", line) for line in file.comment).strip()
    sentence = re.split(r"(?<=[.:]) (?=[A-Z])", text, maxsplit=1)[0]
    return sentence.rstrip(".:") or file.target


def _columns(left: str, right: str, start: int, width: int = WIDTH) -> list[str]:
    """Set two texts beside each other, the right one wrapped; it begins on the next line if the left one is long."""

    lines = textwrap.wrap(right, width - start, break_on_hyphens=False) or [""]
    if len(left) + 2 > start > 0:
        head = textwrap.wrap(left, width, subsequent_indent=" " * 6, break_on_hyphens=False)
        return [*head, *(" " * start + line for line in lines if line)]
    return [(left.ljust(start) + lines[0]).rstrip(), *(" " * start + line for line in lines[1:])]


def say(text: str) -> None:
    """Print text, whether its reader, such as `head`, reads all of it or not."""

    try:
        print(text, flush=True)
    except BrokenPipeError:  # Python writes what is left when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
