r"""The valuation of a party at home: its own rows exactly, those of all others by the noisy total of their sketches.

With $\tilde S_O = \sum_{j \neq i} \tilde S_j$ and the pool $G$, the value of $S = D_i \cup G_i$ is

.. math:: v(S) = \frac{2}{s t} \Bigl(\sum_{x \in S, \, x' \in D_i \cup G} k(x, x')
    + \sum_{x \in S} \langle \psi(x), \tilde S_O \rangle\Bigr) - \frac{1}{s^2} \sum_{x, x' \in S} k(x, x')

in which all but the middle sum is exact. That sum is linear in the noise, so that it has no bias but that of a pool
that follows the noise, and the standard error of $v(S)$ is $2 c_O \|\sum_{x \in S} \psi(x)\| / (s t)$ with
$c_O^2 = \sum_{j \neq i} c_j^2$. It is stated as $2 c_O (\sum_{x, x' \in S} k(x, x'))^{1/2} / (s t)$, which is at least
as large: features are projections of those of the kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from cgm.privacy.schema import SketchSchema
from cgm.utils.run import limited
from cgm.valuation.valuation import Valuation

OWN, OTHERS, POOL = 0, 1, 2  # the blocks of the game


@dataclass(frozen=True)
class Others:
    r"""What a party is told of all other parties together.

    Attributes:
        sums: The total of their noisy sums $\tilde S_O$, in the coordinates of the embedding, of shape $(D)$.
        rows: The number of their rows.
        noise: The standard deviation $c_O$ of the total's noise in each coordinate.
        followed: How far the pool follows the noise, $E \langle z_O, S_G \rangle$, which is subtracted.
    """

    sums: torch.Tensor
    rows: int
    noise: float
    followed: float = 0.0


class HomeValuation(Valuation):
    r"""The game of a party's own rows, all other parties together, and the pool.

    Arguments:
        schema: The public schema.
        own: The party's rows as the schema encodes them, of shape $(N_i, d)$.
        others: What is known of the others.
        synthetic: The pool $G$, of shape $(|G|, d)$.

    Attributes:
        points, sums: Of the own rows and $G$; the others have no points.
    """

    @limited(1)  # sums with the embedding depend on the number of threads
    def __init__(self, schema: SketchSchema, own: torch.Tensor, others: Others, synthetic: torch.Tensor) -> None:
        super().__init__(schema.kernel, [own], synthetic)
        self.others = others
        n, pool = self.sizes
        of_others = schema.embedding.inner(self.points, others.sums[None])
        of_others[n:] -= others.followed / pool
        self.sums = torch.cat([self.sums[:, :1], of_others, self.sums[:, 1:]], 1)
        exact, own_sum, pool_sum = self._rows, float(of_others[:n].sum()), float(of_others[n:].sum())
        among = float(others.sums @ others.sums) - schema.embedding.width * others.noise**2
        self.sizes = [n, others.rows, pool]
        rows = torch.empty(3, 3, dtype=torch.float64)
        for (i, a), (j, b) in ((x, y) for x in _EXACT for y in _EXACT):
            rows[i, j] = exact[a, b]
        rows[OWN, OTHERS] = rows[OTHERS, OWN] = own_sum
        rows[POOL, OTHERS] = rows[OTHERS, POOL] = pool_sum
        rows[OTHERS, OTHERS] = among
        if self._missing is not None:
            missing = torch.zeros(len(self._missing), 3, 3, dtype=torch.float64)
            missing[:, ::2, ::2] = self._missing
            self._missing = missing
        self._rows, self._b = rows, (rows + rows.T) / 2
        self._compare_with(self.reference.blocks(self.n))

    def block(self, i: int) -> slice:
        """Return the rows of `points` with the own ones, i = 0, or with those of $G$, i = 2.

        Raises:
            ValueError: If i = 1: of the others' rows nothing is known.
        """

        if i == OTHERS:
            raise ValueError("of the other parties, only the total of their sketches is known")
        return slice(0, self.sizes[OWN]) if i == OWN else slice(self.sizes[OWN], len(self.points))

    @property
    def own_value(self) -> float:
        r"""The value $v(D_i)$."""

        return self._value([OWN])

    @property
    def own_with_synthetic(self) -> float:
        r"""The value $v(D_i \cup G)$."""

        return self._value([OWN, POOL])

    def standard_error(self, size: int, within: float) -> float:
        r"""Return the standard error of $v(S)$ because of the noise of the others' sketches.

        Arguments:
            size: The number of points $s$ in $S$.
            within: The sum of the kernel over $S \times S$.
        """

        return 2 * self.others.noise * math.sqrt(within) / (size * self.t)


_EXACT = ((OWN, 0), (POOL, 1))  # blocks of this game, and of the exact one of own rows and pool
