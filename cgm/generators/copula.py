"""A Gaussian copula with empirical margins."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import numpy as np
import scipy
import torch
from threadpoolctl import threadpool_limits

from cgm.generators.base import Generator
from cgm.generators.correlation import latent_correlation, nearest_correlation
from cgm.generators.margins import Margin
from cgm.utils.checks import check_integer
from cgm.utils.seeds import random_state


@dataclass(eq=False)
class Copula(Generator):
    r"""Gaussian copula with the empirical distribution of each column, for tables with columns of all kinds.

    A point has the coordinates $x_j = F_j^{-1}(\Phi(z_j))$ with $z \sim N(0, R)$. Each margin $F_j$ is that of the
    data: values of continuous columns are interpolated within their range; values that are repeated, such as zeros,
    integers and codes of categories, occur as often as in the data. See `cgm.generators.margins.Margin`.

    The correlations $R$ are those of the Gaussian $z$. They are estimated for each pair of columns in such a way that
    samples are as correlated as the data, whether columns are continuous, discrete or mixed (see
    `cgm.generators.correlation.latent_correlation`); then the nearest correlation matrix is taken (Higham, 2002). A
    constant column stays constant.

    All dependence is that of a Gaussian: clusters and curves of the data are lost. Categories are taken in the order of
    their codes.

    Arguments:
        quantiles: The maximum number of values that are kept of each column.

    Raises:
        ValueError: If a setting is out of range.

    References:
        | An Introduction to Copulas (Nelsen, 2006), Sec. 2.3
        | Computing the Nearest Correlation Matrix: a Problem from Finance (Higham, 2002)

    Example:
        >>> x = torch.tensor([[0.0, 1.5], [0.0, 2.5], [1.0, 3.5], [1.0, 9.5]])
        >>> sample = Copula().fit(x, seed=0).sample(1000, seed=0)
        >>> sample[:, 0].unique(), bool((sample[:, 1] >= 1.5).all() and (sample[:, 1] <= 9.5).all())
        (tensor([0., 1.]), True)
    """

    quantiles: int = 10_000

    shapes: ClassVar = {
        "values": ("k",),  # of all columns, one after the other; their dtype is that of the points
        "lower": ("k",),
        "upper": ("k",),
        "lengths": ("d",),  # the number of values of each column
        "correlation": ("d", "d"),
    }

    def __post_init__(self) -> None:
        check_integer("generator.quantiles", self.quantiles, min=2)

    def fit(self, x: torch.Tensor, seed: int) -> Copula:
        """Compute margins and correlations of points of shape (N, d); nothing is random."""

        points = self.check_fit(x)
        p = points.double().numpy()
        margins = [Margin.of(column, self.quantiles) for column in p.T]
        with threadpool_limits(1):  # sums depend on the number of threads
            correlation = nearest_correlation(latent_correlation(p))

        def joined(parts: list[np.ndarray]) -> torch.Tensor:
            return torch.from_numpy(np.concatenate(parts))

        self.state = {
            "values": joined([margin.values for margin in margins]).to(points.dtype),
            "lower": joined([margin.lower for margin in margins]),
            "upper": joined([margin.upper for margin in margins]),
            "lengths": torch.tensor([len(margin.values) for margin in margins], dtype=torch.float64),
            "correlation": torch.from_numpy(correlation),
        }

        return self

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check that the tensors describe margins and their correlations."""

        lengths, correlation = state["lengths"], state["correlation"]
        if (lengths < 1).any() or (lengths != lengths.round()).any() or int(lengths.sum()) != len(state["values"]):
            raise ValueError("lengths are not those of the margins")
        for margin in self._margins(state):
            levels = np.stack([margin.lower, margin.upper], 1).ravel()
            if levels[0] != 0 or levels[-1] != 1 or (np.diff(levels) < 0).any() or (np.diff(margin.values) <= 0).any():
                raise ValueError("levels or values of a margin do not increase from 0 to 1")
        if not torch.equal(correlation, correlation.mT) or (correlation.diagonal() != 1).any():
            raise ValueError("correlation is not a correlation matrix")
        if float(torch.linalg.eigvalsh(correlation)[0]) < -1e-6:
            raise ValueError("correlation is not positive semi-definite")

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n points."""

        state = self.check_sample(n)
        values, vectors = np.linalg.eigh(state["correlation"].numpy())
        root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
        with threadpool_limits(1):
            levels = scipy.special.ndtr(random_state(seed).standard_normal((n, len(root))) @ root)
        columns = [margin.quantile(levels[:, j]) for j, margin in enumerate(self._margins(state))]

        return torch.from_numpy(np.stack(columns, 1)).to(state["values"].dtype)

    @staticmethod
    def _margins(state: dict[str, torch.Tensor]) -> list[Margin]:
        ends = list(accumulate(int(length) for length in state["lengths"]))
        parts = [state[name].double().numpy() for name in ("values", "lower", "upper")]

        return [Margin(*(part[a:b] for part in parts)) for a, b in zip([0, *ends], ends, strict=False)]
