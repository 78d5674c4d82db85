"""The interface of generators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, TypeVar

import torch

from cgm.networks.fitted import Fitted
from cgm.utils.checks import check_integer, check_points
from cgm.utils.settings import Settings

G = TypeVar("G", bound="Generator")


class Generator(Fitted, Settings, ABC):
    r"""Base class of distributions $\mathcal{G}$ that are fitted to the pooled data (Sec. 2).

    A generator has four methods: `fit`, `sample`, `save`, `load`. The first two take a seed, and neither use nor
    change the global random state. The last two are inherited by a generator that keeps what it learns in `state`
    and declares the shapes in `shapes`. A generator that overrides them must not execute code from the file.
    `check_generator` checks all these rules.
    """

    section = "generator"

    space: ClassVar[str] = "features"
    """The space of the samples: `"features"` (the points that are valued, in d dimensions) or `"data"` (images)."""

    fixed: bool = False
    """Whether all seeds give the same sample, as with a given pool."""

    @abstractmethod
    def fit(self: G, x: torch.Tensor, seed: int) -> G:
        r"""Fit the generator, and return it.

        Arguments:
            x: Points of shape $(N, d)$, or images of shape $(N, C, H, W)$ if `space` is `"data"`. They must neither be
                changed nor kept without a copy.
            seed: An integer from 0. The same seed and points give the same fit, whatever was fitted before.

        Raises:
            ValueError: If x has another shape, contains NaN or infinity, or all points are equal.
        """

    @abstractmethod
    def sample(self, n: int, seed: int) -> torch.Tensor:
        r"""Draw points from the fitted distribution.

        Arguments:
            n: The number of points, at least 1.
            seed: An integer from 0. The same seed gives the same sample.

        Returns:
            The points, of shape $(n, d)$ or $(n, C, H, W)$, on the CPU, in the dtype of the fitted points.

        Raises:
            ValueError: If n < 1, or nothing has been fitted yet.
        """

    def check_fit(self, x: torch.Tensor) -> torch.Tensor:
        """Check the points of a fit, and return a copy of them on the CPU.

        Raises:
            ValueError: If `fit` has to reject them.
        """

        name = f"points to fit {type(self).__name__} to"
        check_points(x, name, min=2)

        if self.space == "features" and x.dim() != 2:
            raise ValueError(f"{name}: expected shape (N, d), got {tuple(x.shape)}; reduce images by features=pca")
        if (x == x[:1]).all():
            raise ValueError(f"{name}: all {len(x)} are equal, at least two must differ")

        # Sums depend on the memory layout, in the last digit, and a file does not keep the layout
        return x.detach().cpu().clone(memory_format=torch.contiguous_format)

    def check_sample(self, n: int) -> dict[str, torch.Tensor]:
        """Check the number of points of a sample, and return the state.

        Raises:
            ValueError: If n is not an integer from 1, or nothing has been fitted yet.
        """

        state = self.fitted()
        check_integer(f"{type(self).__name__}.sample: n (synthetic_size)", n, min=1)

        return state
