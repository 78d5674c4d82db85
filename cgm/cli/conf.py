"""The files of the configuration as text: groups, choices, and settings with their defaults and comments.

Read without Hydra, which composes configurations but knows nothing of comments, so that help is quick.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from cgm.utils.choices import CONF


@dataclass(frozen=True)
class Setting:
    """A setting in a file, or a section of settings.

    Arguments:
        name: The name, with dots between sections.
        value: The value as it is written; empty for a section.
        comment: The comment on the line of the setting, or else on the lines before.
        heading: The comment on the lines before, if the setting has one on its own line as well.
    """

    name: str
    value: str
    comment: str
    heading: str = ""


@dataclass(frozen=True)
class File:
    """A file of the configuration.

    Arguments:
        comment: The lines of the comment at its top.
        target: The class that it describes; empty if there is none.
        settings: The settings, named as on the command line.
        choices: The choices of groups in its list of defaults; `None` for a group without a choice.
        bases: The choices of its own group that it is based on.
    """

    comment: tuple[str, ...]
    target: str
    settings: tuple[Setting, ...]
    choices: dict[str, str | None]
    bases: tuple[str, ...]


class Configuration:
    """The files in some folders.

    Arguments:
        folders: The folders; of files of one name, that in the first folder is read.
        primary: The name of the primary configuration.

    Raises:
        ValueError: If a folder does not exist, or has no such file.
    """

    def __init__(self, folders: Sequence[Path], primary: str) -> None:
        for folder in folders[1:]:
            if not folder.is_dir():
                raise ValueError(f"--config-dir {folder}: no such folder")
        self.folders = tuple(folders)
        path = self._find(f"{primary}.yaml")
        if path is None:
            raise ValueError(f"--config-name {primary}: no file {primary}.yaml in {', '.join(map(str, folders))}")
        self.primary = read(path)

    def groups(self) -> list[str]:
        """List the groups: those of the primary configuration in their order, then others."""

        of_cgm = [path.parent.relative_to(CONF).as_posix() for path in sorted(CONF.rglob("*/*.yaml"))]
        # only the top of the user's folders, which may hold much else
        others = [path.parent.name for folder in self.folders[1:] for path in sorted(folder.glob("[!._]*/*.yaml"))]
        return list(dict.fromkeys([*self.primary.choices, *of_cgm, *others]))

    def choices(self, group: str) -> list[str]:
        """List the choices of a group."""

        return sorted({path.stem for folder in self.folders for path in (folder / group).glob("*.yaml")})

    def read(self, group: str, choice: str) -> File:
        """Read a choice of a group, with the settings of those that it is based on.

        Raises:
            ValueError: If there is none, or the file is not valid YAML.
        """

        path = self._find(f"{group}/{choice}.yaml")
        if path is None:
            raise ValueError(f"{group}={choice}: no such choice")
        file = read(path, group)
        settings: dict[str, Setting] = {}
        for base in file.bases:
            if base != choice and base in self.choices(group):
                below = self.read(group, base)
                settings |= {setting.name: setting for setting in below.settings}
                file = replace(file, target=file.target or below.target)
        for setting in file.settings:
            inherited = settings.get(setting.name, setting)
            settings[setting.name] = replace(setting, comment=setting.comment or inherited.comment)
        return replace(file, settings=tuple(settings.values()))

    def _find(self, name: str) -> Path | None:
        return next((folder / name for folder in self.folders if (folder / name).is_file()), None)


def read(path: Path, group: str = "") -> File:
    """Read a file of the configuration.

    Arguments:
        path: The file.
        group: The group that it belongs to.

    Raises:
        ValueError: If it is not valid YAML.
    """

    try:
        text = path.read_text(encoding="utf-8")
        node, content = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(describe_yaml(error, path)) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not encoded in UTF-8") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected names and values")

    lines = text.splitlines()
    top = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    comment = [line.removeprefix("#").removeprefix(" ").rstrip() for line in lines[:top]]
    package = next((line.split()[1] for line in comment if line.startswith("@package ")), group.replace("/", "."))
    defaults = content.get("defaults") or []
    defaults = defaults if isinstance(defaults, list) else [defaults]
    sections = [value for value in content.values() if isinstance(value, dict)]  # of a metric, its name comes first
    groups = [item for entry in defaults if isinstance(entry, dict) for item in entry.items()]
    return File(
        comment=tuple(line for line in comment if not line.startswith("@package ")),
        target=str(content.get("_target_", "") or next(iter(sections), {}).get("_target_", "")),
        settings=tuple(_settings(node, package.replace("_global_", ""), [""] * top + lines[top:])) if node else (),
        choices={re.sub(r"^((override|optional)\s+)*/?|@.*", "", str(key)): choice for key, choice in groups},
        bases=tuple(str(entry) for entry in defaults if not isinstance(entry, dict) and entry != "_self_"),
    )


def describe_yaml(error: yaml.YAMLError, path: Path | None = None) -> str:
    """Describe an error in a YAML file in one line.

    Arguments:
        error: The error.
        path: The file, if the error does not know it.
    """

    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(f"{path or ''} {error}".split())
    return f"{path or mark.name}, line {mark.line + 1}: not valid YAML: {getattr(error, 'problem', '')}"


def _settings(node: yaml.Node, section: str, lines: Sequence[str]) -> Iterator[Setting]:
    """Yield the settings of a section, in the order of the file."""

    for key, value in node.value:
        if key.value == "defaults" or key.value.startswith("_"):
            continue
        # block: empty, or written on the lines after the name, which then has the comment on its own line
        is_block = value.start_mark.index == value.end_mark.index or getattr(value, "style", None) in ("|", ">")
        is_block |= getattr(value, "flow_style", True) is False
        end = key.end_mark if is_block else value.end_mark
        beside = re.match(r"(?::(?:\s+[|>][-+\d]*)?)?\s+#+\s*(.*)", lines[end.line][end.column :])
        before: list[str] = []
        line = key.start_mark.line
        while line and re.match(rf"\s{{{key.start_mark.column}}}#", lines[line - 1]):
            line -= 1
            before.insert(0, lines[line].strip("# \t"))
        name = f"{section}.{key.value}".lstrip(".")
        comment, heading = (beside[1], " ".join(before)) if beside else (" ".join(before), "")
        if is_block and isinstance(value, yaml.MappingNode) and value.value:
            if comment:
                yield Setting(name, "", comment, heading)
            yield from _settings(value, name, lines)
        else:
            yield Setting(name, _one_line(value), comment, heading)


def _one_line(node: yaml.Node) -> str:
    """Return a value in one line, as it is written where that is in one line."""

    written = " ".join(node.start_mark.buffer[node.start_mark.pointer : node.end_mark.pointer].split())
    if written and getattr(node, "flow_style", True) and getattr(node, "style", None) not in ("|", ">"):
        return written
    value = yaml.SafeLoader("").construct_document(node)
    if isinstance(value, str):  # text over several lines
        return json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return text.splitlines()[0]
