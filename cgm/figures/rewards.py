r"""The figures of rewards: their numbers and values by party, and values while they are drawn."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from cgm.figures.style import (
    BACKGROUND,
    GRID,
    INK,
    TARGET,
    beta_handles,
    beta_label,
    beta_styles,
    beta_text,
    legend,
    offsets,
)
from cgm.rewards.sampling import Reward
from cgm.rewards.schemes.base import Rewards
from cgm.utils.convert import numbered
from cgm.utils.text import label

MAX_POINTS = 500  # of a chain that are drawn
SIZES = "Number of synthetic points by party"  # a title

Chains = Mapping[float, Mapping[int, Reward]]  # by inverse temperature and party


@dataclass(frozen=True)
class Outcome:
    r"""What the parties of a settlement or of a record receive.

    Attributes:
        rewards: The reward of each party and $\beta$; its points are not needed.
        scheme: The reward values $r_i$ and their bounds.
        own: The values $v(D_i)$, of shape $(n)$.
        grand: The value $v_c(N)$.
        alpha: The contributions $\alpha_i$, of shape $(n)$.
        pool_size: $|G|$.
        names: The names of the parties; those that are `party 1`, `party 2`, ... are numbers on the axis.
    """

    rewards: Sequence[Reward]
    scheme: Rewards
    own: torch.Tensor
    grand: float
    alpha: torch.Tensor
    pool_size: int
    names: Sequence[str]

    @property
    def n(self) -> int:
        """The number of parties."""

        return len(self.own)

    def name(self, party: int) -> str:
        """Return what a party, from 0, is called in a title; a dollar in a name begins no formula."""

        return label(self.names[party]).replace("$", r"\$")


def reward_sizes(outcome: Outcome) -> Figure:
    r"""Draw the number of rewards $|G_i|$ by party and $\beta$, see `draw_sizes`."""

    figure, (axes,) = _party_figure(outcome, 1)
    _finish(figure, SIZES, draw_sizes(axes, outcome))

    return figure


def draw_sizes(axes: Axes, outcome: Outcome) -> list[str]:
    r"""Draw the number of rewards $|G_i|$ by party and $\beta$ into axes.

    The axis is logarithmic if the numbers differ by more than a factor of 50.

    Returns:
        The names of what could not be drawn.
    """

    chains = _sort_chains(outcome.rewards)
    sizes = _chain_values(chains, "size", outcome.n)
    positive = sizes[sizes > 0]  # not NaN

    _place_parties(axes, outcome)
    missing = _scatter_betas(axes, chains, sizes, outcome)
    if len(positive) and positive.max() > 50 * positive.min():
        min_decade = np.floor(np.log10(positive.min()))
        decades = np.arange(min_decade, np.ceil(np.log10(positive.max())) + 1)
        axes.set_yscale("symlog", linthresh=10.0**min_decade, linscale=0.6)
        axes.set_yticks([0.0, *10.0**decades])
        axes.set_yticks([], minor=True)
    for line in axes.lines:
        line.set_clip_on(False)  # draw a marker at zero completely
    axes.set_ylim(bottom=0, top=None if len(positive) else 1)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylabel(rf"rewards $|G_i|$ (of $|G|$ = {outcome.pool_size:,})")

    return missing


def reward_values(outcome: Outcome) -> Figure:
    r"""Draw each party's reward value $r_i$ between its bounds, and the values reached for each $\beta$.

    The upper panel has the whole range, the lower one is a close-up of the reward values, see `draw_values`.
    """

    figure, (top, bottom) = _party_figure(outcome, 2)
    missing = draw_values(top, outcome)
    draw_values(bottom, outcome, close_up=True)
    top.set_title("whole range", fontsize=9, loc="left")
    bottom.set_title("close-up of the reward values", fontsize=9, loc="left")
    _finish(figure, values_title(outcome), missing)

    return figure


def draw_values(axes: Axes, outcome: Outcome, close_up: bool = False) -> list[str]:
    r"""Draw each party's reward value $r_i$ between its bounds, and the values reached for each $\beta$, into axes.

    $v^*$ is shown if the scheme has it.

    Arguments:
        axes: The axes.
        outcome: What the parties receive.
        close_up: Whether the axis has the range of the reward values alone.

    Returns:
        The names of what could not be drawn.
    """

    n, scheme = outcome.n, outcome.scheme
    chains = _sort_chains(outcome.rewards)
    reached = _chain_values(chains, "value", n)
    own, lower, upper, rewards = (
        numbers.numpy() for numbers in (outcome.own, scheme.lower, scheme.upper, scheme.values)
    )
    levels: list[tuple[float | None, str, str]] = [(outcome.grand, ":", "all real data $v_c(N)$")]
    if "v_star" in scheme.details:
        levels.insert(0, (scheme.number("v_star"), "--", "largest reward value $v^*$"))

    _place_parties(axes, outcome)
    party = np.arange(n)
    size = float(np.clip(120 / n, 4, 8))
    axes.vlines(party, lower, upper, color=BACKGROUND, linewidth=2 * size, zorder=1)
    axes.plot(party, upper, "v", color=INK, markersize=size, label=r"upper bound $v(D_i \cup G)$")
    axes.plot(party, lower, "^", color=INK, markersize=size, label="lower bound")
    axes.plot(party, own, "x", color=TARGET, markersize=size, label="own data $v(D_i)$")
    axes.hlines(rewards, party - 0.4, party + 0.4, color=TARGET, linewidth=1.2, zorder=5, label="reward value $r_i$")
    for level, line, name in levels:
        if level is not None:
            axes.axhline(level, color=INK, linestyle=line, linewidth=1, zorder=1.5, label=name)
    missing = _scatter_betas(axes, chains, reached, outcome)
    axes.set_ylabel("value $v$")

    # without chains that missed their targets: these may lie far below, and are shown in the whole range
    near = np.concatenate([rewards, reached[_chain_values(chains, "reached", n) != 0]])
    near = near[np.isfinite(near)]
    if close_up and len(near):
        pad = max(0.15 * np.ptp(near), 1e-3 * np.abs(near).max(), 1e-9)
        axes.set_ylim(near.min() - pad, near.max() + pad)

    for numbers, name in ((own, "v(D_i)"), (lower, "lower bound"), (upper, "upper bound"), (rewards, "r_i")):
        missing += [f"{name} of {outcome.name(int(i))}" for i in np.flatnonzero(np.isnan(numbers))]
    return missing + [name for level, _, name in levels if level is None]


def values_title(outcome: Outcome) -> str:
    r"""Return the title of the figure of values: with the spread of the rewards, and with $\rho$ if there is one."""

    rewards, rho = outcome.scheme.values.numpy(), outcome.scheme.number("rho")
    title = "Reward values between their bounds"
    if np.isfinite(rewards).any():
        title += f": spread max r − min r = {np.nanmax(rewards) - np.nanmin(rewards):.4g}"
    return title if rho is None else f"{title}, ρ = {rho:.4g}"


def value_curves(chains: Sequence[Reward], alpha: torch.Tensor) -> Figure:
    r"""Draw $v(D_i \cup G_i)$ along each chain, one panel for each party and one line for each $\beta$.

    Of a long chain, 500 points at even distances are drawn, including the first and the last.

    Arguments:
        chains: The chains of `cgm.rewards.sample_rewards`.
        alpha: The contributions $\alpha_i$, of shape $(n)$.
    """

    n = len(alpha)
    betas = sorted({float(chain.beta) for chain in chains})
    styles = beta_styles(betas)

    columns, width = (min(n, 5), 2.3) if n <= 25 else (8, 1.8)
    rows = -(-n // columns)
    figure = Figure(figsize=(max(5.0, width * columns + 0.6), 0.8 * width * rows + 1.0), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.flat[n:]:
        axes.remove()
    for i, axes in enumerate(panels.flat[:n]):
        own = [chain for chain in chains if chain.party == i]
        for chain in sorted(own, key=lambda chain: float(chain.beta)):
            # (1 + |G_i|): v before any point, then after each
            v = np.concatenate([[chain.start], np.asarray(chain.values, dtype=float).ravel()])
            drawn = np.unique(np.linspace(0, len(v) - 1, min(len(v), MAX_POINTS)).round().astype(int))
            color, marker = styles[float(chain.beta)]
            axes.plot(drawn, v[drawn], color=color, linewidth=1.2)
            axes.plot(len(v) - 1, v[-1], color=color, marker=marker, markersize=5, linestyle="")
        for target in sorted({float(chain.target) for chain in own if math.isfinite(chain.target)}):
            axes.axhline(target, color=TARGET, linestyle="--", linewidth=1.2, zorder=1.5)
        if not own:
            axes.text(0.5, 0.5, "no chain", transform=axes.transAxes, ha="center", va="center", color=INK)
        weight = f"{float(alpha[i]):.3g}" if math.isfinite(alpha[i]) else "n/a"
        axes.set_title(rf"party {i + 1} ($\alpha$ = {weight})", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        longest = max([1, *(len(chain.values) for chain in own)])
        axes.set_xlim(-0.06 * longest, 1.06 * longest)
        axes.grid(color=GRID)
        axes.set_axisbelow(True)

    handles = beta_handles(betas, markersize=5)
    handles.append(Line2D([], [], color=TARGET, linestyle="--", label=r"target $r_i$"))
    figure.supxlabel("accepted points $|G_i|$", fontsize=10)
    figure.supylabel(r"value $v(D_i \cup G_i)$", fontsize=10)
    legend(figure, handles, "upper")

    return figure


def _sort_chains(sampling: Sequence[Reward]) -> Chains:
    """Sort chains by inverse temperature and party."""

    chains: dict[float, dict[int, Reward]] = {}
    for chain in sorted(sampling, key=lambda chain: chain.beta):
        chains.setdefault(chain.beta, {})[chain.party] = chain

    return chains


def _chain_values(chains: Chains, field: str, n: int) -> NDArray[np.float64]:
    """Return a field of the chains as an array of shape (betas, n), NaN if it is unknown."""

    rows = [[getattr(of_beta.get(i), field, None) for i in range(n)] for of_beta in chains.values()]
    return np.array(rows, dtype=float).reshape(len(chains), n)


def _party_figure(outcome: Outcome, rows: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels on top of each other, each with a place for each party."""

    figure = Figure(figsize=party_size(outcome.n, rows), layout="constrained")
    panels = list(figure.subplots(rows, 1, sharex=True, squeeze=False).flat)
    panels[-1].set_xlabel("party")

    return figure, panels


def party_size(n: int, rows: int = 1) -> tuple[float, float]:
    """Return the width and height, in inches, of a figure with a place for each of n parties."""

    return float(np.clip(0.45 * n + 3.0, 6.4, 13.0)), 3.0 * rows + 1.0


def _place_parties(axes: Axes, outcome: Outcome) -> None:
    """Give each party its place on the horizontal axis."""

    n, size = outcome.n, 9 if outcome.n <= 25 else 7
    axes.set_xlim(-0.6, n - 0.4)
    if tuple(outcome.names) != numbered(n):  # which come from outside: no formulas
        names = [label(name) for name in outcome.names]
        style: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if n > 3 else {}
        axes.set_xticks(range(n), names, fontsize=size, parse_math=False, **style)
    else:
        axes.set_xticks(range(n), [str(i + 1) for i in range(n)], fontsize=size)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)


def _scatter_betas(axes: Axes, chains: Chains, y: NDArray[np.float64], outcome: Outcome) -> list[str]:
    """Draw values (betas, n) as points, hollow if the target was not reached; return the names of those missing."""

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
        missing += [f"{outcome.name(int(i))}, β = {beta_text(beta)}" for i in np.flatnonzero(np.isnan(row))]
    return missing


def _finish(figure: Figure, title: str, missing: Sequence[str]) -> None:
    """Add the title, the legend, and the names of what could not be drawn."""

    figure.suptitle(with_missing(title, missing, figure.get_size_inches()[0]), fontsize=10)
    legend(figure, party_handles(figure.axes[0]), "lower")


def with_missing(title: str, missing: Sequence[str], width: float) -> str:
    """Return a title with the names of what could not be drawn, in lines that fit a width in inches."""

    if not missing:
        return title
    return title + "\n" + "\n".join(textwrap.wrap("n/a: " + "; ".join(missing), int(14 * width)))


def party_handles(axes: Axes) -> list[Artist]:
    """Return the entries of the legend of axes that `draw_sizes` or `draw_values` has drawn into."""

    handles, _ = axes.get_legend_handles_labels()
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    if any(np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any() for line in hollow):
        text = "target not reached"
        handles.append(Line2D([], [], label=text, color=INK, marker="o", markerfacecolor="white", linestyle=""))
    return handles
