"""Fitted objects whose state is the weights of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from cgm.utils.models.fitted import Fitted, Shape
from cgm.utils.models.networks import weights_of, with_weights

Network = TypeVar("Network", bound="nn.Module")


class FittedNetwork(Fitted, ABC, Generic[Network]):
    """Base class of fitted objects whose state is the weights of a network, by their names in the network."""

    report: dict[str, float] | None = None
    """Steps and seconds of the training, and what it measured; `None` before the first training."""

    @abstractmethod
    def make_network(self, sizes: Mapping[str, Any]) -> Network:
        """Construct the network of given sizes, with any weights."""

    def network(self) -> Network:
        """Return the fitted network, in evaluation mode and float32."""

        weights = self.fitted()

        return with_weights(lambda: self.make_network(self.sizes), weights)

    def shapes_for(self, sizes: Mapping[str, Any]) -> Mapping[str, Shape]:
        """Return the shapes of the network's weights, see `Fitted.shapes_for`."""

        try:  # on the meta device, sizes from a file need no memory, however large they are
            with torch.device("meta"):
                weights = weights_of(self.make_network(sizes))
        except (RuntimeError, OverflowError, TypeError) as error:
            raise ValueError(f"a network of impossible sizes, {dict(sizes)} ({error})") from error

        return {name: tuple(x.shape) for name, x in weights.items()}
