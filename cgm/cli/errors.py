"""Errors in one line, and the `error.json` of a failed job."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import yaml
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from cgm.cli.conf import Configuration, describe_yaml
from cgm.cli.help import COMMANDS
from cgm.cli.targets import option_error, options_of
from cgm.utils.choices import CONF
from cgm.utils.files import write_whole
from cgm.utils.text import choice_error, setting_error, shortened

MAX_LENGTH = 2000  # of a message: tables of strangers may have thousands of long names
# errors that one line explains
REFUSALS = (ValueError, OSError, HydraException, OmegaConfBaseException, yaml.YAMLError)


def explain(error: BaseException) -> str:
    """Describe an error in one line: which setting is wrong and why, without the place in the code."""

    if isinstance(error, HydraException) and (line := _of_hydra(error)):
        return line
    if isinstance(error, OSError) and error.strerror and isinstance(error.filename, str):
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, yaml.YAMLError):
        return describe_yaml(error)

    key = re.search(r"^\s*full_key: (\S+)$", str(error), re.M)
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    if foreign := re.fullmatch(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'(.*)", str(error)):
        section = "" if key is None else f"{key[1]}."
        return f"{section}{foreign[2]}: {foreign[1]} has no such setting{foreign[3]}"
    text = " ".join(re.sub(r"^\s*(full_key: |object_type=).*$", "", str(error), flags=re.M).split())
    text = re.sub(r"^\w+ raised while resolving interpolation: ", "", text)
    if key is not None and key[1].startswith("metric.") and text.startswith("metric."):
        text = f"{key[1]}{text.removeprefix('metric')}"  # the name of a metric is that in the settings
    text = shortened(text, MAX_LENGTH)
    return text if key is None or key[1] in text else f"{text} (in {key[1]})"


def _of_hydra(error: HydraException) -> str | None:
    """Describe an error in the command line, or in the choice of a group; `None` for any other."""

    text, cause = str(error), error.__cause__
    if isinstance(error, OverrideParseException):
        details = [line for line in error.message.splitlines() if not line.startswith(("Error parsing", "See http"))]
        if any(line.startswith("missing EQUAL") for line in details):
            near = get_close_matches(str(error.override), COMMANDS, n=1, cutoff=0.75)
            return f"{error.override}: expected name=value" + "".join(f"; did you mean cgm {name}?" for name in near)
        return f"{error.override}: invalid syntax ({'; '.join(details)}){_hint_at_quotes(str(error.override))}"
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        own = f"; a class of your own is {group}._target_={choice}" if "." in choice else ""
        return choice_error(f"{group}={choice}", choice, error.options) + own
    if missing := re.search(r"Could not load '(\w+)/(\w+)'", text):  # of a list of choices
        group, choice = missing.groups()
        return choice_error(f"{group}={choice}", choice, Configuration([CONF], "config").choices(group))
    if unknown := re.match(r"Could not override '(.+?)'", text):
        parent, name = getattr(cause, "parent_node", None), getattr(cause, "full_key", None) or ""
        name = name if name.startswith(f"{unknown[1]}.") else unknown[1]  # kernel.a of kernel={a: 1}
        if of_class := _of_class(parent, name):
            return of_class
        section, _, last = name.rpartition(".")
        is_of_hydra = name.startswith("hydra.")
        names = [] if parent is None else list(_names(parent._get_root(), ""))
        if last == "_target_" and section in names:
            return f"{name}: {section} is one value; name a class by '{section}={{_target_: my_package.MyClass}}'"
        if section and last.strip("_") == "target":
            return f"{name}: unknown setting; did you mean {section}._target_?"
        if section in names and not any(other.startswith(f"{section}.") for other in names):
            return f"{name}: {section} is given as well, in place of all its settings; give one of the two"
        return setting_error(name, [other for other in names if other.startswith("hydra.") == is_of_hydra])
    if (merging := re.match(r"Error merging override (.+)", text)) and cause is not None:
        return f"{merging[1]}: {str(cause).splitlines()[0]}"
    if given := re.match(r"Could not append to config\. An item is already at '(.+?)'", text):
        return f"{given[1]}: given already; without the +, it is changed"
    if ambiguous := re.match(r"Ambiguous value for argument '((.+?)=(.*))'\n", text):
        name, values = ambiguous[2], ambiguous[3]
        return f"{ambiguous[1]}: several values; {name}=[{values}] is a list, and with --multirun they are a sweep"
    return None


def _hint_at_quotes(override: str) -> str:
    """Say how a value with characters that have a meaning of their own is written."""

    name, _, value = override.partition("=")
    inner = value.removeprefix("[").removesuffix("]")
    if not name or not re.search(r"[^\w.,/ -]", inner):
        return ""
    quoted = (
        f"[{', '.join(repr(part.strip()) for part in inner.split(', '))}]" if value.startswith("[") else repr(value)
    )
    return f'; put such text in quotes, and the setting as well: "{name}={quoted}"'


def _of_class(section: object, name: str) -> str | None:
    """Describe an unknown setting of a class of the user, which has other settings than the configuration shows.

    Returns:
        A line; `None` if the section has no class, or one of cgm, of which the configuration shows all settings.
    """

    if name.startswith("hydra.") or not isinstance(section, DictConfig) or section._is_none():
        return None
    target = section._get_node("_target_", validate_access=False)
    path = str(target)
    if target is None or path.startswith("cgm."):
        return None
    prefix, _, option = name.rpartition(".")
    try:
        names = options_of(f"{prefix}._target_", path)
    except ValueError as error:  # there is no such class
        return str(error)
    if names is None or option in names:
        return f"{name}: {path.rpartition('.')[2]} has this setting, but the configuration does not; write +{name}="
    return option_error(prefix, option, path, names)


def _names(node: object, prefix: str) -> Iterator[str]:
    """Yield the names of settings and sections of a configuration, without classes."""

    if isinstance(node, DictConfig) and not (node._is_none() or node._is_missing() or node._is_interpolation()):
        for key in map(str, node):
            if key != "_target_":
                yield f"{prefix}{key}"
                yield from _names(node._get_node(key), f"{prefix}{key}.")


def reason(error: Exception) -> str:
    """Describe an error in one line, with its type if it is not one that cgm or Hydra raise on purpose."""

    return explain(error) if isinstance(error, REFUSALS) else f"{type(error).__name__}: {explain(error)}"


def write_error(folder: Path, overrides: Sequence[str], error: Exception) -> None:
    """Write `error.json`: the overrides of a job, the reason for its failure and the traceback."""

    content = {
        "overrides": list(overrides),
        "message": reason(error),
        "traceback": "".join(traceback.format_exception(error)),
    }
    write_whole(folder / "error.json", json.dumps(content, indent=2, ensure_ascii=False).encode())
