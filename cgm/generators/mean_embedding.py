r"""Particles whose mean embedding is that of the data."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from cgm.generators.base import Generator
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import limited
from cgm.utils.settings import Integer, Listed, Number
from cgm.valuation.embedding import Nystrom
from cgm.valuation.kernels import SquaredExponential, Sum

log = logging.getLogger(__name__)

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
        low, high: The range of each dimension, of shape (d) or (m, d), which points do not leave.

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


def apportioned(weights: Sequence[float], total: int) -> list[int]:
    """Divide a whole number in proportion to weights, by largest remainders.

    Example:
        >>> apportioned([0.5, 0.3, 0.2], 9)
        [4, 3, 2]
    """

    shares = [total * weight / sum(weights) for weight in weights]
    counts = [math.floor(share) for share in shares]
    rest = sorted(range(len(shares)), key=lambda k: counts[k] - shares[k])
    for k in rest[: total - sum(counts)]:
        counts[k] += 1
    return counts


def jittered(particles: torch.Tensor, n: int, width: float | torch.Tensor, seed: int) -> torch.Tensor:
    r"""Draw n points from particles, as evenly as possible, each with Gaussian noise.

    Arguments:
        particles: The particles, of shape (m, d).
        n: The number of points.
        width: The standard deviation of the noise, of all dimensions or of each, of shape (d).
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

    With a label, the kernel is $k(x, x') \cdot 1[y = y']$: the mean embedding is that of each class, particles are
    fitted to each class in proportion to its number of points, and samples have the classes of the points.

    Arguments:
        particles: The number of particles.
        steps: The number of steps of Adam.
        jitter: The standard deviation of the noise around particles, in smallest length-scales.
        label: The columns of points, from 0, whose values are the class: one, or all of a one-hot code. None, if empty.
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
    label: Annotated[Sequence[int], Listed(Integer(min=0))] = ()

    shapes: ClassVar = {"origin": ("d",), "scale": ("d",), "points": ("m", "d"), "width": ()}

    def __post_init__(self) -> None:
        if isinstance(self.label, Iterable) and not isinstance(self.label, str):
            self.label = tuple(self.label)  # a list of its own kind, if it comes from a file
        super().__post_init__()

    @limited(1)  # sums, and so the particles, depend on the number of threads
    def fit(self, x: torch.Tensor, seed: int) -> MeanEmbedding:
        """Fit the particles to points of shape (N, d)."""

        points = self.check_fit(x)
        label, others = self._label(points.shape[1])
        origin, scale = points.amin(0), points.double().std(0)
        origin[label], scale[label] = 0.0, 1.0  # classes stay as they are
        z = (points.double() - origin.double()) / torch.where(scale > 0, scale, 1.0)
        random = torch.Generator().manual_seed(stream_seed(seed, Stream.PARTICLES))
        order = torch.randperm(len(z), generator=random)
        distances = torch.pdist(z[order[:MEDIAN_ROWS]][:, others])
        unit = float(distances.median()) or float(distances.max()) or 1.0
        kernel = Sum([SquaredExponential(share) for share in SPREAD], unit)
        embedding = Nystrom(kernel, LANDMARKS).fit(z[:, others], stream_seed(seed, Stream.LANDMARKS))
        width = SPREAD[0] * unit * self.jitter
        classes, members = z.new_zeros(1, 0), torch.zeros(len(z), dtype=torch.int64)
        if label:
            classes, members = torch.unique(z[:, label], dim=0, return_inverse=True)
        sizes = apportioned(members.bincount(minlength=len(classes)).tolist(), self.particles)
        particles = []
        for k, size in enumerate(sizes):
            if not size:
                continue
            of_class = z[members == k][:, others]
            rows = torch.randint(len(of_class), (size,), generator=random)
            noise = torch.randn(size, len(others), generator=random).double()
            low, high = of_class.amin(0), of_class.amax(0)
            start = (of_class[rows] + SPREAD[0] * unit * noise).maximum(low).minimum(high)
            target = embedding.mean(of_class)
            found = fit_particles(embedding.transform, target, start, self.steps, SPREAD[0] * unit, low, high)
            whole = z.new_empty(size, z.shape[1])
            whole[:, others], whole[:, label] = found, classes[k]
            particles.append(whole)
        self.warnings = []
        if missing := sizes.count(0):
            self.warnings = [f"generator.particles={self.particles}: too few for the rarest classes, {missing} of them"]
            log.warning(self.warnings[0])
        self.state = {
            "origin": origin,
            "scale": scale,
            "points": torch.cat(particles),
            "width": torch.tensor(width, dtype=torch.float64),
        }
        return self

    def _label(self, d: int) -> tuple[list[int], list[int]]:
        """Return the columns of the label, and all others, of points with d columns."""

        label = list(self.label)
        if len(set(label)) < len(label) or any(column >= d for column in label) or (label and len(label) == d):
            raise ValueError(
                f"generator.label={label}: expected different columns from 0 to {d - 1}, and another one beside them"
            )
        return label, [column for column in range(d) if column not in label]

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check that the tensors describe particles."""

        if (state["scale"] < 0).any() or state["width"] < 0 or len(state["points"]) != self.particles:
            raise ValueError("points, scale and width do not belong together")

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n points from the particles, with jitter."""

        state = self.check_sample(n)
        label, _ = self._label(state["points"].shape[1])
        width = state["width"].repeat(state["points"].shape[1])
        width[label] = 0.0
        z = jittered(state["points"], n, width, seed)
        x = state["origin"].double() + z * state["scale"]
        return x.to(state["origin"].dtype)
