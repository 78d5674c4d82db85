"""The contract of a generator, and what generators share."""

from abc import ABC, abstractmethod
from numbers import Integral

import torch
from torch import Tensor

from cgm.utils.checks import check_points
from cgm.utils.models.fitted import Fitted


class Generator(Fitted, ABC):
    r"""Represents a distribution $\mathcal{G}$ that is fitted to the pooled data (Sec. 2).

    A generator has four methods: `fit`, `sample`, `save`, `load`. The first two take a seed, and draw nothing
    from, and change nothing in, the global random state. The last two are inherited by a generator that keeps
    what it learns in `state` and names it in `shapes`; others write their own, where loading must run no code
    from the file. `check_generator` says whether a generator keeps to all of this.
    """

    space: str = "features"
    """Where it lives: `"features"` (the points that are valued, in d dimensions) or `"data"` (images)."""

    fixed: bool = False
    """Whether there is one sample only, the same for every seed, as with a pool that is given."""

    @abstractmethod
    def fit(self, x: Tensor, seed: int) -> "Generator":
        r"""Fits the generator, and returns itself.

        Arguments:
            x: Points of shape $(N, d)$, or images of shape $(N, C, H, W)$ if `space` is `"data"`. They are
                neither changed nor held on to.
            seed: Any integer from 0. The same seed and points give the same fit, whatever was fitted before.

        Raises:
            ValueError: If x has another shape, holds NaN or infinity, or no two points that differ.
        """

    @abstractmethod
    def sample(self, n: int, seed: int) -> Tensor:
        r"""Draws points from the fitted distribution.

        Arguments:
            n: The number of points, 1 or more.
            seed: Any integer from 0. The same seed gives the same sample.

        Returns:
            The points, of shape $(n, d)$ or $(n, C, H, W)$, on the CPU, in the dtype of the fitted points.

        Raises:
            ValueError: If n < 1, or nothing has been fitted yet.
        """

    def check_fit(self, x: Tensor) -> Tensor:
        """Returns a copy of the points of a fit, on the CPU.

        Raises:
            ValueError: If they aren't what `fit` needs.
        """

        name = f"points to fit {type(self).__name__} to"
        check_points(x, name, min=2)

        if self.space == "features" and x.dim() != 2:
            raise ValueError(f"{name}: expected shape (N, d), got {tuple(x.shape)}; reduce images by features=pca")
        if (x == x[:1]).all():
            raise ValueError(f"{name}: all {len(x)} are equal, at least two must differ")

        # Sums depend on the layout in memory, in the last digit; a file keeps none
        return x.detach().cpu().clone(memory_format=torch.contiguous_format)

    def check_sample(self, n: int) -> dict[str, Tensor]:
        """Returns the state, from which n points shall be drawn.

        Raises:
            ValueError: If n isn't a whole number from 1, or nothing has been fitted yet.
        """

        state = self.fitted()

        if not isinstance(n, Integral) or n < 1:
            raise ValueError(f"{type(self).__name__}.sample: n={n!r} points asked for (synthetic_size); use 1 or more")

        return state
