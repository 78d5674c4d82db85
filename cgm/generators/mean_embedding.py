r"""Particles whose mean embedding is that of the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from cgm.generators.base import Generator
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import limited
from cgm.utils.settings import Integer, Number
from cgm.valuation.embedding import Nystrom
from cgm.valuation.kernels import SquaredExponential, Sum

RATE = 0.1  # length of a first step of Adam, in length-scales
SPREAD = (0.25, 0.5, 1.0)  # length-scales that are fitted together, in median distances
MEDIAN_ROWS = 1000  # points whose distances are compared
LANDMARKS = 512


def fit_particles(
    transform: Callable[[torch.Tensor], torch.Tensor],
    target: torch.Tensor,
    start: torch.Tensor,
    steps: int,
    unit: float,
    low: torch.Tensor,
    high: torch.Tensor,
) -> torch.Tensor:
    r"""Move points so that their mean embedding comes near to a given one, $\min_x \|\mu(x) - \mu\|^2$.

    Arguments:
        transform: The features of points (m, d), of shape (m, D), which torch can differentiate.
        target: The mean embedding $\mu$, of shape (D); it may have noise.
        start: The points to start from, of shape (m, d).
        steps: The number of steps of Adam, whose length falls to 0.
        unit: The length-scale, by which the length of a step is measured.
        low, high: The range of each dimension, of shape (d), which points do not leave.

    Returns:
        The points, of shape (m, d), float64.
    """

    x = start.double().clone().requires_grad_()
    optimiser = torch.optim.Adam([x], lr=RATE * unit)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
    for _ in range(steps):
        optimiser.zero_grad()
        (transform(x).mean(0) - target).square().sum().backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            x.copy_(x.maximum(low).minimum(high))
    return x.detach()


def jittered(particles: torch.Tensor, n: int, width: float, seed: int) -> torch.Tensor:
    r"""Draw n points from particles, as evenly as possible, each with Gaussian noise.

    Arguments:
        particles: The particles, of shape (m, d).
        n: The number of points.
        width: The standard deviation of the noise.
        seed: The seed.
    """

    random = torch.Generator().manual_seed(stream_seed(seed, Stream.JITTER))
    rounds = math.ceil(n / len(particles))
    rows = torch.cat([torch.randperm(len(particles), generator=random) for _ in range(rounds)])[:n]
    noise = torch.randn(n, particles.shape[1], generator=random, dtype=torch.float64)
    return particles.double()[rows] + width * noise


@dataclass(eq=False)
class MeanEmbedding(Generator):
    r"""Particles that minimise the maximum mean discrepancy to the data, over several length-scales, with jitter.

    The data enter by one mean embedding alone, $\frac{1}{N} \sum_x \psi(x)$, with a sum of squared exponential kernels
    whose length-scales are a quarter, a half and the whole of the median distance, each dimension in units of its
    standard deviation.

    Arguments:
        particles: The number of particles.
        steps: The number of steps of Adam.
        jitter: The standard deviation of the noise around particles, in smallest length-scales.
        pretrained: A file that `save` has written, which is loaded instead of a fit; see `Generator`.

    References:
        | Generative Moment Matching Networks (Li, Swersky & Zemel, 2015), for the loss
        | DP-MERF: Differentially Private Mean Embeddings with Random Features (Harder, Adamczewski & Park, 2021), for
          the idea that one mean embedding is enough

    Example:
        >>> x = torch.cat([torch.randn(100, 1), torch.randn(100, 1) + 8])
        >>> sample = MeanEmbedding(particles=50).fit(x, seed=0).sample(200, seed=0)
        >>> bool((sample > 4).double().mean().sub(0.5).abs() < 0.1)
        True
    """

    particles: Annotated[int, Integer(min=2)] = 500
    steps: Annotated[int, Integer(min=1)] = 250
    jitter: Annotated[float, Number(min=0)] = 0.25

    shapes: ClassVar = {"origin": ("d",), "scale": ("d",), "points": ("m", "d"), "width": ()}

    @limited(1)  # sums, and so the particles, depend on the number of threads
    def fit(self, x: torch.Tensor, seed: int) -> MeanEmbedding:
        """Fit the particles to points of shape (N, d)."""

        points = self.check_fit(x)
        origin, scale = points.amin(0), points.double().std(0)
        z = (points.double() - origin.double()) / torch.where(scale > 0, scale, 1.0)
        random = torch.Generator().manual_seed(stream_seed(seed, Stream.PARTICLES))
        order = torch.randperm(len(z), generator=random)
        distances = torch.pdist(z[order[:MEDIAN_ROWS]])
        unit = float(distances.median()) or float(distances.max()) or 1.0
        kernel = Sum([SquaredExponential(share) for share in SPREAD], unit)
        embedding = Nystrom(kernel, LANDMARKS).fit(z, stream_seed(seed, Stream.LANDMARKS))
        rows = torch.randint(len(z), (self.particles,), generator=random)
        width = SPREAD[0] * unit * self.jitter
        start = z[rows] + SPREAD[0] * unit * torch.randn(self.particles, z.shape[1], generator=random).double()
        low, high = z.amin(0), z.amax(0)
        start = start.maximum(low).minimum(high)
        found = fit_particles(embedding.transform, embedding.mean(z), start, self.steps, SPREAD[0] * unit, low, high)
        self.state = {
            "origin": origin,
            "scale": scale,
            "points": found,
            "width": torch.tensor(width, dtype=torch.float64),
        }
        return self

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check that the tensors describe particles."""

        if (state["scale"] < 0).any() or state["width"] < 0 or len(state["points"]) != self.particles:
            raise ValueError("points, scale and width do not belong together")

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n points from the particles, with jitter."""

        state = self.check_sample(n)
        z = jittered(state["points"], n, float(state["width"]), seed)
        x = state["origin"].double() + z * state["scale"]
        return x.to(state["origin"].dtype)
