r"""The synthetic pool as the reference."""

from dataclasses import dataclass

from cgm.valuation.references.base import Reference


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
