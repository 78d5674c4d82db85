"""`cgm --help`: groups, choices and settings with the comments of the configuration's files, see `cgm.cli.conf`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from cgm import __version__
from cgm.cli.conf import CONF, Configuration, File, Setting
from cgm.utils.text import choice_error

WIDTH = 100
# options of Hydra with a value in the next argument
WITH_VALUE = (
    "--config-dir",
    "-cd",
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
    "--info",
    "-i",
    "--package",
    "-p",
    "--cfg",
    "-c",
    "--experimental-rerun",
)
LAST = "Options of Hydra, such as --multirun, --config-dir and --cfg job: {program} --hydra-help"


def help_text(arguments: Sequence[str], command: str = "") -> str:
    """Return the help that some arguments ask for.

    Arguments:
        arguments: The arguments, with choices such as `generator=mmd_gan` or `generator`, which are shown with their
            settings, or settings outside of groups; without any, all groups and all settings outside of groups.
        command: `"settle"`, or empty for an experiment.

    Raises:
        ValueError: If there is no such group or choice, or a file of the user is not valid.
    """

    asked, options = [], {}
    remaining = iter(arguments)
    for argument in remaining:
        option, equals, value = argument.partition("=")
        if option in WITH_VALUE:
            options[option] = value if equals else next(remaining, "")
        elif not argument.startswith("-"):
            asked.append(argument)
    given = options.get("--config-dir", options.get("-cd"))
    name = options.get("--config-name", options.get("-cn", command or "config"))
    configuration = Configuration([CONF, *([Path(given)] if given is not None else [])], name.removesuffix(".yaml"))

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

    lines = [description.strip(), "", "Settings"]
    for setting in Configuration([folder], name).primary.settings:
        if setting.name.partition(".")[0] != "hydra":
            lines += _setting(setting)
    return "\n".join(lines)


def _overview(configuration: Configuration, groups: Sequence[str], program: str) -> str:
    """Show the program, its groups with their choices, and its settings."""

    primary, settings = configuration.primary, [["Settings"]]
    for setting in primary.settings:
        if setting.name.partition(".")[0] == "hydra":
            continue
        if setting.heading:
            settings.append([setting.heading])
        settings[-1] += _setting(setting)
    choices = [f"Groups of choices, with * at the default; settings of a choice: {program} --help GROUP=CHOICE"]
    for group in groups:
        default = primary.choices.get(group)
        choices += ["", group]
        for choice in configuration.choices(group):
            left = f"  {'*' if choice == default else ' '} {choice}"
            choices += _columns(left, _summary(configuration.read(group, choice)), 26)

    first = [f"cgm {__version__}", *_comment(primary.comment)]
    parts = [section for section in settings if len(section) > 1]
    parts = [*parts, choices] if program == "cgm settle" else [choices, *parts]
    return "\n\n".join("\n".join(part) for part in [first, *parts, _columns("", LAST.format(program=program), 0)])


def _page(configuration: Configuration, group: str, choice: str) -> str:
    """Show a choice: what it is, and its settings."""

    file, name = configuration.read(group, choice), f"{group}={choice}"
    comment = [re.sub(rf"^cgm {re.escape(name)}\s{{2,}}", "", line) for line in file.comment]  # the heading says it
    lines = [name, *(f"  {line}" for line in _comment(comment, WIDTH - 2))]
    if file.target:
        lines.append(f"  class: {file.target}")
    chosen = {other: value for other, value in file.choices.items() if value is not None}
    lines += ["", *(f"  {other}={value}" for other, value in chosen.items())] if chosen else []
    if file.settings:
        lines.append("")
        comments = _declared(configuration, file)
        for setting in file.settings:
            if setting.heading:
                lines += ["", *_columns("  ", setting.heading, 2)]
            lines += _setting(setting, comments.get(setting.name, ""))

    return "\n".join(lines)


def _declared(configuration: Configuration, file: File) -> dict[str, str]:
    """Collect the comments of settings where they are declared, for files that give them other values."""

    chosen = {**configuration.primary.choices, **file.choices}
    settings = list(configuration.primary.settings)
    for group in {setting.name.partition(".")[0] for setting in file.settings} & chosen.keys():
        choice = chosen[group]
        if choice in configuration.choices(group):
            settings += configuration.read(group, str(choice)).settings
    if (sweeper := file.choices.get("hydra/sweeper")) in configuration.choices("hydra/sweeper"):
        settings += configuration.read("hydra/sweeper", str(sweeper)).settings
    return {setting.name: setting.comment for setting in settings}


def _setting(setting: Setting, declared: str = "") -> list[str]:
    left = f"  {setting.name} = {setting.value}" if setting.value else f"  {setting.name}"
    return _columns(left, setting.comment or declared, 36)


def _comment(comment: Iterable[str], width: int = WIDTH) -> list[str]:
    """Wrap the comment at the top of a file; commands, and what stands in columns, keep their lines."""

    lines: list[str] = []
    text: list[str] = []

    def wrap() -> None:
        lines.extend(textwrap.wrap(" ".join(text), width))
        text.clear()

    for line in comment:
        command = re.match(r"(\s*cgm(?: \S+)*)(?:\s{2,}(.*))?$", line)
        if command:
            wrap()
            lines += [line] if len(line) <= width else _columns(command[1], command[2] or "", 48, width)
        else:
            text.append(line.strip())
    wrap()
    return lines


def _summary(file: File) -> str:
    """Return the first sentence of the comment at the top of a file, without the command that it may begin with."""

    text = " ".join(re.sub(r"^cgm(?: \S+)*(?:\s{2,}|$)", "", line) for line in file.comment).strip()
    sentence = re.split(r"(?<=[.:]) (?=[A-Z])", text, maxsplit=1)[0]
    return sentence.rstrip(".:") or file.target or ""


def _columns(left: str, right: str, start: int, width: int = WIDTH) -> list[str]:
    """Set two texts beside each other, the right one wrapped; it begins on the next line if the left one is long."""

    lines = textwrap.wrap(right, width - start, break_on_hyphens=False) or [""]
    if len(left) + 2 > start > 0:
        head = textwrap.wrap(left, width, subsequent_indent=" " * 6, break_on_hyphens=False)
        return [*head, *(" " * start + line for line in lines if line)]
    return [(left.ljust(start) + lines[0]).rstrip(), *(" " * start + line for line in lines[1:])]
