"""Labelled points: as pairs of tensors, and as arrays for scikit-learn and SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from numpy.typing import NDArray

from cgm.utils.checks import check_labels, check_points

NO_LABELS = "the synthetic points have no labels (labeller=none)"  # why there is no number that needs them

Labelled: TypeAlias = "tuple[torch.Tensor, torch.Tensor]"  # points (N, d) and their classes (N)
Arrays = tuple[NDArray, NDArray]  # the same as arrays


def flat_array(x: torch.Tensor) -> NDArray:
    """Return points as a float64 array of shape (N, d)."""

    return x.detach().flatten(1).double().cpu().numpy()


def labelled_arrays(x: torch.Tensor, y: torch.Tensor, name: str, width: Sequence[int] | None = None) -> Arrays:
    """Check labelled points and return them as arrays of shapes (N, d) and (N).

    Arguments:
        x: The points, of shape (N, d) or, for images, (N, C, H, W).
        y: Their classes, of shape (N).
        name: What the points are called in an error.
        width: The shape of a single point, such as (d,). Any, if `None`.

    Raises:
        ValueError: If points or classes are invalid, or do not fit each other or the width.
    """

    x, y = check_points(x, name), check_labels(y, f"{name}, labels")
    if len(x) != len(y):
        raise ValueError(f"{name}: {len(x)} points but {len(y)} labels, each point needs one")
    if width is not None and x.shape[1:] != torch.Size(width):
        raise ValueError(f"{name}: points of shape {tuple(x.shape[1:])} where {tuple(width)} is expected")

    return flat_array(x), y.detach().cpu().numpy()
