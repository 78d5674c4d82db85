"""Reduces points or images to the features that are valued."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from cgm.utils.cache import cached
from cgm.utils.checks import check_points
from cgm.utils.models.fitted import Fitted
from cgm.utils.tensors import digest


class Features(Fitted, ABC):
    r"""Represents a map from points or images to the $d$-dimensional points that are valued.

    It is fitted to real points, and never sees a label. `save` and `load` are those of a generator.
    """

    @abstractmethod
    def fit(self, x: Tensor, seed: int) -> "Features":
        r"""Fits the map to x of shape $(N, D)$ or $(N, C, H, W)$, and returns itself."""

    @abstractmethod
    def transform(self, x: Tensor) -> Tensor:
        r"""Maps x of shape $(N, D)$ or $(N, C, H, W)$ to features of shape $(N, d)$, float64.

        Raises:
            ValueError: If nothing has been fitted yet, or x is not as wide as what was fitted.
        """


def _flat(x: Tensor, name: str, width: int | None = None, least: int = 1) -> Tensor:
    check_points(x, name, min=least)
    return check_points(x.detach().cpu().double().flatten(1).contiguous(), name, width=width)


def transform_parts(features: Features, parts: Sequence[Tensor], cache: str | None = None) -> list[Tensor]:
    """Reduce some parts of the data to fitted features; those of images are kept in a cache, if there is one."""

    key = {"features": features.fingerprint(), "images": []}
    if parts[0].dim() != 4 or key["features"] is None:
        cache = None
    if cache is not None:
        key["images"] = [digest({"x": x}) for x in parts]
    points = cached(cache, "features", key, lambda: {"points": torch.cat([features.transform(x) for x in parts])})

    return list(points["points"].split([len(x) for x in parts]))
