r"""The figure of the numbers of rewards $|G_i|$."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from cgm.records.figures.by_party import chain_values, finish, party_axes, scatter_betas, sort_chains
from cgm.records.result import Result


def reward_sizes(result: Result) -> Figure:
    r"""Draw the number of rewards $|G_i|$ by party and $\beta$.

    The axis is logarithmic if the numbers differ by more than a factor of 50.

    Arguments:
        result: The result of a run.
    """

    n = result.n_parties
    chains = sort_chains(result.sampling)
    sizes = chain_values(chains, "size", n)
    positive = sizes[sizes > 0]  # not NaN

    figure, (axes,) = party_axes(n, 1)
    missing = scatter_betas(axes, chains, sizes)
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
    axes.set_ylabel(rf"rewards $|G_i|$ (of $|G|$ = {result.synthetic_size:,})")
    finish(figure, "Number of synthetic points by party", missing)

    return figure
