r"""The parties' data as the reference."""

from dataclasses import dataclass

from cgm.valuation.references.base import Reference


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
