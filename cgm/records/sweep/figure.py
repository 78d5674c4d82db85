"""The figures of a sweep: what varies, and a number over what varies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from cgm.figures.style import GRID, INK, LABELS, MARKERS, TARGET, legend, metric_label, offsets
from cgm.records.collect import Run
from cgm.records.figures.attack_gains import LABELS as ATTACK_LABELS
from cgm.records.settings import cell, sort_key

# of Okabe and Ito's palette, which colour-blind readers distinguish, without its yellow, which is too light for lines
COLORS = ("#0072B2", TARGET, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
DASHES: tuple[Any, ...] = ("-", (0, (5, 2.5)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)))
MAX_PANELS, MAX_CONNECTED = 6, 12  # more points of a line, if each is one run, are those of a search


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


class Panel(NamedTuple):
    """A panel of a figure.

    Attributes:
        main: The factor of the horizontal axis if it is a number, else of the rows; `None` for one row of all runs.
        series: The factor of the colours; `None` if there is none.
        runs: The positions of its runs.
        title: The title.
    """

    main: Factor | None
    series: Factor | None
    runs: Sequence[int]
    title: str = ""

    @property
    def is_line(self) -> bool:
        """Whether the panel has lines over a number, and not rows of dots."""

        return self.main is not None and self.main.numbers is not None

    @property
    def rows(self) -> Sequence[str]:
        """The labels of the rows of dots."""

        return self.main.values if self.main else ("all runs",)


class Cell(NamedTuple):
    """What a figure shows of a combination of values.

    Attributes:
        mean: The mean over runs.
        error: Its standard error; `None` if there is one seed.
        values: The values of the runs.
        n_seeds: The number of seeds.
    """

    mean: float
    error: float | None
    values: Sequence[float]
    n_seeds: int


def find_factors(runs: Sequence[Run], varying: Sequence[str]) -> list[Factor]:
    """Find the factors of some runs, without the seed and without settings that change no number.

    Options that only some classes have become part of their group: attack noise with two shares and attack clone make
    three values, `clone`, `noise, share=0.5` and `noise, share=1`. A setting that follows from another one, such as the
    number of parties from the split, is not a factor of its own.

    Arguments:
        runs: The runs.
        varying: The settings that vary among them.
    """

    names = [name for name in varying if name != "seed"]
    options: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        section = name.rpartition(".")[0]
        if section in names and any(name not in run.settings for run in runs):
            options[section].append(name)
            del options[name]

    factors: list[Factor] = []
    candidates = [_factor(runs, name, own) for name, own in options.items()]
    for factor in sorted(candidates, key=lambda factor: (-len(factor.values), factor.name.count("."), factor.name)):
        for k, other in enumerate(factors):
            # a number that is different in every run, as in a search, determines nothing
            is_unique = other.numbers is not None and len(other.values) == len(runs)
            if not is_unique and len(set(zip(other.of_run, factor.of_run, strict=True))) == len(other.values):
                factors[k] = replace(other, together=(*other.together, factor.name))
                break
        else:
            factors.append(factor)
    return sorted(factors, key=lambda factor: factor.name)


def choose_panels(factors: Sequence[Factor], runs: Sequence[int]) -> list[Panel]:
    """Choose the panels: lines over a number or rows of choices; a second factor has colours, a third one panels.

    Where that is not readable, because there are more factors or values, or because most combinations were not run,
    each factor has a panel with the mean over the others.

    Arguments:
        factors: The factors.
        runs: The positions of the runs.
    """

    if not factors:
        return [Panel(None, None, runs)]
    main, *rest = sorted(factors, key=lambda factor: (factor.numbers is None, -len(factor.values)))
    if not rest:
        return [Panel(main, None, runs)]
    series, *rest = sorted(rest, key=lambda factor: -len(factor.values))
    combinations = {tuple(factor.of_run[k] for factor in factors) for k in runs}
    is_grid = 2 * len(combinations) > math.prod(len(factor.values) for factor in factors)
    if is_grid and len(series.values) <= len(COLORS):
        if not rest:
            return [Panel(main, series, runs)]
        if len(rest) == 1 and len(rest[0].values) <= MAX_PANELS:
            parts = [[k for k in runs if rest[0].of_run[k] == i] for i in range(len(rest[0].values))]
            titles = [f"{rest[0].name} = {value}" for value in rest[0].values]
            return [Panel(main, series, part, title) for part, title in zip(parts, titles, strict=True) if part]
    return [Panel(factor, None, runs, factor.name) for factor in factors]


def cells_of(panel: Panel, values: Sequence[float | None], seeds: Sequence[str]) -> dict[tuple[int, int], Cell]:
    """Return the cells of a panel by the positions of their values of `main` and `series`.

    The standard error is that of the means over all runs of a seed: runs which share a seed are not independent.

    Arguments:
        panel: The panel.
        values: The number of each run; `None` if it is unknown.
        seeds: The seed of each run.
    """

    groups: dict[tuple[int, int], dict[str, list[float]]] = {}
    for k in panel.runs:
        if (value := values[k]) is not None:
            place = (panel.main.of_run[k] if panel.main else 0, panel.series.of_run[k] if panel.series else 0)
            groups.setdefault(place, {}).setdefault(seeds[k], []).append(value)
    cells = {}
    for place, group in sorted(groups.items()):
        every, means = [x for part in group.values() for x in part], [fmean(part) for part in group.values()]
        error = stdev(means) / math.sqrt(len(means)) if len(means) > 1 else None
        cells[place] = Cell(fmean(every), error, every, len(means))
    return cells


class Picture(NamedTuple):
    """What a figure of a sweep shows.

    Attributes:
        panels: The panels.
        cells: What is drawn in each of them.
        title: The title.
        caption: What else there is to know.
        alt: What it shows, for those who do not see it.
        is_signed: Whether the number is a difference.
    """

    panels: Sequence[Panel]
    cells: Sequence[Mapping[tuple[int, int], Cell]]
    title: str
    caption: str
    alt: str
    is_signed: bool

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and columns of panels."""

        columns = 2 if len(self.panels) == 4 else min(len(self.panels), 3)
        return -(-len(self.panels) // columns), columns

    @property
    def size(self) -> tuple[float, float]:
        """The width and height of the figure, in inches."""

        rows, columns = self.shape
        width, height = np.max([_size(panel, len(self.panels) > 1) for panel in self.panels], axis=0)
        return max(width * columns, 4.6), height * rows + (1.1 if self.panels[0].series else 0.6)


def picture_of(runs: Sequence[Run], factors: Sequence[Factor], number: str) -> tuple[Figure, str, str]:
    """Draw a number of a sweep.

    Arguments:
        runs: The runs.
        factors: Their factors, see `find_factors`.
        number: The name of the number, a key of `Run.numbers`.

    Returns:
        The figure, its caption, and what it shows for those who do not see it.

    Raises:
        ValueError: If no run has this number, or only infinite ones.
    """

    picture = make_picture(runs, factors, number)
    figure = Figure(picture.size, layout="constrained")
    draw_figure(figure, picture)
    return figure, picture.caption, picture.alt


def make_picture(runs: Sequence[Run], factors: Sequence[Factor], number: str) -> Picture:
    """Choose what `picture_of` draws; the arguments are the same."""

    values = [x if (x := run.numbers.get(number)) is not None and math.isfinite(x) else None for run in runs]
    known = [k for k, value in enumerate(values) if value is not None]
    if not known:
        raise ValueError(f"number={number}: no run has it")
    seeds = [cell(run.settings.get("seed", "")) for run in runs]
    panels = choose_panels(factors, known)
    cells = [cells_of(panel, values, seeds) for panel in panels]
    shown = [each for of_panel in cells for each in of_panel.values()]

    title, caption = number_label(number), []
    if any(each.error is not None for each in shown):  # in the figure itself: its file is read without the page
        counts = sorted({each.n_seeds for each in shown})
        over = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
        title += f"\nmean ± standard error over {over} seeds"
        caption.append("Bars: standard errors.")
    if any(len(each.values) > 1 for each in shown):
        caption.append("Small dots: runs.")
    if panels[0].main != panels[-1].main:
        caption.append("Each panel shows one setting, as the mean over the others.")
    for factor in filter(lambda each: each.together, factors):
        verb = "varies" if len(factor.together) == 1 else "vary"
        caption.append(f"{' and '.join(factor.together)} {verb} together with {factor.name}.")

    alt = " by ".join([number, ", ".join(factor.name for factor in factors)] if factors else [number])
    alt += f": means from {min(each.mean for each in shown):.4g} to {max(each.mean for each in shown):.4g}."
    is_signed = number.startswith("attack_") or number.endswith("_gain")
    return Picture(panels, cells, title, " ".join(caption), alt, is_signed)


def number_label(name: str) -> str:
    """Return the label of a number in a figure."""

    for prefix, symbol in (("correlation_", r"$\alpha$"), ("beta_correlation_", r"$\beta$")):
        if name.startswith(prefix):
            metric = name.removeprefix(prefix)
            return f"correlation of {symbol} with {LABELS.get(metric) or shortened([metric_label(metric)])[0]}"
    return ATTACK_LABELS.get(name) or LABELS.get(name) or shortened([name])[0]


def shortened(texts: Sequence[str], length: int = 32) -> list[str]:
    r"""Return texts from outside as lines for a figure, which are not read as formulas.

    They are cut in the middle, unless they would no longer be distinct.

    Example:
        >>> shortened(["a\nb $x$", "a name that is too long"], length=10)
        ['a b \\$x\\$', 'a n…o long']
    """

    lines = [" ".join("".join(x if x.isprintable() else " " for x in text).split()) for text in texts]
    begin = length // 3
    short = [line if len(line) <= length else f"{line[:begin].rstrip()}…{line[begin + 1 - length :]}" for line in lines]
    return [line.replace("$", r"\$") for line in (short if len(set(short)) == len(set(lines)) else lines)]


def short_cell(value: Any) -> str:
    """Return a setting as text, with at most six digits of a number with a point."""

    return cell(float(f"{value:.6g}") if isinstance(value, float) else value)


def _factor(runs: Sequence[Run], name: str, options: Sequence[str]) -> Factor:
    """Return a setting as a factor, together with options that only some of its classes have."""

    def text(settings: Mapping[str, Any]) -> str:
        given = [f"{x.removeprefix(f'{name}.')}={cell(settings[x])}" for x in options if x in settings]
        return ", ".join([cell(settings[name]) if name in settings else "not set", *given])

    texts = [text(run.settings) for run in runs]
    raw = {own: run.settings.get(name, "") for own, run in zip(texts, runs, strict=True)}
    values = sorted(raw, key=lambda own: (sort_key(raw[own]), own))
    of_run = tuple(values.index(own) for own in texts)
    numbers = [x[0] if isinstance(x, list) and len(x) == 1 else x for x in (raw[own] for own in values)]
    if options or not all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in numbers):
        return Factor(name, tuple(values), None, of_run)
    short = [short_cell(x) for x in numbers]
    return Factor(name, tuple(short if len(set(short)) == len(values) else values), tuple(map(float, numbers)), of_run)


def draw_figure(figure: Figure, picture: Picture) -> list[Axes]:
    """Draw panels into a figure, with its title and its legend, and return their axes."""

    drawn = [figure.add_subplot(*picture.shape, k + 1) for k in range(len(picture.panels))]
    draw_panels(drawn, picture)
    figure.suptitle(picture.title, fontsize=10)
    if (series := picture.panels[0].series) is not None:
        legend(figure, series_handles(picture), "lower", 3.0 if picture.panels[0].is_line else 1.6)
        figure.legends[0].set_title(series.name, FontProperties(size=9))
    return drawn


def draw_panels(drawn: Sequence[Axes], picture: Picture) -> None:
    """Draw panels into axes, with the same limits of the number."""

    panels = picture.panels
    for axes, panel, of_panel in zip(drawn, panels, picture.cells, strict=True):
        _draw_panel(axes, panel, of_panel)
    limits = [axes.get_ylim() if panel.is_line else axes.get_xlim() for axes, panel in zip(drawn, panels, strict=True)]
    low, high = min(limit[0] for limit in limits), max(limit[1] for limit in limits)
    margin = 0.03 * (high - low) if len(panels) > 1 else 0.0

    names = shortened([panel.title for panel in panels], 44)
    for axes, panel, name in zip(drawn, panels, names, strict=True):
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=8)
        label = panel.main.name if panel.main and panel.main.name != panel.title else ""
        (axes.set_xlabel if panel.is_line else axes.set_ylabel)(label, fontsize=9)
        (axes.set_ylim if panel.is_line else axes.set_xlim)(low - margin, high + margin)
        if picture.is_signed:
            (axes.axhline if panel.is_line else axes.axvline)(0, color=INK, linewidth=0.8, zorder=1.5)


def series_handles(picture: Picture) -> list[Line2D]:
    """Return the entries of the legend: a colour for each value of the second factor; none without one."""

    panel = picture.panels[0]
    if panel.series is None:
        return []
    styles = zip(shortened(panel.series.values), _styles(panel.series, panel.is_line), strict=True)
    return [Line2D([], [], label=label, **style) for label, style in styles]


def _size(panel: Panel, is_small: bool) -> tuple[float, float]:
    """Return the width and height of a panel, in inches."""

    if panel.is_line:
        return (3.1, 2.5) if is_small else (5.2, 3.1)
    per_row = max(0.34, 0.17 * len(panel.series.values)) if panel.series else 0.34
    width = (2.4 if is_small else 4.4) + 0.075 * min(max(map(len, panel.rows)), 32)
    return width, min(0.7 + per_row * len(panel.rows), 40.0)


def _styles(series: Factor | None, is_line: bool) -> list[dict[str, Any]]:
    """Return the style of each value of a factor: lines become narrower, so that those that coincide are seen."""

    n = len(series.values) if series else 1
    styles: list[dict[str, Any]] = [
        {"color": COLORS[k], "marker": MARKERS[k], "markersize": 5.5, "linestyle": ""} for k in range(n)
    ]
    for k, style in enumerate(styles if is_line else []):
        above = (n - 1 - k) / max(n - 1, 1)  # from 1 for the first line to 0 for the one on top
        style |= {"linestyle": DASHES[k % len(DASHES)], "linewidth": 1.4 + 1.6 * above, "markersize": 5 + 4 * above}
        style |= {"markerfacecolor": "none"} if above else {}
    return styles


def _draw_panel(axes: Axes, panel: Panel, cells: Mapping[tuple[int, int], Cell]) -> None:
    """Draw means with bars of their standard errors, and a small dot for each run."""

    is_line, numbers = panel.is_line, panel.main.numbers if panel.main and panel.main.numbers else ()
    styles = _styles(panel.series, is_line)
    is_search = not panel.series and len(cells) > MAX_CONNECTED and all(len(x.values) == 1 for x in cells.values())
    for j, (style, shift) in enumerate(zip(styles, offsets(len(styles), 0.28), strict=True)):
        below = 0.0 if is_line else 0.14 if len(styles) == 1 else 0.07  # in rows, runs are drawn below their mean
        own = {numbers[i] if is_line else i + shift: each for (i, of), each in cells.items() if of == j}
        runs = [(at + below, x) for at, each in own.items() for x in each.values if len(each.values) > 1]
        x, y = np.array(runs).reshape(-1, 2).T[:: 1 if is_line else -1]
        axes.plot(x, y, ".", color=style["color"], markersize=4, alpha=0.4, zorder=2)
        x, y = np.array([(at, each.mean) for at, each in own.items()]).reshape(-1, 2).T[:: 1 if is_line else -1]
        errors = [math.nan if each.error is None else each.error for each in own.values()]
        style |= {"yerr" if is_line else "xerr": errors, "linestyle": "" if is_search else style["linestyle"]}
        axes.errorbar(x, y, capsize=3, elinewidth=1.4, zorder=3, **style)

    # complete numbers, without an offset in a corner
    axes.ticklabel_format(axis="y" if is_line else "x", useOffset=False, scilimits=(-4, 6))
    axes.grid(axis="both" if is_line else "x", color=GRID)
    axes.set_axisbelow(True)
    if is_line:
        _number_axis(axes, np.array(numbers))
    else:
        axes.set_yticks(range(len(panel.rows)), shortened(panel.rows))
        axes.set_ylim(len(panel.rows) - 0.5, -0.5)


def _number_axis(axes: Axes, x: np.ndarray) -> None:
    """Scale the axis of a number: logarithmic from a factor of 10, with ticks at the values if there is room."""

    is_log = bool(x.min() > 0 and x.max() >= 10 * x.min())
    if is_log:
        axes.set_xscale("log")
    places, labels = np.log(x) if is_log else x, [f"{value:g}" for value in x]
    room = max(0.07, 0.025 * max(map(len, labels)))
    if len(x) <= 12 and np.diff(places).min(initial=np.inf) >= room * np.ptp(places):
        axes.set_xticks(x, labels)
        axes.xaxis.set_minor_locator(NullLocator())
