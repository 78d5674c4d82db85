"""Linear features: principal components, and a scale for each column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch

from cgm.data.features.base import Features, check_distinct, flatten_points
from cgm.data.features.imagenet import ArithmeticOrAuto, ImageNetFeatures, NetworkName, Size
from cgm.networks.fitted import Shape
from cgm.utils.random import random_state
from cgm.utils.run import limited
from cgm.utils.settings import Integer


@dataclass(eq=False)
class PCA(ImageNetFeatures):
    r"""Projection onto the directions of largest variance.

    The sign of each direction is determined by scikit-learn's `svd_flip`.

    Arguments:
        components: The number $d$ of directions.
        of: What is projected: `"pixels"` (or the points themselves); the features of a network that was trained on
            `"imagenet"`, whose classes are labels of other images; or those of a head on top of them,
            `"imagenet_classifier"`, which is trained with the labels of images that no party has.
        weights, network, size, arithmetic: The network that was trained on ImageNet, see `ImageNet.load`.

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
        >>> PCA(components=1).fit(x, seed=0).transform(x)
        tensor([[-1.4142],
                [ 0.0000],
                [ 1.4142]], dtype=torch.float64)
    """

    components: Annotated[int, Integer(min=1)] = 8
    of: Literal["pixels", "imagenet", "imagenet_classifier"] = "pixels"
    weights: str | None = None
    network: NetworkName = "resnet18"
    size: Size = None
    arithmetic: ArithmeticOrAuto = "auto"

    def shapes_for(self, sizes: Mapping[str, Any]) -> Mapping[str, Shape]:
        """Return the shapes of the mean, of the directions and of the head, if there is one."""

        return {"mean": ("D",), "directions": ("d", "D"), **self.head_shapes("D")}

    def fit(self, x: torch.Tensor, seed: int) -> PCA:
        """Compute the directions; the seed is used only by scikit-learn's randomised solver."""

        from sklearn.decomposition import PCA as ScikitPCA

        x = self._projected(x, "points to fit features to", min=2)

        if self.components > min(x.shape):
            raise ValueError(
                f"features.components={self.components}: at most {min(x.shape)} for "
                f"{x.shape[0]} points in {x.shape[1]} dimensions"
            )
        check_distinct(x, "points to fit features to")

        with limited(1):  # sums, and so the directions, depend on the number of threads
            pca = ScikitPCA(self.components, random_state=random_state(seed)).fit(x.numpy())

        # A direction without variance is arbitrary: it would depend on rounding errors
        variance = pca.explained_variance_
        rank = int((variance > variance[0] * max(x.shape) * torch.finfo(torch.float64).eps).sum())
        if rank < self.components:
            raise ValueError(f"features.components={self.components}: the points vary in {rank} directions, use {rank}")

        # Products depend on the memory layout, in the last digit, and a file does not keep the layout
        directions = torch.from_numpy(pca.components_).contiguous()
        self.state = {"mean": torch.from_numpy(pca.mean_), "directions": directions, **self._head()}

        return self

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check the number of directions."""

        if len(state["directions"]) != self.components:
            raise ValueError(f"{len(state['directions'])} directions where {self.components} are expected")

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Project x."""

        mean, directions = self.fitted()["mean"], self.fitted()["directions"]
        x = self._projected(x, "points to transform", width=len(mean))

        with limited(1):
            return (x - mean) @ directions.T  # (N, D) @ (D, d)

    def _projected(self, x: torch.Tensor, name: str, width: int | None = None, min: int = 1) -> torch.Tensor:
        """Return what is projected of x, of shape (N, D), float64."""

        return flatten_points(self.seen(x, name) if self.of_imagenet else x, name, width=width, min=min)

    @limited(1)
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Map features z of shape (N, d) back to points of shape (N, D), in the plane of the directions."""

        if self.of_imagenet:
            return super().decode(z)
        mean, directions = self.fitted()["mean"], self.fitted()["directions"]

        return flatten_points(z, "features to decode", width=len(directions)) @ directions + mean


@dataclass(eq=False)
class ARD(Features):
    r"""The points with a length-scale of their own for each column (automatic relevance determination).

    Each column $j$ is divided by $\ell_j$, the median difference $|x_j - x_j'|$ of two of the points: no column counts
    more than another because of its unit or of a few outliers. If that is 0, as for a column with mostly one value,
    $\ell_j$ is the standard deviation; a constant column is not scaled. With the length-scale $\ell$ of the valuation,
    the squared exponential kernel is

    .. math:: k(x, x') = \exp \Bigl(-\frac{1}{2 \ell^2} \sum_j \frac{(x_j - x_j')^2}{\ell_j^2} \Bigr)

    Each varying column counts about the same, which suits tables. It does not suit images, whose nearly constant pixels
    then count as much as all others.

    Propositions 1 and 4 and Theorem 1 suppose nothing of the kernel but its values on $T$: they hold with the bounds
    $\gamma$ and $\eta$ of the values on the scaled points. For any fixed $\ell_j > 0$, all values tend to $k^*$ as
    $\ell$ grows, so that a length-scale with non-negative values still exists.

    Arguments:
        points: The maximum number of points whose differences are computed; if there are more, evenly spaced rows are
            used.

    References:
        Bayesian Learning for Neural Networks (Neal, 1996), for a scale of each column; Large Sample Analysis of the
        Median Heuristic (Garreau et al., 2017), https://arxiv.org/abs/1707.07269

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 200.0], [2.0, 100.0]])
        >>> ARD().fit(x, seed=0).transform(x)
        tensor([[0., 0.],
                [1., 2.],
                [2., 1.]], dtype=torch.float64)
    """

    points: Annotated[int, Integer(min=2)] = 1000

    shapes: ClassVar = {"scales": ("D",)}

    def fit(self, x: torch.Tensor, seed: int) -> ARD:
        """Compute the scales; the seed is not used."""

        x = flatten_points(x, "points to fit features to", min=2)
        check_distinct(x, "points to fit features to")

        rows = torch.linspace(0, len(x) - 1, min(len(x), self.points), dtype=torch.float64).long()
        scales = torch.stack([torch.pdist(column[:, None]).median() for column in x[rows].T])
        scales = torch.where(scales > 0, scales, x.std(0, correction=0))
        self.state = {"scales": torch.where((x != x[:1]).any(0) & (scales > 0), scales, 1.0)}

        return self

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check that the scales are positive."""

        if not (state["scales"] > 0).all():
            raise ValueError("scales that are not positive")

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Divide the columns of x by their scales."""

        scales = self.fitted()["scales"]

        return flatten_points(x, "points to transform", width=len(scales)) / scales
