"""The split "equal disjoint" of the paper."""

from dataclasses import dataclass

import numpy as np

from cgm.data.splits.base import Split, check_sizes, own_classes
from cgm.utils.checks import check_number


@dataclass(frozen=True)
class EqualDisjoint(Split):
    r"""Split in which each party has a large majority of its points in classes of its own (Sec. 6).

    Classes are assigned to parties in contiguous runs (see `own_classes`). A party's own classes share the
    majority evenly, and all other classes share the rest evenly. If all classes belong to one party, it has them
    in equal shares. With 5 parties this is the paper's matrix: 0.96 and 0.01 for 5 classes, 0.48 twice and
    0.005 for 10.

    Arguments:
        n_parties: The number $n$ of parties.
        points_per_party: The number of points of each party. If `None`, as many as the scarcest class allows, at
            most 500.
        majority: The share of a party's points in its own classes.

    Raises:
        ValueError: If there are fewer than 1 party or 2 points per party, or the majority is not in $(0, 1]$.

    Example:
        >>> EqualDisjoint(n_parties=2, majority=0.9).shares(4).round(3)
        array([[0.45, 0.45, 0.05, 0.05],
               [0.05, 0.05, 0.45, 0.45]])
    """

    n_parties: int = 5
    points_per_party: int | None = None
    majority: float = 0.96

    def __post_init__(self) -> None:
        check_sizes(self.n_parties, self.points_per_party)
        check_number("split.majority", self.majority, min=0, max=1, open_min=True)

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Return the share of each party's points by class; see `Split.shares`."""

        own = own_classes(self.n_parties, n_classes)
        result = np.empty((self.n_parties, n_classes))
        for row, classes in zip(result, own, strict=True):
            others = n_classes - len(classes)
            row[:] = (1 - self.majority) / max(others, 1)
            row[classes] = (self.majority if others else 1.0) / len(classes)

        return result
