"""The distribution from which the credit ratings are drawn."""

from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from cgm.data.datasets.credit_ratings import mixture, reference_pool
from cgm.generators.base import Generator

REFERENCE_SEED = 2


@dataclass(eq=False)
class TrueMixture(Generator):
    r"""Draws from the very mixture of five Gaussians that `dataset=credit_ratings` comes from (Sec. 6).

    A fit learns nothing; it looks only whether the points could be credit ratings.

    Arguments:
        mixture_seed: The seed of the five means; the dataset's.
        reference: Whether to give out the paper's own pool, in its order, instead of new draws. It is
            `fixed`: the same for every seed.

    Example:
        >>> x = torch.rand(5, 2, dtype=torch.float64)
        >>> TrueMixture().fit(x, seed=0).sample(3, seed=0).shape
        torch.Size([3, 2])
    """

    mixture_seed: int = REFERENCE_SEED
    reference: bool = False

    shapes: ClassVar = {"empty": (0, 2)}  # all there is to remember is the dtype

    def __post_init__(self) -> None:
        """Refuses a seed that is none, and a reference that doesn't exist."""

        seed = self.mixture_seed
        if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed < 2**32:
            raise ValueError(f"generator.mixture_seed={seed!r}: use a whole number from 0 to 2^32 - 1")
        if not isinstance(self.reference, bool):
            raise ValueError(f"generator.reference={self.reference!r}: use true or false")
        if self.reference and seed != REFERENCE_SEED:
            raise ValueError(
                f"generator.mixture_seed={seed}: the reference has mixture_seed={REFERENCE_SEED}; "
                "leave it, or use reference=false"
            )

        self.fixed = self.reference

    def fit(self, x: Tensor, seed: int) -> "TrueMixture":
        """Checks that x has shape (N, 2)."""

        points = self.check_fit(x)
        if points.shape[1] != 2:
            raise ValueError(
                f"generator=true_mixture is the distribution of dataset=credit_ratings (d = 2) alone, "
                f"but the points have d = {points.shape[1]}; use another generator, such as generator=kde"
            )

        self.state = {"empty": points.new_empty(0, 2)}

        return self

    def sample(self, n: int, seed: int) -> Tensor:
        """Draws n points from the mixture, or takes the first n of the reference."""

        dtype = self.check_sample(n)["empty"].dtype

        if self.reference:
            points = reference_pool(n)
        else:
            means, variance = mixture(self.mixture_seed)
            random = np.random.default_rng(seed)
            components = random.integers(len(means), size=n)
            points = means[components] + np.sqrt(variance) * random.standard_normal((n, 2))

        return torch.tensor(points, dtype=dtype)
