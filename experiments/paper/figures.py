"""The figure of correlations (Fig. 2)."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cgm.records.figures import style
from cgm.records.result import Result
from experiments.paper import published
from experiments.paper.published import Number
from experiments.paper.records import Groups, correlation
from experiments.paper.text import METRICS
from experiments.text import names

BAR, SEEDS, GRID = "#56B4E9", "#0072B2", "#EEEEEE"


def draw_correlations(groups: Groups) -> Figure:
    r"""Draw the correlations of negated metrics, $|G_i|$ and accuracy with $\alpha$ (Fig. 2), and the published ones.

    Arguments:
        groups: The results, at least one.
    """

    datasets = list(dict.fromkeys(dataset for dataset, _ in groups))
    splits = list(dict.fromkeys(split for _, split in groups))
    width, height = 2.5 * len(datasets) + 1.6, 2.1 * len(splits) + 0.9
    figure = Figure(figsize=(max(width, 6.0), height), layout="constrained")
    panels = figure.subplots(len(splits), len(datasets), sharex=True, sharey=True, squeeze=False)
    for row, split in zip(panels, splits, strict=True):
        for axes, dataset in zip(row, datasets, strict=True):
            _panel(axes, groups.get((dataset, split), []), published.ALPHA.get((dataset, split), {}))
            axes.set_title("\n".join(names((dataset, split))), fontsize=9)
    panels[0, 0].set_xlim(-1.1, 1.1)
    panels[0, 0].set_ylim(len(METRICS) - 0.5, -0.5)
    panels[0, 0].set_yticks(range(len(METRICS)), [style.LABELS[metric] for metric in METRICS])
    figure.supxlabel(r"Pearson correlation with $\alpha_i$", fontsize=10)
    handles = [
        Patch(color=BAR, label=r"mean over $\beta$ and seeds"),
        Line2D([], [], color=style.INK, marker="|", label=r"standard error over $\beta$"),
        Line2D([], [], color=SEEDS, linewidth=4, label="standard error over seeds"),
        Line2D([], [], color=style.TARGET, marker="D", markersize=5, linestyle="", label="published"),
    ]
    style.legend(figure, handles, "upper")
    return figure


def _panel(axes: Axes, results: list[Result], others: Mapping[str, Number]) -> None:
    """Draw the correlations of one dataset and split, and the published ones."""

    axes.axvline(0, color=style.INK, linewidth=1)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
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
