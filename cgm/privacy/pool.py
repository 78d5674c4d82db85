r"""The synthetic pool from sketches alone: particles that are fitted to the parties' noisy mean embedding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch

from cgm.generators.mean_embedding import apportioned, fit_particles, jittered
from cgm.privacy.features import ROWS, Classes
from cgm.privacy.schema import SketchSchema
from cgm.privacy.sketch import Sketch, check_sketches
from cgm.privacy.valuation import SketchValuation
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import limited, progress
from cgm.utils.settings import Integer, Number, Settings
from cgm.valuation.embedding import Embedding

CANDIDATES = 20_000  # rows that fill the ranges evenly, among which particles start
FOLLOWED = 10_000  # points of a pool of which it is measured how far they follow the noise
AGAIN = 0.2  # share of the steps when a fit is repeated from where it ended


@dataclass(frozen=True)
class ParticleFit(Settings):
    r"""How a pool is fitted to sketches.

    Arguments:
        particles: The number of particles.
        steps: The number of steps of Adam.
        jitter: The standard deviation of the noise around particles, in length-scales.
        draws: The number of times that the fit is repeated with more noise, to measure how far the pool follows it.
    """

    section = "generator"

    particles: Annotated[int, Integer(min=2)] = 500
    steps: Annotated[int, Integer(min=1)] = 250
    jitter: Annotated[float, Number(min=0)] = 0.1
    draws: Annotated[int, Integer(min=2)] = 8

    @limited(1)  # sums, and so the particles, depend on the number of threads
    def fit(self, sketches: Sequence[Sketch], seed: int) -> Particles:
        r"""Fit particles to the noisy mean embedding of all rows, and again to some with more noise.

        Arguments:
            sketches: The sketches.
            seed: The seed of starts, jitter and repetitions, which has nothing to do with the noise of the sketches.
        """

        check_sketches(sketches)
        schema, rows = sketches[0].schema, sum(sketch.rows for sketch in sketches)
        totals = torch.stack([sketch.sums for sketch in sketches])
        noise = torch.tensor([sketch.noise for sketch in sketches], dtype=torch.float64)
        start = _start(schema, totals.sum(0) / rows, float(noise.norm()) / rows, self.particles, seed)
        points = self._fit(schema, totals.sum(0) / rows, start, self.steps)
        random, repeated = np.random.default_rng(stream_seed(seed, Stream.REPEATED_FITS)), []
        steps = max(1, int(AGAIN * self.steps))
        with progress(self.draws, "repeated fits") as bar:
            for _ in range(self.draws):
                z = noise[:, None] * torch.from_numpy(random.standard_normal(totals.shape))
                repeated.append((z, self._fit(schema, (totals + z).sum(0) / rows, points, steps)))
                bar.update()
        return Particles(self, tuple(sketches), points, tuple(repeated), seed)

    def _fit(self, schema: SketchSchema, mean: torch.Tensor, start: torch.Tensor, steps: int) -> torch.Tensor:
        unit, where = schema.kernel.numeric_lengthscale, schema.label_slice
        low, high = (corner.repeat(len(start), 1) for corner in schema.corners())
        low[:, where] = high[:, where] = start[:, where]  # classes stay
        return fit_particles(schema.embedding.quick, mean, start, steps, unit, low, high)


@dataclass(frozen=True, eq=False)
class Particles:
    r"""Particles that were fitted to sketches, from which a pool of any size is drawn.

    With more noise $z'$ on the sketches, a pool follows it by $\langle z'_i, S'_G - S_G \rangle$, and it has followed
    the noise that they have as much: the mean over repetitions is subtracted from $\langle \tilde S_i, S_G \rangle$.

    Attributes:
        settings: How they were fitted.
        sketches: The sketches.
        points: The particles, of shape $(m, d)$.
        repeated: More noise, of shape $(n, D)$, and the particles that were fitted with it; some times.
        seed: The seed.
    """

    settings: ParticleFit
    sketches: tuple[Sketch, ...]
    points: torch.Tensor
    repeated: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    seed: int

    def __repr__(self) -> str:
        return f"Particles(points of shape {tuple(self.points.shape)}, of {len(self.sketches)} sketches)"

    @property
    def schema(self) -> SketchSchema:
        """The schema."""

        return self.sketches[0].schema

    def pool(self, size: int) -> torch.Tensor:
        """Draw the pool $G$, of shape (size, d): rows that the schema allows, around particles."""

        return self._around(self.points, size)

    def _around(self, particles: torch.Tensor, size: int) -> torch.Tensor:
        width = self.settings.jitter * self.schema.kernel.numeric_lengthscale
        return self.schema.encoding.nearest(jittered(particles, size, width, self.seed))

    @limited(1)
    def value(self, size: int, price: str = "none") -> SketchValuation:
        """Return the valuation of the sketches with a pool of some size."""

        embedding, pool, few = self.schema.embedding, self.pool(size), min(size, FOLLOWED)
        before = embedding.mean(self._around(self.points, few))
        changes = torch.stack([embedding.mean(self._around(points, few)) - before for _, points in self.repeated])
        noise = torch.stack([z for z, _ in self.repeated])  # (draws, n, D)
        followed = size * (noise @ changes[:, :, None]).mean(0)[:, 0]
        # ‖A Σ z‖² without what changes in every repetition, and the error of the mean that is subtracted
        square = float(changes.var(0).sum()) / float(noise.sum(1).square().mean(0).sum())
        response = size * math.sqrt(square * (1 + 1 / len(changes)))
        return SketchValuation(self.sketches, pool, price, followed, response)


def _start(schema: SketchSchema, mean: torch.Tensor, noise: float, count: int, seed: int) -> torch.Tensor:
    r"""Draw points to start from, by the noisy density $\langle \psi(x), \mu \rangle$ where it is above its noise."""

    candidates = schema.uniform(CANDIDATES)
    if schema.landmarks is not None:
        candidates = torch.cat([candidates, schema.with_classes(schema.landmarks)])
    embedding: Embedding = schema.embedding
    density = embedding.inner(candidates, mean[None])[:, 0]
    weights = (density - 2 * noise).clamp(min=0)
    if not float(weights.sum()) > 0:
        weights = torch.ones_like(weights)
    random = torch.Generator().manual_seed(stream_seed(seed, Stream.PARTICLES))
    if schema.label is None:
        rows = torch.multinomial(weights, count, replacement=True, generator=random)
    else:
        rows = _rows_by_class(schema, mean, candidates, weights, count, random)
    low, high = schema.corners()
    jitter = 0.1 * schema.kernel.numeric_lengthscale * torch.randn(count, schema.dimensions, generator=random).double()
    jitter[:, schema.label_slice] = 0.0
    return (candidates[rows] + jitter).maximum(low).minimum(high)


def _rows_by_class(
    schema: SketchSchema,
    mean: torch.Tensor,
    candidates: torch.Tensor,
    weights: torch.Tensor,
    count: int,
    random: torch.Generator,
) -> torch.Tensor:
    r"""Draw candidates by their weights, of each class in proportion to its noisy mass.

    The mass of a class is the multiple of its candidates' weighted mean embedding that is nearest to its part of the
    noisy mean embedding: one number, so that it has little noise.
    """

    embedding = schema.embedding
    assert isinstance(embedding, Classes)
    others, classes = embedding.split(candidates)
    target = mean.view(embedding.count, -1)
    masses = torch.zeros(embedding.count, dtype=torch.float64)
    for k in range(embedding.count):
        rows = torch.nonzero((classes == k) & (weights > 0))[:, 0]
        if len(rows):
            parts = zip(others[rows].split(ROWS), weights[rows].split(ROWS), strict=True)
            found = torch.stack([w @ embedding.base.quick(x) for x, w in parts]).sum(0) / weights[rows].sum()
            masses[k] = (found @ target[k] / found.square().sum()).clamp(min=0)
    if not float(masses.sum()) > 0:
        masses += 1.0
    chosen = []
    for k, size in enumerate(apportioned(masses.tolist(), count)):
        rows = torch.nonzero(classes == k)[:, 0]
        if size:
            of_class = weights[rows] if float(weights[rows].sum()) > 0 else torch.ones(len(rows), dtype=torch.float64)
            chosen.append(rows[torch.multinomial(of_class, size, replacement=True, generator=random)])
    return torch.cat(chosen)
