"""Kernel density estimation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.neighbors import KernelDensity
from torch import Tensor

from cgm.generators.base import Generator
from cgm.generators.units import Units
from cgm.utils.checks import check_number
from cgm.utils.seeds import random_state

RULES = ("scott", "silverman")


@dataclass(eq=False)
class KDE(Generator):
    r"""Gaussian kernel density estimate (the generator of the credit card data, Sec. 6).

    Each point is the centre of a Gaussian whose standard deviation in dimension $j$ is $h s_j$, with $s_j$ the sample
    standard deviation of that dimension. A constant dimension stays constant, and is not counted in $d$.

    Arguments:
        bandwidth: $h$: a positive number, `"scott"` for $N^{-1 / (d + 4)}$ or `"silverman"` for
            $(N (d + 2) / 4)^{-1 / (d + 4)}$.

    Raises:
        ValueError: If the bandwidth is anything else.

    References:
        | Multivariate Density Estimation (Scott, 1992)
        | Density Estimation for Statistics and Data Analysis (Silverman, 1986)

    Example:
        >>> x = torch.tensor([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0]])
        >>> KDE(bandwidth=0.1).fit(x, seed=0).sample(4, seed=0)[:, 1]
        tensor([7., 7., 7., 7.])
    """

    bandwidth: str | float = "scott"

    shapes: ClassVar = {"points": ("N", "d")}

    def __post_init__(self) -> None:
        if self.bandwidth in RULES:
            return
        try:
            check_number("generator.bandwidth", self.bandwidth, min=0, open_min=True)
        except ValueError as error:
            raise ValueError(f"{error}, or one of {', '.join(RULES)}") from None

    def fit(self, x: Tensor, seed: int) -> KDE:
        """Keep the points of shape (N, d); nothing is random."""

        self.state = {"points": self.check_fit(x)}

        return self

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Check points from a file as those of a fit."""

        self.check_fit(state["points"])

    def sample(self, n: int, seed: int) -> Tensor:
        """Draw n points, each from the Gaussian of a random point of the fit."""

        points = self.check_sample(n)["points"]
        x = points.double().numpy()

        units = Units.of(x)
        # Samples need no tree, which takes minutes to construct in thousands of dimensions: one leaf has all points
        density = KernelDensity(bandwidth=self.bandwidth, leaf_size=len(x)).fit(units.reduced(x))
        z = density.sample(n, random_state=random_state(seed))

        return torch.from_numpy(units.restored(z)).to(points.dtype)
