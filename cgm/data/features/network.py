"""What features that are computed by a network of images share: pretrained weights."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch

from cgm.data.features.base import Features
from cgm.utils.models import pretrained
from cgm.utils.models.fitted_network import FittedNetwork, Network
from cgm.utils.models.pretrained import Weights

log = logging.getLogger(__name__)


class NetworkFeatures(FittedNetwork[Network], Features):
    """Base class of features that a network of images computes, with a setting `pretrained`."""

    kind: ClassVar[str]
    """The kind of the weights, such as `"autoencoder"`."""

    pretrained: bool | str

    def load_pretrained(self, x: torch.Tensor) -> bool:
        """Load pretrained weights if they are asked for, and return whether they were loaded.

        Arguments:
            x: The images of the fit, of shape (N, C, H, W).
        """

        weights = self._weights(x.shape[1:])
        if weights is None:
            return False
        self.load(weights.path)
        if self.pretrained != "auto" or self.suits(weights, x):
            log.info("features: an %s trained on %s, %s", self.kind, weights.dataset, weights.path)
            return True
        self.state = None

        return False

    @abstractmethod
    def suits(self, weights: Weights, x: torch.Tensor) -> bool:
        """Return whether the loaded weights suit images x of shape (N, C, H, W); warn if they do not."""

    def _weights(self, shape: Sequence[int]) -> Weights | None:
        """Return the pretrained weights for images of shape (C, H, W), if there are any and they are asked for."""

        weights = pretrained.choose(self.pretrained, self.kind, shape)
        settings = {name: getattr(self, name) for name in self.file_settings or ()}
        if (
            self.pretrained == "auto"
            and weights is not None
            and not settings.items() <= weights.info["settings"].items()
        ):
            return None  # weights of other sizes

        return weights
