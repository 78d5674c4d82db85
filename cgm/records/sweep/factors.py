"""The factors of a sweep: what varies, and what varies together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cgm.records.collect import NO_EFFECT, Run
from cgm.records.settings import cell, sort_key


@dataclass(frozen=True)
class Factor:
    """A setting that varies in a sweep.

    Attributes:
        name: Its dotted name.
        values: Its distinct values as text: numbers by size, others by their text.
        numbers: The same values as numbers; `None` if one is neither a number nor a list of one.
        of_run: For each run, the position of its value in `values`.
        together: Further settings, whose values follow from this one's.
    """

    name: str
    values: tuple[str, ...]
    numbers: tuple[float, ...] | None
    of_run: tuple[int, ...]
    together: tuple[str, ...] = ()

    def determines(self, other: Factor) -> bool:
        """Return whether the value of another factor follows from the value of this one.

        A number that is different in every run, as in a search, determines nothing.
        """

        if self.numbers is not None and len(self.values) == len(self.of_run):
            return False
        return len(set(zip(self.of_run, other.of_run, strict=True))) == len(self.values)


def find_factors(runs: Sequence[Run], varying: Sequence[str]) -> list[Factor]:
    """Find the factors of some runs, without the seed and without settings that change no number.

    Options that only some classes have become part of their group: attack noise with two shares and attack clone make
    three values, `clone`, `noise, share=0.5` and `noise, share=1`. A setting that follows from another one, such as the
    number of parties from the split, is not a factor of its own.

    Arguments:
        runs: The runs.
        varying: The settings that vary among them.
    """

    names = [name for name in varying if name not in ("seed", *NO_EFFECT)]
    options: dict[str, list[str]] = {}
    for name in names:
        section = name.rpartition(".")[0]
        if section in names and any(name not in run.settings for run in runs):
            options.setdefault(section, []).append(name)
    parts = {name for group in options.values() for name in group}
    found = [_factor(runs, name, options.get(name, ())) for name in names if name not in parts]

    kept: list[Factor] = []
    for factor in sorted(found, key=lambda factor: (-len(factor.values), factor.name.count("."), factor.name)):
        for k, other in enumerate(kept):
            if other.determines(factor):
                kept[k] = replace(other, together=(*other.together, factor.name))
                break
        else:
            kept.append(factor)

    return sorted(kept, key=lambda factor: factor.name)


def without_effect(values: Sequence[float | None], factors: Sequence[Factor], repeats: Sequence[str]) -> list[Factor]:
    """Return the factors that do not change a number: it is the same wherever all else is the same.

    Arguments:
        values: The number of each run; `None` if it is unknown.
        factors: The factors.
        repeats: What distinguishes runs with the same factors, such as the seed.
    """

    idle = []
    for factor in factors:
        others = [other for other in factors if other is not factor and other not in idle]
        groups: dict[tuple[Any, ...], set[float | None]] = {}
        sizes: dict[tuple[Any, ...], set[int]] = {}
        for k, value in enumerate(values):
            place = (repeats[k], *(other.of_run[k] for other in others))
            groups.setdefault(place, set()).add(value)
            sizes.setdefault(place, set()).add(factor.of_run[k])
        compared = any(len(size) > 1 for size in sizes.values())
        if compared and all(len(group) == 1 for group in groups.values()):
            idle.append(factor)

    return idle


def short_cell(value: Any) -> str:
    """Return a setting as text, with at most six digits of a number with a point."""

    return cell(float(f"{value:.6g}") if isinstance(value, float) else value)


def _factor(runs: Sequence[Run], name: str, options: Sequence[str]) -> Factor:
    settings = [run.settings for run in runs]
    texts = [_text(own, name, options) for own in settings]
    raw = {text: own.get(name, "") for text, own in zip(texts, settings, strict=True)}
    values = sorted(raw, key=lambda text: (sort_key(raw[text]), text))
    place = {text: k for k, text in enumerate(values)}
    numbers = [x[0] if isinstance(x, list) and len(x) == 1 else x for x in (raw[text] for text in values)]
    is_numeric = all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in numbers)
    if is_numeric and not options:
        short = [short_cell(x) for x in numbers]
        values = short if len(set(short)) == len(values) else values

    return Factor(
        name,
        tuple(values),
        tuple(map(float, numbers)) if is_numeric and not options else None,
        tuple(place[text] for text in texts),
        tuple(options),
    )


def _text(settings: Mapping[str, Any], name: str, options: Sequence[str]) -> str:
    own = cell(settings[name]) if name in settings else "not set"
    given = [f"{option.removeprefix(f'{name}.')}={cell(settings[option])}" for option in options if option in settings]
    return ", ".join([own, *given])
