r"""The figures of the report that show all parties: reward values, and rewards in the plane."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cgm.records.figures.embedding import OWN, to_plane
from cgm.records.figures.style import BACKGROUND, GRID, INK
from cgm.records.figures.style import TARGET as REWARD
from cgm.settlements.report.svg import figure_style, label
from cgm.settlements.settlement import PartySettlement

MAX_PANELS = 12
MOSAIC = (2, 14)  # lines and columns of sample images


def draw_values(settlement: PartySettlement) -> Figure:
    r"""Draw for each party the value of its own data, its reward value and the largest possible one."""

    names, rewards = settlement.names, settlement.rewards.values.tolist()
    own, upper = settlement.game.party_values.tolist(), settlement.rewards.upper.tolist()
    y = np.arange(len(names))
    with figure_style():
        figure = Figure(figsize=(7.2, 0.36 * len(names) + 1.3), layout="constrained")
        axes = figure.subplots()
        axes.hlines(y, own, upper, color=BACKGROUND, linewidth=6, zorder=1)
        axes.hlines(y, own, rewards, color=REWARD, alpha=0.45, linewidth=6, zorder=2)
        axes.plot(own, y, "o", color=OWN, markersize=7, zorder=3, label="own data")
        axes.plot(rewards, y, "D", color=REWARD, markersize=6, zorder=4, label="reward: own data and synthetic data")
        axes.plot(upper, y, "|", color=INK, markersize=11, zorder=3, label="limit: own data and all synthetic data")
        axes.set_yticks(y, [label(name, 30) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel("value")
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8.5, handletextpad=0.3)

    return figure


def draw_plane(settlement: PartySettlement, seed: int) -> tuple[Figure, str]:
    r"""Draw the parties' own points and their recommended rewards in the plane, one panel for each of 12 parties.

    Arguments:
        settlement: The settlement.
        seed: The seed of the embedding.

    Returns:
        The figure, and the name of the plane's dimensions.
    """

    n = min(len(settlement.names), MAX_PANELS)
    rows = {(chain.party, chain.beta): chain.indices for chain in settlement.drawn.values()}
    pool = settlement.pool.points.double().cpu()
    own = [x.double().numpy() for x in settlement.parties[:n]]
    rewards = [pool[rows[i, settlement.recommended[i]]].numpy() for i in range(n)]
    sets = [*own, *rewards, pool.numpy()]
    if sets[0].shape[1] == 1:
        sets = [np.pad(x, ((0, 0), (0, 1))) for x in sets]
    _, places, kind = to_plane(sets, np.random.default_rng(seed), seed)
    everything = np.concatenate(places)
    low, high = everything.min(0), everything.max(0)
    pad = 0.05 * np.where(high > low, high - low, 1.0)

    columns = min(4, n)
    lines = -(-n // columns)
    with figure_style():
        figure = Figure(figsize=(2.45 * columns + 0.3, 2.5 * lines + 0.2), layout="constrained")
        panels = list(figure.subplots(lines, columns, squeeze=False).flat)
        for axes in panels[n:]:
            axes.remove()
        for i, axes in enumerate(panels[:n]):
            for x, color in ((places[-1], BACKGROUND), (places[i], OWN), (places[n + i], REWARD)):
                axes.scatter(*x.T, s=5, color=color, alpha=0.75, linewidths=0, rasterized=True)
            axes.set_title(label(settlement.names[i], 30), fontsize=8.5, loc="left")
            axes.set_xlim(low[0] - pad[0], high[0] + pad[0])
            axes.set_ylim(low[1] - pad[1], high[1] + pad[1])
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
            axes.spines[:].set_color(BACKGROUND)

    return figure, kind


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
    inches = 7.2
    with figure_style():
        figure = Figure(figsize=(inches, inches * mosaic.shape[0] / mosaic.shape[1]))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(mosaic if colours == 3 else mosaic[:, :, 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_axis_off()

    return figure
