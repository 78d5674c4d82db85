"""A convolutional network that maps images to features."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TypeVar, cast

import torch
from torch import nn
from torch.nn.functional import leaky_relu

LEAK = 0.2
META = torch.device("meta")  # a network there needs no memory, and draws no first weights from the global random stream

F = TypeVar("F", bound="FeatureNetwork")


def image_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return the sizes of an image from layer to layer: halved, rounding up, at least twice, until no side exceeds 4.

    Example:
        >>> image_sizes(28, 28), image_sizes(8, 8)
        ([(28, 28), (14, 14), (7, 7), (4, 4)], [(8, 8), (4, 4), (2, 2)])
    """

    sizes = [(height, width)]
    while len(sizes) < 3 or max(sizes[-1]) > 4:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))

    return sizes


class FeatureNetwork(nn.Module):
    r"""Network that maps images to features: strided 5 × 5 convolutions, then a linear layer.

    A new network has no weights; `initialise` draws them.

    Arguments:
        image: The shape $(C, H, W)$ of an image.
        channels: The number of channels of the first layer; each later one has twice as many.
        outputs: The number of features.
    """

    def __init__(self, image: tuple[int, int, int], channels: int, outputs: int) -> None:
        super().__init__()
        sizes = image_sizes(*image[1:])
        widths = [image[0], *(channels * 2**i for i in range(len(sizes) - 1))]
        with META:
            self.layers = nn.ModuleList(nn.Conv2d(before, after, 5, 2, 2) for before, after in pairwise(widths))
            self.layers.append(nn.Linear(widths[-1] * math.prod(sizes[-1]), outputs))

    def initialise(self: F, random: torch.Generator) -> F:
        """Draw weights that keep the variance from layer to layer, and return the network itself."""

        self.to_empty(device="cpu")
        for layer in cast("Iterable[nn.Conv2d | nn.Linear]", self.layers):
            nn.init.kaiming_normal_(layer.weight, LEAK, generator=random)
            nn.init.zeros_(cast(torch.Tensor, layer.bias))

        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (N, C, H, W) to features of shape (N, outputs)."""

        for layer in self.layers[:-1]:
            x = leaky_relu(layer(x), LEAK)
        return self.layers[-1](x.flatten(1))
