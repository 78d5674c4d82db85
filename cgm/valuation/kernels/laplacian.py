r"""The Laplacian kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.valuation.kernels.base import Kernel


@dataclass(frozen=True)
class Laplacian(Kernel):
    r"""The Laplacian kernel, $\exp(-\|x - x'\| / \ell)$, with the Euclidean norm (Matérn 1/2).

    Arguments:
        lengthscale: The length-scale $\ell$, see `Kernel`.
    """

    @property
    def smooth(self) -> bool:
        """False: a rounding error of 1e-16 in a squared distance would be an error of 1e-8 in the kernel."""

        return False

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        """Compute exp(-sqrt(q))."""

        return q.sqrt().neg().exp_()
