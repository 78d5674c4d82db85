"""The points as they are."""

from __future__ import annotations

from typing import ClassVar

import torch

from cgm.data.features.base import Features, flatten_points


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
