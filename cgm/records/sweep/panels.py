"""The panels of a figure of a sweep: lines, rows of dots and heat maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from cgm.records.figures.style import BACKGROUND, GRID, INK, MARKERS, TARGET, offsets
from cgm.records.sweep.factors import Factor
from cgm.records.sweep.labels import outside_distinct
from cgm.records.sweep.layout import Cell, Panel

Cells = Mapping[tuple[int, int], Cell]
# of Okabe and Ito's palette, without its yellow, which is too light for lines
COLORS = ("#0072B2", TARGET, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
DASHES = (
    "-",
    (0, (5, 2.5)),
    (0, (1.2, 1.6)),
    (0, (6, 2, 1.2, 2)),
    (0, (9, 3)),
    (0, (3, 3)),
    (0, (4, 1.5, 1.2, 1.5, 1.2, 1.5)),
)


def styles(series: Factor | None) -> list[dict[str, Any]]:
    """Return a colour and a marker for each value of a factor."""

    n = 1 if series is None else len(series.values)
    return [{"color": COLORS[k % len(COLORS)], "marker": MARKERS[k % len(MARKERS)]} for k in range(n)]


def line_styles(series: Factor | None) -> list[dict[str, Any]]:
    """Return the style of a line for each value of a factor; lines that coincide can be distinguished.

    The first line is wide, solid and pale with large markers, and those above it become narrower, and are dashed.
    """

    if series is None:
        return [{**style, "linestyle": "-", "linewidth": 1.4, "markersize": 5} for style in styles(series)]
    n = len(series.values)
    widths, sizes = np.linspace(3.0, 1.2, n).tolist(), np.linspace(9.0, 4.0, n).tolist()
    return [
        {
            **style,
            "linestyle": DASHES[k % len(DASHES)],
            "linewidth": widths[k],
            "markersize": sizes[k],
            "markerfacecolor": "none" if k < n - 1 else style["color"],
            "alpha": 0.6 if k == 0 else 0.9,
        }
        for k, style in enumerate(styles(series))
    ]


def series_handles(series: Factor, lines: bool) -> list[Line2D]:
    """Return a legend's handle for each value of a factor, as lines or as markers alone."""

    own = line_styles(series) if lines else [{**style, "linestyle": "", "markersize": 5} for style in styles(series)]
    labels = outside_distinct(series.values)
    return [Line2D([], [], label=label, **style) for label, style in zip(labels, own, strict=True)]


def plain_numbers(axes: Axes, which: str) -> None:
    """Write the numbers of an axis completely, without an offset in a corner."""

    formatter = ScalarFormatter(useOffset=False)
    formatter.set_powerlimits((-4, 6))
    getattr(axes, f"{which}axis").set_major_formatter(formatter)


def draw_lines(axes: Axes, panel: Panel, cells: Cells, limits: tuple[float, float]) -> None:
    """Draw means over a number, with bands of their standard errors and a small dot for each run.

    Values that occur in one run each, as in a search, are not connected if other factors vary as well.

    Arguments:
        axes: The axes.
        panel: The panel.
        cells: Its cells.
        limits: The limits of the vertical axis.
    """

    assert panel.main is not None
    assert panel.main.numbers is not None
    x = np.array(panel.main.numbers)
    single = panel.series is None and len(cells) > 12 and all(len(cell.values) == 1 for cell in cells.values())
    for j, style in enumerate(line_styles(panel.series)):
        own = {i: cell for (i, of), cell in cells.items() if of == j}
        places = sorted(own)
        for i in places:
            values = own[i].values
            if len(values) > 1:
                axes.plot([x[i]] * len(values), values, ".", color=style["color"], markersize=4, alpha=0.35, zorder=2)
        means = np.array([own[i].mean for i in places])
        errors = np.array([own[i].error or 0.0 for i in places])
        if errors.any():
            band = {"color": style["color"], "alpha": 0.18, "linewidth": 0, "zorder": 1}
            axes.fill_between(x[places], means - errors, means + errors, **band)
        axes.plot(x[places], means, zorder=3, **(style | {"linestyle": ""} if single else style))
    _number_axis(axes, x)
    axes.set_xlabel(panel.main.name)
    axes.set_ylim(limits)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    plain_numbers(axes, "y")


def draw_dots(axes: Axes, panel: Panel, cells: Cells, limits: tuple[float, float]) -> None:
    """Draw a row for each choice: the mean, the interval of its standard error, and a small dot for each run.

    Arguments:
        axes: The axes.
        panel: The panel.
        cells: Its cells.
        limits: The limits of the horizontal axis.
    """

    rows = ("all runs",) if panel.main is None else panel.main.values
    own = styles(panel.series)
    shifts = offsets(len(own), 0.28)
    below = 0.14 if len(own) == 1 else 0.07  # the runs are drawn below their mean
    for j, style in enumerate(own):
        for i in range(len(rows)):
            cell = cells.get((i, j))
            if cell is None:
                if panel.series is None:
                    text = axes.get_yaxis_transform()
                    axes.text(0.5, i, "n/a", transform=text, ha="center", va="center", fontsize=8, color=INK)
                continue
            y = i + shifts[j]
            if len(cell.values) > 1:
                runs = [y + below] * len(cell.values)
                axes.plot(cell.values, runs, ".", color=style["color"], markersize=4, alpha=0.4, zorder=2)
            error = {"xerr": cell.error, "ecolor": style["color"], "elinewidth": 1.6, "capsize": 3}
            axes.errorbar(cell.mean, y, linestyle="", markersize=5.5, zorder=3, **error, **style)
    axes.set_yticks(range(len(rows)), outside_distinct(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(limits)
    if panel.main is not None:
        axes.set_ylabel(panel.main.name)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    plain_numbers(axes, "x")


def draw_heat_map(axes: Axes, panel: Panel, cells: Cells, limits: tuple[float, float], signed: bool) -> ScalarMappable:
    """Draw means as colours and numbers, a column for each value of one factor and a row for each of the other.

    Arguments:
        axes: The axes.
        panel: The panel.
        cells: Its cells.
        limits: The limits of the colours.
        signed: Whether zero is white, which the limits must have in their middle.

    Returns:
        The image, for the bar of colours.
    """

    assert panel.main is not None
    assert panel.series is not None
    columns, rows = panel.main.values, panel.series.values
    means = np.full((len(rows), len(columns)), np.nan)
    for (i, j), cell in cells.items():
        means[j, i] = cell.mean
    colors = mpl.colormaps["RdBu_r" if signed else "cividis"].with_extremes(bad=BACKGROUND)
    norm = Normalize(*limits)
    image = axes.imshow(np.ma.masked_invalid(means), cmap=colors, norm=norm, aspect="auto", origin="lower")
    digits = _digits([cell.mean for cell in cells.values()])
    for (j, i), mean in np.ndenumerate(means):
        text, color = "n/a", INK
        if (known := cells.get((i, j))) is not None:
            text = f"{known.mean:{'+' if signed else ''}.{digits}g}"
            text += "" if known.error is None else f"\n± {known.error:.2g}"
            color = _ink_on(colors(norm(mean)))
        axes.text(i, j, text.replace("-", "−"), ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(columns)), outside_distinct(columns))
    axes.set_yticks(range(len(rows)), outside_distinct(rows))
    if panel.series.numbers is None:  # names are read from the top
        axes.invert_yaxis()
    axes.set_xlabel(panel.main.name)
    axes.set_ylabel(panel.series.name)
    axes.tick_params(length=0)

    return image


def _ink_on(color: Sequence[float]) -> str:
    """Return black or white, whichever has the higher contrast on a colour (WCAG 2.2, relative luminance)."""

    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in color[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "white"


def _digits(values: Sequence[float]) -> int:
    """Return the number of digits that distinguish some values, at least 3."""

    spread, size = max(values) - min(values), max(abs(value) for value in values)
    return 3 if spread == 0 else min(8, max(3, math.ceil(math.log10(size / spread)) + 2))


def _number_axis(axes: Axes, x: np.ndarray) -> None:
    """Scale the axis of a number: logarithmic from a factor of 10, with ticks at the values if there is room."""

    is_log = bool(x.min() > 0 and x.max() >= 10 * x.min())
    if is_log:
        axes.set_xscale("log")
    places = np.log(x) if is_log else x
    margin = 0.06 * np.ptp(places)
    low, high = places.min() - margin, places.max() + margin
    axes.set_xlim(*(np.exp([low, high]) if is_log else (low, high)))
    labels = [f"{value:g}" for value in x]
    room = max(0.06, 0.022 * max(map(len, labels)))
    if len(x) <= 12 and (np.diff(places) / (high - low)).min() >= room:
        axes.xaxis.set_major_locator(FixedLocator(x.tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(x.tolist(), labels)
    elif not is_log:
        plain_numbers(axes, "x")
