r"""The interface of references: the data that values compare with (Sec. 3)."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Reference(ABC):
    r"""Base class of references.

    A reference is a union $Q$ of some of the blocks $D_1, \dots, D_n, G$ of all data $T$. It takes the place of $T$ in
    equation (2),

    .. math:: v(S) = \frac{2}{s |Q|} \sum_{x \in S, x' \in Q} k(x, x') - \frac{1}{s^2} \sum_{x, x' \in S} k(x, x')

    so that $v(S) = \text{const} - \text{MMD}_b^2(S, Q)$. All values follow from the same sums of the kernel over the
    blocks of $T$.
    """

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
