r"""Kernels on points, and the choice of their length-scale (Sec. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from cgm.valuation.kernels.base import Kernel, Lengthscale


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
