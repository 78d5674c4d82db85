"""The contract of a generator."""

from abc import ABC, abstractmethod
from pathlib import Path

from torch import Tensor


class Generator(ABC):
    r"""Represents a distribution $\mathcal{G}$ that is fitted to the pooled data (Sec. 2).

    A generator has four methods. `fit` and `sample` take a seed and draw nothing from, and change nothing
    in, the global random state. `save` and `load` need no code to be run from the file.
    """

    space: str = "features"
    """Where the generator lives: `"features"` (the d-dimensional points that are valued) or `"data"` (images)."""

    @abstractmethod
    def fit(self, x: Tensor, seed: int) -> "Generator":
        """Fits the generator to points x of shape (N, d), and returns itself."""

    @abstractmethod
    def sample(self, n: int, seed: int) -> Tensor:
        """Draws n points, of shape (n, d), in the dtype of the points it was fitted to."""

    @abstractmethod
    def save(self, path: str | Path) -> None:
        """Writes the fitted generator to a file, whole or not at all."""

    @abstractmethod
    def load(self, path: str | Path) -> "Generator":
        """Reads what `save` wrote into this generator, and returns itself."""
