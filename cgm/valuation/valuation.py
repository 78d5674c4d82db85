r"""Valuation of data by the maximum mean discrepancy to the reference dataset (Sec. 3)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch

from cgm.utils.checks import check_parties, check_points, check_pool
from cgm.utils.shown import counted
from cgm.valuation.game import check_members
from cgm.valuation.kernels import Kernel, check_profile
from cgm.valuation.method import (
    GROUPS,
    MAX_FALLBACK,
    WIDTH,
    ValuationMethod,
    approximations,
    choose_method,
    extremes,
)
from cgm.valuation.mmd import block_sums, cross_sums, kernel_pass
from cgm.valuation.references import AllReference, Reference, check_blocks

ROUNDING = 1e-12  # of the largest absolute value: changes of this size are rounding errors, as of a copy of a party

Sums = TypeVar("Sums", float, np.ndarray)


class Valuation:
    r"""The game of the MMD: values of point sets with respect to the reference dataset
    $T = D_1 \cup \dots \cup D_n \cup G$.

    .. math:: v(S) = \frac{2}{s t} \sum_{x \in S, x' \in T} k(x, x') - \frac{1}{s^2} \sum_{x, x' \in S} k(x, x')

    One pass over the kernel, $t^2 / 2$ evaluations, gives the block sums $R[x, b] = \sum_{x' \in b} k(x, x')$ of
    every $x \in T$ with the blocks $D_1, \dots, D_n, G$. All values of unions of blocks follow from

    .. math:: a_i = \sum_{x \in D_i} \sum_b R[x, b] \qquad B_{ij} = \sum_{x \in D_i} R[x, j]

    If values are compared with another reference than all of $T$, this reference takes the place of $T$ in $v$: $t$
    is its size, and $a_i$ sums over its blocks only, see `Reference`.

    Arguments:
        kernel: The kernel $k$.
        parties: The parties' points $D_1, \dots, D_n$, each of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        precision: The arithmetic of the kernel values on $G \times G$, see `kernel_pass`: `"float64"`, `"float32"`, or
            `"auto"`, which is float32 if $t$ is large. All sums are in float64, and so are all kernel values of the
            parties' points: $v(D_i)$, $v_c$ and all that follows from them do not depend on the precision, and
            $v(D_i \cup G)$ is accurate to 1e-7.
        reference: The reference that values are compared with; all of $T$, if `None`.
        method: How the block sums are computed, see `ValuationMethod`; or its name.

    Attributes:
        points: $T$, of shape $(|T|, d)$, float64.
        sizes: The sizes of its blocks, $N_1, \dots, N_n, |G|$.
        reference_blocks: The blocks of the reference, see `Reference.blocks`.
        t: The number of points in the reference; $|T|$, if it is all of $T$.
        method: The method by which the block sums were computed.
        modes: The number of modes or landmarks of an approximation; `None` for exact sums.

    Raises:
        ValueError: If a set of points is empty, not finite, or of another width, or if a party has fewer than
            two points or only copies of one.

    References:
        Equation (2).

    Example:
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> _ = torch.manual_seed(0)
        >>> parties = [torch.randn(20, 2), 1 + torch.randn(20, 2)]
        >>> valuation = Valuation(SquaredExponential(1.0), parties, synthetic=torch.randn(100, 2))
        >>> valuation.party_values
        tensor([0.3442, 0.1805], dtype=torch.float64)
    """

    reference: Reference = AllReference()

    def __init__(
        self,
        kernel: Kernel,
        parties: Sequence[torch.Tensor],
        synthetic: torch.Tensor,
        precision: str = "auto",
        reference: Reference | None = None,
        method: ValuationMethod | str = "auto",
    ) -> None:
        check_profile(kernel)
        parties = check_parties(parties)
        synthetic = check_pool(synthetic, parties)
        if reference is not None:
            self.reference = reference
        self.kernel = kernel
        self.points = torch.cat([*parties, synthetic]).double()
        self.sizes = [len(x) for x in (*parties, synthetic)]
        self.modes: int | None = None
        self._missing: torch.Tensor | None = None
        self._rounding = 0.0
        settings = method if isinstance(method, ValuationMethod) else ValuationMethod(method)
        self.method = choose_method(settings.method, kernel, self.points, self.sizes)
        if self.method != "exact" and not self._approximate(settings, precision):
            self.method = "exact"
        if self.method == "exact":
            self._compute(precision)

    def __repr__(self) -> str:
        """Return the sizes, the kernel, the value of all data, and the method."""

        parts = (counted(self.n, "party"), f"|G| = {self.sizes[-1]:,}", repr(self.kernel), f"method={self.method!r}")
        return f"{type(self).__name__}({', '.join(parts)}, v(N) = {self.grand_value:.4g})"

    def _compute(self, precision: str) -> None:
        """Compute exact block sums."""

        self.modes = self._missing = None
        exact = len(self.points) - self.sizes[-1]
        self.sums, *self._extremes = kernel_pass(self.kernel, self.points, self.sizes, precision, exact)
        self._add_up()

    def _approximate(self, settings: ValuationMethod, precision: str) -> bool:
        """Compute approximate block sums; return whether exact ones should take their place."""

        points = self.points.cpu()
        for sums in approximations(self.kernel, points, self.sizes, self.method, precision):
            self.modes, self._missing, self._rounding = sums.size, sums.missing, sums.rounding
            self._add_up(sums.between)
            if self.method == "nufft" or self.error <= settings.tolerance * abs(self.grand_value):
                break
        else:
            if settings.method == "auto" and len(points) <= MAX_FALLBACK:
                return False
        self._of_points = sums.of_points
        return True

    @cached_property
    def sums(self) -> torch.Tensor:
        r"""The block sums $R$, of shape $(|T|, n + 1)$, float64.

        Approximate ones are computed when they are first used: values do not need them.
        """

        sums = self._of_points()
        del self._of_points  # landmarks and what else is needed for sums alone
        return sums

    @cached_property
    def _extremes(self) -> Sequence[float]:
        return extremes(self.kernel, self.points.cpu(), self.method)

    @property
    def gamma(self) -> float:
        r"""The smallest off-diagonal kernel value $\gamma$ on $T$; a lower bound of it, if landmarks are used."""

        return self._extremes[0]

    @property
    def eta(self) -> float:
        r"""The largest off-diagonal kernel value $\eta$ on $T$; an upper bound of it, if landmarks are used."""

        return self._extremes[1]

    @property
    def error(self) -> float:
        r"""The largest half width of the intervals of $v(D_i)$, $v_c(N)$ and $v(D_i \cup G)$; 0 for exact sums."""

        def values(game: Valuation) -> torch.Tensor:
            grand = torch.tensor([game.grand_value], dtype=torch.float64)
            return torch.cat([game.party_values, game.with_synthetic, grand])

        return float(self.half_widths(values).max())

    def half_widths(self, statistic: Callable[[Valuation], torch.Tensor]) -> torch.Tensor:
        r"""Compute half widths of intervals of what follows from the values, if sums are approximate; otherwise 0.

        The sums that some points lack, see `cgm.valuation.method`, are added for one group of points after the other.
        The mean of the results and its standard error give the half width: the distance of the mean, and 4 standard
        errors; and a share of 3e-6 for rounding errors, if kernel values with landmarks are in float32.

        Arguments:
            statistic: Computes numbers of a valuation.
        """

        values = torch.as_tensor(statistic(self), dtype=torch.float64)
        if self._missing is None:
            return torch.zeros_like(values)
        results = []
        for missing in self._missing:
            game = copy.copy(self)
            game._rows = self._rows + missing
            game._b = (game._rows + game._rows.T) / 2
            game._compare_with(self.reference_blocks)
            results.append(torch.as_tensor(statistic(game), dtype=torch.float64))
        found = torch.stack(results)
        widths = (found.mean(0) - values).abs() + WIDTH * found.std(0) / math.sqrt(GROUPS)
        # what no approximate sum changes, such as α with "hybrid", has no rounding errors of them either
        largest = values.abs().max()
        return torch.where(widths > ROUNDING * largest, widths + self._rounding * largest, widths)

    def _add_up(self, between: torch.Tensor | None = None) -> None:
        r"""Compute $B$, with $G$ as the last block, and then $a$, from sums over pairs of blocks or from block sums."""

        if between is None:
            between = torch.stack([block.sum(0) for block in self.sums.split(self.sizes)]).cpu()
        self._rows = between  # (n + 1, n + 1)
        self._b = (between + between.T) / 2  # symmetric also in rounding errors
        self._compare_with(self.reference.blocks(self.n))

    def _compare_with(self, blocks: tuple[int, ...]) -> None:
        """Compute $a$ and $t$ of a reference."""

        self.reference_blocks = check_blocks(self.reference, blocks, self.n)
        self.t = sum(self.sizes[b] for b in blocks)
        self._a = self._rows[:, list(blocks)].sum(1)

    def contribution_games(self) -> list[Valuation]:
        r"""Return the games of the parties' contributions.

        Returns:
            This valuation itself; or, if the reference of contributions differs between parties, a valuation with the
            same sums for each of them.
        """

        games = []
        for i in range(self.n):
            game = copy.copy(self)
            game._compare_with(self.reference.blocks_of(self.n, i))
            games.append(game)
        return [self] if all(game.reference_blocks == self.reference_blocks for game in games) else games

    @property
    def n(self) -> int:
        """The number of parties."""

        return len(self.sizes) - 1

    @property
    def total(self) -> float:
        r"""The sum of the kernel over $T \times T$."""

        return float(self._rows.sum(1).sum())

    @property
    def a(self) -> torch.Tensor:
        r"""The sums $a_i$ of the kernel over $D_i$ and the reference, of shape $(n)$."""

        return self._a[:-1]

    @property
    def with_all(self) -> torch.Tensor:
        r"""The sums of the kernel over $D_i \times T$, of shape $(n)$; $a_i$, if the reference is all of $T$."""

        return self._rows.sum(1)[:-1]

    def point_sums(self, rows: slice) -> torch.Tensor:
        r"""Compute the sums $a_x$ of the kernel of some points and the reference.

        Arguments:
            rows: The rows of the points $x$ in $T$.

        Returns:
            The sums, one for each point, float64.
        """

        return self.sums[rows][:, list(self.reference_blocks)].sum(1)

    @property
    def b(self) -> torch.Tensor:
        r"""The sums $B_{ij}$ of the kernel over $D_i \times D_j$, of shape $(n, n)$."""

        return self._b[:-1, :-1]

    def party(self, i: int) -> torch.Tensor:
        r"""Return $D_i$, of shape $(N_i, d)$."""

        return self.points[self.block(i)]

    @property
    def synthetic(self) -> torch.Tensor:
        r"""The synthetic pool $G$, of shape $(|G|, d)$."""

        return self.points[self.block(self.n)]

    @property
    def reference_points(self) -> torch.Tensor:
        """The points of the reference, of shape $(t, d)$."""

        if self.t == len(self.points):
            return self.points
        return torch.cat([self.points[self.block(b)] for b in self.reference_blocks])

    def block(self, i: int) -> slice:
        """Return the rows of $T$ with the points of party i (from 0), or with those of $G$ if i = n."""

        start = sum(self.sizes[:i])
        return slice(start, start + self.sizes[i])

    @property
    def real(self) -> slice:
        r"""The rows of $T$ with the parties' points, $D_1, \dots, D_n$."""

        return slice(0, sum(self.sizes[:-1]))

    def coalition(self, members: Iterable[int]) -> float:
        r"""Compute $v_c(C)$ of a coalition of parties; $v_c(\emptyset) = 0$.

        .. math:: v_c(C) = \frac{2}{s_C t} \sum_{i \in C} a_i - \frac{1}{s_C^2} \sum_{i, j \in C} B_{ij}

        Arguments:
            members: The parties $i \in C$, numbered from 0.

        Raises:
            ValueError: If a party does not exist.
        """

        members = check_members(members, self.n)
        return self._value(members) if members else 0.0

    def coalition_values(self) -> torch.Tensor:
        r"""Compute $v_c$ of all $2^n$ coalitions.

        Returns:
            The values, of shape $(2^n)$, float64; the bits of $c$ are the members of coalition number $c$.
        """

        return coalition_table(self.sizes[:-1], self.a, self.b, self.t)

    @property
    def party_values(self) -> torch.Tensor:
        r"""The values $v(D_i)$ of the parties, of shape $(n)$, float64."""

        return torch.tensor([self._value([i]) for i in range(self.n)], dtype=torch.float64)

    @property
    def grand_value(self) -> float:
        r"""The value $v_c(N)$ of all parties' data."""

        return self._value(list(range(self.n)))

    @property
    def with_synthetic(self) -> torch.Tensor:
        r"""The values $v(D_i \cup G)$ of the parties' data with the pool, of shape $(n)$, float64."""

        return torch.tensor([self._value([i, self.n]) for i in range(self.n)], dtype=torch.float64)

    def value(self, points: torch.Tensor) -> float:
        r"""Compute $v(S)$ of any set of points, with $t s + s^2 / 2$ kernel evaluations.

        Arguments:
            points: The set $S$, of shape $(s, d)$.

        Raises:
            ValueError: If the points are not finite, or of another width, or if there are none.
        """

        s = check_points(points, "value: points", width=self.points.shape[1]).to(self.points)
        st = float(cross_sums(self.kernel, s, self.reference_points).sum())
        ss = float(block_sums(self.kernel, s, [len(s)]).sum())
        return value_from_sums(st, ss, len(s), self.t)

    def _value(self, blocks: list[int]) -> float:
        s = sum(self.sizes[i] for i in blocks)
        return value_from_sums(float(self._a[blocks].sum()), float(self._b[blocks][:, blocks].sum()), s, self.t)


def value_from_sums(linear: Sums, quadratic: Sums, size: Sums | int, t: int) -> Sums:
    r"""Compute $v(S)$, equation (2), from sums of the kernel.

    Arguments:
        linear: The sum over $S$ and the reference.
        quadratic: The sum over $S \times S$.
        size: The number of points in $S$.
        t: The number of points in the reference.
    """

    return 2 * linear / (size * t) - quadratic / size**2


def coalition_table(sizes: Sequence[int], a: torch.Tensor, b: torch.Tensor, t: int) -> torch.Tensor:
    r"""Compute $v_c$ of all $2^n$ coalitions from $n + n^2$ sums of the kernel.

    Arguments:
        sizes: The sizes $N_1, \dots, N_n$.
        a: The sums $a_i$ of the kernel over $D_i$ and the reference, of shape $(n)$.
        b: The sums $B_{ij}$ of the kernel over $D_i \times D_j$, of shape $(n, n)$.
        t: The number of points in the reference.

    Returns:
        The values, of shape $(2^n)$, float64; the bits of $c$ are the members of coalition number $c$.
    """

    size, linear, quadratic = (np.zeros(1) for _ in range(3))
    for i in range(len(sizes)):  # the coalitions of the first i parties, then the same with party i
        cross = np.zeros(1)  # sum of B_ij over the members j
        for j in range(i):
            cross = np.concatenate([cross, cross + float(b[i, j])])
        size = np.concatenate([size, size + sizes[i]])
        linear = np.concatenate([linear, linear + float(a[i])])
        quadratic = np.concatenate([quadratic, quadratic + 2 * cross + float(b[i, i])])

    size[0] = 1  # the empty coalition: 0 / 1
    return torch.from_numpy(value_from_sums(linear, quadratic, size, t))
