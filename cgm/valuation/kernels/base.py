r"""Kernels on points, and the choice of their length-scale (Sec. 5)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor

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
                "cgm.valuation.kernels.resolve_lengthscale(kernel, parties, synthetic) first"
            )
        return self.profile(squared_distances(x / self.lengthscale, y / self.lengthscale, self.smooth))


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
