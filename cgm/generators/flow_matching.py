"""Flow matching: a velocity that carries noise to data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import nn
from torch.nn.functional import silu

from cgm.generators.network import NetworkGenerator
from cgm.generators.vae import VAE, VAENetwork, budget_of
from cgm.networks.architectures import in_batches
from cgm.networks.training import Batch, Descent, Rate, seeded
from cgm.utils.settings import Integer

FREQUENCIES = 8  # of the sines and cosines of the time


class VelocityNetwork(nn.Module):
    r"""Network that maps points and times to velocities: residual dense layers.

    The points are standardised by `mean` and `scale`, in whose units the flow runs. For images, they are the codes of
    an autoencoder, which is a part of the network.

    Arguments:
        shape: The shape $(C, H, W)$ of an image, or $(d)$.
        groups: The number of coordinates of each column, for points.
        latent: The number of dimensions of a code, for images.
        channels: The number of channels of the autoencoder's first convolution.
        hidden: The number of units of each hidden layer.
        layers: The number of hidden layers.
    """

    def __init__(
        self, shape: Sequence[int], groups: Sequence[int], latent: int, channels: int, hidden: int, layers: int
    ) -> None:
        super().__init__()
        of_images = len(shape) == 3
        self.width = latent if of_images else sum(groups)
        if of_images:
            self.vae = VAENetwork(shape, groups, latent, channels, hidden)
        self.first = nn.Linear(self.width + 2 * FREQUENCIES, hidden)
        self.inner = nn.ModuleList(nn.Linear(hidden + 2 * FREQUENCIES, hidden) for _ in range(layers))
        self.outer = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.last = nn.Linear(hidden, self.width)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("scale", torch.ones(self.width))

    mean: torch.Tensor
    scale: torch.Tensor

    def forward(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Return the velocities, of shape (B, v), at points z of shape (B, v) and times t of shape (B, 1)."""

        angles = math.pi * t * torch.arange(1, FREQUENCIES + 1)
        time = torch.cat([angles.sin(), angles.cos()], 1)
        h = self.first(torch.cat([z, time], 1))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            h = h + outer(silu(inner(torch.cat([silu(h), time], 1))))

        return self.last(silu(h))

    def carry(self, z: torch.Tensor, steps: int) -> torch.Tensor:
        """Carry noise z of shape (B, v) from time 0 to 1, by the midpoint rule."""

        for k in range(steps):
            t = torch.full((len(z), 1), k / steps)
            middle = z + self(z, t) / (2 * steps)
            z = z + self(middle, t + 1 / (2 * steps)) / steps

        return z * self.scale + self.mean


@dataclass(eq=False)
class FlowMatching(NetworkGenerator[VelocityNetwork]):
    r"""Flow matching: noise moves along a velocity that is learnt, and arrives at the distribution of the data.

    The network $u$ is trained to predict the velocity of straight lines from noise $z_0 \sim N(0, I)$ to data $z_1$,

    .. math:: \mathbb{E} \, \|u(z_t, t) - (z_1 - z_0)\|^2, \qquad z_t = (1 - t) z_0 + t z_1, \quad t \sim U[0, 1],

    and a sample solves $\dot z = u(z, t)$ from $t = 0$ to 1. For points, $z_1$ are normal scores of numbers and unit
    vectors of categories, standardised; for images, codes of a variational autoencoder that is trained first.

    Arguments:
        hidden: The number of units of each hidden layer.
        layers: The number of hidden layers, each with two linear maps.
        latent: The number of dimensions of a code, for images.
        channels: The number of channels of the autoencoder's first convolution, for images.
        solver_steps: The number of steps from noise to data, each with two evaluations of the network.
        steps: The number of steps of the training, in whole passes over the data.
        autoencoder_steps: The number of steps of the autoencoder's training, for images.
        batch, rate: The rows in a step, and the largest learning rate of AdamW; see `cgm.networks.training.Budget`.
        pretrained, minutes, checkpoint: See `NetworkGenerator`; the autoencoder's training has minutes of its own.

    References:
        | Flow Matching for Generative Modeling (Lipman, Chen, Ben-Hamu, Nickel & Le, 2023)
        | High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al., 2022)

    Example:
        >>> x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        >>> FlowMatching(hidden=8, layers=1, steps=2).fit(x, seed=0).sample(4, seed=0).shape
        torch.Size([4, 2])
    """

    hidden: Annotated[int, Integer(min=1)] = 128
    layers: Annotated[int, Integer(min=1)] = 3
    latent: Annotated[int, Integer(min=1)] = 32
    channels: Annotated[int, Integer(min=1)] = 8
    solver_steps: Annotated[int, Integer(min=1)] = 24
    steps: Annotated[int, Integer(min=1)] = 3000
    autoencoder_steps: Annotated[int, Integer(min=1)] = 3000
    batch: Batch = 256
    rate: Rate = 2e-3

    kind: ClassVar[str] = "flow_matching"
    takes: ClassVar[tuple[str, ...]] = ("images", "points")
    architecture: ClassVar[tuple[str, ...]] = ("hidden", "layers", "latent", "channels", "solver_steps")

    def make_network(self, sizes: Mapping[str, Any]) -> VelocityNetwork:
        """Construct the network for data of a shape."""

        names = ("shape", "groups", "latent", "channels", "hidden", "layers")

        return VelocityNetwork(*(sizes[name] for name in names))

    def train(self, x: torch.Tensor, seed: int) -> tuple[VelocityNetwork, dict[str, float]]:
        """Train the autoencoder, for images, and the velocity."""

        with seeded(seed):
            network = self.make_network(self.sizes)
        report = {}
        if x.dim() == 4:
            autoencoder, seconds = self._autoencoder(x, seed)
            network.vae.load_state_dict(autoencoder.state_dict())
            network.vae.requires_grad_(False)
            report = {f"autoencoder_{name}": number for name, number in seconds.items()}
            with torch.no_grad():
                x = in_batches(lambda part: autoencoder.encode(part)[0], x, "codes")
        network.mean.copy_(x.mean(0))
        network.scale.copy_(x.std(0).clamp(min=1e-6))
        z1 = (x - network.mean) / network.scale

        def loss(rows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
            z0 = torch.randn(len(rows), network.width, generator=random)
            t = torch.rand(len(rows), 1, generator=random)
            return (network((1 - t) * z0 + t * z1[rows], t) - (z1[rows] - z0)).square().mean()

        budget = budget_of(self, len(x), self.steps, self.checkpoint_file)
        settings = {name: getattr(self, name) for name in FlowMatching.architecture}
        label = "generator: flow matching"
        report |= Descent(network, loss, {"x": x}, seed, budget, "generator", label, settings).train()

        return network.eval(), report

    def _autoencoder(self, x: torch.Tensor, seed: int) -> tuple[VAENetwork, dict[str, float]]:
        """Train a variational autoencoder of images."""

        folder = None if self.checkpoint is None else f"{self.checkpoint}/autoencoder"
        vae = VAE(False, self.minutes, folder, latent=self.latent, channels=self.channels, steps=self.autoencoder_steps)
        vae.fit(x, seed)
        network = vae.network()

        return network, vae.report or {}

    def draw(self, network: VelocityNetwork, n: int, random: torch.Generator) -> torch.Tensor:
        """Draw n images or points: carry Gaussian noise to the data."""

        z = network.carry(torch.randn(n, network.width, generator=random), self.sizes["solver_steps"])

        return network.vae.images(z) if len(self.sizes["shape"]) == 3 else z
