"""Projection of sets of points to the plane."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

MAX_POINTS = 3000  # of a UMAP embedding, which then takes seconds
MIN_POINTS = 16  # of a UMAP embedding with 15 neighbours

Points = NDArray[np.float64]
Rows = NDArray[np.int64]


def to_plane(sets: Sequence[Points], rng: np.random.Generator, seed: int) -> tuple[list[Rows], list[Points], str]:
    """Project sets of points to the plane; a random subset of them if there are too many.

    Arguments:
        sets: The sets, each of shape (N_k, d): a party's own points first, the background last.
        rng: The random numbers that choose the subset.
        seed: The seed of UMAP.

    Returns:
        For each set the rows that are drawn; for each set their places, of shape (n_k, 2); the name of the dimensions.
    """

    kept = [np.arange(len(x)) for x in sets]
    if sets[0].shape[1] == 2:
        return kept, list(sets), "dimension"

    # the background gets at most a third of the points; points that are in several sets are embedded once
    kept[-1] = np.sort(rng.permutation(kept[-1])[: MAX_POINTS // 3])
    stacked = np.concatenate([x[rows] for x, rows in zip(sets, kept, strict=True)])
    distinct, index = np.unique(stacked, axis=0, return_inverse=True)
    indices = np.split(index.ravel(), np.cumsum([len(rows) for rows in kept])[:-1])

    # one random order for all sets: each loses about the same share of its points, but small sets keep some
    rank = rng.permutation(len(distinct))
    first = [index[np.argsort(rank[index])[: 30 if k else 200]] for k, index in enumerate(indices[:-1])]
    rank[np.concatenate([*first, indices[-1]])] = -1
    chosen = np.zeros(len(distinct), dtype=bool)
    chosen[np.argsort(rank, kind="stable")[:MAX_POINTS]] = True

    places = np.zeros((len(distinct), 2))
    places[chosen], kind = embed(distinct[chosen], seed)
    kept = [rows[chosen[index]] for rows, index in zip(kept, indices, strict=True)]

    return kept, [places[index[chosen[index]]] for index in indices], kind


def embed(x: Points, seed: int) -> tuple[Points, str]:
    """Embed distinct points in the plane, by UMAP or, if they are too few, by principal components.

    Returns:
        Their places, of shape (N, 2), and the name of the dimensions.

    References:
        UMAP: Uniform Manifold Approximation and Projection (McInnes et al., 2018), https://arxiv.org/abs/1802.03426
    """

    if len(x) < MIN_POINTS:
        u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        scores = (u * s)[:, :2]
        return np.pad(scores, ((0, 0), (0, 2 - scores.shape[1]))), "principal component"

    from umap import UMAP  # takes seconds to import

    # UMAP's own search calls Python for each pair of points when they are fewer than 4,096: 10 s for 3,000
    distances, neighbors = NearestNeighbors(n_neighbors=15).fit(x).kneighbors(x)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="umap|sklearn")
        umap = UMAP(
            n_neighbors=15,
            min_dist=0.4,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(neighbors, distances),
        )
        threads = torch.get_num_threads()
        places = umap.fit_transform(x).astype(float)
        torch.set_num_threads(threads)  # numba, which umap-learn uses, sets them to the number of cores
        return places, "UMAP"
