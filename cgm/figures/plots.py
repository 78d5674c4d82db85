"""Figures of settlements and records that are drawn into axes: `settlement.plot.rewards()` and so on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes

from cgm.figures.embedding import as_pictures, draw_rewards, make_plane, plane_handles
from cgm.figures.rewards import (
    SIZES,
    Outcome,
    draw_sizes,
    draw_values,
    party_handles,
    party_size,
    values_title,
    with_missing,
)
from cgm.figures.style import axes_for, axes_legend, axes_width, beta_label
from cgm.utils.checks import party_number
from cgm.utils.shown import brief

LEGEND = 2.2  # inches beside the axes


class Points(NamedTuple):
    r"""What is drawn in the plane.

    Attributes:
        pool: The pool $G$, of shape $(|G|, d)$.
        rewards: For each (party, beta) the rows of it that are $G_i$.
        parties: The parties' points, each of shape $(N_i, d)$; `None` if they are unknown, as in records.
        images: The first points of the pool as images, of shape $(k, C, H, W)$; there may be none.
    """

    pool: torch.Tensor
    rewards: Mapping[tuple[int, float], torch.Tensor]
    parties: list[torch.Tensor] | None = None
    images: torch.Tensor | None = None

    def __repr__(self) -> str:
        return brief(self)


class Plots:
    """Figures, each drawn into axes.

    A method draws into `ax`, or into a new figure of pyplot if it is `None`, and returns the axes, so that titles and
    limits can be changed. Arguments take a party by its number, from 0, or by its name; figures have names, or numbers
    from 1.

    Arguments:
        outcome: What the parties receive.
        points: Returns the points when they are first drawn.
    """

    def __init__(self, outcome: Outcome, points: Callable[[], Points]) -> None:
        self._outcome, self._read = outcome, points

    def __repr__(self) -> str:
        names = [name for name, _ in inspect.getmembers(type(self), inspect.isfunction) if not name.startswith("_")]
        return f"Figures: {', '.join(f'{name}()' for name in names)}; each takes ax=None and returns the Axes"

    @cached_property
    def _points(self) -> Points:
        return self._read()

    def _default_beta(self, party: int) -> float:
        """Return the inverse temperature of the reward that is drawn if none is named."""

        return max(reward.beta for reward in self._outcome.rewards)

    def rewards(self, ax: Axes | None = None, *, legend: bool = True) -> Axes:
        r"""Draw the number of rewards $|G_i|$ by party and $\beta$.

        Arguments:
            ax: The axes; those of a new figure, if `None`.
            legend: Whether to add a legend.
        """

        axes = self._axes(ax)
        return self._finish(axes, SIZES, draw_sizes(axes, self._outcome), legend)

    def values(self, ax: Axes | None = None, *, close_up: bool = False, legend: bool = True) -> Axes:
        r"""Draw each party's reward value $r_i$ between its bounds, and the values reached for each $\beta$.

        Arguments:
            ax: The axes; those of a new figure, if `None`.
            close_up: Whether the axis has the range of the reward values alone.
            legend: Whether to add a legend.
        """

        axes = self._axes(ax)
        missing = draw_values(axes, self._outcome, close_up)
        return self._finish(axes, values_title(self._outcome), missing, legend)

    def embedding(
        self,
        ax: Axes | None = None,
        *,
        party: int | str = 0,
        beta: float | None = None,
        seed: int = 0,
        legend: bool = True,
    ) -> Axes:
        r"""Draw a party's own points and its reward for one $\beta$, before the pool and all parties' points.

        Points of more than two dimensions are projected by UMAP, which takes seconds. Records do not have the parties'
        points: the reward is drawn before the pool.

        Arguments:
            ax: The axes; those of a new figure, if `None`.
            party: The party, from 0, or its name; of records, `party 1` and so on.
            beta: The inverse temperature; the largest one or, of tables and images, the recommended one, if `None`.
            seed: The seed of the projection.
            legend: Whether to add a legend.

        Raises:
            ValueError: If there is no such reward.
        """

        outcome, points = self._outcome, self._points
        party = party_number(party, outcome.names)
        beta = self._default_beta(party) if beta is None else float(beta)
        if (party, beta) not in points.rewards:
            betas = ", ".join(f"{beta:g}" for beta in sorted({beta for _, beta in points.rewards}))
            raise ValueError(f"beta={beta:g}: {outcome.names[party]} has no such reward; expected one of {betas}")
        rows, rng = points.rewards[party, beta], np.random.default_rng(seed)
        images = None if points.images is None else pictured(rows, points.images)
        own, background, what = None, points.pool, "synthetic pool $G$"
        if points.parties is not None:
            own, background = points.parties[party], torch.cat([*points.parties, points.pool])
            what = "reference dataset $T$"
        plane = make_plane(own, None, {beta: (points.pool[rows], None)}, (), background, seed, rng)
        pictures = as_pictures({} if images is None else {beta: images})

        axes = axes_for(ax, 7.2 if legend else 4.4, 4.4)
        draw_rewards(axes, plane, beta, pictures, rng)
        axes.set_xlabel(f"{plane.kind} 1")
        axes.set_ylabel(f"{plane.kind} 2")
        lines = [f"{outcome.name(party)}, {beta_label(beta)}: {len(rows):,} points", *plane.note]
        axes.set_title("\n".join(lines), fontsize=10)
        if legend:
            axes_legend(axes, plane_handles(plane, bool(axes.images), what))
        return axes

    def _axes(self, ax: Axes | None) -> Axes:
        width, height = party_size(self._outcome.n)
        return axes_for(ax, width + LEGEND, height)

    def _finish(self, axes: Axes, title: str, missing: list[str], legend: bool) -> Axes:
        axes.set_xlabel("party")
        width = axes_width(axes)
        lines = [title] if len(title) <= 14 * width else title.split(": ", 1)
        axes.set_title(with_missing("\n".join(lines), missing, width), fontsize=10)
        if legend:
            axes_legend(axes, party_handles(axes))
        return axes


def pictured(rows: torch.Tensor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return which points of a reward there are images of, and these images; `None` without any.

    Arguments:
        rows: The rows of the pool that are the reward.
        images: The images of the first points of the pool, of shape (k, C, H, W).
    """

    shown = torch.nonzero(rows < len(images))[:, 0]
    return (shown, images[rows[shown]]) if len(shown) else None
