"""Labels by the nearest real points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cgm.evaluation.arrays import flat_array, labelled_arrays
from cgm.evaluation.labellers.base import Labeller
from cgm.utils.checks import check_integer, check_points


@dataclass(frozen=True)
class KNN(Labeller):
    """Labels of synthetic points by a vote of their nearest real points.

    Arguments:
        n_neighbors: The number of real points that vote.

    Raises:
        ValueError: If `n_neighbors` is out of range.

    Example:
        >>> x, y = torch.tensor([[0.0], [0.1], [5.0], [5.1]]), torch.tensor([0, 0, 1, 1])
        >>> KNN(n_neighbors=2).label(x, y, torch.tensor([[4.0], [1.0]]))
        tensor([1, 0])
    """

    n_neighbors: int = 5

    def __post_init__(self) -> None:
        check_integer("labeller.n_neighbors", self.n_neighbors, min=1)

    def label(self, x: torch.Tensor, y: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
        r"""Label synthetic points, see `Labeller.label`.

        Raises:
            ValueError: If the widths differ, a point has no class, or there are fewer real points than votes.
        """

        from sklearn.neighbors import KNeighborsClassifier

        points, classes = labelled_arrays(x, y, "labelling: real points")
        check_points(synthetic, "labelling: synthetic points", width=x.shape[1])
        if self.n_neighbors > len(points):
            raise ValueError(
                f"labeller.n_neighbors={self.n_neighbors}: expected at most the number of real points, {len(points)}"
            )
        votes = KNeighborsClassifier(self.n_neighbors).fit(points, classes)

        return torch.from_numpy(votes.predict(flat_array(synthetic)).astype(np.int64))
