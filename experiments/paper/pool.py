"""A pool of real images: what the best possible generator would draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from cgm.data.datasets.cifar10 import CIFAR10
from cgm.data.datasets.mnist import MNIST
from cgm.generators.base import Generator
from cgm.networks.fitted import Shape


@dataclass(eq=False)
class RealImages(Generator):
    """Training images of MNIST or CIFAR-10 that no party has, in place of generated ones.

    Arguments:
        data_dir: The folder of the datasets. `None`: that of the variable CGM_DATA.
    """

    data_dir: str | None = None

    space: ClassVar[str] = "data"
    shapes: ClassVar[Mapping[str, Shape]] = {"images": ("N", "C", "H", "W")}

    def fit(self, x: torch.Tensor, seed: int) -> RealImages:
        """Find the training images that are not among x, of shape (N, C, H, W)."""

        seen = {image.tobytes() for image in self.check_fit(x).numpy()}
        dataset = MNIST() if x.shape[1] == 1 else CIFAR10()
        images = dataset.load(self.data_dir, seed).x.to(x.dtype)
        self.state = {"images": images[[image.tobytes() not in seen for image in images.numpy()]]}

        return self

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n of the images without replacement.

        Raises:
            ValueError: If there are fewer.
        """

        images = self.check_sample(n)["images"]
        if n > len(images):
            raise ValueError(f"synthetic_size={n}: there are {len(images)} real images that no party has")

        return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:n]]
