"""The figure of a number of a sweep, over the settings that vary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgm.records.collect import Run
from cgm.records.figures.style import INK, legend
from cgm.records.settings import cell
from cgm.records.sweep import panels as draw
from cgm.records.sweep.factors import Factor, without_effect
from cgm.records.sweep.labels import is_signed, number_label, outside_distinct
from cgm.records.sweep.layout import Cell, Layout, Panel, cells_of, choose_layout


@dataclass(frozen=True)
class Picture:
    """A figure and what it shows, in words.

    Attributes:
        figure: The figure.
        caption: How to read it.
        alt: What it shows, for those who do not see it.
    """

    figure: Figure
    caption: str
    alt: str


def picture_of(runs: Sequence[Run], factors: Sequence[Factor], number: str) -> Picture:
    """Draw a number of a sweep: lines, a heat map or dots with intervals, whatever its factors need.

    Factors that do not change the number are left out.

    Arguments:
        runs: The runs.
        factors: Their factors, see `find_factors`.
        number: The name of the number, a key of `Run.numbers`.

    Raises:
        ValueError: If no run has this number, or only infinite ones.
    """

    values = [run.numbers.get(number) for run in runs]
    values = [value if value is not None and math.isfinite(value) else None for value in values]
    known = [k for k, value in enumerate(values) if value is not None]
    if not known:
        raise ValueError(f"number={number}: no run has it")
    seeds = [cell(run.settings.get("seed", "")) for run in runs]
    is_over_seeds = len({seeds[k] for k in known}) > 1
    repeats = seeds if is_over_seeds else [str(k) for k in range(len(runs))]
    idle = without_effect(values, factors, seeds)
    layout = choose_layout([factor for factor in factors if factor not in idle], known)

    cells = [cells_of(panel, values, repeats) for panel in layout.panels]
    figure = _draw(layout, cells, number_label(number), is_signed(number))
    shown = [each for found in cells for each in found.values()]
    counts = [each.n_repeats for each in shown]
    if any(each.error is not None for each in shown):  # in the figure itself: its file is read without the page
        number_of = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{max(counts)}"
        over = f"{number_of} {'seeds' if is_over_seeds else 'runs'}"
        figure.suptitle(f"{number_label(number)}\nmean ± standard error over {over}", fontsize=10)

    return Picture(figure, _caption(layout, cells, idle), _alt(layout, cells, number))


def _draw(layout: Layout, cells: Sequence[draw.Cells], title: str, signed: bool) -> Figure:
    own = [each for found in cells for each in found.values()]
    series = layout.panels[0].series if layout.panels[0].kind != "heat_map" else None
    width, height = _size(layout.panels)
    columns = 2 if len(layout.panels) == 4 else min(len(layout.panels), 3)
    rows = -(-len(layout.panels) // columns)
    size = max(width * columns, 4.6), height * rows + (0.6 if series is None else 1.1)
    figure = Figure(figsize=size, layout="constrained")
    all_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in all_axes[len(layout.panels) :]:
        axes.remove()
    drawn: list[Axes] = all_axes[: len(layout.panels)]

    image = None
    titles = outside_distinct([panel.title for panel in layout.panels], 44)
    for axes, panel, found, title_of_panel in zip(drawn, layout.panels, cells, titles, strict=True):
        if panel.kind == "heat_map":
            image = draw.draw_heat_map(axes, panel, found, _color_limits(own, signed), signed)
        else:
            (draw.draw_lines if panel.kind == "lines" else draw.draw_dots)(axes, panel, found, _limits(own))
            if signed and panel.kind == "lines":
                axes.axhline(0, color=INK, linewidth=0.8, zorder=1.5)
            elif signed:
                axes.axvline(0, color=INK, linewidth=0.8, zorder=1.5)
        if layout.averaged:  # the title has the name of the setting
            axes.set_xlabel("")
            axes.set_ylabel("")
        if panel.title:
            axes.set_title(title_of_panel, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.xaxis.label.set_fontsize(9)
        axes.yaxis.label.set_fontsize(9)
    if image is not None:
        figure.colorbar(image, ax=drawn, shrink=0.9).ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10)
    if series is not None:
        lines = layout.panels[0].kind == "lines"
        legend(figure, draw.series_handles(series, lines), "lower", handle_length=3.4 if lines else 1.6)
        figure.legends[0].set_title(series.name)
        figure.legends[0].get_title().set_fontsize(9)

    return figure


def _size(panels: Sequence[Panel]) -> tuple[float, float]:
    """Return the width and height of a panel, in inches."""

    many = len(panels) > 1
    widths, heights = [3.1 if many else 5.2], [1.0]
    for panel in panels:
        rows = 1 if panel.main is None else len(panel.main.values)
        series = 1 if panel.series is None else len(panel.series.values)
        if panel.kind == "lines":
            heights.append(2.5 if many else 3.1)
        elif panel.kind == "dots":
            longest = 0 if panel.main is None else max(map(len, panel.main.values))
            widths.append((2.4 if many else 4.4) + 0.075 * min(longest, 32))
            heights.append(min(0.6 + rows * max(0.34, 0.17 * series), 40.0))
        else:
            column, row = (max(map(len, each.values)) if each else 0 for each in (panel.main, panel.series))
            widths.append(max(0.72, 0.08 * min(column, 32)) * rows + max(1.2, 0.6 + 0.07 * min(row, 32)))
            heights.append(0.5 * series + 0.7)

    return max(widths), max(heights)


def _limits(cells: Sequence[Cell]) -> tuple[float, float]:
    """Return limits that all runs and intervals are within."""

    low = min(min(*each.values, each.mean - (each.error or 0.0), each.mean) for each in cells)
    high = max(max(*each.values, each.mean + (each.error or 0.0), each.mean) for each in cells)
    margin = 0.07 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _color_limits(cells: Sequence[Cell], signed: bool) -> tuple[float, float]:
    means = [each.mean for each in cells]
    if signed:
        reach = max(map(abs, means)) or 1.0
        return -reach, reach
    low, high = min(means), max(means)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _caption(layout: Layout, cells: Sequence[draw.Cells], idle: Sequence[Factor]) -> str:
    """Return how to read a figure."""

    own = [each for found in cells for each in found.values()]
    marks = {"lines": "bands", "dots": "intervals", "heat_map": "numbers after ±"}
    kinds = list(dict.fromkeys(panel.kind for panel in layout.panels))
    shown = dict.fromkeys(factor for panel in layout.panels for factor in (panel.main, panel.series) if factor)
    parts = ["Each panel shows one setting, as the mean over the others."] if layout.averaged else []
    with_errors = dict.fromkeys(
        marks[panel.kind]
        for panel, found in zip(layout.panels, cells, strict=True)
        if any(each.error is not None for each in found.values())
    )
    if with_errors:
        parts.append(f"{' and '.join(with_errors)}: standard errors.".capitalize())
    if kinds != ["heat_map"] and any(len(each.values) > 1 for each in own):
        parts.append("Small dots: runs.")
    for each in shown:
        if each.together:
            verb = "varies" if len(each.together) == 1 else "vary"
            parts.append(f"{' and '.join(each.together)} {verb} together with {each.name}.")
    if idle:
        parts.append(f"It does not depend on {' and '.join(factor.name for factor in idle)}.")

    return " ".join(parts)


def _alt(layout: Layout, cells: Sequence[draw.Cells], number: str) -> str:
    """Return what a figure shows: its kinds, and where the means are smallest and largest."""

    names = {"lines": "Lines", "dots": "Dots with intervals", "heat_map": "Heat map"}
    kinds = " and ".join(dict.fromkeys(names[panel.kind] for panel in layout.panels))
    shown = [panel.title for panel in layout.panels if panel.title and not layout.averaged]
    axes = dict.fromkeys(
        factor.name for panel in layout.panels for factor in (panel.main, panel.series) if factor is not None
    )
    text = f"{kinds} of {number}" + (f" by {', '.join(axes)}" if axes else "")
    if shown:
        text += f", in {len(shown)} panels"
    places = [
        (each.mean, _place(panel, *where))
        for panel, found in zip(layout.panels, cells, strict=True)
        for where, each in found.items()
    ]
    low, high = min(places), max(places)
    if low[0] == high[0]:
        return f"{text}: mean {low[0]:.4g}."
    return f"{text}: means from {low[0]:.4g} ({low[1]}) to {high[0]:.4g} ({high[1]})."


def _place(panel: Panel, main: int, series: int) -> str:
    parts = [panel.title] if "=" in panel.title else []
    for factor, position in ((panel.main, main), (panel.series, series)):
        if factor is not None:
            parts.append(f"{factor.name} = {factor.values[position]}")
    return ", ".join(parts) or "all runs"
