"""Ways of dealing a dataset's rows out to parties."""

from dataclasses import dataclass
from numbers import Real

import numpy as np

from cgm.data.splits.base import SHARES, Split, _check_sizes


@dataclass(frozen=True)
class Dirichlet(Split):
    r"""Draws each party's shares of classes from a symmetric Dirichlet distribution.

    The columns do not balance: where some class is wanted by many parties, `points_per_party` is bounded by
    that class.

    Arguments:
        n_parties: The number $n$ of parties.
        points_per_party: The points of each party. If `None`, as many as the scarcest class allows, at most
            500.
        concentration: The parameter of the distribution: near 0, a party has one class; large, all evenly.

    Raises:
        ValueError: If there are fewer than 1 party or 2 points per party, or the concentration is not a
            positive number.

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
        """Refuses settings that make no split."""

        _check_sizes(self.n_parties, self.points_per_party)
        if not isinstance(self.concentration, Real) or not 0 < self.concentration < float("inf"):
            raise ValueError(f"split.concentration={self.concentration}: expected a positive number, say 0.5")

    def shares(self, n_classes: int, seed: int = 0) -> np.ndarray:
        """Draws the share of each party's points by class; see `Split.shares`."""

        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SHARES,)))
        shares = rng.dirichlet([self.concentration] * n_classes, size=self.n_parties)  # (n, m)

        return shares / shares.sum(axis=1, keepdims=True)
