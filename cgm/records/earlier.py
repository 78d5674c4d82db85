"""What an earlier run has left in a folder, and whether a run of some settings need not be repeated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgm.records.record import CONFIGURATION, RESULT, check_run, read_run
from cgm.records.result import Result
from cgm.records.settings import flatten, union, with_metrics
from cgm.utils.plain import NUMERICS, not_compared


@dataclass(frozen=True)
class Earlier:
    """An earlier run in a folder.

    Attributes:
        result: Its result, if it is complete, unchanged and of the same settings and numerics of cgm.
        problem: Why the result is not used; empty if it is, or if there is none.
        different: The names of the settings that are not the same, if it is complete.
    """

    result: Result | None = None
    problem: str = ""
    different: tuple[str, ...] = ()


def find_earlier(folder: Path, settings: Mapping[str, Any], configuration: Mapping[str, Any]) -> Earlier:
    """Return what an earlier run has left in a folder.

    Arguments:
        folder: The folder.
        settings: The settings of the experiment, as `result.json` has them.
        configuration: The settings as `configuration.json` has them; also those of classes that are no dataclasses,
            which `result.json` does not state.
    """

    try:
        if not (folder / RESULT).is_file():
            return Earlier()
        result, _ = read_run(folder)
        check_run(folder, result)
        if not (folder / CONFIGURATION).is_file():
            raise ValueError(f"no {CONFIGURATION}, although there is a {RESULT}")
        given = with_metrics(json.loads((folder / CONFIGURATION).read_text(encoding="utf-8")))
        pairs = ((with_metrics(result.settings), settings), (given, configuration))
        names = [name for old, new in pairs for name in _different(flatten(old), flatten(new))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Earlier(problem=f"damaged, runs again: {' '.join(str(error).split())}")
    numerics = result.versions.get("numerics")
    if any(old != new for old, new in pairs):
        different = tuple(dict.fromkeys(names)) or ("other classes",)
        return Earlier(None, f"has a result of other settings, runs again: {', '.join(different)}", different)
    if numerics != str(NUMERICS):
        return Earlier(
            problem=f"has a result of another version of cgm (numerics {numerics}, now {NUMERICS}), runs again"
        )
    if unknown := [*not_compared(configuration)]:
        return Earlier(problem=f"whether the settings are the same cannot be told, runs again: {', '.join(unknown)}")
    return Earlier(result)


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that are not the same."""

    return [name for name in union((old, new)) if name not in old or name not in new or old[name] != new[name]]
