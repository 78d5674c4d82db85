r"""Mean kernel values of blocks of points for many length-scales, in linear time, for searches of the length-scale.

With the mean embeddings $\mu_b$ of blocks, see `cgm.valuation.embedding`, the mean of the kernel over the pairs of two
blocks is $\langle \mu_i, \mu_b \rangle$, and all values of unions of blocks follow from these.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from cgm.utils.run import workers
from cgm.valuation.embedding import MAX_MODES, RESIDUALS, Fourier, Nystrom, grid_scales, grid_size
from cgm.valuation.kernels import Kernel, SquaredExponential, Sum
from cgm.valuation.method import MAX_PAIRS, ValuationMethod, add_landmarks, choose_method

MAX_NUMBERS = 20_000_000  # of the mean embeddings of all blocks
PAIRS_PER_MODE = 10  # pairs of points that take less time than a frequency
SEARCH_LANDMARKS = 1024  # of the parties and of the pool together


class MeanProducts(ABC):
    r"""Base class of the mean kernel values of blocks of points.

    Arguments:
        kernel: The kernel, with the length-scale near which others are asked for.
        blocks: The blocks of points $D_1, \dots, D_n, G$, each of shape $(N_b, d)$.
    """

    def __init__(self, kernel: Kernel, blocks: Sequence[torch.Tensor]) -> None:
        self.kernel, self.blocks = kernel, [block.cpu() for block in blocks]

    @abstractmethod
    def at(self, lengthscale: float) -> torch.Tensor | None:
        r"""Compute $\langle \mu_i, \mu_b \rangle$ of parties and blocks, of shape $(n, n + 1)$; `None`, if costly."""


class FourierProducts(MeanProducts):
    r"""Mean kernel values by Fourier grids, each of which serves the length-scales of an octave.

    The frequencies of a grid are close enough for the largest length-scale of its octave, and reach far enough for the
    smallest. The transforms of the points do not depend on the length-scale, but for weights of the frequencies: one
    transform of all points serves an octave, and each length-scale in it costs as many operations as there are
    frequencies. The error is that of `Fourier`, 1e-12.

    Raises:
        ValueError: If the kernel is neither a squared exponential nor a sum of such, or if there are more than three
            dimensions.
    """

    def __init__(self, kernel: Kernel, blocks: Sequence[torch.Tensor]) -> None:
        super().__init__(kernel, blocks)
        self._corners = torch.cat([torch.stack([block.amin(0), block.amax(0)]) for block in self.blocks])
        largest = float((self._corners.amax(0) - self._corners.amin(0)).max()) or 1.0
        Fourier(kernel.with_lengthscale(largest)).fit(self._corners)  # an error if it is impossible
        self._octaves: deque[Octave] = deque(maxlen=2)  # a search goes back and forth between two at most

    def at(self, lengthscale: float) -> torch.Tensor | None:
        """Compute the products; `None`, if the grid would have more frequencies than is worth it."""

        octave = next((octave for octave in self._octaves if octave.low <= lengthscale <= octave.high), None)
        if octave is None:
            octave = self._octave(lengthscale / math.sqrt(2), lengthscale * math.sqrt(2))
            self._octaves.append(octave)
        if octave.means is None:
            return None
        grid = octave.grid
        weights = grid.weights(grid_scales(self.kernel.with_lengthscale(lengthscale)))
        ratios = torch.from_numpy(np.tile((weights / grid.amplitude**2).ravel(), 2))
        with workers():  # so that torch takes one thread
            return (octave.means[:-1] * ratios) @ octave.means.T

    def _octave(self, low: float, high: float) -> Octave:
        """Return the grid that serves some length-scales, and the mean embeddings of the blocks by it."""

        scales = [scale for end in (low, high) for scale in grid_scales(self.kernel.with_lengthscale(end))]
        grid = Fourier(Sum([SquaredExponential(scale) for scale in scales], lengthscale=1.0))
        ranges = (self._corners.amax(0) - self._corners.amin(0)).double().numpy()
        modes = math.prod(grid_size(scales, ranges))
        sizes = [len(block) for block in self.blocks]
        too_many = modes > MAX_MODES or 2 * modes * len(sizes) > MAX_NUMBERS
        if too_many or PAIRS_PER_MODE * modes > sum(sizes) * sum(sizes[:-1]):
            return Octave(low, high, grid, None)
        grid.fit(self._corners)
        return Octave(low, high, grid, torch.stack([grid.mean(block) for block in self.blocks]))


class Octave(NamedTuple):
    r"""The mean embeddings of blocks, from which those for some length-scales follow.

    Attributes:
        low, high: The smallest and the largest of these length-scales.
        grid: The grid of frequencies.
        means: The mean embeddings, of shape $(n + 1, D)$; `None`, if the grid would have too many frequencies.
    """

    low: float
    high: float
    grid: Fourier
    means: torch.Tensor | None


class LandmarkProducts(MeanProducts):
    r"""Mean kernel values by landmarks, see `Nystrom`; of each length-scale $O(t m)$."""

    def __init__(self, kernel: Kernel, blocks: Sequence[torch.Tensor]) -> None:
        super().__init__(kernel, blocks)
        nystrom = Nystrom(kernel)
        for _ in add_landmarks(nystrom, [torch.cat(self.blocks[:-1]), self.blocks[-1]], SEARCH_LANDMARKS):
            self._landmarks = nystrom.points
        random = torch.Generator().manual_seed(0)
        self._samples = [x[torch.randperm(len(x), generator=random)[:RESIDUALS]] for x in self.blocks[:-1]]

    def at(self, lengthscale: float) -> torch.Tensor:
        """Compute the products, with what the diagonal lacks."""

        nystrom = Nystrom(self.kernel.with_lengthscale(lengthscale)).use(self._landmarks)
        means = torch.stack([nystrom.mean(block) for block in self.blocks])
        products = means[:-1] @ means.T
        for i, sample in enumerate(self._samples):
            products[i, i] += nystrom.residual(sample).mean() / len(self.blocks[i])
        return products


def search_method(method: ValuationMethod | str, kernel: Kernel, blocks: Sequence[torch.Tensor]) -> str:
    r"""Return the method by which a search of the length-scale computes values: `"exact"`, `"nufft"` or `"nystrom"`.

    All pairs of the parties' points with all points are computed, unless the method of the valuation is `"nufft"`, or
    it is `"nystrom"` and there are more than 5e10 such pairs. So $v(D_i) \geq 0$ holds exactly for `"hybrid"`, too.

    Arguments:
        method: The method of the valuation, see `ValuationMethod`; or its name.
        kernel: The kernel, with the largest length-scale of the search.
        blocks: The blocks of points $D_1, \dots, D_n, G$.
    """

    name = (ValuationMethod(method) if isinstance(method, str) else method).method
    sizes = [len(block) for block in blocks]
    if name == "auto":
        name = choose_method(name, kernel, torch.cat(list(blocks)), sizes)
    many = float(sum(sizes)) * sum(sizes[:-1]) > MAX_PAIRS
    return name if name == "nufft" or (name == "nystrom" and many) else "exact"


def mean_products(method: str, kernel: Kernel, blocks: Sequence[torch.Tensor]) -> MeanProducts | None:
    r"""Return the mean kernel values that a search uses; `None`, if all pairs are computed.

    Arguments:
        method: The result of `search_method`.
        kernel: The kernel, with a length-scale near which others are asked for.
        blocks: The blocks of points $D_1, \dots, D_n, G$.
    """

    if method == "exact":
        return None
    return FourierProducts(kernel, blocks) if method == "nufft" else LandmarkProducts(kernel, blocks)
