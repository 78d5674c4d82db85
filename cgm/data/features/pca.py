"""Principal components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from cgm.data.features.base import Features, check_distinct, flatten_points
from cgm.utils.checks import check_integer
from cgm.utils.seeds import random_state
from cgm.utils.threads import limited


@dataclass(eq=False)
class PCA(Features):
    r"""Projection onto the directions of largest variance.

    The sign of each direction is determined by scikit-learn's `svd_flip`.

    Arguments:
        components: The number $d$ of directions.

    Raises:
        ValueError: If a setting is out of range.

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
        check_integer("features.components", self.components, min=1)

    @limited(1)  # sums, and so the directions, depend on the number of threads
    def fit(self, x: torch.Tensor, seed: int) -> PCA:
        """Compute the directions; the seed is used only by scikit-learn's randomised solver."""

        from sklearn.decomposition import PCA as ScikitPCA

        x = flatten_points(x, "points to fit features to", min=2)

        if self.components > min(x.shape):
            raise ValueError(
                f"features.components={self.components}: at most {min(x.shape)} for "
                f"{x.shape[0]} points in {x.shape[1]} dimensions"
            )
        check_distinct(x, "points to fit features to")

        pca = ScikitPCA(self.components, random_state=random_state(seed)).fit(x.numpy())

        # A direction without variance is arbitrary: it would depend on rounding errors
        variance = pca.explained_variance_
        rank = int((variance > variance[0] * max(x.shape) * torch.finfo(torch.float64).eps).sum())
        if rank < self.components:
            raise ValueError(f"features.components={self.components}: the points vary in {rank} directions, use {rank}")

        # Products depend on the memory layout, in the last digit, and a file does not keep the layout
        directions = torch.from_numpy(pca.components_).contiguous()
        self.state = {"mean": torch.from_numpy(pca.mean_), "directions": directions}

        return self

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check the number of directions."""

        if len(state["directions"]) != self.components:
            raise ValueError(f"{len(state['directions'])} directions where {self.components} are expected")

    @limited(1)
    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Project x."""

        mean, directions = self.fitted()["mean"], self.fitted()["directions"]
        x = flatten_points(x, "points to transform", width=len(mean))

        return (x - mean) @ directions.T  # (N, D) @ (D, d)

    @limited(1)
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Map features z of shape (N, d) back to points of shape (N, D), in the plane of the directions."""

        mean, directions = self.fitted()["mean"], self.fitted()["directions"]

        return flatten_points(z, "features to decode", width=len(directions)) @ directions + mean
