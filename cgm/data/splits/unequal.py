"""Ways of dealing a dataset's rows out to parties."""

from dataclasses import dataclass

import numpy as np

from cgm.data.splits.base import Split, _check_sizes, own_classes


@dataclass(frozen=True)
class Unequal(Split):
    r"""Gives some parties all classes evenly, and the others a part of the classes each (Sec. 6, "unequal").

    The first two fifths of the parties (rounded) have all classes in equal shares. Each of the $q$ others has
    5 % of its points spread evenly over all classes, and 95 % in a window of classes: the classes lie side
    by side on a line, each with the same length, and the line is cut into $q$ equal windows. Before that,
    classes are put together into $\min(n, m)$ groups (see `own_classes`); the classes of a group have equal
    shares. So windows overlap in the group where they are cut, and columns sum to the same total: the pooled
    data is balanced. With 5 parties and 5 or 10 classes this is the paper's matrix.

    Arguments:
        n_parties: The number $n$ of parties, at least 3: with 2, one that has all classes evenly would leave
            the other all classes evenly as well.
        points_per_party: The points of each party. If `None`, as many as the scarcest class allows, at most
            500.

    Raises:
        ValueError: If there are fewer than 3 parties or 2 points per party.

    Example:
        >>> Unequal(n_parties=3).shares(2).round(3)
        array([[0.5  , 0.5  ],
               [0.975, 0.025],
               [0.025, 0.975]])
    """

    n_parties: int = 5
    points_per_party: int | None = None

    def __post_init__(self) -> None:
        """Refuses settings that make no split."""

        _check_sizes(self.n_parties, self.points_per_party, least=3)

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Returns the share of each party's points by class; see `Split.shares`."""

        uniform = round(2 * self.n_parties / 5)
        windows = self.n_parties - uniform
        result = np.full((self.n_parties, n_classes), 1 / n_classes)

        for j, row in enumerate(result[uniform:]):
            row *= 0.05
            for group in own_classes(min(self.n_parties, n_classes), n_classes):
                left = max(group[0] / n_classes, j / windows)
                right = min((group[-1] + 1) / n_classes, (j + 1) / windows)
                row[group] += 0.95 * windows * max(right - left, 0.0) / len(group)

        return result
