"""The distribution from which the credit ratings are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from cgm.data.datasets.credit_ratings import mixture, reference_pool
from cgm.generators.base import Generator
from cgm.utils.checks import check_bool, check_integer
from cgm.utils.models.fitted import dtype_name

REFERENCE_SEED = 2


@dataclass(eq=False)
class TrueMixture(Generator):
    r"""The mixture of five Gaussians from which `dataset=credit_ratings` is drawn (Sec. 6).

    A fit learns nothing; it only checks the shape of the points.

    Arguments:
        mixture_seed: The seed of the five means; that of the dataset.
        reference: Whether to return the paper's own pool, in its order, instead of new draws. The generator is
            `fixed` then: all seeds give the same sample.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> x = torch.rand(5, 2, dtype=torch.float64)
        >>> TrueMixture().fit(x, seed=0).sample(3, seed=0).shape
        torch.Size([3, 2])
    """

    mixture_seed: int = REFERENCE_SEED
    reference: bool = False

    size_names: ClassVar[tuple[str, ...]] = ("dtype",)

    def __post_init__(self) -> None:
        check_integer("generator.mixture_seed", self.mixture_seed, min=0, max=2**32 - 1)
        check_bool("generator.reference", self.reference)
        if self.reference and self.mixture_seed != REFERENCE_SEED:
            raise ValueError(
                f"generator.mixture_seed={self.mixture_seed}: the reference has mixture_seed={REFERENCE_SEED}; "
                "use it, or reference=false"
            )

        self.fixed = self.reference

    def fit(self, x: torch.Tensor, seed: int) -> TrueMixture:
        """Check that x has shape (N, 2)."""

        points = self.check_fit(x)
        if points.shape[1] != 2:
            raise ValueError(
                f"generator=true_mixture is the distribution of dataset=credit_ratings (d = 2) only, "
                f"but the points have d = {points.shape[1]}; use another generator, such as generator=kde"
            )

        self.sizes, self.state = {"dtype": dtype_name(points.dtype)}, {}

        return self

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n points from the mixture, or return the first n of the reference."""

        self.check_sample(n)

        if self.reference:
            points = reference_pool(n)
        else:
            means, variance = mixture(self.mixture_seed)
            random = np.random.default_rng(seed)
            components = random.integers(len(means), size=n)
            points = means[components] + np.sqrt(variance) * random.standard_normal((n, 2))

        return torch.tensor(points, dtype=getattr(torch, self.sizes["dtype"]))
