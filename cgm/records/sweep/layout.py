"""The layout of a figure of a sweep: which factors its panels show, and how."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from cgm.records.sweep.factors import Factor

Kind = Literal["lines", "dots", "heat_map"]
MAX_SERIES = 7  # colours that colour-blind readers distinguish
MAX_CELLS = 12  # columns or rows of a heat map with readable numbers
MAX_PANELS = 6
ATTACK = "attack"


@dataclass(frozen=True)
class Panel:
    """A panel of a figure.

    Attributes:
        kind: Lines over a number, rows of dots, or a heat map.
        main: The factor of the horizontal axis, or of the rows of dots; `None` for one row of all runs.
        series: The factor of the colours, or of the rows of a heat map; `None` if there is none.
        runs: The positions of its runs.
        title: The title.
    """

    kind: Kind
    main: Factor | None
    series: Factor | None
    runs: tuple[int, ...]
    title: str = ""


@dataclass(frozen=True)
class Layout:
    """The panels of a figure.

    Attributes:
        panels: The panels.
        averaged: Whether each panel shows one factor, as the mean over the others.
    """

    panels: tuple[Panel, ...]
    averaged: bool = False


@dataclass(frozen=True)
class Cell:
    """What a figure shows of a combination of values.

    Attributes:
        mean: The mean over runs.
        error: Its standard error; `None` if there is one run or one repeat.
        values: The values of the runs.
        n_repeats: The number of repeats, such as seeds.
    """

    mean: float
    error: float | None
    values: tuple[float, ...]
    n_repeats: int = 1

    @classmethod
    def of(cls, values: Sequence[float], repeats: Sequence[str]) -> Cell:
        """Return the cell of some runs.

        The standard error is that of the means over all runs of a repeat, so that runs which share a seed do not count
        as independent.

        Arguments:
            values: The number of each run.
            repeats: What is repeated, such as the seed of each run.
        """

        groups: dict[str, list[float]] = {}
        for value, repeat in zip(values, repeats, strict=True):
            groups.setdefault(repeat, []).append(value)
        means = [fmean(group) for group in groups.values()]
        error = stdev(means) / math.sqrt(len(means)) if len(means) > 1 else None
        return cls(fmean(values), error, tuple(values), len(means))


def choose_layout(factors: Sequence[Factor], runs: Sequence[int]) -> Layout:
    """Choose a layout: one number is a line, two are a heat map, choices are rows of dots or colours.

    Attacks and other choices are a heat map, with a row for each attack. A third factor makes panels. Where that is not
    readable, because there are more factors or values, or because most combinations were not run, each factor has a
    panel with the mean over the others.

    Arguments:
        factors: The factors.
        runs: The positions of the runs.
    """

    if len(factors) <= 2 and (panel := _panel(factors, tuple(runs))):
        return Layout((panel,))
    if len(factors) == 3:
        choices = [factor for factor in factors if factor.name != ATTACK]
        by = min(choices, key=lambda factor: (len(factor.values), factor.numbers is not None, factor.name))
        others = [factor for factor in factors if factor is not by]
        own = [tuple(k for k in runs if by.of_run[k] == value) for value in range(len(by.values))]
        panels = [_panel(others, part, f"{by.name} = {value}") for part, value in zip(own, by.values, strict=True)]
        if len(panels) <= MAX_PANELS and all(panels):
            return Layout(tuple(panel for panel in panels if panel))

    return Layout(tuple(_single(factor, tuple(runs), factor.name) for factor in factors), averaged=True)


def cells_of(panel: Panel, values: Sequence[float | None], repeats: Sequence[str]) -> dict[tuple[int, int], Cell]:
    """Return the cells of a panel by the positions of their values of `main` and `series`.

    Arguments:
        panel: The panel.
        values: The number of each run; `None` if it is unknown.
        repeats: What is repeated, such as the seed of each run.
    """

    found: dict[tuple[int, int], list[int]] = {}
    for k in panel.runs:
        if values[k] is not None:
            place = (panel.main.of_run[k] if panel.main else 0, panel.series.of_run[k] if panel.series else 0)
            found.setdefault(place, []).append(k)
    return {
        place: Cell.of([x for k in runs if (x := values[k]) is not None], [repeats[k] for k in runs])
        for place, runs in sorted(found.items())
    }


def _single(factor: Factor, runs: tuple[int, ...], title: str = "") -> Panel:
    return Panel("dots" if factor.numbers is None else "lines", factor, None, runs, title)


def _panel(factors: Sequence[Factor], runs: tuple[int, ...], title: str = "") -> Panel | None:
    """Return the panel of up to two factors; `None` if it would not be readable."""

    if not factors:
        return Panel("dots", None, None, runs, title)
    if len(factors) == 1:
        return _single(factors[0], runs, title)
    few, many = sorted(factors, key=lambda factor: len(factor.values))
    if ATTACK in (few.name, many.name) and few.numbers is None and many.numbers is None:
        columns, rows = (few, many) if many.name == ATTACK else (many, few)
        return Panel("heat_map", columns, rows, runs, title) if len(many.values) <= MAX_CELLS else None
    if few.numbers is not None and many.numbers is not None:
        cells = {(few.of_run[k], many.of_run[k]) for k in runs}
        is_grid = 2 * len(cells) > len(few.values) * len(many.values)
        return Panel("heat_map", many, few, runs, title) if is_grid and len(many.values) <= MAX_CELLS else None
    if few.numbers is not None or many.numbers is not None:
        many, few = (few, many) if few.numbers is not None else (many, few)  # lines over the number
    return Panel(_single(many, runs).kind, many, few, runs, title) if len(few.values) <= MAX_SERIES else None
