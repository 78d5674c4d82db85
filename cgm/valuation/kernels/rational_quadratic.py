r"""The rational quadratic kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.utils.checks import check_number
from cgm.valuation.kernels.base import Kernel


@dataclass(frozen=True)
class RationalQuadratic(Kernel):
    r"""The rational quadratic kernel, $(1 + \|x - x'\|^2 / 2 \alpha \ell^2)^{-\alpha}$.

    Arguments:
        lengthscale: The length-scale $\ell$, see `Kernel`.
        alpha: The exponent $\alpha$; as it grows, the kernel tends to the squared exponential kernel.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018).
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("kernel.alpha", self.alpha, min=0, open_min=True)

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        """Compute (1 + q / 2 alpha) ** -alpha."""

        return q.mul(0.5 / self.alpha).add_(1).pow(-self.alpha)
