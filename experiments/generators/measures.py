"""Measures of synthetic images: likeness to real ones, classes, privacy."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cgm.evaluation.metrics.paper import Gaussian, neg_wasserstein2
from cgm.generators.network import cubic_kernel, kid
from cgm.utils.run import progress

TILE = 2000  # candidates whose distances are computed at once


def frechet(s: Gaussian, t: Gaussian) -> float:
    """Compute the squared Fréchet distance of two Gaussians, or of the Gaussians of two sets of shape (N, d)."""

    return 0.0 - neg_wasserstein2(s, t)


def kernel_distance(
    s: torch.Tensor,
    t: torch.Tensor,
    block: int,
    kernel: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = cubic_kernel,
) -> tuple[float, float]:
    r"""Compute the kernel inception distance, see `cgm.generators.mmd_gan.losses.kid`.

    Arguments:
        s: Features of shape $(N, d)$, in random order.
        t: Features to compare with, of shape $(M, d)$, in random order.
        block: The number of points of either set in a block; points that fill no block are left out.
        kernel: Another kernel.

    Returns:
        The mean over blocks, and its standard error.

    Raises:
        ValueError: If there are fewer than two blocks.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018), Sec. 4.
    """

    n = min(len(s), len(t))
    if n < 2 * block:
        raise ValueError(f"kid_block={block}: a standard error needs two blocks, but there are {n} images in total")
    values = kid(s.double(), t.double(), block=block, kernel=kernel).numpy()

    return float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))


def precision_and_recall(generated: torch.Tensor, real: torch.Tensor, k: int) -> tuple[float, float]:
    r"""Compute precision and recall of generated points.

    The support of a set is taken as the union of balls around its points, each of which reaches to the $k$-th nearest
    other point of the set. The precision is the share of generated points in the support of the real ones; the recall
    is the share of real points in the support of the generated ones.

    Arguments:
        generated: Features of shape $(N, d)$.
        real: Features of shape $(M, d)$.
        k: The rank of the neighbour.

    References:
        Improved Precision and Recall Metric for Assessing Generative Models (Kynkäänniemi et al., 2019), Eq. 1 and 2.
    """

    return _share_within(generated, real, k), _share_within(real, generated, k)


def _share_within(x: torch.Tensor, support: torch.Tensor, k: int) -> float:
    """Return the share of points x in the support of a set."""

    x, support = x.double(), support.double()
    radii = torch.cat([torch.cdist(part, support).kthvalue(k + 1).values for part in support.split(TILE)])
    inside = torch.cat([(torch.cdist(part, support) <= radii).any(1) for part in x.split(TILE)])

    return float(inside.double().mean())


def class_shares(probabilities: torch.Tensor, confidence: float) -> dict[str, Any]:
    """Count images by their most probable class.

    Arguments:
        probabilities: The probabilities of the classes, of shape (N, m).
        confidence: The probability above which the classifier is confident of a class.

    Returns:
        The share of each class (`shares`), the smallest of them (`min`), the share of images whose class is certain
        enough (`confident`), and the share of images between classes, none of which has a probability of more than one
        half (`between`).
    """

    n, classes = probabilities.shape
    highest, labels = probabilities.max(1)
    shares = labels.bincount(minlength=classes).double() / n
    confident = float((highest > confidence).double().mean())

    between = float((highest <= 0.5).double().mean())

    return {"shares": shares.tolist(), "min": float(shares.min()), "confident": confident, "between": between}


def nearest(x: torch.Tensor, candidates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the candidate nearest to each image, by the Euclidean distance of the pixels.

    Arguments:
        x: Images of shape (N, C, H, W).
        candidates: Images of shape (M, C, H, W).

    Returns:
        The distances, float64, and the rows of the candidates, each of shape (N).
    """

    points = x.flatten(1).double()
    lowest, rows = torch.full((len(x),), math.inf, dtype=torch.float64), torch.zeros(len(x), dtype=torch.long)

    with progress(len(candidates), "nearest images") as bar:
        for start in range(0, len(candidates), TILE):
            tile = candidates[start : start + TILE].flatten(1).double()
            # without |x|², which is the same for all candidates
            distances, best = torch.addmm(tile.square().sum(1), points, tile.T, alpha=-2).min(1)
            rows = torch.where(distances < lowest, start + best, rows)
            lowest = torch.minimum(distances, lowest)
            bar.update(len(tile))

    # from differences, which are exact for a copy, where the sum above would cancel
    return torch.linalg.vector_norm(points - candidates[rows].flatten(1).double(), dim=1), rows


def closeness(to_training: torch.Tensor, to_test: torch.Tensor) -> dict[str, Any]:
    r"""Compare the distances of samples to training images with those to an equal number of test images.

    Arguments:
        to_training: The distance $d_\text{train}$ of each sample to the nearest training image, of shape $(N)$.
        to_test: The distance $d_\text{test}$ of each sample to the nearest test image, of shape $(N)$.

    Returns:
        The quartiles of $d_\text{train} / d_\text{test}$ (`quartiles`, the second is the median) and the share of
        samples for which it is below 1 (`below_1`): about one half if training images are not copied.
    """

    ratios = torch.where(to_training == to_test, 1.0, to_training / to_test.clamp(min=1e-12))  # 0 / 0 counts as 1
    quartiles = np.quantile(ratios.numpy(), (0.25, 0.5, 0.75)).tolist()

    return {"quartiles": quartiles, "below_1": float((ratios < 1).double().mean())}
