r"""The figure of a sweep over attacks: what each gains, by another setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cgm.figures.style import BACKGROUND, INK
from cgm.records.collect import Run
from cgm.records.headline import ATTACK
from cgm.records.settings import cell, find_varying, sort_key, union
from cgm.utils.plain import snake

LABELS = {
    "attack_gain_alpha": r"gain in $\alpha$, sum over identities",
    "attack_gain_alpha_max": r"gain in $\alpha$, best identity",
    "attack_gain_reward": "gain in $r$, sum over identities",
    "attack_gain_reward_max": "gain in $r$, best identity",
    "attack_gain_size": r"gain in the number of points, $|G_a| - |G_i|$",
    "attack_gain_value": r"gain in true value, $v(D_i \cup G_a) - v(D_i \cup G_i)$",
    "attack_gain_accuracy": "gain in downstream accuracy",
    "attack_others_mean": "change of the other parties' true values, mean",
    "attack_others_worst": "change of the other parties' true values, worst party",
}


class Grid(NamedTuple):
    """A headline number of attacks.

    Attributes:
        rows: The attacks.
        values: The values of the setting of the columns.
        means: The mean of the number for each of them, of shape (rows, columns); NaN without runs.
        runs: The numbers of the runs, by row and column.
        setting: The setting of the columns.
        number: The name of the number.
    """

    rows: Sequence[str]
    values: Sequence[str]
    means: NDArray[np.float64]
    runs: Mapping[tuple[int, int], Sequence[float]]
    setting: str
    number: str

    @property
    def size(self) -> tuple[float, float]:
        """The width and height of the figure, in inches."""

        width = 1.3 * len(self.values) + 0.09 * max(map(len, self.rows)) + 1.8
        return max(width, 5.0), 0.55 * len(self.rows) + 1.4

    @property
    def title(self) -> str:
        """The title of the figure."""

        return LABELS.get(self.number, self.number.removeprefix("attack_").replace("_", " "))


def attack_gains(
    runs: Sequence[Run], columns: str, number: str = "attack_gain_value", decimals: int | None = None
) -> Figure:
    r"""Draw a headline number of attacks as a heat map: a row for each attack, a column for each value of a setting.

    A cell has the mean over the other settings, such as the seed, and its standard error if there are several runs.
    Attacks of one class are separate rows if their settings differ.

    Arguments:
        runs: The runs of a sweep, `collect(folder).runs`; those without an attack are left out.
        columns: The setting of the columns, by its dotted name, such as `"contribution"` or `"scheme.stable"`.
        number: The headline number, one of those that begin with `attack_`.
        decimals: The number of decimals in the cells. Three significant digits, if `None`.

    Raises:
        ValueError: If the number is unknown, if no run has an attack, or if a run does not have the setting.
    """

    grid = make_grid(runs, columns, number)
    figure = Figure(figsize=grid.size, layout="constrained")
    draw_grid(figure.subplots(), grid, decimals)
    figure.suptitle(grid.title, fontsize=10)

    return figure


def make_grid(runs: Sequence[Run], columns: str, number: str) -> Grid:
    """Compute what `attack_gains` draws; the arguments are the same."""

    names = [
        name for name in union([dict.fromkeys(ATTACK), *(run.numbers for run in runs)]) if name.startswith("attack_")
    ]
    if number not in names:
        raise ValueError(f"number={number}: expected one of {', '.join(names)}")
    runs = [run for run in runs if run.numbers.get("attack_gain_value") is not None]
    if not runs:
        raise ValueError("runs: none of them has an attack; expected runs of a sweep such as cgm -m attack=noise,split")
    without = [run.name for run in runs if columns not in run.settings]
    if without:
        raise ValueError(f"columns={columns}: run {without[0]} has no such setting; expected one that every run has")

    rows = _row_names(runs, columns)
    names = sorted(set(rows))
    values = [cell(x) for x in sorted((run.settings[columns] for run in runs), key=sort_key)]
    places = list(dict.fromkeys(values))
    found: dict[tuple[int, int], list[float]] = {}
    for run, row in zip(runs, rows, strict=True):
        if (x := run.numbers.get(number)) is not None:
            found.setdefault((names.index(row), places.index(cell(run.settings[columns]))), []).append(x)
    means = np.full((len(names), len(places)), np.nan)
    for place, numbers in found.items():
        means[place] = fmean(numbers)

    return Grid(names, places, means, found, columns, number)


def draw_grid(axes: Axes, grid: Grid, decimals: int | None) -> None:
    """Draw a headline number of attacks into axes, with a bar of colours beside them."""

    means = grid.means
    limit = float(np.nanmax(np.abs(means), initial=0.0)) or 1.0  # symmetric: white is no change
    colours = mpl.colormaps["RdBu_r"].with_extremes(bad=BACKGROUND)
    image = axes.imshow(np.ma.masked_invalid(means), cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
    for (i, j), mean in np.ndenumerate(means):
        dark = abs(mean) > 0.6 * limit  # false for NaN
        text = _text(grid.runs.get((i, j), []), decimals)
        axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else INK)
    axes.set_xticks(range(len(grid.values)), grid.values)
    axes.set_yticks(range(len(grid.rows)), grid.rows)
    axes.set_xlabel(grid.setting)
    axes.set_ylabel("attack")
    axes.tick_params(length=0)
    axes.figure.colorbar(image, ax=axes, shrink=0.9)


def _row_names(runs: Sequence[Run], columns: str) -> list[str]:
    """Return the attack of each run with those of its settings that vary among the runs with this attack."""

    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(str(run.settings["attack"]), []).append(run)
    varying = {
        name: [s for s in find_varying([run.settings for run in group]) if s.startswith("attack.") and s != columns]
        for name, group in groups.items()
    }
    rows = []
    for run in runs:
        name = str(run.settings["attack"])
        options = [f"{s.removeprefix('attack.')}={cell(run.settings[s])}" for s in varying[name]]
        rows.append(", ".join([snake(name), *options]))

    return rows


def _text(numbers: Sequence[float], decimals: int | None) -> str:
    """Return the mean of some numbers, with a sign, and its standard error if there are several."""

    if not numbers:
        return "n/a"
    first, second = (".3g", ".2g") if decimals is None else (f".{decimals}f",) * 2
    error = f"\n± {stdev(numbers) / math.sqrt(len(numbers)):{second}}" if len(numbers) > 1 else ""
    mean = fmean(numbers) if decimals is None else round(fmean(numbers), decimals) + 0.0  # -0.0 becomes 0.0
    return f"{mean:+{first}}".replace("-", "−") + error
