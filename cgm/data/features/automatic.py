"""Features chosen by the kind of the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.data.features.autoencoder import Autoencoder
from cgm.data.features.base import Features
from cgm.data.features.identity import Identity
from cgm.utils.checks import check_integer


@dataclass(frozen=True)
class Automatic:
    r"""A choice of features: the code of an autoencoder for images, and the points as they are otherwise.

    Arguments:
        components: The number $d$ of dimensions of the code.

    Raises:
        ValueError: If a setting is out of range.
    """

    components: int = 8

    def __post_init__(self) -> None:
        check_integer("features.components", self.components, min=1)

    def choose(self, x: torch.Tensor) -> Features:
        r"""Return the features for x of shape $(N, D)$ or $(N, C, H, W)$."""

        return Autoencoder(self.components) if x.dim() == 4 else Identity()
