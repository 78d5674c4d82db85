"""The interface of features: maps from points or images to the points that are valued."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch

from cgm.networks.fitted import Fitted
from cgm.utils.cache import cached, digest
from cgm.utils.checks import check_points
from cgm.utils.convert import to_tensor
from cgm.utils.settings import Settings

F = TypeVar("F", bound="Features")
POINTS = {  # methods that take points, and the name of these in an error
    "fit": "points to fit features to",
    "fit_transform": "points to fit features to",
    "transform": "points to transform",
    "decode": "features to decode",
    "nearest": "features",
}


class Features(Fitted, Settings, ABC):
    r"""Base class of maps from points or images to the $d$-dimensional points that are valued.

    Features are fitted to real points, without labels. Those that are `labelled` learn from points that no party has
    first. `save` and `load` work as those of a generator.
    """

    section = "features"

    def __init_subclass__(cls, **options: Any) -> None:
        """Let the methods that take points convert them, see `cgm.utils.convert`."""

        super().__init_subclass__(**options)
        for name, points in POINTS.items():
            if name in vars(cls):
                setattr(cls, name, _converting(vars(cls)[name], points))

    @abstractmethod
    def fit(self: F, x: torch.Tensor, seed: int) -> F:
        r"""Fit the map to x of shape $(N, D)$ or $(N, C, H, W)$, and return it."""

    @abstractmethod
    def transform(self, x: torch.Tensor) -> torch.Tensor:
        r"""Map x of shape $(N, D)$ or $(N, C, H, W)$ to features of shape $(N, d)$, float64.

        Raises:
            ValueError: If nothing has been fitted yet, or x has another width than the fitted points.
        """

    def nearest(self, z: torch.Tensor) -> torch.Tensor:
        r"""Return the nearest features that real data can have, of shape $(N, d)$.

        A generator of points may draw some that belong to no data, such as half a category. By default, all points are
        possible.

        Arguments:
            z: Points of shape $(N, d)$.
        """

        return z

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        r"""Map features of shape $(N, d)$ back to points of shape $(N, D)$ or images of shape $(N, C, H, W)$.

        Raises:
            ValueError: If these features cannot be mapped back.
        """

        raise ValueError(
            f"features: images cannot be made from features of the class {type(self).__name__}; use "
            "generator=mmd_gan, or features=auto or features=pca"
        )

    @property
    def joint(self) -> bool:
        """Whether the map is fitted to the parties' points and the pool together."""

        return False

    @property
    def images_only(self) -> bool:
        """Whether what is mapped has to be images, with pixels from 0 to 1."""

        return False

    @property
    def labelled(self) -> bool:
        """Whether the map needs labelled points that no party has, see `learn`."""

        return False

    def prepare(self) -> None:
        """Raise a ValueError if something that the map needs is missing, such as weights, before any long work."""

    def learn(self: F, x: torch.Tensor, y: torch.Tensor, seed: int, cache: str | Path | None = None) -> F:
        r"""Return these features, trained with the labels of points that no party has; of most, themselves.

        Arguments:
            x: The points, of shape $(M, D)$, or images, of shape $(M, C, H, W)$.
            y: Their classes, of shape $(M)$.
            seed: The seed.
            cache: A folder in which what takes long is kept. `None`: it is not kept.
        """

        return self

    def fit_transform(self, x: torch.Tensor, seed: int, cache: str | Path | None = None) -> torch.Tensor:
        r"""Fit the map to x, and return its features, of shape $(N, d)$, float64.

        Arguments:
            x: Points of shape $(N, D)$ or images of shape $(N, C, H, W)$.
            seed: The seed.
            cache: A folder in which fits that take long are kept. `None`: they are not kept.
        """

        return self.fit(x, seed).transform(x)


def _converting(method: Callable[..., Any], points: str) -> Callable[..., Any]:
    @wraps(method)
    def convert(self: Features, x: Any, *arguments: Any, **options: Any) -> Any:
        return method(self, to_tensor(x, points), *arguments, **options)

    return convert


def check_distinct(x: torch.Tensor, name: str) -> None:
    """Raise a ValueError if all points are equal."""

    if (x == x[:1]).all():
        raise ValueError(f"{name}: all {len(x)} are equal, at least two must differ")


def flatten_points(x: torch.Tensor, name: str, width: int | None = None, min: int = 1) -> torch.Tensor:
    r"""Check points or images and return them as points of shape $(N, D)$, float64, on the CPU, contiguous.

    Arguments:
        x: Points of shape $(N, D)$ or images of shape $(N, C, H, W)$.
        name: The name of the points in an error.
        width: The expected $D$. Any, if `None`.
        min: The smallest allowed $N$.

    Raises:
        ValueError: If x has another shape, too few points, or contains NaN or infinity.
    """

    x = check_points(x, name, min=min)
    return check_points(x.detach().cpu().double().flatten(1).contiguous(), name, width=width)


def transform_parts(
    features: Features, parts: Sequence[torch.Tensor], cache: str | Path | None = None
) -> list[torch.Tensor]:
    """Map parts of the data to fitted features.

    Arguments:
        features: The features, fitted.
        parts: The parts, each of shape (N, D) or (N, C, H, W).
        cache: A folder in which the features of images are kept. `None`: they are not kept.
    """

    key: dict[str, Any] = {"features": features.fingerprint(), "images": []}
    if parts[0].dim() != 4 or key["features"] is None:
        cache = None
    if cache is not None:
        key["images"] = [digest({"x": x}) for x in parts]
    points = cached(cache, "features", key, lambda: {"points": torch.cat([features.transform(x) for x in parts])})

    return list(points["points"].split([len(x) for x in parts]))


class Identity(Features):
    """The points as they are, and the pixels of images.

    Example:
        >>> import torch
        >>> images = torch.zeros(5, 1, 8, 8)
        >>> Identity().fit(images, seed=0).transform(images).shape
        torch.Size([5, 64])
    """

    size_names: ClassVar[tuple[str, ...]] = ("width",)

    def fit(self, x: torch.Tensor, seed: int) -> Identity:
        """Remember the width of x."""

        self.sizes = {"width": flatten_points(x, "points to fit features to").shape[1]}
        self.state = {}

        return self

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Flatten x."""

        self.fitted()

        return flatten_points(x, "points to transform", width=self.sizes["width"])
