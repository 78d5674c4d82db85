"""The figures of the report: reward values, rewards in the plane, images, and columns beside those of own data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cgm.data.tables.columns import Column
from cgm.evaluation.privacy.attacks import subsample
from cgm.figures.embedding import OWN, to_plane
from cgm.figures.plots import Plots
from cgm.figures.style import BACKGROUND, GRID, INK, axes_for, axes_legend
from cgm.figures.style import TARGET as REWARD
from cgm.records.html import STYLE
from cgm.settlements.party import MAX_SHOWN
from cgm.settlements.settlement import PartySettlement
from cgm.settlements.view import describe
from cgm.utils.random import Stream
from cgm.utils.text import label, number

MAX_PANELS = 12  # parties in the plane
MOSAIC = (2, 14)  # lines and columns of sample images
BINS = 20
MAX_LEVELS = 6  # bars of a figure
OTHER, MISSING = "other", "missing"


@mpl.rc_context(STYLE)
def draw_values(parties: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw for each party the value of its own data, that with its reward and the largest possible one.

    Arguments:
        parties: The parties of a view, see `describe`.
    """

    figure, axes = _rows_of_parties(parties, 1.3)
    handles = draw_values_into(axes, parties)
    figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=8.5, handletextpad=0.3)

    return figure


def draw_values_into(axes: Axes, parties: Sequence[Mapping[str, Any]], close_up: bool = False) -> list[Artist]:
    """Draw for each party the value of its own data, that with its reward and the largest possible one, into axes.

    Arguments:
        axes: The axes.
        parties: The parties of a view, see `describe`.
        close_up: Whether the axis begins at the smallest value with a reward.

    Returns:
        The entries of the legend.
    """

    own, reached, upper = ([party[key] for party in parties] for key in ("own_data", "value_reached", "limit"))
    y = np.arange(len(parties))
    _name_rows(axes, parties)
    axes.hlines(y, own, upper, color=BACKGROUND, linewidth=6, zorder=1)
    axes.hlines(y, own, reached, color=REWARD, alpha=0.45, linewidth=6, zorder=2)
    axes.plot(own, y, "o", color=OWN, markersize=7, zorder=3, label="own data")
    axes.plot(reached, y, "D", color=REWARD, markersize=6, zorder=4, label="own data and reward")
    axes.plot(upper, y, "|", color=INK, markersize=11, zorder=3, label="limit: own data and all synthetic data")
    if close_up:
        pad = 0.05 * (max(upper) - min(reached)) or 1e-9
        axes.set_xlim(min(reached) - pad, max(upper) + pad)
    axes.set_xlabel(f"value ({_beginning(axes)})")

    return list(axes.get_legend_handles_labels()[0])


class PartyPlots(Plots):
    """Figures of a settlement of tables or images, each drawn into axes; see `Plots`.

    Arguments:
        settlement: The settlement.
    """

    def __init__(self, settlement: PartySettlement) -> None:
        super().__init__(settlement._outcome(), settlement._points)
        self._settlement = settlement

    def _default_beta(self, party: int) -> float:
        return self._settlement.recommended[party]

    def values(self, ax: Axes | None = None, *, close_up: bool = False, legend: bool = True) -> Axes:
        """Draw for each party the value of its own data, that with its reward and the largest possible one.

        The reward is the recommended one.

        Arguments:
            ax: The axes; those of a new figure, if `None`.
            close_up: Whether the axis begins at the smallest value with a reward.
            legend: Whether to add a legend.
        """

        parties = describe(self._settlement)["parties"]
        axes = axes_for(ax, *_size_of_rows(parties, 1.3))
        handles = draw_values_into(axes, parties, close_up)
        if legend:
            axes_legend(axes, handles, "upper")
        return axes


@mpl.rc_context(STYLE)
def draw_contributions(parties: Sequence[Mapping[str, Any]], stderr: Sequence[float] | None) -> Figure:
    """Draw the contributions of the parties with intervals of two standard errors.

    Arguments:
        parties: The parties of a view, see `describe`.
        stderr: The standard errors; no intervals, if `None`.
    """

    figure, axes = _rows_of_parties(parties, 0.9)
    _name_rows(axes, parties)
    phi, y = [party["contribution"] for party in parties], np.arange(len(parties))
    errors = None if stderr is None else 2 * np.array(stderr)
    axes.errorbar(phi, y, xerr=errors, fmt="o", color=OWN, ecolor=INK, markersize=6, capsize=3, linewidth=1)
    axes.set_xlabel(f"contribution φ ({_beginning(axes)})")

    return figure


def _rows_of_parties(parties: Sequence[Mapping[str, Any]], height: float) -> tuple[Figure, Axes]:
    """Make a figure with a row for each party, and a height in inches for everything else."""

    figure = Figure(figsize=_size_of_rows(parties, height), layout="constrained")
    return figure, figure.subplots()


def _size_of_rows(parties: Sequence[Mapping[str, Any]], height: float) -> tuple[float, float]:
    return 7.2, 0.36 * len(parties) + height


def _name_rows(axes: Axes, parties: Sequence[Mapping[str, Any]]) -> None:
    """Give each party a row of axes; its name is no formula."""

    axes.set_yticks(np.arange(len(parties)), [label(party["name"], 30) for party in parties], parse_math=False)
    axes.set_ylim(len(parties) - 0.4, -0.6)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)


def _beginning(axes: Axes) -> str:
    """Say where the horizontal axis begins, and fix this."""

    low, high = axes.get_xlim()
    axes.set_xlim(low, high)
    return f"the axis begins at {number(low, 3)}" + (", not at 0" if low > 0 else "")


@mpl.rc_context(STYLE)
def draw_plane(settlement: PartySettlement, seed: int) -> tuple[Figure, str]:
    r"""Draw the parties' own points and their recommended rewards in the plane, one panel for each of 12 parties.

    Arguments:
        settlement: The settlement.
        seed: The seed of the embedding.

    Returns:
        The figure, and the name of the plane's dimensions.
    """

    n = min(len(settlement.names), MAX_PANELS)
    rewards = [settlement.reward(i, settlement.recommended[i]) for i in range(n)]
    random = np.random.default_rng([seed, Stream.SAMPLE_ROWS])
    sets = [
        subsample(x.double().cpu().numpy(), MAX_SHOWN, random)
        for x in (*settlement.parties[:n], *rewards, settlement.pool.points)
    ]
    if sets[0].shape[1] == 1:
        sets = [np.pad(x, ((0, 0), (0, 1))) for x in sets]
    _, places, kind = to_plane(sets, np.random.default_rng(seed), seed)
    everything = np.concatenate(places)
    low, high = everything.min(0), everything.max(0)
    pad = 0.05 * np.where(high > low, high - low, 1.0)

    figure, panels = _panels(n, 2.5, (0.3, 0.2), layout="constrained")
    for i, axes in enumerate(panels):
        for x, color in ((places[-1], BACKGROUND), (places[i], OWN), (places[n + i], REWARD)):
            axes.scatter(x[:, 0], x[:, 1], s=5, color=color, alpha=0.75, linewidths=0, rasterized=True)
        axes.set_title(label(settlement.names[i], 30), fontsize=8.5, loc="left")
        axes.set_xlim(low[0] - pad[0], high[0] + pad[0])
        axes.set_ylim(low[1] - pad[1], high[1] + pad[1])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color(BACKGROUND)

    return figure, kind


def _panels(n: int, height: float, more: tuple[float, float] = (0, 0), **layout: Any) -> tuple[Figure, list[Axes]]:
    """Make a figure with n panels of 2.45 inches and a height, at most four in a line, and with more inches in all."""

    columns = min(4, n)
    lines = -(-n // columns)
    figure = Figure(figsize=(2.45 * columns + more[0], height * lines + more[1]), **layout)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in panels[n:]:
        axes.remove()
    return figure, panels[:n]


@mpl.rc_context(STYLE)
def draw_images(images: NDArray[np.uint8]) -> Figure:
    """Draw the first images of a reward side by side.

    Arguments:
        images: The images, of shape (N, C, H, W), uint8.
    """

    lines, columns = MOSAIC
    shown = images[: lines * columns]
    lines = max(1, min(lines, -(-len(shown) // columns)))
    colours, height, width = images.shape[1:]
    gap = max(1, width // 16)
    mosaic = np.full((lines * (height + gap) - gap, columns * (width + gap) - gap, colours), 255, np.uint8)
    for k, image in enumerate(shown):
        top, left = (k // columns) * (height + gap), (k % columns) * (width + gap)
        mosaic[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    figure = Figure(figsize=(7.2, 7.2 * mosaic.shape[0] / mosaic.shape[1]))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(mosaic if colours == 3 else mosaic[:, :, 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()

    return figure


@dataclass(frozen=True)
class Comparison:
    """A column of several tables, counted in the same bins.

    Attributes:
        name: The name of the column.
        labels: The names of the bins; empty if they are intervals.
        edges: The edges of the bins, if they are intervals; in days since 1970 for dates.
        shares: For each table the share of its rows in each bin, of shape (tables, bins); the last bin is for missing
            values. All zero for a table without rows.
        summaries: For each table its column in a few words.
        date: Whether it is a column of dates.
    """

    name: str
    labels: tuple[str, ...]
    edges: NDArray[np.float64]
    shares: NDArray[np.float64]
    summaries: tuple[str, ...]
    date: bool

    @property
    def difference(self) -> float:
        """The total variation distance of the first two tables: the share of rows that would have to change."""

        return float(np.abs(self.shares[0] - self.shares[1]).sum() / 2)


def compare(column: Column, tables: Sequence[pd.DataFrame]) -> Comparison:
    """Count a column of several tables in common bins.

    Intervals are of equal width between the smallest and the largest value, without the outer 0.5 % of values, which
    are counted in the first and the last interval. Categories are the most frequent ones, and one for all others.

    Arguments:
        column: The column.
        tables: The tables.
    """

    values, column = [table[column.name] for table in tables], column.of_values
    numbers = [x for x in map(column.numbers, values) if x is not None]
    if not numbers:
        return _compare_levels(column, [x.astype(object) for x in values])
    known = [x[np.isfinite(x)] for x in numbers]
    pooled = np.concatenate(known) if known else np.zeros(0)
    low, high = np.quantile(pooled, [0.005, 0.995]) if len(pooled) else (0.0, 1.0)
    whole = column.whole and high - low < BINS
    edges = np.arange(round(low), round(high) + 2) - 0.5 if whole else np.linspace(low, high, BINS + 1)
    if edges[0] == edges[-1]:
        edges = np.array([low - 0.5, low + 0.5])
    counts = [
        [*np.histogram(x.clip(edges[0], edges[-1]), edges)[0], len(v) - len(x)]
        for x, v in zip(known, numbers, strict=True)
    ]
    summaries = tuple(_summary(x, len(v) - len(x), column.dates) for x, v in zip(known, numbers, strict=True))

    return Comparison(column.name, (), edges, _shares(counts), summaries, column.dates)


def _compare_levels(column: Column, values: Sequence[pd.Series]) -> Comparison:
    """Count a column of categories."""

    texts = [x[~x.isna()].map(str) for x in values]
    counted = pd.concat(texts).value_counts(sort=False)
    order = sorted(counted.index, key=lambda level: (-counted[level], level))
    levels, others = order[:MAX_LEVELS], set(order[MAX_LEVELS:])
    labels = [*levels, *([OTHER] if others else [])]
    counts = []
    for text, x in zip(texts, values, strict=True):
        own = text.value_counts()
        row = [int(own.get(level, 0)) for level in levels]
        row += [len(text) - sum(row)] if others else []
        counts.append([*row, len(x) - len(text)])
    shares = _shares(counts)
    summaries = []
    for row in shares:
        best = int(row[:-1].argmax()) if len(labels) else -1
        parts = [f"{label(labels[best])} {row[best]:.0%}"] if best >= 0 and row[best] > 0 else []
        summaries.append(", ".join([*parts, *([f"{MISSING} {row[-1]:.0%}"] if row[-1] else [])]) or "no rows")

    return Comparison(column.name, (*labels, MISSING), np.zeros(0), shares, tuple(summaries), False)


def _shares(counts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    table = np.array(counts, dtype=float)
    return table / np.maximum(table.sum(1, keepdims=True), 1)


def _summary(known: NDArray[np.float64], missing: int, date: bool) -> str:
    """Describe a column of numbers or dates."""

    if not len(known) + missing:
        return "no rows"
    parts = []
    if len(known) and date:
        parts.append(f"median {_date(float(np.median(known)))}")
    elif len(known):
        parts.append(f"mean {number(float(known.mean()))}, sd {number(float(known.std()))}")
    if missing:
        parts.append(f"{MISSING} {missing / (len(known) + missing):.0%}")

    return ", ".join(parts)


def _date(days: float) -> str:
    return str((pd.Timestamp("1970-01-01") + pd.Timedelta(days=days)).date())


@mpl.rc_context(STYLE)
def draw_columns(comparisons: Sequence[Comparison]) -> Figure:
    """Draw columns of a party's own data, its reward and the synthetic pool, one panel for each column.

    Arguments:
        comparisons: The columns of these three tables.
    """

    figure, panels = _panels(len(comparisons), 1.95)
    width, height = figure.get_size_inches()
    # room for labels, in inches: a computed layout takes half of the time of the report
    figure.subplots_adjust(
        0.86 / width, 0.42 / height, 1 - 0.12 / width, 1 - 0.28 / height, wspace=0.98 / 1.47, hspace=0.7 / 1.25
    )
    for comparison, axes in zip(comparisons, panels, strict=True):
        _draw_column(axes, comparison)

    return figure


def _draw_column(axes: Axes, comparison: Comparison) -> None:
    """Draw a column: shares of rows in percent."""

    own, reward, pool = 100 * comparison.shares
    styles: list[tuple[Any, str, float]] = [(pool, BACKGROUND, 1.0), (own, OWN, 0.55), (reward, REWARD, 1.0)]
    if comparison.labels:
        kept = [k for k in range(len(own)) if k < len(own) - 1 or (own[k] + reward[k] + pool[k]) > 0]
        places = np.arange(len(kept))[::-1]
        for offset, (shares, color, _) in zip((0.27, 0.0, -0.27), (styles[1], styles[2], styles[0]), strict=True):
            axes.barh(places + offset, shares[kept], height=0.25, color=color)
        axes.set_yticks(places, [label(comparison.labels[k], 12) for k in kept], fontsize=7)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("% of rows", fontsize=7, labelpad=1)
    else:
        for shares, color, alpha in styles:
            line = color == REWARD
            axes.stairs(shares[:-1], comparison.edges, fill=not line, color=color, alpha=alpha, linewidth=1.6 * line)
        axes.set_ylabel("% of rows", fontsize=7, labelpad=2)
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="both", nbins=4)
        if comparison.date:
            ticks = np.linspace(comparison.edges[0], comparison.edges[-1], 3)[[0, 2]]
            axes.set_xticks(ticks, [_date(float(days)) for days in ticks])
    axes.tick_params(labelsize=7)
    axes.set_title(label(comparison.name, 30), fontsize=8.5, loc="left")
