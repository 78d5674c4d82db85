"""The base class of features that a network of images computes."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Any, ClassVar, TypeVar

import torch

from cgm.data.features.base import Features, check_distinct
from cgm.networks import weights as pretrained
from cgm.networks.architectures import check_images, weights_of
from cgm.networks.fitted import FittedNetwork, Network
from cgm.networks.weights import Pretrained, Weights
from cgm.utils.run import limited

log = logging.getLogger(__name__)

TRIED = 1000  # approximate number of images on which pretrained weights are tried

F = TypeVar("F", bound="NetworkFeatures[Any]")


class NetworkFeatures(FittedNetwork[Network], Features):
    """Base class of features that a network of images computes, with trained or pretrained weights.

    A subclass is a dataclass of its settings that declares `kind` and `size_names`, and has the methods `make_network`,
    `train`, `unlike` and `transform`.
    """

    kind: ClassVar[str]
    """The kind of the weights, such as `"autoencoder"`."""

    file_settings: ClassVar[tuple[str, ...] | None] = ("components", "width")

    components: int
    width: int
    pretrained: Pretrained

    def __post_init__(self) -> None:
        super().__post_init__()
        pretrained.check_path("features.pretrained", self.pretrained, "true, false, auto, or ")

    @limited(1)  # sums, and so the weights, depend on the number of threads
    def fit(self: F, x: torch.Tensor, seed: int) -> F:
        """Train the network on x of shape (N, C, H, W), or load pretrained weights."""

        x = check_images(x, "images to fit features to", min=2)
        if self._load_pretrained(x):
            return self
        check_distinct(x, "images to fit features to")

        sizes = {"image": list(x.shape[1:]), "colours": x.shape[1]}
        sizes = {name: sizes[name] for name in self.size_names}
        network, rank = self.train(x, seed, sizes)
        if rank < self.components:
            raise ValueError(
                f"features.components={self.components}: the features vary in {rank} directions only; use {rank}, or "
                "more images, or train for longer"
            )
        self.sizes, self.state = sizes, weights_of(network)

        return self

    @abstractmethod
    def train(self, x: torch.Tensor, seed: int, sizes: dict[str, Any]) -> tuple[Network, int]:
        """Train a network, and set `report`.

        Arguments:
            x: Images of shape (N, C, H, W), float32, with pixels from 0 to 1.
            seed: The seed of everything random.
            sizes: The sizes of the network.

        Returns:
            The network, and the number of directions in which its features vary.
        """

    @abstractmethod
    def unlike(self, weights: Weights, x: torch.Tensor) -> str:
        """Return how images x of shape (N, C, H, W) differ from those of the loaded weights; empty, if they do not."""

    def _load_pretrained(self, x: torch.Tensor) -> bool:
        """Load pretrained weights for images x if they are asked for, and return whether they were loaded."""

        weights = pretrained.choose(self.pretrained, self.kind, x.shape[1:])
        settings = {name: getattr(self, name) for name in self.file_settings or ()}
        if weights is None:
            return False
        if self.pretrained == "auto" and not settings.items() <= weights.info["settings"].items():
            return False  # weights of other sizes
        self.load(weights.path)
        if self.pretrained == "auto" and (difference := self.unlike(weights, x[:: max(1, len(x) // TRIED)])):
            log.warning(
                "features: the %s trained on %s %s; another one is trained (features.pretrained=true uses it anyway)",
                self.kind,
                weights.dataset,
                difference,
            )
            self.state = None
            return False
        log.info("features: an %s trained on %s, %s", self.kind, weights.dataset, weights.path)

        return True
