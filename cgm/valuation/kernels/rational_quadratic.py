r"""Kernels on points, and the choice of their length-scale (Sec. 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from cgm.valuation.kernels.base import Kernel


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
