r"""What figures by party share: axes with a place for each party, and a point for each party and $\beta$."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cgm.records.figures.style import GRID, INK, beta_label, beta_styles, beta_text, legend, offsets
from cgm.rewards.sampling import Reward

Chains = Mapping[float, Mapping[int, Reward]]  # by inverse temperature and party


def sort_chains(sampling: Sequence[Reward]) -> Chains:
    """Sort chains by inverse temperature and party."""

    chains: dict[float, dict[int, Reward]] = {}
    for chain in sorted(sampling, key=lambda chain: chain.beta):
        chains.setdefault(chain.beta, {})[chain.party] = chain

    return chains


def chain_values(chains: Chains, field: str, n: int) -> NDArray[np.float64]:
    """Return a field of the chains as an array of shape (betas, n), NaN if it is unknown."""

    rows = [[getattr(of_beta.get(i), field, None) for i in range(n)] for of_beta in chains.values()]
    return np.array(rows, dtype=float).reshape(len(chains), n)


def party_axes(n: int, rows: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels on top of each other, each with a place for each of n parties."""

    figure = Figure(figsize=(float(np.clip(0.45 * n + 3.0, 6.4, 13.0)), 3.0 * rows + 1.0), layout="constrained")
    panels = list(figure.subplots(rows, 1, sharex=True, squeeze=False).flat)
    for axes in panels:
        axes.set_xlim(-0.6, n - 0.4)
        axes.set_xticks(range(n), [str(i + 1) for i in range(n)], fontsize=9 if n <= 25 else 7)
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
    panels[-1].set_xlabel("party")

    return figure, panels


def scatter_betas(axes: Axes, chains: Chains, y: NDArray[np.float64]) -> list[str]:
    """Draw a point for each party and inverse temperature, hollow if the target was not reached.

    Arguments:
        axes: The axes.
        chains: The chains.
        y: The values to draw, of shape (betas, n).

    Returns:
        The names of the chains that have no value.
    """

    n = y.shape[1]
    missing = []
    size = float(np.clip(120 / n, 3.5, 6.0))
    styles = beta_styles(list(chains))
    for offset, row, (beta, (color, marker)) in zip(offsets(len(chains), 0.3), y, styles.items(), strict=True):
        reached = np.array([getattr(chains[beta].get(i), "reached", True) for i in range(n)])
        style: dict[str, Any] = {"color": color, "marker": marker, "markersize": size, "linestyle": "", "zorder": 4}
        x = np.arange(n) + offset
        axes.plot(x, np.where(reached, row, np.nan), label=beta_label(beta), **style)
        axes.plot(x, np.where(reached, np.nan, row), markerfacecolor="white", **style)
        missing += [f"party {i + 1}, β = {beta_text(beta)}" for i in np.flatnonzero(np.isnan(row))]

    return missing


def finish(figure: Figure, title: str, missing: Sequence[str]) -> None:
    """Add the title, the legend, and the names of what could not be drawn."""

    handles, _ = figure.axes[0].get_legend_handles_labels()
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    if any(np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any() for line in hollow):
        label = "target not reached"
        handles.append(Line2D([], [], label=label, color=INK, marker="o", markerfacecolor="white", linestyle=""))
    if missing:
        width = int(14 * figure.get_size_inches()[0])
        title += "\n" + "\n".join(textwrap.wrap("n/a: " + "; ".join(missing), width))
    figure.suptitle(title, fontsize=10)
    legend(figure, handles, "lower")
