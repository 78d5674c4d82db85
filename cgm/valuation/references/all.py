r"""All data as the reference."""

from dataclasses import dataclass

from cgm.valuation.references.base import Reference


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
