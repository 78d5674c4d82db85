"""The network of the classifier of images."""

import torch
from torch import nn

from cgm.utils.models.networks import convolution_block


class ClassifierNetwork(nn.Module):
    r"""Network that maps images to logits: 3 × 3 convolutions with batch norm, and two residual blocks.

    Arguments:
        classes: The number $m$ of classes.
        width: The number $w$ of channels of the first convolution; the last has $8w$.
        channels: The number $C$ of colour channels.
    """

    def __init__(self, classes: int, width: int, channels: int) -> None:
        super().__init__()
        self.body = image_body(channels, width)
        self.head = nn.Linear(8 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (B, C, H, W) to logits of shape (B, m)."""

        return self.head(self.body(x))


def image_body(channels: int, w: int) -> nn.Sequential:
    r"""Construct the layers that map images of shape $(B, C, H, W)$ to features of shape $(B, 8w)$.

    Arguments:
        channels: The number $C$ of colour channels.
        w: The number of channels of the first convolution.
    """

    return nn.Sequential(
        convolution_block(channels, w),
        convolution_block(w, 2 * w, stride=2),
        _Residual(2 * w),
        convolution_block(2 * w, 4 * w, stride=2),
        convolution_block(4 * w, 8 * w, stride=2),
        _Residual(8 * w),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(convolution_block(channels, channels), convolution_block(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)
