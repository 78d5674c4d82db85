r"""Whether the value of data is monotone: the changes of the value when parties join coalitions (Sec. 5)."""

from __future__ import annotations

from typing import NamedTuple

import torch

from cgm.valuation.game import Game

MAX_PARTIES = 20
"""The largest number of parties for which all coalitions are examined."""

ROUNDING = 1e-12  # of the largest absolute value: changes of this size are rounding errors, as of a copy of a party


class Increments(NamedTuple):
    r"""The changes $v_c(C \cup \{i\}) - v_c(C)$ over all coalitions $C$ and all parties $i \notin C$.

    Attributes:
        share: The share of them that is negative.
        smallest: The smallest of them.
    """

    share: float
    smallest: float


def negative_increments(game: Game) -> Increments:
    r"""Compute which share of the changes $v_c(C \cup \{i\}) - v_c(C)$ is negative, over all coalitions.

    There are $n 2^{n - 1}$ of them, those of the empty coalition, $v(D_i)$, among them. The share is 0 if and only if
    $v_c$ is non-negative and monotone on the coalitions of the game, up to rounding errors: a decrease by at most
    1e-12 of the largest absolute value does not count.

    Arguments:
        game: The game, of at most 20 parties.

    Raises:
        ValueError: If there are more parties.

    Example:
        >>> from cgm.valuation import TableGame
        >>> negative_increments(TableGame([0.0, 2.0, 1.0, 1.5]))
        Increments(share=0.25, smallest=-0.5)
    """

    if game.n > MAX_PARTIES:
        raise ValueError(
            f"negative_increments: {game.n} parties have {game.n} * 2^{game.n - 1} changes of value; expected at most "
            f"{MAX_PARTIES} parties"
        )

    return increments(game.coalition_values())


def increments(values: torch.Tensor) -> Increments:
    r"""Compute the share of negative changes and the smallest one from the values of all coalitions.

    Arguments:
        values: The values $v_c$, of shape $(2^n)$; party $i$ is bit $i$ of a coalition's number.
    """

    n = len(values).bit_length() - 1
    tolerance = rounding(values)
    negative, smallest = 0, torch.inf
    for i in range(n):
        without, joined = values.reshape(-1, 2, 2**i).unbind(1)  # each (2^(n-1-i), 2^i)
        change = joined - without
        negative += int((change < -tolerance).sum())
        smallest = min(smallest, float(change.min()))

    return Increments(negative / (n * 2 ** (n - 1)), smallest)


def rounding(values: torch.Tensor) -> float:
    """Return the size of a change of value that counts as a rounding error."""

    return ROUNDING * float(values.abs().max())
