"""Networks of the MMD-GAN."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu
from torch.nn.utils.parametrizations import spectral_norm

LEAK = 0.2
META = torch.device("meta")  # where a network takes neither memory nor the global random stream, for its first weights


def image_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Lists the sizes that an image goes through: halved, rounding up, until no side is above 4, twice or more.

    Example:
        >>> image_sizes(28, 28), image_sizes(8, 8)
        ([(28, 28), (14, 14), (7, 7), (4, 4)], [(8, 8), (4, 4), (2, 2)])
    """

    sizes = [(height, width)]
    while len(sizes) < 3 or max(sizes[-1]) > 4:
        sizes.append(tuple((side + 1) // 2 for side in sizes[-1]))

    return sizes


class GeneratorNetwork(nn.Module):
    r"""Turns codes into images, in the manner of DCGAN: a linear layer, then transposed convolutions.

    A new network has no weights yet: `initialise` draws them, or `to_empty` makes room for them.

    Arguments:
        image: The shape $(C, H, W)$ of an image.
        channels: The width of the last hidden layer; each earlier one has twice as many.
        latent: The number of dimensions of a code.
        batch_norm: Whether hidden layers are normalised by the batch. If not, they have a bias instead.

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
                extra = [b - (2 * a - 1) for a, b in zip(sizes[i], sizes[i + 1], strict=True)]  # 0 or 1
                bias = not batch_norm or i == len(widths) - 1
                self.layers.append(nn.ConvTranspose2d(before, after, 5, 2, 2, output_padding=tuple(extra), bias=bias))
            norms = [nn.BatchNorm2d(width, track_running_stats=False) for width in widths] if batch_norm else []
            self.norms = nn.ModuleList(norms)

    def initialise(self, random: torch.Generator) -> "GeneratorNetwork":
        """Draws the weights as DCGAN has them, and returns itself."""

        self.to_empty(device="cpu")
        for norm in self.norms:
            norm.reset_parameters()
        for layer in self.layers:
            nn.init.normal_(layer.weight, 0, 0.02, generator=random)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

        return self

    def layer(self, i: int, x: Tensor) -> Tensor:
        """Applies layer i, without what follows it."""

        x = self.layers[i](x)
        return x.unflatten(1, self.first) if i == 0 else x

    def forward(self, z: Tensor) -> Tensor:
        """Turns codes of shape (N, latent) into images of shape (N, C, H, W), in [0, 1]."""

        x = z
        for i in range(len(self.layers) - 1):
            x = self.layer(i, x)
            x = relu(self.norms[i](x) if len(self.norms) else x)
        return torch.sigmoid(self.layer(len(self.layers) - 1, x))

    @torch.no_grad()
    def folded(self, z: Tensor) -> "GeneratorNetwork":
        r"""Makes the same network without batch normalisation, the mean and variance of each layer built in.

        They are those of the codes z, measured layer by layer. They therefore belong to the weights at hand, as
        running averages over changing weights don't.

        Arguments:
            z: Many codes, of shape $(N, \text{latent})$.
        """

        plain = GeneratorNetwork(self.image, self.channels, self.latent, batch_norm=False)
        plain.to_empty(device="cpu")
        x = z

        for i, norm in enumerate(self.norms):
            x = self.layer(i, x)  # (N, c, h, w)
            scale = norm.weight / (x.var((0, 2, 3), correction=0) + norm.eps).sqrt()  # (c)
            shift = norm.bias - scale * x.mean((0, 2, 3))  # (c)
            x = relu(x * scale[:, None, None] + shift[:, None, None])
            if i == 0:  # each channel has h w outputs of the linear layer
                area = self.first[1] * self.first[2]
                weight = self.layers[i].weight * scale.repeat_interleave(area)[:, None]
                shift = shift.repeat_interleave(area)
            else:
                weight = self.layers[i].weight * scale[:, None, None]  # (in, c, 5, 5)
            plain.layers[i].weight.copy_(weight)
            plain.layers[i].bias.copy_(shift)

        plain.layers[-1].load_state_dict(self.layers[-1].state_dict())

        return plain.requires_grad_(False)


class CriticNetwork(nn.Module):
    r"""Turns images into the features in which the MMD is measured: strided convolutions, then a linear layer.

    A new network has no weights yet: `initialise` draws them.

    Arguments:
        image: The shape $(C, H, W)$ of an image.
        channels: The width of the first layer; each later one has twice as many.
        outputs: The number of features.
        spectral: Whether each layer is divided by its greatest singular value (Miyato et al., 2018).
    """

    def __init__(self, image: tuple[int, int, int], channels: int, outputs: int, spectral: bool = False) -> None:
        super().__init__()
        sizes = image_sizes(*image[1:])
        widths = [image[0], *(channels * 2**i for i in range(len(sizes) - 1))]
        with META:
            self.layers = nn.ModuleList(nn.Conv2d(before, after, 5, 2, 2) for before, after in pairwise(widths))
            self.layers.append(nn.Linear(widths[-1] * math.prod(sizes[-1]), outputs))
        self.spectral = spectral

    def initialise(self, random: torch.Generator) -> "CriticNetwork":
        """Draws weights that keep the variance from layer to layer, and returns itself."""

        self.to_empty(device="cpu")
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, LEAK, generator=random)
            nn.init.zeros_(layer.bias)
        if self.spectral:
            with torch.random.fork_rng(devices=[]):  # the vectors of its power iteration come from the global stream
                torch.default_generator.manual_seed(0)
                for layer in self.layers:
                    spectral_norm(layer)

        return self

    def forward(self, x: Tensor) -> Tensor:
        """Turns images of shape (N, C, H, W) into features of shape (N, outputs)."""

        for layer in self.layers[:-1]:
            x = leaky_relu(layer(x), LEAK)
        return self.layers[-1](x.flatten(1))
