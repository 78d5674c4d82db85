r"""Sums of kernels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch

from cgm.valuation.kernels.base import Kernel, Lengthscale


@dataclass(frozen=True, init=False)
class Sum(Kernel):
    r"""A sum of kernels, $\sum_j k_j(x / \ell, x' / \ell)$.

    Arguments:
        kernels: The kernels $k_j$, each with its own length-scale, a number.
        lengthscale: The unit $\ell$ in which the kernels' own length-scales are measured, see `Kernel`.

    Raises:
        ValueError: If there are no kernels, or if the length-scale of one is a rule.
    """

    kernels: Sequence[Kernel] = ()
    lengthscale: Lengthscale = 1.0

    # written out, because a generated __init__ would put the inherited field `lengthscale` first
    def __init__(self, kernels: Sequence[Kernel], lengthscale: Lengthscale = 1.0) -> None:
        object.__setattr__(self, "kernels", tuple(kernels) if isinstance(kernels, Iterable) else (kernels,))
        object.__setattr__(self, "lengthscale", lengthscale)
        self.__post_init__()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.kernels or not all(isinstance(kernel, Kernel) for kernel in self.kernels):
            raise ValueError(f"kernel.kernels={[*self.kernels]}: expected a list of at least one kernel")
        for kernel in self.kernels:
            if isinstance(kernel.lengthscale, str):
                raise ValueError(
                    f"kernel.kernels: {kernel.name} has lengthscale={kernel.lengthscale!r}; expected a number, "
                    "relative to the lengthscale of the sum, which may be 'fit' or 'median'"
                )

    @property
    def name(self) -> str:
        """The name of the kernel in records, with the names of its parts."""

        return f"Sum({', '.join(kernel.name for kernel in self.kernels)})"

    @property
    def diagonal(self) -> float:
        """The sum of the diagonal values."""

        return sum(kernel.diagonal for kernel in self.kernels)

    @property
    def smooth(self) -> bool:
        """Whether all parts are smooth."""

        return all(kernel.smooth for kernel in self.kernels)

    @property
    def min_scale(self) -> float:
        """The smallest scale of all parts."""

        return min(kernel.numeric_lengthscale * kernel.min_scale for kernel in self.kernels)

    def profile(self, q: torch.Tensor) -> torch.Tensor:
        """Compute the sum of the profiles."""

        return reduce(torch.add, (kernel.profile(q / kernel.numeric_lengthscale**2) for kernel in self.kernels))
