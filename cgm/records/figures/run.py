"""All figures of a run, among them that of correlations."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgm.figures.embedding import reward_embedding
from cgm.figures.plots import Plots, Points, pictured
from cgm.figures.rewards import Outcome, reward_sizes, reward_values, value_curves
from cgm.figures.style import (
    GRID,
    INK,
    axes_for,
    axes_legend,
    beta_handles,
    beta_styles,
    legend,
    metric_label,
    offsets,
    save,
)
from cgm.mediator import Settlement
from cgm.records.result import Result
from cgm.utils.convert import numbered

BAR = "#56B4E9"


def draw_run(
    folder: Path,
    result: Result,
    settlement: Settlement,
    classes: Sequence[torch.Tensor],
    labels: torch.Tensor | None,
    party: int,
    seed: int,
) -> None:
    r"""Draw the figures of a run into its folder.

    Arguments:
        folder: The folder.
        result: The result of the run.
        settlement: The settlement of the run.
        classes: The classes of the parties' points, each of shape $(N_i)$.
        labels: The classes of the points of $G$, of shape $(|G|)$; `None` if they have none.
        party: The party, from 0, whose rewards are drawn in the plane.
        seed: The seed of the embedding.
    """

    pool, parties = settlement.pool, settlement.parties
    rewards, images = {}, {}
    for chain in settlement.drawn.values():
        if chain.party != party:
            continue
        rows = chain.indices
        rewards[chain.beta] = pool.points[rows], None if labels is None else labels[rows]
        if pictures := pictured(rows, pool.images):
            images[chain.beta] = pictures
    outcome = outcome_of(result)
    figures = {
        "reward_sizes": reward_sizes(outcome),
        "reward_values": reward_values(outcome),
        "value_curves": value_curves(list(settlement.drawn.values()), outcome.alpha),
        "correlations": correlations(result),
        f"rewards_of_party_{party + 1}": reward_embedding(
            parties[party],
            classes[party],
            rewards,
            result.classes,
            background=torch.cat([*parties, pool.points]),
            seed=seed,
            party=party,
            images=images,
        ),
    }
    for name, figure in figures.items():
        save(figure, folder, name)


def outcome_of(result: Result) -> Outcome:
    """Return what the parties of a run receive."""

    values, alpha = result.values, result.contributions.alpha
    names, size = numbered(result.n_parties), result.synthetic_size
    return Outcome(result.sampling, result.scheme, values.party, values.grand, alpha, size, names)


class RecordPlots(Plots):
    """Figures of a record, each drawn into axes; see `Plots`.

    Arguments:
        result: The result of the run.
        points: Reads the pool and the rewards when they are first drawn.
    """

    def __init__(self, result: Result, points: Callable[[], Points]) -> None:
        super().__init__(outcome_of(result), points)
        self._result = result

    def correlations(self, ax: Axes | None = None, *, legend: bool = True) -> Axes:
        r"""Draw the correlations of $\alpha$ with metrics, $|G_i|$ and scores (the paper's Fig. 2).

        Arguments:
            ax: The axes; those of a new figure, if `None`.
            legend: Whether to add a legend.
        """

        axes = axes_for(ax, *correlations_size(self._result))
        handles = draw_correlations(axes, self._result)
        if legend:
            axes_legend(axes, handles, "upper")
        return axes


def correlations(result: Result) -> Figure:
    r"""Draw the correlations of $\alpha$ (the paper's Fig. 2), see `draw_correlations`."""

    figure = Figure(figsize=correlations_size(result), layout="constrained")
    legend(figure, draw_correlations(figure.subplots(), result), "upper")

    return figure


def correlations_size(result: Result) -> tuple[float, float]:
    """Return the width and height of the figure of correlations, in inches."""

    return 7.2, 0.5 * max(len(result.correlations), 1) + 1.6


def draw_correlations(axes: Axes, result: Result) -> list[Line2D]:
    r"""Draw the correlations of $\alpha$ with metrics, $|G_i|$ and scores into axes.

    A bar is the mean over $\beta$, its error bar the standard error, a dot the correlation for one $\beta$. A
    correlation that could not be computed is replaced by the reason.

    Returns:
        The entries of the legend.

    Raises:
        ValueError: If a metric does not have a correlation (or `None`) for each $\beta$.
    """

    names = [metric_label(metric) for metric in result.correlations]
    betas = list(dict.fromkeys(float(chain.beta) for chain in result.sampling))
    styles = beta_styles(sorted(betas))

    axes.axvline(0, color=INK, linewidth=1)
    reach = 1.0
    for row, (metric, entry) in enumerate(result.correlations.items()):
        mean, sem, by_beta = entry.mean, entry.sem, entry.by_beta
        if len(by_beta) != len(betas):
            raise ValueError(f"correlations.{metric}.by_beta={by_beta}: expected a value for each beta of {betas}")
        if mean is None:
            reason = textwrap.shorten("; ".join(entry.reasons), 140, placeholder=" …")
            text = "\n".join(textwrap.wrap(f"n/a: {reason}", 70))
            white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            axes.text(0, row, text, va="center", ha="center", fontsize=8, color=INK, bbox=white)
            continue
        axes.barh(row, mean, height=0.6, xerr=sem, color=BAR, ecolor=INK, capsize=3, zorder=1)
        dots = zip(sorted(zip(betas, by_beta, strict=True)), row + offsets(len(betas), 0.2), strict=True)
        for (beta, value), y in dots:
            if value is not None:
                color, marker = styles[beta]
                axes.plot(value, y, color=color, marker=marker, markersize=4, linestyle="", zorder=3)
        unknown = by_beta.count(None)
        text = f"{mean:+.3f}".replace("-", "−") + (" ± n/a" if sem is None else f" ± {sem:.3f}")
        text += f"\n({unknown} of {len(betas)} β n/a)" if unknown else ""
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        reach = max(reach, abs(mean) + (sem or 0.0))

    axes.set_xlim(-1.05 * reach, 1.05 * reach)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(r"Pearson correlation with $\alpha_i$ (mean ± standard error over $\beta$)")
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)

    return beta_handles(sorted(betas), markersize=4, linestyle="")
