r"""The part of a large synthetic pool that rewards are drawn from."""

from __future__ import annotations

import torch

from cgm.valuation.valuation import Valuation


class Candidates(Valuation):
    r"""A valuation from whose pool only the first points are drawn.

    Each accepted point of a reward costs time in proportion to the number of points that it is drawn from. The values
    of sets of points do not: they follow from sums that are known. So values and sums are those of the whole pool,
    $v(D_i \cup G)$ and all that rewards are compared with, while `synthetic`, and the rows of `block(n)`, are those of
    its first points. The points of a pool are drawn independently of each other: the first ones are a sample of it.

    Arguments:
        valuation: The valuation of the whole pool.
        count: The number of points that rewards are drawn from, at most $|G|$.

    Example:
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> random = torch.Generator().manual_seed(0)
        >>> x = [torch.randn(20, 2, generator=random) for _ in range(2)]
        >>> valuation = Valuation(SquaredExponential(1.0), x, torch.randn(100, 2, generator=random))
        >>> part = Candidates(valuation, 30)
        >>> part.synthetic.shape, part.sizes, part.grand_value == valuation.grand_value
        (torch.Size([30, 2]), [20, 20, 100], True)
    """

    def __init__(self, valuation: Valuation, count: int) -> None:
        self.__dict__.update(vars(valuation))
        self.count = min(count, valuation.sizes[-1])

    def block(self, i: int) -> slice:
        """Return the rows of $T$ with the points of party i (from 0), or with those that are drawn from if i = n."""

        rows = super().block(i)
        return rows if i < self.n else slice(rows.start, rows.start + self.count)

    @property
    def reference_points(self) -> torch.Tensor:
        """The points of the reference, all of the pool among them, if it is part of it."""

        if self.t == len(self.points):
            return self.points
        return torch.cat([self.points[super(Candidates, self).block(b)] for b in self.reference_blocks])


def drawn_from(valuation: Valuation, count: int | None) -> Valuation:
    """Return a valuation from whose pool at most a number of points are drawn; all, if `None`."""

    return valuation if count is None or count >= valuation.sizes[-1] else Candidates(valuation, count)
