"""Simulated credit ratings, and the random numbers of the paper's own experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch

from cgm.data.datasets.base import Dataset
from cgm.utils.checks import check_integer
from cgm.utils.random import Stream
from cgm.utils.settings import Integer, Settings

CLASSES = 5
VARIANCE = 1 / 200


def mixture(mixture_seed: int = 2) -> tuple[np.ndarray, float]:
    r"""Return the parameters of the mixture of 5 equally likely Gaussians from which credit ratings are drawn.

    Arguments:
        mixture_seed: The seed of the means, which are uniform in $[0, 1]^2$.

    Returns:
        The means, of shape $(5, 2)$, and the variance $\sigma^2 = 1/200$ of each class, whose covariance
        is $\sigma^2 I$.

    Example:
        >>> means, variance = mixture()
        >>> means[0].round(3), variance
        (array([0.436, 0.026]), 0.005)
    """

    return np.random.RandomState(mixture_seed).uniform(size=(CLASSES, 2)), VARIANCE


@dataclass(frozen=True)
class CreditRatings(Settings):
    r"""Simulated credit ratings: points in 2-D around 5 centres, one per class (Sec. 6a).

    The first dimension is the credit score, the second a measure of the likelihood of default. The mixture is
    determined by `mixture_seed`; the seed that is passed to `load` affects the points only.

    Arguments:
        points_per_class: The number of points of each class from which parties are made.
        test_points_per_class: The number of held-out points of each class.
        mixture_seed: The seed of the centres.
        reference: Whether to use exactly the points of the paper's own experiment. Then `seed` affects only the
            held-out part, and splits take the rows in order.

    Raises:
        ValueError: If `reference` is combined with a number of points or a mixture other than the paper's.

    Example:
        >>> dataset = CreditRatings(points_per_class=10).load(data_dir=None, seed=0)
        >>> dataset.x.shape, dataset.x_test.shape
        (torch.Size([50, 2]), torch.Size([1000, 2]))
    """

    section = "dataset"

    points_per_class: Annotated[int, Integer(min=1)] = 1000
    test_points_per_class: Annotated[int, Integer(min=1)] = 200
    mixture_seed: Annotated[int, Integer(min=0, max=2**32 - 1)] = 2
    reference: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reference and (self.points_per_class, self.mixture_seed) != (1000, 2):
            raise ValueError(
                f"dataset.reference=true: the paper's points need dataset.points_per_class=1000 and "
                f"dataset.mixture_seed=2, got {self.points_per_class} and {self.mixture_seed}"
            )

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Draw the points; no data folder is needed."""

        if self.reference:
            x = _reference_points()[0]
        else:
            x = self._draw(self.points_per_class, seed, Stream.TRAINING_POINTS)

        return Dataset(
            name="credit_ratings",
            x=torch.from_numpy(x),
            y=torch.arange(CLASSES).repeat_interleave(self.points_per_class),
            x_test=torch.from_numpy(self._draw(self.test_points_per_class, seed, Stream.TEST_POINTS)),
            y_test=torch.arange(CLASSES).repeat_interleave(self.test_points_per_class),
            classes=tuple(f"cluster {c}" for c in range(CLASSES)),
            ordered=self.reference,
        )

    def _draw(self, points: int, seed: int, stream: int) -> np.ndarray:
        """Draw points of each class, sorted by class, of shape (5 points, 2)."""

        means, variance = mixture(self.mixture_seed)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))
        noise = rng.standard_normal((CLASSES * points, 2))

        return means.repeat(points, axis=0) + np.sqrt(variance) * noise


def reference_pool(n: int) -> np.ndarray:
    r"""Return the synthetic pool of the paper's own experiment.

    That experiment drew all its numbers from one random stream. Therefore the draws before the pool are repeated:
    the means, the points of each class, and a permutation of the 1,000 rows of each of 5 parties.

    Arguments:
        n: The number of points, 100,000 in the paper. A smaller pool is the first part of a larger one.

    Returns:
        The points, of shape $(n, 2)$.

    Example:
        >>> reference_pool(1000).mean(axis=0).round(1)
        array([0.4, 0.3])
    """

    check_integer("synthetic_size", n, min=1)

    _, means, stream = _reference_points()
    for _ in range(5):
        stream.permutation(1000)

    classes = np.empty(n, dtype=np.int64)
    noise = np.empty((n, 2))
    for i in range(n):  # class and point alternate in the stream
        classes[i] = stream.randint(CLASSES)
        noise[i] = stream.standard_normal(2)

    # The legacy generator's multivariate_normal, with one decomposition for all n draws: z diag(√s) V + mean.
    _, s, v = np.linalg.svd(VARIANCE * np.eye(2))

    return noise @ (np.sqrt(s)[:, None] * v) + means[classes]  # (n, 2) @ (2, 2) + (n, 2)


def _reference_points() -> tuple[np.ndarray, np.ndarray, np.random.RandomState]:
    """Return the paper's points, sorted by class, the means, and the random stream after these draws."""

    stream = np.random.RandomState(2)
    means = stream.uniform(size=(CLASSES, 2))
    points = [stream.multivariate_normal(mean, VARIANCE * np.eye(2), 1000) for mean in means]

    return np.concatenate(points), means, stream
