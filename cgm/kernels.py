r"""Kernels on points, and the choice of their length-scale (Sec. 5)."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor

from .checks import check_parties, check_points, check_whole
from .mmd import block_sums, cross_sums
from .progress import progress

Lengthscale = float | str
"""A number, or the name of a rule that is still to be applied: `"fit"` or `"median"`."""


@dataclass(frozen=True)
class Kernel(ABC):
    r"""Represents a kernel of the distance of two points, $k(x, x') = f(\|x - x'\|^2 / \ell^2)$.

    Calling a kernel on x of shape $(n, d)$ and y of shape $(m, d)$ gives the $(n, m)$ matrix of its values.

    Arguments:
        lengthscale: The length-scale $\ell$, in the units of the data; or `"fit"` or `"median"`, to be
            replaced by `resolve_lengthscale` before the kernel can be called.
    """

    lengthscale: Lengthscale = 1.0

    rate: ClassVar[float | None] = None
    r"""The $r$ of a kernel with $f(q) = \exp(-r q)$, for which sums take a short cut; `None` for any other."""

    def __init_subclass__(cls, **options: object) -> None:
        """Lets no kernel with a profile of its own inherit another's rate."""

        super().__init_subclass__(**options)
        if "profile" in vars(cls) and "rate" not in vars(cls):
            cls.rate = None

    def __post_init__(self) -> None:
        """Refuses a length-scale that is neither positive nor a rule."""

        if isinstance(self.lengthscale, str):
            if self.lengthscale not in ("fit", "median"):
                raise ValueError(
                    f"kernel.lengthscale={self.lengthscale!r}: expected a positive number, 'fit' or 'median'"
                )
        elif not isinstance(self.lengthscale, Real) or not 0 < self.lengthscale < math.inf:
            raise ValueError(f"kernel.lengthscale={self.lengthscale}: expected a positive number, 'fit' or 'median'")

    @property
    def name(self) -> str:
        """Names the kernel in the record."""

        return type(self).__name__

    @property
    def diagonal(self) -> float:
        r"""Tells $k^* = k(x, x)$."""

        return 1.0

    @property
    def smooth(self) -> bool:
        r"""Tells whether $f$ is smooth at 0, so that rounding errors of small distances do no harm."""

        return True

    @property
    def finest(self) -> float:
        r"""Tells the least distance, in units of $\ell$, over which $f$ changes much: it must be resolved."""

        return 1.0

    @abstractmethod
    def profile(self, q: Tensor) -> Tensor:
        r"""Computes $f(q)$ for squared distances in units of $\ell^2$."""

    def with_lengthscale(self, lengthscale: Lengthscale) -> Kernel:
        """Returns the same kernel with another length-scale."""

        return replace(self, lengthscale=lengthscale)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Computes the (n, m) kernel matrix of x (n, d) and y (m, d)."""

        if isinstance(self.lengthscale, str):
            raise ValueError(
                f"kernel.lengthscale={self.lengthscale!r} is a rule, not yet a number; call "
                "cgm.kernels.resolve_lengthscale(kernel, parties, synthetic) first"
            )
        return self.profile(squared_distances(x / self.lengthscale, y / self.lengthscale, self.smooth))


@dataclass(frozen=True)
class SquaredExponential(Kernel):
    r"""Computes the squared exponential kernel, $\exp(-\|x - x'\|^2 / 2 \ell^2)$, the paper's own.

    Example:
        >>> SquaredExponential(2.0)(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]]))
        tensor([[1.0000, 0.6065]])
    """

    rate: ClassVar[float] = 0.5

    def profile(self, q: Tensor) -> Tensor:
        """Computes exp(-q / 2)."""

        return q.mul(-0.5).exp_()


@dataclass(frozen=True)
class RationalQuadratic(Kernel):
    r"""Computes the rational quadratic kernel, $(1 + \|x - x'\|^2 / 2 \alpha \ell^2)^{-\alpha}$.

    Arguments:
        lengthscale: The length-scale $\ell$, see `Kernel`.
        alpha: The exponent $\alpha$; as it grows, the kernel tends to the squared exponential one.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018).
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        """Refuses an exponent that is not positive."""

        super().__post_init__()
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"kernel.alpha={self.alpha}: must be positive and finite")

    def profile(self, q: Tensor) -> Tensor:
        """Computes (1 + q / 2 alpha) ** -alpha."""

        return q.mul(0.5 / self.alpha).add_(1).pow(-self.alpha)


@dataclass(frozen=True)
class Laplacian(Kernel):
    r"""Computes the Laplacian kernel, $\exp(-\|x - x'\| / \ell)$, with the Euclidean norm (Matérn 1/2)."""

    @property
    def smooth(self) -> bool:
        """Tells that a rounding error of 1e-16 in a squared distance would be one of 1e-8 in the kernel."""

        return False

    def profile(self, q: Tensor) -> Tensor:
        """Computes exp(-sqrt(q))."""

        return q.sqrt().neg().exp_()


@dataclass(frozen=True, init=False)
class Sum(Kernel):
    r"""Adds up kernels.

    Arguments:
        kernels: The kernels $k_j$, each with its own length-scale, as a number.
        lengthscale: The unit $\ell$ in which the kernels' own length-scales are measured.
    """

    kernels: Sequence[Kernel] = ()
    lengthscale: Lengthscale = 1.0

    def __init__(self, kernels: Sequence[Kernel], lengthscale: Lengthscale = 1.0) -> None:
        """Takes the kernels first, since a sum without them is nothing."""

        object.__setattr__(self, "kernels", tuple(kernels))
        object.__setattr__(self, "lengthscale", lengthscale)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Refuses a sum of nothing, and parts whose own length-scale is not a number."""

        super().__post_init__()
        if not self.kernels:
            raise ValueError("kernel.kernels=[]: a sum needs at least one kernel")
        for kernel in self.kernels:
            if isinstance(kernel.lengthscale, str):
                raise ValueError(
                    f"kernel.kernels: {kernel.name} has lengthscale={kernel.lengthscale!r}; inside a sum give a "
                    "number (relative to the sum's own lengthscale, which may be 'fit' or 'median')"
                )

    @property
    def name(self) -> str:
        """Names the parts, too."""

        return f"Sum({', '.join(kernel.name for kernel in self.kernels)})"

    @property
    def diagonal(self) -> float:
        """Adds up the diagonals."""

        return sum(kernel.diagonal for kernel in self.kernels)

    @property
    def smooth(self) -> bool:
        """Tells whether all parts are smooth."""

        return all(kernel.smooth for kernel in self.kernels)

    @property
    def finest(self) -> float:
        """Tells the finest of all parts."""

        return min(kernel.lengthscale * kernel.finest for kernel in self.kernels)

    def profile(self, q: Tensor) -> Tensor:
        """Adds up the profiles."""

        return sum(kernel.profile(q / kernel.lengthscale**2) for kernel in self.kernels)


def squared_distances(x: Tensor, y: Tensor, fast: bool = True) -> Tensor:
    r"""Computes $\|x - y\|^2$ for all pairs.

    Arguments:
        x: Points, of shape $(n, d)$.
        y: Points, of shape $(m, d)$.
        fast: Whether one matrix product will do, whose error is a rounding error of the points' squared norms.
            If not, or if these are above 1e6, differences are taken, whose error is one of the distance itself.

    Returns:
        The squared distances, of shape $(n, m)$.
    """

    if x.shape[1] != y.shape[1]:
        raise ValueError(f"kernel: x has {x.shape[1]} columns and y has {y.shape[1]}; they must be equal")

    # |x - y|² = [-2x, |x|², 1] · [y, 1, |y|²]; centred first, since the sum of large numbers loses the small one
    centre = x.mean(0)
    x, y = x - centre, y - centre
    xx, yy = x.square().sum(1, keepdim=True), y.square().sum(1, keepdim=True)
    if not fast or bool((torch.cat([xx, yy]).detach() > 1e6).any()):
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()

    x = torch.cat([-2 * x, xx, torch.ones_like(xx)], dim=1)  # (n, d + 2)
    y = torch.cat([y, torch.ones_like(yy), yy], dim=1)  # (m, d + 2)
    return (x @ y.T).clamp(min=0)


def fit_lengthscale(
    kernel: Kernel,
    parties: Sequence[Tensor],
    synthetic: Tensor,
    low: float = 0.01,
    high: float = 1000.0,
    iterations: int = 20,
) -> Kernel:
    r"""Finds the least length-scale for which the parties' own values $v(D_1), \dots, v(D_n)$ are non-negative.

    The result is that of the paper's binary search: the least of the $2^{\text{iterations}}$ evenly spaced
    length-scales up to `high` that will do, given that all longer ones do as well. With $\sigma_{A B}$ the mean of the
    kernel on $A \times B$,

    .. math:: v(D_i) = \Bigl(2 \frac{|D_i|}{t} - 1\Bigr) \sigma_{D_i D_i}
        + 2 \Bigl(1 - \frac{|D_i|}{t}\Bigr) \sigma_{D_i, T \setminus D_i}

    costs $t |D_i|$ kernel evaluations. A binary search on a small part of the points says first which party is the
    last to do, and where. That party's search on all points starts there: each value shows by how much the small part
    is wrong, and so where to look next, which takes some four tries instead of `iterations`. At its end the other
    parties are looked at, once; one that fails goes on from there.

    Arguments:
        kernel: The kernel, whatever its length-scale.
        parties: The parties' points, each of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.
        low: The lower end of the search.
        high: The upper end of the search.
        iterations: The number of halvings.

    Returns:
        The kernel with the length-scale found.

    Raises:
        ValueError: If $v(D_i) < 0$ for a party even at `high`, or if the points cannot be valued.

    References:
        Section 5.
    """

    if not 0 < low < high < math.inf:
        raise ValueError(f"kernel_search: low={low}, high={high}; needs 0 < low < high")
    check_whole("kernel_search.iterations", iterations, least=1, most=50)
    check_parties(parties, synthetic)

    last = 2**iterations
    points = torch.cat([*parties, synthetic]).double()  # as they are valued
    ends = list(itertools.accumulate(len(x) for x in parties))
    order = list(range(len(parties)))  # the party that failed last comes first

    def at(step: int) -> Kernel:
        return kernel.with_lengthscale(low + (high - low) * step / last)

    def own_and_rest(i: int) -> tuple[Tensor, Tensor]:
        start = ends[i] - len(parties[i])
        return points[start : ends[i]], torch.cat([points[:start], points[ends[i] :]])

    few = [(_thin(own, 300), _thin(rest, 1500)) for own, rest in map(own_and_rest, order)]

    @cache
    def estimate(i: int, step: int) -> float:
        return _own_value(at(step), *few[i], len(parties[i]), len(points))

    @cache
    def value(i: int, step: int) -> float:
        bar.update()
        return _own_value(at(step), *own_and_rest(i), len(parties[i]), len(points))

    def fits(step: int, value: Callable[[int, int], float]) -> bool:
        for i in order:
            if value(i, step) < 0:
                order.remove(i)
                order.insert(0, i)
                return False
        return True

    guess = _first_true(lambda step: fits(step, estimate), 0, last)
    with progress(len(parties) + 3, "length-scale") as bar:
        step = 0
        while step == 0 or not fits(step, value):  # the first time the party that is last by the estimate
            if step == last:
                raise ValueError(
                    f"kernel.lengthscale=fit: party {order[0] + 1} has a negative value v(D_i) even at the greatest "
                    f"length-scale, kernel_search.high={high}; raise it, or scale the data"
                )
            step = _crossing(partial(value, order[0]), partial(estimate, order[0]), step, last, max(guess, step + 1))

    return at(step)


def _own_value(kernel: Kernel, x: Tensor, rest: Tensor, s: int, t: int) -> float:
    r"""Computes $v(D)$ of s points among t, from all of these or a part x of D and a part of the rest of T."""

    own, m = float(block_sums(kernel, x, [len(x)]).sum()), len(x)
    mean = own / m**2
    if m < s:  # of the pairs of D fewer than of those of x are a point with itself
        mean = (kernel.diagonal + (s - 1) * (own - m * kernel.diagonal) / (m * (m - 1))) / s
    cross = float(cross_sums(kernel, x, rest).sum()) / (m * len(rest))
    return (2 * s / t - 1) * mean + 2 * (1 - s / t) * cross


def _crossing(value: Callable[[int], float], estimate: Callable[[int], float], false: int, true: int, step: int) -> int:
    """Finds the least k above `false` with value(k) >= 0, given that it is so at all greater ones.

    Arguments:
        value: What is asked for; not at `false` and `true`, where it is taken to be negative and not.
        estimate: An estimate of it that costs next to nothing, whose error changes slowly with k.
        false, true: The range.
        step: Where to look first.
    """

    errors: list[tuple[int, float]] = []  # of the estimate, where the value has been looked at
    while true - false > 1:
        step = min(max(step, false + 1), true - 1)
        v = value(step)
        false, true = (false, step) if v >= 0 else (step, true)
        errors.append((step, v - estimate(step)))
        if len(errors) > 8 and len(errors) % 2:  # the estimate is of no use
            step = (false + true) // 2
        else:
            (a, error), (b, before) = errors[-1], errors[-2:][0]
            slope = (before - error) / (b - a) if a != b else 0.0

            def corrected(k: int, a: int = a, error: float = error, slope: float = slope) -> bool:
                return estimate(k) + error + slope * (k - a) >= 0

            step = _first_true(corrected, false, true)

    return true


def _first_true(predicate: Callable[[int], bool], false: int, true: int) -> int:
    """Finds the least k above `false` for which a predicate is true, given that it is at all greater ones.

    `true` itself is never looked at: it is the answer where all below it are false.
    """

    while true - false > 1:
        middle = (false + true) // 2
        false, true = (false, middle) if predicate(middle) else (middle, true)
    return true


def _thin(x: Tensor, most: int) -> Tensor:
    """Takes evenly spaced rows, if there are more than most."""

    return x[torch.linspace(0, len(x) - 1, min(len(x), most), dtype=torch.float64, device=x.device).long()]


def median_distance(x: Tensor, most: int = 2000) -> float:
    r"""Computes the median distance of two points, the usual rule of thumb for a length-scale.

    Arguments:
        x: The points, of shape $(N, d)$.
        most: The most points to look at; if there are more, evenly spaced rows are taken.

    Raises:
        ValueError: If more than half of the pairs have distance zero.
    """

    check_points(x, "kernel.lengthscale=median: points", least=2)
    median = float(torch.pdist(_thin(x, most).double()).median())
    if median == 0:
        raise ValueError("kernel.lengthscale=median: the median distance is 0; give kernel.lengthscale a number")

    return median


def resolve_lengthscale(kernel: Kernel, parties: Sequence[Tensor], synthetic: Tensor, **search: float) -> Kernel:
    """Replaces a length-scale that is a rule, `"fit"` or `"median"`, by the number that the rule gives.

    Arguments:
        kernel: The kernel; one whose length-scale is a number is returned as it is.
        parties: The parties' points, each of shape (N_i, d).
        synthetic: The synthetic pool G, of shape (|G|, d).
        search: What `fit_lengthscale` takes: low, high, iterations.
    """

    if kernel.lengthscale == "fit":
        return fit_lengthscale(kernel, parties, synthetic, **search)
    if kernel.lengthscale == "median":
        return kernel.with_lengthscale(median_distance(torch.cat([*parties, synthetic])))

    return kernel
