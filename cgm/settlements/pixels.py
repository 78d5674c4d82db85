"""Images of 8 bits per pixel, drawn by any generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from cgm.data.features.base import Features
from cgm.generators.base import Generator


@dataclass(eq=False)
class Pixels(Generator):
    r"""Images of 8 bits per pixel, as files hold them, drawn by another generator.

    A generator of features draws features, which are decoded to images. So a generator of points, which takes no
    training, draws images as well. The pixels are rounded to multiples of 1/255: what is valued is what can be written
    to a file.

    Arguments:
        generator: The generator, of images or of features.
        features: The features, fitted; they need `decode` if the generator is one of features.

    Example:
        >>> import torch
        >>> from cgm.data.features import PCA
        >>> from cgm.generators import KDE
        >>> images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> generator = Pixels(KDE(), PCA(components=4).fit(images, seed=0)).fit(images, seed=0)
        >>> generator.sample(5, seed=0).shape
        torch.Size([5, 1, 8, 8])
    """

    generator: Generator
    features: Features

    space: ClassVar[str] = "data"

    def fit(self, x: torch.Tensor, seed: int) -> Pixels:
        """Fit the generator to images x of shape (N, C, H, W)."""

        x = self.check_fit(x)
        made = self.generator.space == "data"
        self.generator.fit(x if made else self.features.transform(x), seed)
        self.state, self.sizes = self.generator.state, {"image": list(x.shape[1:])}

        return self

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n images, of shape (n, C, H, W), float32."""

        self.check_sample(n)
        x = self.generator.sample(n, seed)
        if self.generator.space != "data":
            x = self.features.decode(x)
        images = x.float().reshape(n, *self.sizes["image"])

        return (255 * images.clamp(0, 1)).round() / 255
