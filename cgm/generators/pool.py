r"""The synthetic pool $G$."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cgm.data.features.base import Features
from cgm.generators.base import Generator
from cgm.utils.cache import cached
from cgm.utils.checks import check_points
from cgm.utils.shown import brief

MAX_IMAGES = 20_000  # images that are kept for figures


@dataclass(frozen=True)
class Pool:
    r"""The synthetic pool $G$.

    Attributes:
        points: Its points, of shape $(|G|, d)$, float64.
        images: The first 20,000 of them as images, of shape $(k, C, H, W)$, uint8; $k = 0$ if the generator makes
            points.
    """

    points: torch.Tensor
    images: torch.Tensor

    def __repr__(self) -> str:
        return brief(self)


def draw_pool(
    generator: Generator,
    features: Features | None,
    size: int,
    seed: int,
    width: int,
    cache: str | Path | None = None,
) -> Pool:
    r"""Draw $G$ from a generator.

    Arguments:
        generator: The generator, fitted.
        features: The features of what it draws, if that is images. Fitted. `None`: the points of the pool are what it
            draws, as it is.
        size: $|G|$.
        seed: The seed of the sample.
        width: The expected dimension $d$ of the points.
        cache: A folder in which pools of images, and of points of generators that are networks, are kept, under a key
            made of the fingerprints of generator and features, the size and the seed. `None`: they are not kept.
            Those of a generator or features whose class is not of cgm are never kept: its code may change.

    Raises:
        ValueError: If the generator does not return `size` points of dimension `width`.
    """

    def draw() -> dict[str, torch.Tensor]:
        sample = points = generator.sample(size, seed)
        if not isinstance(sample, torch.Tensor):
            raise ValueError(
                f"generator: sample returned a {type(sample).__name__}, expected a tensor; see check_generator"
            )
        for start, part in enumerate(sample.split(1000)):  # in parts: masks of images would take much memory
            finite = torch.isfinite(part).reshape(len(part), -1).all(1)
            if not finite.all():
                row = 1000 * start + int((~finite).nonzero()[0])
                raise ValueError(
                    f"generator: {type(generator).__name__}.sample returned NaN or infinity in row {row} of {size}; "
                    "see check_generator"
                )
        if features is not None:
            points = features.nearest(sample if generator.space == "features" else features.transform(sample))
        points = check_points(points, "generator: synthetic pool", width=width, min=size)
        if len(points) > size:
            raise ValueError(f"generator: sample({size}, seed) returned {len(points)} points instead of {size}")
        pool = {"points": points if features is None else points.double()}
        if generator.space == "data" and sample.dim() == 4:
            first = sample[:MAX_IMAGES].split(1000)
            pool["images"] = torch.cat([(255 * part.clamp(0, 1)).round().to(torch.uint8) for part in first])
        return pool

    prints = {"generator": generator.fingerprint(), "features": features.fingerprint() if features else "none"}
    if generator.space == "features" or None in prints.values():
        cache = None  # points are drawn fast; without a fingerprint there is no key
    pool = cached(cache, "pool", prints | {"size": size, "seed": seed}, draw)

    return Pool(pool["points"], pool.get("images", torch.empty(0, 1, 1, 1, dtype=torch.uint8)))


def embed_pool(
    features: Features, parties: Sequence[torch.Tensor], pool: Pool, seed: int | None, cache: str | Path | None = None
) -> tuple[list[torch.Tensor], Pool]:
    r"""Map the reference dataset $T$, parties and pool together, to features.

    Arguments:
        features: The features. They are fitted to $T$, if there is a seed.
        parties: The parties' points, each of shape $(N_i, D)$ or $(N_i, C, H, W)$.
        pool: The pool as it was drawn, without features.
        seed: The seed of the fit. `None`: the features are used as they were fitted before.
        cache: A folder in which the fit is kept. `None`: it is not kept.

    Returns:
        The parties' points in the features, and the pool with its points in them.
    """

    shape = parties[0].shape[1:]
    t = torch.cat([*parties, pool.points.reshape(-1, *shape).to(parties[0].dtype)])
    points = features.transform(t) if seed is None else features.fit_transform(t, seed, cache)
    *x, g = points.split([*map(len, parties), len(pool.points)])

    return x, replace(pool, points=g)
