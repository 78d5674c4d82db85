"""The figures of correlations with α: Fig. 2, and the same for each reward scheme."""

from collections.abc import Iterable, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cgm.figures import style
from cgm.records.result import Result
from experiments.paper import published
from experiments.paper.published import Number
from experiments.paper.records import Groups, correlation
from experiments.paper.text import METRICS
from experiments.text import Setting, names

BAR, SEEDS, GRID = "#56B4E9", "#0072B2", "#EEEEEE"
SCHEMES = ("#0072B2", "#56B4E9", "#D55E00")  # colours of Okabe and Ito's palette, in the order of the schemes


def draw_correlations(groups: Groups) -> Figure:
    r"""Draw the correlations of negated metrics, $|G_i|$ and accuracy with $\alpha$ (Fig. 2), and the published ones.

    Arguments:
        groups: The results, at least one.
    """

    figure, panels = _panels(groups)
    for setting, axes in panels.items():
        _panel(axes, groups.get(setting, []), published.ALPHA.get(setting, {}))
    handles = [
        Patch(color=BAR, label=r"mean over $\beta$ and seeds"),
        Line2D([], [], color=style.INK, marker="|", label=r"standard error over $\beta$"),
        Line2D([], [], color=SEEDS, linewidth=4, label="standard error over seeds"),
        Line2D([], [], color=style.TARGET, marker="D", markersize=5, linestyle="", label="published"),
    ]
    style.legend(figure, handles, "upper")
    return figure


def draw_schemes(groups: Mapping[str, Groups]) -> Figure:
    r"""Draw the same correlations for each reward scheme: means over $\beta$ and seeds, and standard errors over seeds.

    Arguments:
        groups: The results of each scheme; at least one, and at most three.
    """

    figure, panels = _panels(dict.fromkeys(setting for own in groups.values() for setting in own))
    height = 0.8 / len(groups)
    colours = dict(zip(groups, SCHEMES, strict=False))
    for setting, axes in panels.items():
        for k, (name, own) in enumerate(groups.items()):
            for row, metric in enumerate(METRICS):
                mean, _, between = correlation(own.get(setting, []), "alpha", metric)
                if mean is not None:
                    y = row + (k - (len(groups) - 1) / 2) * height
                    axes.barh(y, mean, height=height, color=colours[name], zorder=1)
                    axes.errorbar(mean, y, xerr=between, color=style.INK, linewidth=1, zorder=2)
    handles = [
        *(Patch(color=colour, label=f"scheme={name}") for name, colour in colours.items()),
        Line2D([], [], color=style.INK, linewidth=1, label="standard error over seeds"),
    ]
    style.legend(figure, handles, "upper")
    return figure


def _panels(settings: Iterable[Setting]) -> tuple[Figure, dict[Setting, Axes]]:
    """Return a figure and its empty panels: a row for each split, a column for each dataset."""

    settings = list(settings)
    datasets = list(dict.fromkeys(dataset for dataset, _ in settings))
    splits = list(dict.fromkeys(split for _, split in settings))
    width, height = 2.5 * len(datasets) + 1.6, 2.1 * len(splits) + 0.9
    figure = Figure(figsize=(max(width, 6.0), height), layout="constrained")
    grid = figure.subplots(len(splits), len(datasets), sharex=True, sharey=True, squeeze=False)
    panels = {}
    for row, split in zip(grid, splits, strict=True):
        for axes, dataset in zip(row, datasets, strict=True):
            axes.axvline(0, color=style.INK, linewidth=1)
            axes.grid(axis="x", color=GRID)
            axes.set_axisbelow(True)
            axes.set_title("\n".join(names((dataset, split))), fontsize=9)
            panels[dataset, split] = axes
    grid[0, 0].set_xlim(-1.1, 1.1)
    grid[0, 0].set_ylim(len(METRICS) - 0.5, -0.5)
    grid[0, 0].set_yticks(range(len(METRICS)), [style.LABELS[metric] for metric in METRICS])
    figure.supxlabel(r"Pearson correlation with $\alpha_i$", fontsize=10)
    return figure, panels


def _panel(axes: Axes, results: list[Result], others: Mapping[str, Number]) -> None:
    """Draw the correlations of one dataset and split, and the published ones."""

    for row, metric in enumerate(METRICS):
        mean, within, between = correlation(results, "alpha", metric)
        if mean is not None:
            axes.barh(row, mean, height=0.6, color=BAR, zorder=1)
            if between is not None:
                axes.errorbar(mean, row - 0.17, xerr=between, color=SEEDS, linewidth=4, zorder=2)
            if within is not None:
                axes.errorbar(mean, row, xerr=within, color=style.INK, linewidth=1, capsize=3, zorder=3)
        elif results:
            axes.text(0.05, row, "n/a", va="center", fontsize=8, color=style.INK)
        if metric in others:
            value, error = others[metric]
            axes.errorbar(
                value, row + 0.17, xerr=error, color=style.TARGET, marker="D", markersize=4, linewidth=1, zorder=4
            )
