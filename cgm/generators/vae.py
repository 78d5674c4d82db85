"""A variational autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import nn
from torch.nn.functional import one_hot

from cgm.generators.network import NetworkGenerator
from cgm.networks.architectures import AutoencoderNetwork
from cgm.networks.training import Batch, Budget, Descent, Rate, recalibrate, seeded
from cgm.utils.settings import Integer, Number

MIN_VARIANCE = 1e-4  # of pixels and scores around their reconstructions


class VAENetwork(nn.Module):
    r"""Network that maps images or points to Gaussians of codes, and codes back: convolutional or dense.

    Arguments:
        shape: The shape $(C, H, W)$ of an image, or $(d)$.
        groups: The number of coordinates of each column, for points.
        latent: The number of dimensions of a code.
        channels: The number of channels of the first convolution; the others have 2, 4 and 8 times as many.
        hidden: The number of units of both hidden layers of encoder and decoder, for points.
    """

    def __init__(self, shape: Sequence[int], groups: Sequence[int], latent: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.latent, self.numbers, self.groups = latent, sum(m == 1 for m in groups), [m for m in groups if m > 1]
        if len(shape) == 3:
            self.body = AutoencoderNetwork(latent, channels, (shape[0], shape[1], shape[2]))
            self.log_variance = nn.Linear(self.body.code.in_features, latent)
            return
        v = sum(groups)
        self.encoder = nn.Sequential(_dense(v, hidden), _dense(hidden, hidden), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(_dense(latent, hidden), _dense(hidden, hidden), nn.Linear(hidden, v))
        self.noise = nn.Parameter(torch.zeros(self.numbers))  # logarithm of the variance of each number

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and logarithms of variances of the codes of x, each of shape (B, latent)."""

        if x.dim() == 4:
            h = self.body.encoder(x)
            return self.body.code(h), self.log_variance(h).clamp(-12, 4)
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-12, 4)

    def images(self, z: torch.Tensor) -> torch.Tensor:
        """Return the images of codes z of shape (B, latent), of shape (B, C, H, W)."""

        return self.body.decode(z).sigmoid()

    def misfit(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        r"""Compute $-\log p(x | z)$ of a batch, up to a constant, of shape (B)."""

        if x.dim() == 4:  # a Gaussian whose variance is the best one for the batch
            error = (self.images(z) - x).square().flatten(1)
            return error.sum(1) / (2 * error.mean().detach().clamp(min=MIN_VARIANCE))
        y, noise = self.decoder(z), self.noise.clamp(min=-9)
        error = (y[:, : self.numbers] - x[:, : self.numbers]).square()
        loss = ((error / noise.exp() + noise) / 2).sum(1)
        for logits, category in zip(self.categories(y), self.categories(x), strict=True):
            loss = loss - (category * logits.log_softmax(1)).sum(1)
        return loss

    def categories(self, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the coordinates of each category, of shape (B, m), of y of shape (B, v)."""

        return y[:, self.numbers :].split(self.groups, 1) if self.groups else ()

    def points(self, z: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Draw points given codes z of shape (B, latent), of shape (B, v)."""

        y = self.decoder(z)
        numbers = y[:, : self.numbers]
        noise = torch.randn(numbers.shape, generator=random) * (self.noise.clamp(min=-9) / 2).exp()
        chosen = [
            one_hot(torch.multinomial(part.softmax(1), 1, generator=random)[:, 0], part.shape[1]).to(y.dtype)
            for part in self.categories(y)
        ]
        return torch.cat([numbers + noise, *chosen], 1)


@dataclass(eq=False)
class VAE(NetworkGenerator[VAENetwork]):
    r"""Variational autoencoder, of images, points and encoded tables (one of the paper's generators).

    An encoder maps $x$ to a Gaussian $q(z | x)$ of codes, and a decoder maps codes to distributions $p(x | z)$.
    Training minimises, with $p(z) = N(0, I)$,

    .. math:: -\mathbb{E}_{q(z | x)} \log p(x | z) + \text{weight} \cdot \text{KL}(q(z | x) \, \| \, p(z)).

    For images, both are convolutional, and $p(x | z)$ is Gaussian with the variance that fits a batch best; a sample is
    its mean. For points, both are dense; $p(x | z)$ is Gaussian in each number, with a variance that is learnt, and
    categorical in each category; a sample is a draw from it.

    Arguments:
        latent: The number of dimensions of a code.
        channels: The number of channels of the first convolution, for images.
        hidden: The number of units of the hidden layers, for points.
        weight: The weight of the divergence. Above 1, codes are closer to $p(z)$, and samples less like the data.
        steps: The number of steps of the training, in whole passes over the data.
        batch, rate: The rows in a step, and the largest learning rate of AdamW; see `cgm.networks.training.Budget`.
        pretrained, minutes, checkpoint: See `NetworkGenerator`.

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014)
        | Simple and Effective VAE Training with Calibrated Decoders (Rybkin, Daniilidis & Levine, 2021)

    Example:
        >>> images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> vae = VAE(latent=2, channels=2, hidden=8, steps=2)
        >>> vae.fit(images, seed=0).sample(5, seed=0).shape, vae.fit(images[:, 0, 0], seed=0).sample(5, seed=0).shape
        (torch.Size([5, 1, 8, 8]), torch.Size([5, 8]))
    """

    latent: Annotated[int, Integer(min=1)] = 16
    channels: Annotated[int, Integer(min=1)] = 8
    hidden: Annotated[int, Integer(min=1)] = 128
    weight: Annotated[float, Number(min=0, open_min=True)] = 1.0
    steps: Annotated[int, Integer(min=1)] = 3000
    batch: Batch = 128
    rate: Rate = 2e-3

    kind: ClassVar[str] = "vae"
    takes: ClassVar[tuple[str, ...]] = ("images", "points")
    architecture: ClassVar[tuple[str, ...]] = ("latent", "channels", "hidden")

    def make_network(self, sizes: Mapping[str, Any]) -> VAENetwork:
        """Construct the network for data of a shape."""

        return VAENetwork(sizes["shape"], sizes["groups"], sizes["latent"], sizes["channels"], sizes["hidden"])

    def train(self, x: torch.Tensor, seed: int) -> tuple[VAENetwork, dict[str, float]]:
        """Train encoder and decoder."""

        with seeded(seed):
            network = self.make_network(self.sizes)

        def loss(rows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
            mean, log_variance = network.encode(x[rows])
            z = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=random)
            divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2
            return (network.misfit(x[rows], z) + self.weight * divergence).mean()

        budget = budget_of(self, len(x), self.steps, self.checkpoint_file)
        settings = {"weight": self.weight, **{name: getattr(self, name) for name in VAE.architecture}}
        report = Descent(network, loss, {"x": x}, seed, budget, "generator", "generator: vae", settings).train()
        if x.dim() == 4:
            recalibrate(network, lambda images: network.images(network.encode(images)[0]), x, seed)

        return network, report

    def draw(self, network: VAENetwork, n: int, random: torch.Generator) -> torch.Tensor:
        """Draw n images or points from Gaussian codes."""

        z = torch.randn(n, network.latent, generator=random)

        return network.images(z) if len(self.sizes["shape"]) == 3 else network.points(z, random)


def budget_of(settings: Any, rows: int, steps: int, checkpoint: str | None) -> Budget:
    """Return the budget of about some steps of batches, in whole passes over a number of rows."""

    batch = min(settings.batch, rows)
    epochs = max(1, round(steps / (rows // batch)))

    return Budget(epochs, settings.minutes, batch, settings.rate, checkpoint=checkpoint)


def _dense(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.SiLU())
