"""The choices of groups, such as `kernel=laplacian`, from the YAML files of the command line, without Hydra."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from cgm.utils.text import choice_error

PACKAGE = Path(__file__).resolve().parents[1]
# the folder of the configuration: `cgm/conf` where the wheel is installed, `conf` in a checkout
CONF = next(folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if folder.is_dir())
SELECT = re.compile(r"\$\{oc\.select:([\w.]+),(.*)\}")  # a setting that follows another one, and its value without it


def is_group(name: str) -> bool:
    """Return whether a setting is a group, an object that the command line chooses by a name."""

    return name.isidentifier() and (CONF / name).is_dir()


@cache
def choices_of(group: str) -> tuple[str, ...]:
    """Return the names of the choices of a group."""

    return tuple(sorted(path.stem for path in (CONF / group).glob("*.yaml")))


def target_of(group: str, name: str) -> str | None:
    """Return the class that a choice names; `None` if there is no such choice, or it names none."""

    return _read(group, name).get("_target_") if name in choices_of(group) else None


def choose(group: str, names: str | Sequence[str], owner: object, setting: str = "", primary: str = "config") -> Any:
    """Return the object that a choice names, with the settings that it has on the command line.

    Arguments:
        group: The group.
        names: The name of the choice; several, if the choices are objects by their names, as of the group `metric`.
        owner: The object that has the setting; other settings of it are those that some choices follow.
        setting: The setting, in an error; the name of the group by default.
        primary: The name of the primary configuration, which may change settings of a choice.

    Raises:
        ValueError: If there is no such choice, or it has a setting without a default.
    """

    setting = setting or group
    if not isinstance(names, str):
        parts = [choose(group, name, owner, setting, primary) for name in names]
        return {name: part for each in parts for name, part in each.items()}
    if names not in choices_of(group):
        raise ValueError(choice_error(f"{setting}={names}", names, choices_of(group)))
    content = _read(group, names)
    changes = _load(primary).get(group)
    changed = {name: value for name, value in (changes or {}).items() if name in content}
    return _construct({**content, **changed}, owner, f"{setting}={names}")


@cache
def _load(name: str) -> Mapping[str, Any]:
    return yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8")) or {}


def _read(group: str, name: str) -> dict[str, Any]:
    """Return the content of a choice, with that of the choices of its group that it is based on."""

    file = dict(_load(f"{group}/{name}"))
    bases = file.pop("defaults", ["_self_"])
    if group in file:  # of a choice that stands for the whole section, such as metric=none
        return file[group]
    content: dict[str, Any] = {}
    for base in bases if "_self_" in bases else ["_self_", *bases]:
        content |= file if base == "_self_" else _read(group, base)
    return content


def _construct(node: Any, owner: object, choice: str) -> Any:
    """Return what a part of the content stands for."""

    if isinstance(node, list):
        return [_construct(each, owner, choice) for each in node]
    if isinstance(node, str) and (follows := SELECT.fullmatch(node)):
        value: Any = owner
        for name in follows[1].split("."):
            value = getattr(value, name, None)
        return yaml.safe_load(follows[2]) if value is None else value
    if not isinstance(node, dict):
        return node
    settings = {name: _construct(value, owner, choice) for name, value in node.items() if name != "_target_"}
    if "_target_" not in node:
        return settings
    module, _, name = node["_target_"].rpartition(".")
    if missing := [setting for setting, value in settings.items() if value == "???"]:
        raise ValueError(f"{choice}: {missing[0]} has no default; give {name}({missing[0]}=...) of {module} instead")
    return getattr(import_module(module), name)(**settings)
