"""The network of the encoder of images."""

import torch
from torch import nn
from torch.nn.functional import normalize

from cgm.utils.models.classifier_network import image_body
from cgm.utils.models.networks import principal_directions


class EncoderNetwork(nn.Module):
    r"""Network that maps images to features of norm 1, and these to a code.

    Arguments:
        components: The number $d$ of dimensions of the code.
        width: The number $w$ of channels of the first convolution. There are $8w$ features.
        channels: The number $C$ of colour channels.
    """

    def __init__(self, components: int, width: int, channels: int) -> None:
        super().__init__()
        self.body = image_body(channels, width)
        self.code = nn.Linear(8 * width, components)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (B, C, H, W) to features of shape (B, 8w), of norm 1."""

        return normalize(self.body(x), dim=1)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (B, C, H, W) to codes of shape (B, d)."""

        return self.code(self.features(x))

    @torch.no_grad()
    def set_code(self, h: torch.Tensor) -> int:
        r"""Let the code be the principal components of features.

        Arguments:
            h: The features of images, of shape $(N, 8w)$, float64.

        Returns:
            The number of directions in which the features vary. If it is below $d$, nothing is changed.
        """

        mean, _, directions, rank = principal_directions(h)
        d = self.code.out_features

        if rank >= d:
            principal = directions[:, -d:].flip(1).T
            self.code.weight.copy_(principal)
            self.code.bias.copy_(-principal @ mean)

        return rank
