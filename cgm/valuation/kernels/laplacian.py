r"""Kernels on points, and the choice of their length-scale (Sec. 5)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from cgm.valuation.kernels.base import Kernel


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
