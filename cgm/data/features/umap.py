"""Uniform Manifold Approximation and Projection."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
from torch import Tensor

from cgm.data.features.base import Features, check_distinct, flatten_points
from cgm.utils.checks import check_integer, check_number
from cgm.utils.models.networks import in_batches
from cgm.utils.seeds import random_state


@dataclass(eq=False)
class UMAP(Features):
    r"""Uniform Manifold Approximation and Projection of points or images.

    umap-learn computes the positions of the points of the fit. Any other point is mapped to the mean of the positions
    of its nearest points of the fit, weighted by the inverse of their distances, so that its position depends on
    no other new point. (umap-learn itself maps all new points together by a stochastic descent.) Cost: $N^2 D$ for
    the fit, $N M D$ for $M$ new points.

    Arguments:
        components: The number $d$ of dimensions.
        n_neighbors: The number of nearest points that determine the position of a point.
        min_dist: The approximate minimum distance between positions.

    Raises:
        ValueError: If a setting is out of range.

    References:
        UMAP: Uniform Manifold Approximation and Projection (McInnes et al., 2018), https://arxiv.org/abs/1802.03426
    """

    components: int = 8
    n_neighbors: int = 15
    min_dist: float = 0.1

    shapes: ClassVar = {"points": ("N", "D"), "places": ("N", "d")}

    def __post_init__(self) -> None:
        check_integer("features.components", self.components, min=1)
        check_integer("features.n_neighbors", self.n_neighbors, min=2)
        check_number("features.min_dist", self.min_dist, min=0, max=1)

    def fit(self, x: Tensor, seed: int) -> UMAP:
        """Compute the positions of x."""

        from umap import UMAP as Embedding  # the import takes seconds

        points = flatten_points(x, "points to fit features to", min=2).float()
        needed = max(self.n_neighbors, self.components) + 2
        if len(points) < needed:
            raise ValueError(
                f"features.n_neighbors={self.n_neighbors}, features.components={self.components}: need at least "
                f"{needed} points, got {len(points)}"
            )
        check_distinct(points, "points to fit features to")

        # Exact neighbours: the search of umap-learn is slow for few points, and random for many
        distances, neighbours = NearestNeighbors(n_neighbors=self.n_neighbors).fit(points).kneighbors(points)
        threads = torch.get_num_threads()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="umap|sklearn")
            places = Embedding(
                n_components=self.components,
                n_neighbors=self.n_neighbors,
                min_dist=self.min_dist,
                random_state=random_state(seed),
                n_jobs=1,
                precomputed_knn=(neighbours, distances),
            ).fit_transform(points.numpy())
        torch.set_num_threads(threads)  # numba, which umap-learn uses, sets them to the number of cores
        self.state = {"points": points, "places": torch.from_numpy(places).double().contiguous()}

        return self

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Check the number of dimensions and of points."""

        found = state["places"].shape
        if found[1] != self.components or found[0] < self.n_neighbors:
            raise ValueError(
                f"{found[0]} places in {found[1]} dimensions where {self.components} dimensions and at least "
                f"{self.n_neighbors} places are expected"
            )

    def transform(self, x: Tensor) -> Tensor:
        """Map x to the mean position of its neighbours."""

        points, places = self.fitted()["points"], self.fitted()["places"]
        x = flatten_points(x, "points to transform", width=points.shape[1]).float()
        mean = KNeighborsRegressor(self.n_neighbors, weights="distance").fit(points, places)

        return in_batches(lambda part: torch.from_numpy(mean.predict(part.numpy())), x, "features")
