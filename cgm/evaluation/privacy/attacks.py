r"""Membership inference: scores by which an attacker guesses whether a row was in the data of other parties.

The attacker is party $i$. It knows its reward $G_i$ and its own data $D_i$, gives each row $x$ a score, and guesses
that rows with large scores are members. It knows neither the generator nor the other points of $G$.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 5  # the k of densities, smaller if there are fewer points
TRAINING_POINTS = 1000  # points of a class on which the classifier is trained
MIN_DISTANCE = 1e-150  # logarithms of distances: of two points that are equal as well
MAX_TREE_DIMENSION = 5  # in more dimensions, all distances are computed faster than a tree is searched


class Target(NamedTuple):
    r"""What an attack is given.

    Attributes:
        rows: The rows to score, of shape $(C, d)$.
        reward: The attacker's reward $G_i$, of shape $(K, d)$.
        own: The attacker's data $D_i$, of shape $(N, d)$.
        to_reward: The distances of the rows to their `NEIGHBOURS` nearest points of $G_i$, in ascending order, of shape
            $(C, k)$.
        to_own: The same for $D_i$.
    """

    rows: NDArray
    reward: NDArray
    own: NDArray
    to_reward: NDArray
    to_own: NDArray


Attack = Callable[[Target, int], NDArray]  # a target and a seed to scores, of shape (C)


def nearest(target: Target, seed: int) -> NDArray:
    r"""Score rows by minus the distance to the nearest point of the reward, $-\min_{g \in G_i} |x - g|$.

    References:
        GAN-Leaks: A Taxonomy of Membership Inference Attacks against Generative Models (Chen, Yu, Zhang & Fritz, 2020)
    """

    return -target.to_reward[:, 0]


def density_ratio(target: Target, seed: int) -> NDArray:
    r"""Score rows by the density of the reward relative to that of the attacker's own data.

    The densities are those of $k$ nearest neighbours, $p(x) \propto r_k(x)^{-d}$ with the distance $r_k(x)$ to the
    $k$-th nearest point, so that the ratio increases with

    .. math:: \log r_k^{D_i}(x) - \log r_k^{G_i}(x)

    References:
        Membership Inference Attacks against Synthetic Data through Overfitting Detection (van Breugel, Sun, Qian & van
        der Schaar, 2023), called DOMIAS
    """

    own, reward = (np.maximum(distances[:, -1], MIN_DISTANCE) for distances in (target.to_own, target.to_reward))
    return np.log(own) - np.log(reward)


def neighbourhood(target: Target, seed: int) -> NDArray:
    r"""Score rows by the share of the reward's points in a ball around them.

    The radius is the median over all rows of the distance to the nearest point of the reward. It does not depend on
    which rows are members.

    References:
        Monte Carlo and Reconstruction Membership Inference Attacks against Generative Models (Hilprecht, Härterich &
        Bernau, 2019), Sec. 4, with the median heuristic
    """

    from sklearn.neighbors import NearestNeighbors

    first = target.to_reward[:, 0]
    radius = float(np.median(first))
    near = np.flatnonzero(first <= radius)  # the balls of all other rows are empty
    search = NearestNeighbors(radius=radius, algorithm=_algorithm(target.reward)).fit(target.reward)
    found = search.radius_neighbors(target.rows[near], return_distance=False)
    shares = np.zeros(len(target.rows))
    shares[near] = [max(len(points), 1) for points in found]  # rounding can exclude the nearest point itself

    return shares / len(target.reward)


def classifier(target: Target, seed: int) -> NDArray:
    r"""Score rows by a classifier's probability that they are points of $G_i$ and not of $D_i$.

    It is gradient boosting of trees, trained on at most `TRAINING_POINTS` points of each set.

    References:
        Membership Inference Attacks against Synthetic Data through Overfitting Detection (van Breugel et al., 2023),
        Sec. 3, where a classifier estimates the density ratio
    """

    from sklearn.ensemble import HistGradientBoostingClassifier

    random = np.random.default_rng(seed)
    sets = [subsample(points, TRAINING_POINTS, random) for points in (target.own, target.reward)]
    y = np.repeat([0, 1], [len(points) for points in sets])
    machine = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=8, early_stopping=False)

    return machine.fit(np.concatenate(sets), y).predict_proba(target.rows)[:, 1]


ATTACKS: dict[str, Attack] = {
    "nearest": nearest,
    "density_ratio": density_ratio,
    "neighbourhood": neighbourhood,
    "classifier": classifier,
}


def subsample(points: NDArray, size: int, random: np.random.Generator) -> NDArray:
    """Return all points, or as many random ones as `size` allows, in their order."""

    if len(points) <= size:
        return points
    return points[np.sort(random.choice(len(points), size, replace=False))]


def neighbour_distances(points: NDArray, rows: NDArray) -> NDArray:
    r"""Return the distances of rows to their `NEIGHBOURS` nearest points, in ascending order, of shape $(C, k)$.

    If there are fewer points, $k$ is their number.
    """

    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(points)), algorithm=_algorithm(points))
    return search.fit(points).kneighbors(rows)[0]


def nearest_rows(rows: NDArray, points: NDArray) -> NDArray:
    """Return for each point the index of its nearest row."""

    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=1, algorithm=_algorithm(rows))
    return search.fit(rows).kneighbors(points, return_distance=False)[:, 0]


def _algorithm(points: NDArray) -> str:
    return "kd_tree" if points.shape[1] <= MAX_TREE_DIMENSION else "brute"
