"""Ways of dealing a dataset's rows out to parties."""

from dataclasses import dataclass
from numbers import Real

import numpy as np

from cgm.data.splits.base import Split, _check_sizes, own_classes


@dataclass(frozen=True)
class EqualDisjoint(Split):
    r"""Gives each party a large majority of points in classes of its own (Sec. 6, "equal disjoint").

    Classes are assigned to parties in contiguous runs (see `own_classes`). A party's own classes share the
    majority evenly, all other classes share the rest evenly. A party to which all classes belong has them
    in equal shares. With 5 parties this is the paper's matrix: 0.96 and 0.01 for 5 classes, 0.48 twice and
    0.005 for 10.

    Arguments:
        n_parties: The number $n$ of parties.
        points_per_party: The points of each party. If `None`, as many as the scarcest class allows, at most
            500.
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
        """Refuses settings that make no split."""

        _check_sizes(self.n_parties, self.points_per_party)
        if not isinstance(self.majority, Real) or not 0 < self.majority <= 1:
            raise ValueError(f"split.majority={self.majority}: expected a share in (0, 1], say 0.96")

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Returns the share of each party's points by class; see `Split.shares`."""

        own = own_classes(self.n_parties, n_classes)
        result = np.empty((self.n_parties, n_classes))
        for row, classes in zip(result, own, strict=True):
            others = n_classes - len(classes)
            row[:] = (1 - self.majority) / max(others, 1)
            row[classes] = (self.majority if others else 1.0) / len(classes)

        return result
