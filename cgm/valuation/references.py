r"""The interface of references: the data that values compare with (Sec. 3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from cgm.utils.settings import Settings

__all__ = ["AllReference", "LeaveOneOutReference", "PoolReference", "RealReference", "Reference"]


class Reference(Settings, ABC):
    r"""Base class of references.

    A reference is a union $Q$ of some of the blocks $D_1, \dots, D_n, G$ of all data $T$. It takes the place of $T$ in
    equation (2),

    .. math:: v(S) = \frac{2}{s |Q|} \sum_{x \in S, x' \in Q} k(x, x') - \frac{1}{s^2} \sum_{x, x' \in S} k(x, x')

    so that $v(S) = \text{const} - \text{MMD}_b^2(S, Q)$. All values follow from the same sums of the kernel over the
    blocks of $T$.
    """

    section = "reference"

    @abstractmethod
    def blocks(self, n: int) -> tuple[int, ...]:
        r"""Return the blocks of $Q$ in ascending order: 0 to n - 1 are $D_1, \dots, D_n$, and n is $G$.

        Arguments:
            n: The number of parties.
        """

    def blocks_of(self, n: int, i: int) -> tuple[int, ...]:
        r"""Return the blocks with which values are compared for the contribution of party i, if not those of $Q$.

        Arguments:
            n: The number of parties.
            i: The party, from 0.
        """

        return self.blocks(n)


def check_blocks(reference: Reference, blocks: tuple[int, ...], n: int) -> tuple[int, ...]:
    """Check that a reference has blocks, and that they exist, and return them.

    Raises:
        ValueError: If it has none, or if they are not distinct numbers from 0 to n.
    """

    if len(blocks) == 0 or sorted(set(blocks)) != list(blocks) or blocks[0] < 0 or blocks[-1] > n:
        raise ValueError(
            f"reference: {type(reference).__name__} has the blocks {blocks}; expected one or more ascending numbers "
            f"from 0 to {n}, which is the synthetic pool"
        )
    return blocks


@dataclass(frozen=True)
class AllReference(Reference):
    r"""All data, $T = D_1 \cup \dots \cup D_n \cup G$, the reference of the paper.

    The more points a party has, the more $T$ resembles its data.

    Example:
        >>> AllReference().blocks(n=2)
        (0, 1, 2)
    """

    def blocks(self, n: int) -> tuple[int, ...]:
        """Return all blocks, see `Reference.blocks`."""

        return tuple(range(n + 1))


@dataclass(frozen=True)
class PoolReference(Reference):
    r"""The synthetic pool $G$ alone.

    Real points count as far as the generator has learned from them.

    Example:
        >>> PoolReference().blocks(n=2)
        (2,)
    """

    def blocks(self, n: int) -> tuple[int, ...]:
        """Return the block of the pool, see `Reference.blocks`."""

        return (n,)


@dataclass(frozen=True)
class RealReference(Reference):
    r"""The parties' data $D_1 \cup \dots \cup D_n$ alone.

    Values of real data do not depend on the synthetic pool. The data of all parties has the largest value that there
    is, because its MMD to itself is 0: no reward is worth $v_c(N)$, so that there are no stable rewards (R6). Use a
    scheme such as `scheme=fair`.

    Example:
        >>> RealReference().blocks(n=2)
        (0, 1)
    """

    def blocks(self, n: int) -> tuple[int, ...]:
        """Return the blocks of the parties, see `Reference.blocks`."""

        return tuple(range(n))


@dataclass(frozen=True)
class LeaveOneOutReference(AllReference):
    r"""For the contribution of party $i$, all data except its own, $T \setminus D_i$; for all else, all data $T$.

    A party cannot move the reference of its own contribution. $\phi_i$ is computed in the game of party $i$, in which
    all coalitions are compared with $T \setminus D_i$. Bounds, rewards, incentives and sampling, and the fit of the
    length-scale, use $T$. The contributions come from $n$ games, so that they need not add up to $v_c(N)$. $G$ is
    part of the reference, and the generator that it comes from was fitted to all parties' data.

    Example:
        >>> LeaveOneOutReference().blocks(n=2), LeaveOneOutReference().blocks_of(n=2, i=0)
        ((0, 1, 2), (1, 2))
    """

    def blocks_of(self, n: int, i: int) -> tuple[int, ...]:
        """Return all blocks except that of party i, see `Reference.blocks_of`."""

        return tuple(b for b in range(n + 1) if b != i)
