r"""The figure of the reward values $r_i$ between their bounds."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from cgm.records.figures.by_party import chain_values, finish, party_axes, scatter_betas, sort_chains
from cgm.records.figures.style import BACKGROUND, INK, TARGET
from cgm.records.result import Result


def reward_values(result: Result) -> Figure:
    r"""Draw each party's reward value $r_i$ between its bounds, and the values reached for each $\beta$.

    The upper panel has the whole range, the lower one is a close-up of the reward values. $v^*$ and $\rho$ are shown
    if the scheme has them.

    Arguments:
        result: The result of a run.
    """

    n, values, scheme = result.n_parties, result.values, result.scheme
    chains = sort_chains(result.sampling)
    reached = chain_values(chains, "value", n)
    own, lower, upper, rewards = (
        numbers.numpy() for numbers in (values.party, values.lower, values.upper, scheme.values)
    )
    levels: list[tuple[float | None, str, str]] = [(values.grand, ":", "all real data $v_c(N)$")]
    if "v_star" in scheme.details:
        levels.insert(0, (scheme.number("v_star"), "--", "largest reward value $v^*$"))

    figure, (top, bottom) = party_axes(n, 2)
    party = np.arange(n)
    size = float(np.clip(120 / n, 4, 8))
    missing: list[str] = []
    for axes in (top, bottom):
        axes.vlines(party, lower, upper, color=BACKGROUND, linewidth=2 * size, zorder=1)
        axes.plot(party, upper, "v", color=INK, markersize=size, label=r"upper bound $v(D_i \cup G)$")
        axes.plot(party, lower, "^", color=INK, markersize=size, label="lower bound")
        axes.plot(party, own, "x", color=TARGET, markersize=size, label="own data $v(D_i)$")
        axes.hlines(
            rewards, party - 0.4, party + 0.4, color=TARGET, linewidth=1.2, zorder=5, label="reward value $r_i$"
        )
        for level, line, label in levels:
            if level is not None:
                axes.axhline(level, color=INK, linestyle=line, linewidth=1, zorder=1.5, label=label)
        missing = scatter_betas(axes, chains, reached)
        axes.set_ylabel("value $v$")
    top.set_title("whole range", fontsize=9, loc="left")
    bottom.set_title("close-up of the reward values", fontsize=9, loc="left")

    # without chains that missed their targets: these may lie far below, and are shown in the upper panel
    near = np.concatenate([rewards, reached[chain_values(chains, "reached", n) != 0]])
    near = near[np.isfinite(near)]
    if len(near):
        pad = max(0.15 * np.ptp(near), 1e-3 * np.abs(near).max(), 1e-9)
        bottom.set_ylim(near.min() - pad, near.max() + pad)

    for numbers, name in ((own, "v(D_i)"), (lower, "lower bound"), (upper, "upper bound"), (rewards, "r_i")):
        missing += [f"{name} of party {i + 1}" for i in np.flatnonzero(np.isnan(numbers))]
    missing += [label for level, _, label in levels if level is None]
    title = "Reward values between their bounds"
    if np.isfinite(rewards).any():
        title += f": spread max r − min r = {np.nanmax(rewards) - np.nanmin(rewards):.4g}"
    rho = scheme.number("rho")
    if rho is not None:
        title += f", ρ = {rho:.4g}"
    finish(figure, title, missing)

    return figure
