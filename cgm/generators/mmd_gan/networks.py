"""Networks of the MMD-GAN."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn.functional import leaky_relu, relu
from torch.nn.utils.parametrizations import spectral_norm

from cgm.networks.architectures import LEAK, META, FeatureNetwork, image_sizes


class GeneratorNetwork(nn.Module):
    r"""Network that maps codes to images, as in DCGAN: a linear layer, then transposed convolutions.

    A new network has no weights; `initialise` draws them, and `to_empty` allocates memory for them.

    Arguments:
        image: The shape $(C, H, W)$ of an image.
        channels: The width of the last hidden layer; each earlier one has twice as many.
        latent: The number of dimensions of a code.
        batch_norm: Whether hidden layers have batch norm. If not, they have a bias instead.

    References:
        Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks (Radford et
        al., 2016).
    """

    def __init__(self, image: tuple[int, int, int], channels: int, latent: int, batch_norm: bool = True) -> None:
        super().__init__()
        sizes = image_sizes(*image[1:])[::-1]
        widths = [channels * 2**i for i in reversed(range(len(sizes) - 1))]
        self.image, self.channels, self.latent = image, channels, latent
        self.first = (widths[0], *sizes[0])

        with META:
            linear = nn.Linear(latent, math.prod(self.first), bias=not batch_norm)
            self.layers = nn.ModuleList([linear])
            for i, (before, after) in enumerate(pairwise([*widths, image[0]])):
                extra = (sizes[i + 1][0] - 2 * sizes[i][0] + 1, sizes[i + 1][1] - 2 * sizes[i][1] + 1)  # 0 or 1
                bias = not batch_norm or i == len(widths) - 1
                self.layers.append(nn.ConvTranspose2d(before, after, 5, 2, 2, output_padding=extra, bias=bias))
            norms = [nn.BatchNorm2d(width, track_running_stats=False) for width in widths] if batch_norm else []
            self.norms = nn.ModuleList(norms)

    def initialise(self, random: torch.Generator) -> GeneratorNetwork:
        """Draw the weights as in DCGAN, and return the network itself."""

        self.to_empty(device="cpu")
        for norm in cast("Iterable[nn.BatchNorm2d]", self.norms):
            norm.reset_parameters()
        for layer in cast("Iterable[nn.ConvTranspose2d | nn.Linear]", self.layers):
            nn.init.normal_(layer.weight, 0, 0.02, generator=random)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

        return self

    def layer(self, i: int, x: torch.Tensor) -> torch.Tensor:
        """Apply layer i, without batch norm and activation."""

        x = self.layers[i](x)
        return x.unflatten(1, self.first) if i == 0 else x

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Map codes of shape (N, latent) to images of shape (N, C, H, W), in [0, 1]."""

        x = z
        for i in range(len(self.layers) - 1):
            x = self.layer(i, x)
            x = relu(self.norms[i](x) if len(self.norms) else x)
        return torch.sigmoid(self.layer(len(self.layers) - 1, x))

    def sample(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Draw n images, of shape (n, C, H, W), from uniform codes."""

        return cast(torch.Tensor, self(uniform_codes(n, self.latent, random)))

    @torch.no_grad()
    def folded(self, z: torch.Tensor) -> GeneratorNetwork:
        r"""Return the same network without batch norm, with the mean and variance of each layer built in.

        They are those of the codes z, measured layer by layer. They therefore belong to the present weights, unlike
        running averages over changing weights.

        Arguments:
            z: Many codes, of shape $(N, \text{latent})$.
        """

        network = GeneratorNetwork(self.image, self.channels, self.latent, batch_norm=False)
        network.to_empty(device="cpu")
        layers, plain = (cast("Sequence[nn.ConvTranspose2d]", part.layers) for part in (self, network))
        x = z

        for i, norm in enumerate(cast("Iterable[nn.BatchNorm2d]", self.norms)):
            x = self.layer(i, x)  # (N, c, h, w)
            scale = norm.weight / (x.var((0, 2, 3), correction=0) + norm.eps).sqrt()  # (c)
            shift = norm.bias - scale * x.mean((0, 2, 3))  # (c)
            x = relu(x * scale[:, None, None] + shift[:, None, None])
            if i == 0:  # each channel has h w outputs of the linear layer
                area = self.first[1] * self.first[2]
                weight = layers[i].weight * scale.repeat_interleave(area)[:, None]
                shift = shift.repeat_interleave(area)
            else:
                weight = layers[i].weight * scale[:, None, None]  # (in, c, 5, 5)
            plain[i].weight.copy_(weight)
            cast(torch.Tensor, plain[i].bias).copy_(shift)

        plain[-1].load_state_dict(layers[-1].state_dict())

        return network.requires_grad_(False)


class CriticNetwork(FeatureNetwork):
    r"""Network that maps images to the features in which the MMD is measured.

    A new network has no weights; `initialise` draws them.

    Arguments:
        image: The shape $(C, H, W)$ of an image.
        channels: The number of channels of the first layer; each later one has twice as many.
        outputs: The number of features.
        spectral: Whether each layer is divided by its largest singular value (Miyato et al., 2018).
        gain: The factor of the output of each layer, before its activation.
    """

    def __init__(
        self, image: tuple[int, int, int], channels: int, outputs: int, spectral: bool = False, gain: float = 1.0
    ) -> None:
        super().__init__(image, channels, outputs)
        self.spectral, self.gain = spectral, gain

    def initialise(self, random: torch.Generator) -> CriticNetwork:
        """Draw the weights, and return the network itself."""

        super().initialise(random)
        if self.spectral:
            with torch.random.fork_rng(devices=[]):  # the power iteration starts from the global random stream
                torch.default_generator.manual_seed(0)
                for layer in self.layers:
                    spectral_norm(layer)

        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of shape (N, C, H, W) to features of shape (N, outputs)."""

        if self.gain == 1:
            return super().forward(x)
        for layer in self.layers[:-1]:
            x = leaky_relu(self.gain * layer(x), LEAK)
        return self.gain * self.layers[-1](x.flatten(1))


def uniform_codes(n: int, latent: int, random: torch.Generator) -> torch.Tensor:
    """Draw n codes, uniform in [-1, 1], of shape (n, latent)."""

    return 2 * torch.rand(n, latent, generator=random) - 1
