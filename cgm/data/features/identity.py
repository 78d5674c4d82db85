"""Reduces points or images to the features that are valued."""

from typing import ClassVar

from torch import Tensor

from cgm.data.features.base import Features, _flat


class Identity(Features):
    """Leaves points as they are, and flattens images.

    Example:
        >>> images = torch.zeros(5, 1, 8, 8)
        >>> Identity().fit(images, seed=0).transform(images).shape
        torch.Size([5, 64])
    """

    shapes: ClassVar = {"empty": (0, "D")}  # all there is to remember is the width

    def fit(self, x: Tensor, seed: int) -> "Identity":
        """Remembers the width of x."""

        self.state = {"empty": _flat(x, "points to fit features to").new_empty(0, x[0].numel())}

        return self

    def transform(self, x: Tensor) -> Tensor:
        """Flattens x."""

        return _flat(x, "points to transform", width=self.fitted()["empty"].shape[1])
