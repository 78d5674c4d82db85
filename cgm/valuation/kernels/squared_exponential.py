r"""The squared exponential kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from cgm.valuation.kernels.base import Kernel


@dataclass(frozen=True)
class SquaredExponential(Kernel):
    r"""The squared exponential kernel, $\exp(-\|x - x'\|^2 / 2 \ell^2)$, which the paper uses.

    Arguments:
        lengthscale: The length-scale $\ell$, see `Kernel`.

    Example:
        >>> import torch
        >>> SquaredExponential(2.0)(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]]))
        tensor([[1.0000, 0.6065]])
    """

    rate: ClassVar[float] = 0.5

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        """Compute exp(-q / 2)."""

        return q.mul(-0.5).exp_()
