"""Uniform Manifold Approximation and Projection."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch

from cgm.data.features.autoencoder import Autoencoder
from cgm.data.features.base import check_distinct, flatten_points
from cgm.data.features.encoder import Encoder
from cgm.data.features.imagenet import ArithmeticOrAuto, ImageNetFeatures, NetworkName, Size
from cgm.networks import weights as pretrained
from cgm.networks.architectures import in_batches
from cgm.networks.classifier import Classifier
from cgm.networks.fitted import Shape, is_of_cgm
from cgm.networks.weights import Weights
from cgm.utils.cache import cached, digest
from cgm.utils.checks import check_points
from cgm.utils.random import random_state
from cgm.utils.run import limited
from cgm.utils.settings import Integer, Number

PART = 5000  # points that are processed at a time


@dataclass(eq=False)
class UMAP(ImageNetFeatures):
    r"""Uniform Manifold Approximation and Projection of points or images.

    umap-learn computes the positions of the points of the fit, from their exact nearest neighbours. Any other point is
    mapped to the mean of the positions of its nearest points of the fit, weighted by the inverse of their distances, so
    that its position depends on no other new point. (umap-learn itself maps all new points together by a stochastic
    descent.) Cost: $N^2 D$ for the fit, $N M D$ for $M$ new points.

    With `fit_to="all"`, $N = |T|$: the pool takes part in the fit, as in the experiments of the paper, and so the size
    of the pool changes the features of all points.

    Arguments:
        components: The number $d$ of dimensions.
        n_neighbors: The number of nearest points that determine the position of a point.
        min_dist: The approximate minimum distance between positions.
        pca: The number of principal components in which neighbours are searched, if the points have more dimensions.
            `None`: all dimensions.
        of: What is embedded: `"pixels"` (or the points themselves), the code of the `"autoencoder"`, the features of
            the `"encoder"`, or those of the `"classifier"`, which is trained with labels; the features of a network
            that was trained on `"imagenet"`, whose classes are labels of other images; or those of a head on top of
            them, `"imagenet_classifier"`, which is trained with the labels of images that no party has.
        weights: The file of the weights of that network. `None`: those that come with cgm for images of this shape; of
            a network that was trained on ImageNet, see `ImageNet.load`.
        fit_to: `"parties"`: the map is fitted to the parties' points, and applied to the pool. `"all"`: it is fitted to
            the reference dataset $T$, parties and pool together.
        network, size, arithmetic: The network that was trained on ImageNet, see `ImageNet.load`.

    References:
        UMAP: Uniform Manifold Approximation and Projection (McInnes et al., 2018), https://arxiv.org/abs/1802.03426
    """

    components: Annotated[int, Integer(min=1)] = 8
    n_neighbors: Annotated[int, Integer(min=2)] = 15
    min_dist: Annotated[float, Number(min=0, max=1)] = 0.1
    pca: Annotated[int, Integer(min=1)] | None = 100
    of: Literal["pixels", "autoencoder", "classifier", "encoder", "imagenet", "imagenet_classifier"] = "pixels"
    weights: str | None = None
    fit_to: Literal["parties", "all"] = "all"
    network: NetworkName = "resnet18"
    size: Size = None
    arithmetic: ArithmeticOrAuto = "auto"

    size_names: ClassVar[tuple[str, ...]] = ("width",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights is not None and not self.of_imagenet:
            pretrained.check_path("features.weights", self.weights)

    @property
    def joint(self) -> bool:
        """Whether the map is fitted to the parties' points and the pool together."""

        return self.fit_to == "all"

    @property
    def images_only(self) -> bool:
        """Whether what is embedded has to be images: not for `of="pixels"`."""

        return self.of != "pixels"

    def shapes_for(self, sizes: Mapping[str, Any]) -> Mapping[str, Shape]:
        """Return the shapes of the tensors in `state` for a width D of the points that are embedded."""

        width = sizes["width"]
        head = self.head_shapes(width)
        if self.pca is None or width <= self.pca:
            return {"points": ("N", width), "places": ("N", "d"), **head}
        return {
            "points": ("N", self.pca),
            "places": ("N", "d"),
            "mean": (width,),
            "directions": (width, self.pca),
            **head,
        }

    def fit(self, x: torch.Tensor, seed: int) -> UMAP:
        """Compute the positions of x."""

        return self._fit(x, seed)

    def _fit(self, x: torch.Tensor, seed: int, cache: str | Path | None = None) -> UMAP:
        from sklearn.neighbors import NearestNeighbors

        x = check_points(x, "points to fit features to", min=2)
        needed = max(self.n_neighbors, self.components) + 2
        if len(x) < needed:
            raise ValueError(
                f"features.n_neighbors={self.n_neighbors}, features.components={self.components}: need at least "
                f"{needed} points, got {len(x)}"
            )
        check_distinct(x, "points to fit features to")
        points, head = self._embedded(x, "points to fit features to", cache=cache), self._head()
        width, projection = points.shape[1], {}
        if self.pca is not None and width > self.pca:
            with limited(1):  # sums, and so the components, depend on the number of threads
                projection = principal_components(points, self.pca)
                points = project(points, **projection)

        with limited(1), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="umap|sklearn")
            # Exact neighbours: the search of umap-learn is slow for few points, and random for many
            distances, neighbours = NearestNeighbors(n_neighbors=self.n_neighbors).fit(points).kneighbors(points)
            places = compiled_umap()(
                n_components=self.components,
                n_neighbors=self.n_neighbors,
                min_dist=self.min_dist,
                random_state=random_state(seed),
                n_jobs=1,
                precomputed_knn=(neighbours, distances),
            ).fit_transform(points.numpy())
        self.sizes = {"width": width}
        self.state = {"points": points, "places": torch.from_numpy(places).double().contiguous(), **projection, **head}

        return self

    def fit_transform(self, x: torch.Tensor, seed: int, cache: str | Path | None = None) -> torch.Tensor:
        """Compute the positions of x and return them, of shape (N, d); `transform` would search their neighbours again.

        For the arguments, see `Features.fit_transform`.
        """

        network = {} if cache is None else self.key()
        if network is None or not is_of_cgm(type(self)):  # its code may change
            cache = None
        key = {"settings": self._metadata()["settings"], "seed": seed, **(network or {})}
        if cache is not None:
            key["points"] = digest({"x": x})
        if self.of != "pixels" and not self.of_imagenet and x.dim() == 4:
            key["weights"] = self._weights(x).info["sha256"]
        state = cached(cache, "umap", key, lambda: self._fit(x, seed, cache).fitted())
        self.state, self.sizes = state, {"width": len(state["mean"]) if "mean" in state else state["points"].shape[1]}

        return state["places"].clone()

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check the number of dimensions and of points."""

        found = state["places"].shape
        if found[1] != self.components or found[0] < self.n_neighbors:
            raise ValueError(
                f"{found[0]} places in {found[1]} dimensions where {self.components} dimensions and at least "
                f"{self.n_neighbors} places are expected"
            )

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Map x to the mean position of its neighbours."""

        from sklearn.neighbors import KNeighborsRegressor

        state = self.fitted()
        x = self._embedded(x, "points to transform", width=self.sizes["width"])
        if "mean" in state:
            with limited(1):
                x = project(x, state["mean"], state["directions"])
        mean = KNeighborsRegressor(self.n_neighbors, weights="distance").fit(state["points"], state["places"])

        return in_batches(lambda part: torch.from_numpy(mean.predict(part.numpy())), x, "features")

    def _embedded(
        self, x: torch.Tensor, name: str, width: int | None = None, cache: str | Path | None = None
    ) -> torch.Tensor:
        """Return what is embedded of x, of shape (N, D), float32, contiguous."""

        if self.of_imagenet:
            x = self.seen(x, name, cache)
        elif self.of != "pixels":
            if not isinstance(x, torch.Tensor) or x.dim() != 4:
                raise ValueError(f"{name}: features.of={self.of} needs images of shape (N, C, H, W)")
            x = self._network_features(x.float())
        parts = x.split(PART) if isinstance(x, torch.Tensor) and len(x) else (x,)
        return torch.cat([flatten_points(part, name, width=width).float() for part in parts])

    def _network_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of images x, of shape (N, C, H, W), in the network that `of` names."""

        weights = self._weights(x)
        if self.of == "classifier":
            return Classifier.of(weights).features(x)
        settings = {name: weights.info["settings"][name] for name in ("components", "width")}
        if self.of == "autoencoder":
            return Autoencoder(**settings).load(weights.path).transform(x)
        return Encoder(**settings).load(weights.path).features(x)

    def _weights(self, x: torch.Tensor) -> Weights:
        """Return the weights of the network that `of` names, for images like x."""

        return pretrained.get(self.of, x.shape[1:]) if self.weights is None else pretrained.read(self.weights)


def compiled_umap() -> type:
    """Import the class of umap-learn, whose compiled functions are kept on disk for the next process.

    Without this, each process compiles them again, which takes four seconds; the numbers are the same. numba keeps them
    where it keeps those of all packages, see `NUMBA_CACHE_DIR`.
    """

    import umap
    from numba.core.dispatcher import Dispatcher

    for module in (umap.umap_, umap.layouts, umap.utils):
        for function in vars(module).values():
            if isinstance(function, Dispatcher) and function.stats.cache_path is None:
                with contextlib.suppress(RuntimeError):  # no folder can be written
                    function.enable_caching()
    return umap.UMAP


def principal_components(x: torch.Tensor, k: int) -> dict[str, torch.Tensor]:
    """Compute the mean of points x of shape (N, D), and their k directions of largest variance, of shape (D, k)."""

    mean = x.mean(0)
    covariance = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for part in x.split(PART):
        centred = part - mean
        covariance += (centred.T @ centred).double()
    directions = torch.linalg.eigh(covariance)[1][:, -k:].flip(1).float().contiguous()

    return {"mean": mean, "directions": directions}


def project(x: torch.Tensor, mean: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Project points x of shape (N, D) onto directions of shape (D, k)."""

    return torch.cat([(part - mean) @ directions for part in x.split(PART)])
