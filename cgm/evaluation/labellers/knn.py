"""Labels by a vote of the nearest real points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from cgm.evaluation.arrays import flat_array, labelled_arrays
from cgm.evaluation.labellers.base import Labeller
from cgm.utils.checks import check_integer, check_points


@dataclass(frozen=True)
class KNN(Labeller):
    """Label synthetic points by a vote of their nearest real points.

    Arguments:
        n_neighbors: The number of real points that vote.
    """

    n_neighbors: int = 5

    def __post_init__(self) -> None:
        check_integer("labeller.n_neighbors", self.n_neighbors, min=1)

    def label(self, x: Tensor, y: Tensor, synthetic: Tensor) -> Tensor:
        """Label synthetic points, see `label_synthetic`."""

        return label_synthetic(x, y, synthetic, self.n_neighbors)


def label_synthetic(x: Tensor, y: Tensor, synthetic: Tensor, n_neighbors: int = 5) -> Tensor:
    r"""Label synthetic points by a vote of their nearest real points.

    Labels are for judging only: the framework values and samples without them.

    Arguments:
        x: Real points, of shape $(N, d)$.
        y: Their classes, of shape $(N)$.
        synthetic: Synthetic points, of shape $(M, d)$.
        n_neighbors: How many real points vote.

    Returns:
        The classes of the synthetic points, of shape $(M)$, int64.

    Raises:
        ValueError: If the widths differ, a point has no class, or there are fewer real points than votes.

    Example:
        >>> x, y = torch.tensor([[0.0], [0.1], [5.0], [5.1]]), torch.tensor([0, 0, 1, 1])
        >>> label_synthetic(x, y, torch.tensor([[4.0], [1.0]]), n_neighbors=2)
        tensor([1, 0])
    """

    points, classes = labelled_arrays(x, y, "labelling: real points")
    check_points(synthetic, "labelling: synthetic points", width=x.shape[1])
    if not 1 <= n_neighbors <= len(points):
        raise ValueError(
            f"labeller.n_neighbors={n_neighbors}: must be between 1 and the number of real points, {len(points)}"
        )
    labeller = KNeighborsClassifier(n_neighbors).fit(points, classes)

    return torch.from_numpy(labeller.predict(flat_array(synthetic)).astype(np.int64))
