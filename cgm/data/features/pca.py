"""Reduces points or images to the features that are valued."""

from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

import torch
from sklearn.decomposition import PCA as ScikitPCA
from torch import Tensor

from cgm.data.features.base import Features, _flat
from cgm.utils.seeds import random_state


@dataclass(eq=False)
class PCA(Features):
    r"""Projects onto the directions of greatest variance.

    Of the two signs that a direction could have, scikit-learn's `svd_flip` picks one.

    Arguments:
        components: The number $d$ of directions.

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
        >>> PCA(components=1).fit(x, seed=0).transform(x)
        tensor([[-1.4142],
                [ 0.0000],
                [ 1.4142]], dtype=torch.float64)
    """

    components: int = 8

    shapes: ClassVar = {"mean": ("D",), "directions": ("d", "D")}

    def __post_init__(self) -> None:
        """Refuses a number of components that is none."""

        value = self.components
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"features.components={value!r}: use a whole number from 1")

    def fit(self, x: Tensor, seed: int) -> "PCA":
        """Finds the directions; the seed counts only where scikit-learn takes its randomised solver."""

        points = _flat(x, "points to fit features to", least=2).numpy()

        if self.components > min(points.shape):
            raise ValueError(
                f"features.components={self.components}: at most {min(points.shape)} for "
                f"{points.shape[0]} points in {points.shape[1]} dimensions"
            )
        if (points == points[:1]).all():
            raise ValueError(f"points to fit features to: all {len(points)} are equal, at least two must differ")

        pca = ScikitPCA(self.components, random_state=random_state(seed)).fit(points)

        # A direction without variance is arbitrary: rounding would pick it
        variance = pca.explained_variance_
        rank = int((variance > variance[0] * max(points.shape) * torch.finfo(torch.float64).eps).sum())
        if rank < self.components:
            raise ValueError(f"features.components={self.components}: the points vary in {rank} directions, use {rank}")

        # Products depend on the layout in memory, in the last digit; a file keeps none
        directions = torch.from_numpy(pca.components_).contiguous()
        self.state = {"mean": torch.from_numpy(pca.mean_), "directions": directions}

        return self

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Refuses another number of directions."""

        if len(state["directions"]) != self.components:
            raise ValueError(f"{len(state['directions'])} directions where {self.components} are expected")

    def transform(self, x: Tensor) -> Tensor:
        """Projects x."""

        mean, directions = self.fitted()["mean"], self.fitted()["directions"]

        return (_flat(x, "points to transform", width=len(mean)) - mean) @ directions.T  # (N, D) @ (D, d)
