r"""Cooperative games: the values of all coalitions of parties (Sec. 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import torch

from cgm.utils.convert import to_numbers


@runtime_checkable
class Game(Protocol):
    r"""A cooperative game of $n$ parties with the characteristic function $v_c$, $v_c(\emptyset) = 0$.

    Parties are numbered from 0. `Valuation` is the game of the MMD; `TableGame` is a game of any $2^n$ values.
    """

    @property
    def n(self) -> int:
        """The number of parties."""
        ...

    @property
    def party_values(self) -> torch.Tensor:
        r"""The values $v_c(\{i\})$, of shape $(n)$, float64."""
        ...

    @property
    def grand_value(self) -> float:
        r"""The value $v_c(N)$ of the grand coalition."""
        ...

    def coalition(self, members: Iterable[int]) -> float:
        r"""Return $v_c(C)$ of a coalition $C$ of parties."""
        ...

    def coalition_values(self) -> torch.Tensor:
        r"""Return $v_c$ of all coalitions, of shape $(2^n)$, float64; party $i$ is bit $i$ of a coalition's number."""
        ...


class TableGame:
    r"""A game given by the values of all its coalitions.

    Arguments:
        values: The values $v_c$, of shape $(2^n)$, $n \geq 1$; party $i$ is bit $i$ of a coalition's number. The value
            of the empty coalition must be 0.

    Raises:
        ValueError: If the values are not finite, if their number is not $2^n$, or if the first one is not 0.

    Example:
        >>> game = TableGame([0.0, 1.0, 2.0, 5.0])
        >>> game.n, game.grand_value, game.coalition([1])
        (2, 5.0, 2.0)
    """

    def __init__(self, values: torch.Tensor | Iterable[float]) -> None:
        known = isinstance(values, torch.Tensor) or hasattr(values, "__array__")
        table = to_numbers(values if known else list(values), "game").clone()
        n = count_parties(table, "game")
        if not torch.isfinite(table).all():
            raise ValueError("game: the values must be finite")
        if table[0] != 0:
            raise ValueError(f"game: expected the value 0 for the empty coalition, got {float(table[0]):g}")
        self._values, self._n = table, n

    @property
    def n(self) -> int:
        """The number of parties."""

        return self._n

    @property
    def party_values(self) -> torch.Tensor:
        """The values of single parties, see `Game.party_values`."""

        return self._values[[2**i for i in range(self.n)]]

    @property
    def grand_value(self) -> float:
        """The value of all parties, see `Game.grand_value`."""

        return float(self._values[-1])

    def coalition(self, members: Iterable[int]) -> float:
        """Return the value of a coalition; a ValueError names parties that do not exist."""

        return float(self._values[sum(2**i for i in check_members(members, self.n))])

    def coalition_values(self) -> torch.Tensor:
        """Return a copy of the table, see `Game.coalition_values`."""

        return self._values.clone()


def count_parties(values: torch.Tensor, name: str) -> int:
    """Return the number of parties of a table of coalition values.

    Raises:
        ValueError: If the table does not have the shape (2^n), n >= 1; the message begins with the name.
    """

    n = values.numel().bit_length() - 1
    if values.dim() != 1 or n < 1 or len(values) != 2**n:
        raise ValueError(f"{name}: expected 2^n values for n >= 1, got shape {tuple(values.shape)}")
    return n


def changes(values: torch.Tensor) -> Iterator[torch.Tensor]:
    r"""Yield the changes $v_c(C \cup \{i\}) - v_c(C)$ over all coalitions $C \not\ni i$, for each party $i$.

    Arguments:
        values: The coalition values $v_c$, of shape $(2^n)$; party $i$ is bit $i$ of a coalition's number.

    Returns:
        Tensors of shape $(2^{n - 1 - i}, 2^i)$, in the order of the coalitions' numbers.
    """

    for i in range(len(values).bit_length() - 1):
        without, joined = values.reshape(-1, 2, 2**i).unbind(1)
        yield joined - without


def check_members(members: Iterable[int], n: int) -> list[int]:
    """Return the distinct members of a coalition in ascending order.

    Raises:
        ValueError: If a member is not from 0 to n - 1.
    """

    distinct = sorted(set(members))
    if any(not 0 <= i < n for i in distinct):
        raise ValueError(f"coalition: members={distinct}, but parties are numbered 0 to {n - 1}")

    return distinct
