"""Random shares of classes."""

from dataclasses import dataclass

import numpy as np

from cgm.data.splits.base import SHARES, Split, check_sizes
from cgm.utils.checks import check_number


@dataclass(frozen=True)
class Dirichlet(Split):
    r"""Split with shares of classes drawn from a symmetric Dirichlet distribution, independently for each party.

    The classes are not balanced: where many parties need the same class, that class limits `points_per_party`.

    Arguments:
        n_parties: The number $n$ of parties.
        points_per_party: The number of points of each party. If `None`, as many as the scarcest class allows, at
            most 500.
        concentration: The parameter of the distribution. Near 0, a party has a single class; if it is large, each
            party has all classes evenly.

    Raises:
        ValueError: If there are fewer than 1 party or 2 points per party, or the concentration is not positive and
            finite.

    References:
        Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification
        (Hsu et al., 2019), https://arxiv.org/abs/1909.06335

    Example:
        >>> Dirichlet(n_parties=2, concentration=100.0).shares(2, seed=0).sum(axis=1)
        array([1., 1.])
    """

    n_parties: int = 5
    points_per_party: int | None = None
    concentration: float = 0.5

    def __post_init__(self) -> None:
        check_sizes(self.n_parties, self.points_per_party)
        check_number("split.concentration", self.concentration, min=0, open_min=True)

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Draw the share of each party's points by class; see `Split.shares`."""

        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SHARES,)))
        shares = rng.dirichlet([self.concentration] * n_classes, size=self.n_parties)  # (n, m)

        return shares / shares.sum(axis=1, keepdims=True)
