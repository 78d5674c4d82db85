r"""The figure of values $v(D_i \cup G_i)$ while rewards are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from cgm.records.figures.style import GRID, INK, TARGET, beta_handles, beta_styles, legend
from cgm.records.result import Result
from cgm.rewards.sampling import Reward

MAX_POINTS = 500  # of a chain that are drawn


def value_curves(chains: Sequence[Reward], result: Result) -> Figure:
    r"""Draw $v(D_i \cup G_i)$ along each chain, one panel for each party and one line for each $\beta$.

    Of a long chain, 500 points at even distances are drawn, including the first and the last.

    Arguments:
        chains: The chains of `cgm.rewards.sample_rewards`.
        result: The result of the run.
    """

    n = result.n_parties
    alpha = result.contributions.alpha.tolist()
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
            kept = np.arange(len(v))
            if len(v) > MAX_POINTS:
                kept = np.unique(np.linspace(0, len(v) - 1, MAX_POINTS).round().astype(int))
            color, marker = styles[float(chain.beta)]
            axes.plot(kept, v[kept], color=color, linewidth=1.2)
            axes.plot(len(v) - 1, v[-1], color=color, marker=marker, markersize=5, linestyle="")
        for target in sorted({float(chain.target) for chain in own if math.isfinite(chain.target)}):
            axes.axhline(target, color=TARGET, linestyle="--", linewidth=1.2, zorder=1.5)
        if not own:
            axes.text(0.5, 0.5, "no chain", transform=axes.transAxes, ha="center", va="center", color=INK)
        weight = f"{alpha[i]:.3g}" if math.isfinite(alpha[i]) else "n/a"
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
