r"""Runs the whole way, from parties' data to rewards and what they are worth, station by station."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Parties:
    r"""Holds the parties' data, reduced to the features that are valued.

    Attributes:
        x: The points $D_1, \dots, D_n$, each of shape $(N_i, d)$.
        y: Their classes, each of shape $(N_i)$: for judging, never for valuing.
        test: Held-out points, of shape $(M, d)$, and their classes.
        classes: The names of the classes.
    """

    x: list[Tensor]
    y: list[Tensor]
    test: tuple[Tensor, Tensor]
    classes: tuple[str, ...]
