"""Projection of points to the plane, and the figure of a party's own points and rewards there (the paper's Fig. 1)."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from cgm.data.features.umap import compiled_umap
from cgm.figures.style import BACKGROUND, beta_label, legend

OWN, REWARD = "#4C78A8", "#E69F00"  # blue and orange: distinguishable by colour-blind readers
THUMBNAIL, GAP = 0.09, 0.015  # longer side of an image and smallest gap between two, as shares of the points' range
UNLABELLED = -1
MAX_DRAWN = 120_000  # of a set in two dimensions
MAX_POINTS = 3000  # of a UMAP embedding, which then takes seconds
MIN_POINTS = 16  # of a UMAP embedding with 15 neighbours

Points = NDArray[np.float64]
Rows = NDArray[np.int64]
Pictures = Mapping[float, tuple[Rows, NDArray[np.floating]]]  # rows and images, by inverse temperature


class ClassName(NamedTuple):
    """The name of a class in lines, its centre in the unit square, and half of its width and height."""

    text: str
    center: Points
    half: Points


def reward_embedding(
    own: ArrayLike,
    own_labels: ArrayLike,
    rewards: Mapping[float, tuple[ArrayLike, ArrayLike | None]],
    classes: Sequence[str],
    background: ArrayLike | None = None,
    seed: int = 0,
    party: int = 0,
    images: Mapping[float, tuple[ArrayLike, ArrayLike]] | None = None,
) -> Figure:
    r"""Draw a party's own points and its rewards, one panel for each $\beta$ (the paper's Fig. 1).

    Points of two dimensions are drawn as they are, of larger sets a random 120,000. Others are drawn in one UMAP
    embedding of all panels' points, or of a random subset of 3,000 of them, as the figure then states; fewer than 16
    distinct points are too few for UMAP and are drawn by their principal components. Each class is named where it is
    densest.

    Some rewards may be shown as thumbnails of their images, at their places. In a random order, each reward that
    is drawn gets its thumbnail unless that would overlap an earlier one or a name, so that thumbnails fill the
    room that there is. Grey images are drawn as dark ink on a light ground.

    Arguments:
        own: The party's points $D_i$, of shape $(N, d)$.
        own_labels: Their classes, of shape $(N)$.
        rewards: For each $\beta$, the points of $G_i$, of shape $(k, d)$, and their classes, of shape $(k)$, or
            `None` if they have none.
        classes: The names of the classes.
        background: Points of the reference dataset $T$, or a sample of them, of shape $(M, d)$.
        seed: The seed of the subset and of UMAP.
        party: The party, from 0.
        images: For each $\beta$ that has any, rows of its rewards, of shape $(k)$, and the images of these, of
            shape $(k, C, H, W)$ with $C$ 1 or 3, uint8 or in $[0, 1]$.

    Raises:
        ValueError: If there is no $\beta$, or if points, labels and images do not fit each other.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> own, own_labels = rng.normal(size=(20, 2)), np.zeros(20, dtype=int)
        >>> rewards = {beta: (rng.normal(4, 1, size=(30, 2)), np.ones(30, dtype=int)) for beta in (1.0, 8.0)}
        >>> figure = reward_embedding(own, own_labels, rewards, ("low", "high"))
        >>> [axes.get_title() for axes in figure.axes]
        ['$\\beta$ = 1, $|G_{1}|$ = 30', '$\\beta$ = 8, $|G_{1}|$ = 30']
    """

    pictures = as_pictures(images or {})
    rng = np.random.default_rng(seed)
    plane = make_plane(own, own_labels, rewards, classes, background, seed, rng)
    betas, places = plane.betas, plane.places

    columns = min(len(betas), 4)
    rows = -(-len(betas) // columns)
    side = 3.6 if images else 2.9  # inches: a thumbnail of 28 × 28 pixels has about 50 × 50 at 200 dpi
    # padding in inches: without it, two lines of title or legend touch the panels
    layout = ConstrainedLayoutEngine(h_pad=0.1)
    figure = Figure(figsize=(max(4.6, side * columns + 0.4), (side + 0.05) * rows + 1.4), layout=layout)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(betas) :]:
        axes.remove()
    for k, (beta, axes) in enumerate(zip(betas, panels.flat, strict=False)):
        draw_rewards(axes, plane, beta, pictures, rng)
        title = rf"{beta_label(beta)}, $|G_{{{party + 1}}}|$ = {plane.sizes[k + 1]:,}"
        drawn = len(places[k + 1])
        axes.set_title(title if drawn == plane.sizes[k + 1] else f"{title} ({drawn:,} drawn)", fontsize=10)
        axes.tick_params(labelsize=8)
        if k % columns == 0:
            axes.set_ylabel(f"{plane.kind} 2", fontsize=9)
        if k + columns >= len(betas):
            axes.set_xlabel(f"{plane.kind} 1", fontsize=9)
            axes.tick_params(labelbottom=True)

    has_images = any(axes.images for axes in figure.axes)
    legend(figure, plane_handles(plane, has_images), "lower")
    figure.suptitle("\n".join([f"Party {party + 1}: own points and rewards", *plane.note]), fontsize=10)

    return figure


class Plane(NamedTuple):
    r"""Sets of points in the plane: own points first, then the reward for each $\beta$, the background last.

    Attributes:
        betas: The inverse temperatures, in order.
        sizes: The number of points of each set.
        rows: For each set, those of its points that are drawn.
        places: For each set, the places of these, of shape (n_k, 2).
        low, high, span: The smallest and the largest coordinates, and their distance.
        kind: The name of the dimensions.
        names: The names of classes and their places.
        fontsize: The size of these names.
        note: How the points were projected, in at most one line.
    """

    betas: Sequence[float]
    sizes: Sequence[int]
    rows: Sequence[Rows]
    places: Sequence[Points]
    low: Points
    high: Points
    span: Points
    kind: str
    names: Sequence[ClassName]
    fontsize: float
    note: Sequence[str]


def make_plane(
    own: ArrayLike | None,
    own_labels: ArrayLike | None,
    rewards: Mapping[float, tuple[ArrayLike, ArrayLike | None]],
    classes: Sequence[str],
    background: ArrayLike | None,
    seed: int,
    rng: np.random.Generator,
) -> Plane:
    """Project a party's points and rewards to the plane; the arguments are those of `reward_embedding`.

    Own points may be unknown, or have no classes: `None`.
    """

    if not rewards:
        raise ValueError("rewards={}: expected the rewards for at least one beta")
    betas = sorted(rewards, key=float)
    if own is None:
        own = np.empty((0, _array(rewards[betas[0]][0], f"rewards[{betas[0]}]").shape[1]))
    elif not len(np.asarray(own)):
        raise ValueError("own: has no points, expected at least one")
    own, own_labels = _labelled(own, own_labels, "own", None, len(classes))
    width = own.shape[1]
    sets, labels = [own], [own_labels]
    for beta in betas:
        points, classes_of = _labelled(*rewards[beta], f"rewards[{beta}]", width, len(classes))
        sets.append(points)
        labels.append(classes_of)
    sets.append(_array(np.empty((0, width)) if background is None else background, "background", width))

    rows, places, kind = to_plane(sets, rng, seed)
    everything = np.concatenate(places)
    low, high = everything.min(axis=0), everything.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    low, high = (low + high - span) / 2, (low + high + span) / 2
    labelled = [y[chosen] for y, chosen in zip(labels, rows, strict=False)]
    names, fontsize = _class_names((np.concatenate(places[:-1]) - low) / span, np.concatenate(labelled), classes, rng)
    note = []
    if width != 2:
        count = len(np.unique(np.concatenate([x[chosen] for x, chosen in zip(sets, rows, strict=True)]), axis=0))
        note = [f"{kind}{'' if kind == 'UMAP' else 's'} of {count:,} distinct points of dimension {width}"]
        if any(len(chosen) < len(x) for x, chosen in zip(sets, rows, strict=True)):
            note = [f"{note[0]}, a random subset"]

    return Plane(betas, [len(x) for x in sets], rows, places, low, high, span, kind, names, fontsize, note)


def draw_rewards(axes: Axes, plane: Plane, beta: float, pictures: Pictures, rng: np.random.Generator) -> None:
    r"""Draw own points and the reward for one $\beta$ into axes, before the background.

    Arguments:
        axes: The axes.
        plane: The points in the plane.
        beta: The inverse temperature.
        pictures: For each $\beta$ that has any, rows of its rewards and their images.
        rng: The random numbers that choose which images are shown.
    """

    places, low, span = plane.places, plane.low, plane.span
    k = list(plane.betas).index(beta) + 1
    margin = THUMBNAIL / 2 + 0.01 if pictures else 0.05
    area = float(np.clip(6000 / max(map(len, places[:-1]), default=1), 3.0, 14.0))
    drawn = places[k]
    for x, color in ((places[-1], BACKGROUND), (places[0], OWN), (drawn, REWARD)):
        # of own points and rewards, the smaller set is drawn on top
        z = 1 if color == BACKGROUND else 3 if len(x) == min(len(places[0]), len(drawn)) else 2
        axes.scatter(x[:, 0], x[:, 1], s=area, color=color, alpha=0.75, linewidths=0, zorder=z, rasterized=True)
    if beta in pictures:
        of, pixels = pictures[beta]
        seen = np.isin(of, plane.rows[k])
        centers = drawn[np.searchsorted(plane.rows[k], of[seen])]
        _add_thumbnails(axes, centers, pixels[seen], low, span, plane.names, rng)
    for name in plane.names:
        x, y = low + name.center * span
        text = axes.text(x, y, name.text, ha="center", va="center", fontsize=plane.fontsize)
        text.set(zorder=5, fontweight="bold", path_effects=[withStroke(linewidth=2.0, foreground="white")])
    axes.set_xlim(low[0] - margin * span[0], plane.high[0] + margin * span[0])
    axes.set_ylim(low[1] - margin * span[1], plane.high[1] + margin * span[1])
    axes.set_box_aspect(1)


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
        kept = [rows if len(rows) <= MAX_DRAWN else np.sort(rng.permutation(rows)[:MAX_DRAWN]) for rows in kept]
        return kept, [x[rows] for x, rows in zip(sets, kept, strict=True)], "dimension"

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

    # UMAP's own search calls Python for each pair of points when they are fewer than 4,096: 10 s for 3,000
    distances, neighbors = NearestNeighbors(n_neighbors=15).fit(x).kneighbors(x)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="umap|sklearn")
        umap = compiled_umap()(
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


def plane_handles(plane: Plane, has_images: bool, background: str = "reference dataset $T$") -> list[Line2D]:
    """Return the entries of a legend, with the numbers of own points and of background points, all and drawn.

    Arguments:
        plane: The points in the plane.
        has_images: Whether some rewards are shown as images.
        background: What the background is.
    """

    def counted(label: str, k: int) -> str:
        size, drawn = plane.sizes[k], len(plane.places[k])
        return f"{label} ({size:,})" if drawn == size else f"{label} ({drawn:,} of {size:,} drawn)"

    labels = {OWN: counted("own points", 0)} if plane.sizes[0] else {}
    labels[REWARD] = "rewards (thumbnails: some of them)" if has_images else "rewards"
    if plane.sizes[-1]:
        labels[BACKGROUND] = counted(background, -1)
    return [
        Line2D([], [], linestyle="", marker="o", markersize=6, color=color, label=label)
        for color, label in labels.items()
    ]


def _array(points: ArrayLike, name: str, width: int | None = None) -> Points:
    """Check points and return them as an array of shape (N, d); there may be none."""

    x = np.asarray(points, dtype=float)
    if x.size == 0 and width is not None:
        x = x.reshape(0, width)
    if x.ndim != 2 or x.shape[1] == 0 or (width is not None and x.shape[1] != width):
        raise ValueError(f"{name}: expected points of shape (N, {width or 'd'}), got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name}: has NaN or infinity; drop or impute such rows first")

    return x


def _labelled(
    points: ArrayLike, labels: ArrayLike | None, name: str, width: int | None, classes: int
) -> tuple[Points, Rows]:
    """Check points and their labels and return them as arrays."""

    x = _array(points, name, width)
    if labels is None:
        return x, np.full(len(x), UNLABELLED)
    y = np.asarray(labels).ravel()
    if len(x) != len(y):
        raise ValueError(f"{name}: {len(x)} points but {len(y)} labels")
    if len(y) and not (y.min() >= 0 and y.max() < classes):
        raise ValueError(
            f"{name}: labels run from {y.min()} to {y.max()}, but the {classes} classes are numbered from 0"
        )

    return x, y.astype(np.int64)


def as_pictures(
    images: Mapping[float, tuple[ArrayLike, ArrayLike]],
) -> dict[float, tuple[Rows, NDArray[np.floating]]]:
    """Return the rows and images of each beta as arrays, with pixels in [0, 1]."""

    pictures = {}
    for beta, (rows, pixels) in images.items():
        y, x = np.asarray(rows, dtype=np.int64), np.asarray(pixels)
        if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape[2:] or y.shape != x.shape[:1]:
            raise ValueError(
                f"images[{beta}]: expected k rows and images of shape (k, C, H, W) with C 1 or 3, "
                f"got shapes {y.shape} and {x.shape}"
            )
        pictures[beta] = y, x / np.float32(255) if x.dtype == np.uint8 else x
    return pictures


def _class_names(
    x: Points, labels: Rows, classes: Sequence[str], rng: np.random.Generator
) -> tuple[list[ClassName], float]:
    """Find places in the unit square for the names of the classes of labelled points, and a font size.

    A name is where its class is densest compared with the others, or close to it if it would hide too many points.
    """

    samples = {y: x[labels == y] for y in np.unique(labels) if y != UNLABELLED}
    if not samples:
        return [], 9.0
    samples = {y: points[rng.permutation(len(points))[:150]] for y, points in samples.items()}
    texts = {y: "\n".join(textwrap.wrap(classes[y], 12)) or str(y) for y in samples}
    longest = max(len(line) for text in texts.values() for line in text.split("\n"))
    fontsize = 9.0 if longest <= 9 and len(texts) <= 12 else 7.0
    shifts = np.stack(np.meshgrid(*[np.linspace(-0.4, 0.4, 25)] * 2), axis=-1).reshape(-1, 2)  # (625, 2)
    everything = np.concatenate(list(samples.values()))

    names: list[ClassName] = []
    for y, points in samples.items():
        density = {z: (cdist(points, others) < 0.07).mean(axis=1) for z, others in samples.items()}
        others = [d for z, d in density.items() if z != y]
        densest = points[(density[y] - (np.mean(others, axis=0) if others else 0.0)).argmax()]

        lines = texts[y].split("\n")
        half = fontsize * np.array([0.0021 * max(map(len, lines)), 0.0036 * len(lines)])  # of a panel 2.5 inches wide
        centers = np.clip(densest + shifts, half, 1 - half)
        hidden = (np.abs(everything - centers[:, None]) < half).all(axis=-1).sum(axis=1) / len(points)
        cost = hidden + 4 * np.linalg.norm(centers - densest, axis=1)
        for name in names:
            overlap = np.clip(half + name.half - np.abs(centers - name.center), 0, None)
            cost += 20 * (overlap / half).prod(axis=1)
        names.append(ClassName(texts[y], centers[cost.argmin()], half))

    return names, fontsize


def _add_thumbnails(
    axes: Axes,
    centers: Points,
    images: NDArray[np.floating],
    low: Points,
    span: Points,
    names: Sequence[ClassName],
    rng: np.random.Generator,
) -> None:
    """Draw images (k, C, H, W) at centers (k, 2), as many as overlap neither each other nor the names of classes."""

    height, width = images.shape[2:]
    half = THUMBNAIL / 2 * np.array([width, height]) / max(width, height)
    unit = (centers - low) / span
    free = np.ones(len(unit), dtype=bool)
    for name in names:
        free &= (np.abs(unit - name.center) >= half + name.half).any(axis=1)
    ink: dict[str, Any] = {"cmap": "gray_r", "vmin": 0, "vmax": 1}
    frame: dict[str, Any] = {"fill": False, "edgecolor": REWARD, "linewidth": 0.8, "zorder": 4}
    for k in rng.permutation(len(unit)):
        if free[k]:
            free &= (np.abs(unit - unit[k]) >= 2 * half + GAP).any(axis=1)
            (left, right), (bottom, top) = (centers[k] + np.outer([-1, 1], half * span)).T
            pixels, extent = np.moveaxis(images[k], 0, -1), (left, right, bottom, top)
            axes.imshow(pixels, extent=extent, aspect="auto", zorder=4, **ink)
            axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, **frame))
