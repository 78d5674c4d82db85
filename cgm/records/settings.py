"""Settings of runs by name, and how runs differ in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cgm.evaluation.metrics.paper import paper_metrics
from cgm.utils.plain import plain
from cgm.valuation.method import ValuationMethod

NO_EFFECT = ("figures", "embedding_party", "cache")  # settings that do not change any number of a run


def canonical(value: Any) -> str:
    """Return a value as JSON that does not depend on the order of keys or on whether a number is 1.0 or 1."""

    def normalised(x: Any) -> Any:
        if isinstance(x, Mapping):
            return {str(key): normalised(entry) for key, entry in x.items()}
        if isinstance(x, list | tuple):
            return [normalised(entry) for entry in x]
        return int(x) if isinstance(x, float) and x.is_integer() and abs(x) < 2**53 else x

    return json.dumps(normalised(value), sort_keys=True, ensure_ascii=False, default=str)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names; a section itself has the name of its class."""

    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if key in ("class", "_target_"):  # in result.json and in configuration.json
            if prefix:
                flat[prefix[:-1]] = str(value).rsplit(".", 1)[-1]
        elif isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def with_metrics(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an experiment with what older records do not state: the paper's metrics, exact values, no
    privacy.

    Arguments:
        settings: The settings in `result.json` or in `configuration.json`; others are returned as they are.
    """

    key = next((key for key in ("_target_", "class") if key in settings), None)
    if key is not None and "valuation" not in settings:
        exact = plain(ValuationMethod())
        name = exact.pop("class")
        settings = {**settings, "valuation": {key: f"cgm.valuation.{name}" if key == "_target_" else name, **exact}}
    if key is not None and "privacy" not in settings:
        settings = {**settings, "privacy": {key: "cgm.privacy.NoPrivacy" if key == "_target_" else "NoPrivacy"}}
    if "metric" in settings or key is None:
        return dict(settings)
    metrics = plain(paper_metrics())
    if key == "_target_":
        metrics = {
            name: {key: f"cgm.evaluation.metrics.{options.pop('class')}", **options}
            for name, options in metrics.items()
        }
    return {**settings, "metric": metrics}


def find_varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the settings that are not the same everywhere, the seed last.

    Settings that change no number are left out, and so is an option that follows from the class of its section, such as
    the bandwidth of the only generator that has one.
    """

    def differ(name: str, where: Sequence[Mapping[str, Any]]) -> bool:
        return len({cell(entry.get(name, "")) for entry in where}) > 1

    varying = []
    for name in union(settings):
        if name in NO_EFFECT:
            continue
        section = name.rpartition(".")[0]
        classes: dict[str, list[Mapping[str, Any]]] = {}
        for entry in settings:
            classes.setdefault(cell(entry.get(section, "")), []).append(entry)
        if any(differ(name, entries) for entries in classes.values()):
            varying.append(name)
    return sorted(varying, key=lambda name: (name == "seed", name))  # the seeds of one combination are neighbours


def union(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return all keys of some mappings, in the order in which they occur first."""

    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def cell(value: Any) -> str:
    """Return a setting as it is typed on the command line, or a number with all its digits."""

    return value if isinstance(value, str) else canonical(value)


def sort_key(value: Any) -> tuple[int, tuple[float, ...], str]:
    """Return a key that sorts numbers by size, then lists of numbers, then everything else by its text."""

    if isinstance(value, int | float):
        return 0, (float(value),), cell(value)
    if isinstance(value, list | tuple) and all(isinstance(x, int | float) for x in value):
        return 1, tuple(map(float, value)), cell(value)
    return 2, (), cell(value)
