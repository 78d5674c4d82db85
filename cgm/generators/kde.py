"""Kernel density estimation."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import torch
from sklearn.neighbors import KernelDensity
from torch import Tensor

from cgm.generators.base import Generator
from cgm.generators.units import Units
from cgm.utils.seeds import random_state


@dataclass(eq=False)
class KDE(Generator):
    r"""Fits a Gaussian kernel density estimate (the generator of the credit card data, Sec. 6).

    Each point carries a Gaussian whose standard deviation in dimension $j$ is $h s_j$, with $s_j$ the sample
    standard deviation of that dimension. A constant dimension stays constant, and counts for nothing in $d$.

    Arguments:
        bandwidth: $h$: a positive number, `"scott"` for $N^{-1 / (d + 4)}$ or `"silverman"` for
            $(N (d + 2) / 4)^{-1 / (d + 4)}$.

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
        """Refuses a bandwidth that is none."""

        h = self.bandwidth
        number = isinstance(h, Real) and not isinstance(h, bool) and math.isfinite(h) and h > 0
        if not number and h not in ("scott", "silverman"):
            raise ValueError(f"generator.bandwidth={h!r}: use scott, silverman or a positive number")

    def fit(self, x: Tensor, seed: int) -> "KDE":
        """Keeps the points of shape (N, d); nothing here is random."""

        self.state = {"points": self.check_fit(x)}

        return self

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Refuses points that a fit would have refused."""

        self.check_fit(state["points"])

    def sample(self, n: int, seed: int) -> Tensor:
        """Draws n points, each around a random point of the fit."""

        points = self.check_sample(n)["points"]
        x = points.double().numpy()

        units = Units.of(x)
        # only drawn from: its tree, which takes minutes for thousands of dimensions, need have no more than a root
        density = KernelDensity(bandwidth=self.bandwidth, leaf_size=len(x)).fit(units.reduced(x))
        z = density.sample(n, random_state=random_state(seed))

        return torch.from_numpy(units.restored(z)).to(points.dtype)
