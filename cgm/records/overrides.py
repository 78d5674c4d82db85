"""What was typed to start runs, also those that failed: overrides, and choices of groups."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cgm.records.record import ERROR
from cgm.records.settings import canonical, cell, union
from cgm.utils.untrusted import load_yaml

OVERRIDES, PROGRAM = Path(".hydra", "overrides.yaml"), Path(".hydra", "hydra.yaml")  # in the folder of a run

Overrides = Mapping[str, str]  # the values as text, by name


def read_overrides(folder: Path) -> dict[str, str]:
    """Return the overrides of a run by name, from `error.json` or `.hydra/`; empty if they are unknown."""

    try:
        lines = json.loads((folder / ERROR).read_text(encoding="utf-8"))["overrides"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        lines = _read_yaml(folder / OVERRIDES)
    pairs = [str(line).partition("=") for line in lines] if isinstance(lines, list) else []
    return {name.lstrip("+"): _normalised(value) for name, _, value in pairs}


def read_choices(folder: Path) -> dict[str, str]:
    """Return the choice of each group of a run, from `.hydra/`; empty if they are unknown."""

    try:
        choices = _read_yaml(folder / PROGRAM)["hydra"]["runtime"]["choices"]
        return {str(group): str(choice) for group, choice in choices.items()}
    except (KeyError, TypeError, AttributeError):
        return {}


def find_chosen(settings: Sequence[Mapping[str, Any]], choices: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the groups with several choices, if these are known for all of some runs and tell their classes.

    They do not for `generator._target_=my.Generator`, where the choice is that of another class.

    Arguments:
        settings: The settings of each run, in which a group has the name of its class.
        choices: The choices of each run.
    """

    chosen = []
    for group in union(choices[:1]):
        if all(group in own for own in choices) and any(own.get(group) is not None for own in settings):
            pairs = {(own[group], cell(given.get(group))) for own, given in zip(choices, settings, strict=True)}
            if 1 < len({choice for choice, _ in pairs}) == len(pairs):
                chosen.append(group)
    return chosen


def find_differing(runs: Iterable[Overrides]) -> list[str]:
    """Return the names of the overrides that are not the same in all of some runs; all names if there is one run."""

    runs = list(runs)
    names = union(runs)
    return names if len(runs) == 1 else [name for name in names if len({run.get(name) for run in runs}) > 1]


def _read_yaml(path: Path) -> Any:
    """Return the content of a YAML file, or `None` if it is missing or damaged. No code in it is run."""

    try:
        return load_yaml(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError):
        return None


def _normalised(text: str) -> str:
    """Return a value in the spelling of tables: 0.001 for 1e-3, true for True."""

    try:
        value = {"True": True, "False": False}[text] if text in ("True", "False") else json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, str) else canonical(value)
