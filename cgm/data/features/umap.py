"""Reduces points or images to the features that are valued."""

import warnings
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import torch
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
from torch import Tensor

from cgm.data.features.base import Features, _flat
from cgm.utils.checks import check_integer
from cgm.utils.models.networks import in_batches
from cgm.utils.seeds import random_state


@dataclass(eq=False)
class UMAP(Features):
    r"""Reduces points or images by Uniform Manifold Approximation and Projection.

    Points of the fit get the places that umap-learn finds for them. Any other point is placed at the mean of the
    places of its nearest points of the fit, weighted by the inverse of their distances, so that its place depends
    on nothing but itself. (umap-learn places new points by a stochastic descent of all of them together.) Cost:
    $N^2 D$ for the fit, $N M D$ for $M$ new points.

    Arguments:
        components: The number $d$ of dimensions.
        n_neighbors: The number of nearest points that a point is placed by.
        min_dist: The least distance of places, as UMAP tries to have it.

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
        """Refuses settings out of range."""

        check_integer("features.components", self.components, min=1)
        check_integer("features.n_neighbors", self.n_neighbors, min=2)
        if not isinstance(self.min_dist, Real) or not 0 <= self.min_dist <= 1:
            raise ValueError(f"features.min_dist={self.min_dist}: use a number from 0 to 1")

    def fit(self, x: Tensor, seed: int) -> "UMAP":
        """Finds places for x."""

        from umap import UMAP as Learnt  # takes seconds to import

        points = _flat(x, "points to fit features to", least=2).float()
        least = max(self.n_neighbors, self.components) + 2
        if len(points) < least:
            raise ValueError(
                f"features.n_neighbors={self.n_neighbors}, features.components={self.components}: need at least "
                f"{least} points, got {len(points)}"
            )
        if (points == points[:1]).all():
            raise ValueError(f"points to fit features to: all {len(points)} are equal, at least two must differ")

        # Exact neighbours: umap-learn's own search is slow for few points, and draws at random for many
        distances, neighbours = NearestNeighbors(n_neighbors=self.n_neighbors).fit(points).kneighbors(points)
        threads = torch.get_num_threads()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="umap|sklearn")
            places = Learnt(
                n_components=self.components,
                n_neighbors=self.n_neighbors,
                min_dist=self.min_dist,
                random_state=random_state(seed),
                n_jobs=1,
                precomputed_knn=(neighbours, distances),
            ).fit_transform(points.numpy())
        torch.set_num_threads(threads)  # numba, which umap-learn needs, sets them to the number of cores
        self.state = {"points": points, "places": torch.from_numpy(places).double().contiguous()}

        return self

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Refuses another number of dimensions, or too few points."""

        found = state["places"].shape
        if found[1] != self.components or found[0] < self.n_neighbors:
            raise ValueError(
                f"{found[0]} places in {found[1]} dimensions where {self.components} dimensions and at least "
                f"{self.n_neighbors} places are expected"
            )

    def transform(self, x: Tensor) -> Tensor:
        """Places x."""

        points, places = self.fitted()["points"], self.fitted()["places"]
        x = _flat(x, "points to transform", width=points.shape[1]).float()
        mean = KNeighborsRegressor(self.n_neighbors, weights="distance").fit(points, places)

        return in_batches(lambda part: torch.from_numpy(mean.predict(part.numpy())), x, "features")
