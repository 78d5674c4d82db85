r"""The interface of kernels on points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from cgm.utils.checks import check_number

RULES = ("fit", "fit_monotone", "median")

Lengthscale = float | str
"""A number, or the name of a rule in `RULES`, which `resolve_lengthscale` replaces by a number."""


@dataclass(frozen=True)
class Kernel(ABC):
    r"""Base class of kernels of the distance between two points, $k(x, x') = f(\|x - x'\|^2 / \ell^2)$.

    A kernel is a frozen dataclass of its settings with one method, `profile`. Calling it on x of shape $(n, d)$ and y
    of shape $(m, d)$ returns the $(n, m)$ matrix of kernel values.

    Arguments:
        lengthscale: The length-scale $\ell$, in the units of the data; or a rule, `"fit"`, `"fit_monotone"` or
            `"median"`, which `resolve_lengthscale` must replace by a number before the kernel can be called.

    Raises:
        ValueError: If a setting is out of range.
    """

    lengthscale: Lengthscale = 1.0

    rate: ClassVar[float | None] = None
    r"""The rate $r$ of a kernel with $f(q) = \exp(-r q)$, which allows for faster sums; `None` for all others."""

    def __init_subclass__(cls, **options: object) -> None:
        """Reset `rate` when a subclass overrides `profile`."""

        super().__init_subclass__(**options)
        if "profile" in vars(cls) and "rate" not in vars(cls):
            cls.rate = None

    def __post_init__(self) -> None:
        if self.lengthscale in RULES:
            return
        try:
            check_number("kernel.lengthscale", self.lengthscale, min=0, open_min=True)
        except ValueError as error:
            raise ValueError(f"{error}, or one of {', '.join(RULES)}") from None

    @property
    def name(self) -> str:
        """The name of the kernel in records."""

        return type(self).__name__

    @property
    def diagonal(self) -> float:
        r"""The diagonal value $k^* = k(x, x)$."""

        return 1.0

    @property
    def smooth(self) -> bool:
        r"""Whether $f$ is smooth at 0, so that rounding errors of small squared distances have little effect."""

        return True

    @property
    def min_scale(self) -> float:
        r"""The smallest distance, in units of $\ell$, over which $f$ changes considerably."""

        return 1.0

    @property
    def numeric_lengthscale(self) -> float:
        r"""The length-scale $\ell$ as a number.

        Raises:
            ValueError: If the length-scale is a rule.
        """

        if isinstance(self.lengthscale, str):
            raise ValueError(
                f"kernel.lengthscale={self.lengthscale!r} is a rule, not a number; call "
                "cgm.valuation.resolve_lengthscale(kernel, parties, synthetic) first"
            )
        return self.lengthscale

    @abstractmethod
    def profile(self, q: torch.Tensor) -> torch.Tensor:
        r"""Compute $f(q)$ for squared distances in units of $\ell^2$."""

    def with_lengthscale(self, lengthscale: Lengthscale) -> Kernel:
        """Return the same kernel with another length-scale."""

        return replace(self, lengthscale=lengthscale)

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Compute the (n, m) kernel matrix of x (n, d) and y (m, d)."""

        scale = self.numeric_lengthscale
        return self.profile(squared_distances(x / scale, y / scale, self.smooth))


def squared_distances(x: torch.Tensor, y: torch.Tensor, fast: bool = True) -> torch.Tensor:
    r"""Compute $\|x - y\|^2$ for all pairs.

    Arguments:
        x: Points, of shape $(n, d)$.
        y: Points, of shape $(m, d)$.
        fast: Whether to use one matrix product, whose error is a rounding error of the points' squared norms.
            Otherwise, or if a squared norm is above 1e6, coordinates are subtracted, and the error is a rounding
            error of the distance itself.

    Returns:
        The squared distances, of shape $(n, m)$.

    Raises:
        ValueError: If x and y differ in width.
    """

    if x.shape[1] != y.shape[1]:
        raise ValueError(f"kernel: x has {x.shape[1]} columns and y has {y.shape[1]}; they must be equal")

    # |x - y|² = [-2x, |x|², 1] · [y, 1, |y|²]; centred first, because a sum of large numbers loses a small distance
    centre = x.mean(0)
    x, y = x - centre, y - centre
    xx, yy = x.square().sum(1, keepdim=True), y.square().sum(1, keepdim=True)
    if not fast or bool((torch.cat([xx, yy]).detach() > 1e6).any()):
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()

    x = torch.cat([-2 * x, xx, torch.ones_like(xx)], dim=1)  # (n, d + 2)
    y = torch.cat([y, torch.ones_like(yy), yy], dim=1)  # (m, d + 2)
    return (x @ y.T).clamp(min=0)
