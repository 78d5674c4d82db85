r"""All other data as the reference for a party's contribution."""

from dataclasses import dataclass

from cgm.valuation.references.base import Reference


@dataclass(frozen=True)
class LeaveOneOutReference(Reference):
    r"""For the contribution of party $i$, all data except its own, $T \setminus D_i$; for all else, all data $T$.

    A party cannot move the reference of its own contribution. $\phi_i$ is computed in the game of party $i$, in which
    all coalitions are compared with $T \setminus D_i$. Bounds, rewards, incentives and sampling, and the fit of the
    length-scale, use $T$. The contributions come from $n$ games, so that they need not add up to $v_c(N)$. $G$ is
    part of the reference, and the generator that it comes from was fitted to all parties' data.

    Example:
        >>> LeaveOneOutReference().blocks(n=2), LeaveOneOutReference().blocks_of(n=2, i=0)
        ((0, 1, 2), (1, 2))
    """

    def blocks(self, n: int) -> tuple[int, ...]:
        """Return all blocks, see `Reference.blocks`."""

        return tuple(range(n + 1))

    def blocks_of(self, n: int, i: int) -> tuple[int, ...]:
        """Return all blocks except that of party i, see `Reference.blocks_of`."""

        return tuple(b for b in range(n + 1) if b != i)
