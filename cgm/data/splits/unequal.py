"""The split "unequal" of the paper."""

from dataclasses import dataclass

import numpy as np

from cgm.data.splits.base import Split, check_sizes, own_classes


@dataclass(frozen=True)
class Unequal(Split):
    r"""Split in which some parties have all classes evenly, and each other party has a part of them (Sec. 6).

    The first two fifths of the parties (rounded) have all classes in equal shares. Each of the $q$ others has
    5 % of its points spread evenly over all classes, and 95 % in a window of classes: the classes are placed side
    by side on a line, all with the same length, and the line is cut into $q$ equal windows. Before that, the
    classes are combined into $\min(n, m)$ groups (see `own_classes`); the classes of a group have equal shares.
    Neighbouring windows overlap in the group in which they are cut, and columns sum to the same total: the pooled
    data is balanced. With 5 parties and 5 or 10 classes this is the paper's matrix.

    Arguments:
        n_parties: The number $n$ of parties, at least 3. With 2 parties, one would have all classes evenly, which
            would leave the other with all classes evenly as well.
        points_per_party: The number of points of each party. If `None`, as many as the scarcest class allows, at
            most 500.

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
        check_sizes(self.n_parties, self.points_per_party, min_parties=3)

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Return the share of each party's points by class; see `Split.shares`."""

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
