"""Reduces points or images to the features that are valued."""

from dataclasses import dataclass

from torch import Tensor

from cgm.data.features.autoencoder import Autoencoder
from cgm.data.features.base import Features
from cgm.data.features.identity import Identity
from cgm.utils.checks import check_integer


@dataclass(frozen=True)
class Automatic:
    r"""Picks features by what is to be reduced: an autoencoder's code for images, and points as they are.

    Arguments:
        components: The number $d$ of dimensions of the code.
    """

    components: int = 8

    def __post_init__(self) -> None:
        """Refuses a number of components that is none."""

        check_integer("features.components", self.components, min=1)

    def pick(self, x: Tensor) -> Features:
        r"""Picks the features for x of shape $(N, D)$ or $(N, C, H, W)$."""

        return Autoencoder(self.components) if x.dim() == 4 else Identity()
