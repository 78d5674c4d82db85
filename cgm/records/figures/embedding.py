"""Draws a party's own points and its rewards in the plane, with images of some rewards where they are images."""

import textwrap
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from cgm.records.figures.plots import BACKGROUND, beta_text, legend

OWN, REWARD = "#4C78A8", "#E69F00"  # blue and orange: colour-blind readers tell them apart
EMBEDDED = 3000  # UMAP of so many points takes seconds
THUMBNAIL, GAP = 0.09, 0.015  # the longer side of an image and the least room between two, of what the points span


def reward_embedding(
    own: ArrayLike,
    own_labels: ArrayLike,
    rewards: Mapping[float, tuple[ArrayLike, ArrayLike]],
    classes: Sequence[str],
    background: ArrayLike | None = None,
    seed: int = 0,
    party: int = 0,
    images: Mapping[float, tuple[ArrayLike, ArrayLike]] | None = None,
) -> Figure:
    r"""Draws a party's own points and its rewards, one panel for each $\beta$ (the paper's Fig. 1).

    Points of two dimensions are drawn as they are. Others are drawn in one UMAP embedding of all panels'
    points, or of a random subset of 3,000 of them, as the figure then says; fewer than 16 distinct points are
    too few for UMAP and are drawn by their principal components. Each class is named where it is densest.

    Some rewards may be shown as thumbnails of their images, at their places: of those that are drawn, in a
    random order, each that overlaps no thumbnail before it and no name. So none is left out but for want of
    room. Those in grey are drawn as dark ink on light ground.

    Arguments:
        own: The party's points $D_i$, of shape $(N, d)$.
        own_labels: Their classes, of shape $(N)$.
        rewards: For each $\beta$, the points of $G_i$, of shape $(k, d)$, and their classes, of shape $(k)$.
        classes: The names of the classes.
        background: Points of the reference dataset $T$ (a sample will do), of shape $(M, d)$.
        seed: Picks the subset and seeds UMAP.
        party: The party, numbered from 0.
        images: For each $\beta$ that has any, rows of its rewards, of shape $(k)$, and the images of these, of
            shape $(k, C, H, W)$ with $C$ 1 or 3, uint8 or in $[0, 1]$.

    Raises:
        ValueError: If there is no $\beta$, or if points, labels and images do not fit each other.

    References:
        UMAP: Uniform Manifold Approximation and Projection (McInnes et al., 2018), https://arxiv.org/abs/1802.03426

    Example:
        >>> rng = np.random.default_rng(0)
        >>> own, own_labels = rng.normal(size=(20, 2)), np.zeros(20, dtype=int)
        >>> rewards = {beta: (rng.normal(4, 1, size=(30, 2)), np.ones(30, dtype=int)) for beta in (1.0, 8.0)}
        >>> figure = reward_embedding(own, own_labels, rewards, ("low", "high"))
        >>> [axes.get_title() for axes in figure.axes]
        ['$\\beta$ = 1, $|G_{1}|$ = 30', '$\\beta$ = 8, $|G_{1}|$ = 30']
    """

    if not rewards:
        raise ValueError("rewards={}: expected the rewards for at least one beta")

    betas = sorted(rewards, key=float)
    own, own_labels = _labelled(own, own_labels, "own", None, len(classes))
    if not len(own):
        raise ValueError("own: holds no points, expected at least one")
    width = own.shape[1]
    sets, labels = [own], [own_labels]
    for beta in betas:
        points, classes_of = _labelled(*rewards[beta], f"rewards[{beta}]", width, len(classes))
        sets.append(points)
        labels.append(classes_of)
    pictures = {beta: (np.empty(0, dtype=np.int64), np.empty((0, 1, 1, 1))) for beta in betas}
    for beta, (of, pixels) in (images or {}).items():
        if beta not in rewards:
            raise ValueError(f"images: holds beta={beta}, expected a beta of rewards: {betas}")
        pictures[beta] = _pictures(of, pixels, f"images[{beta}]", len(rewards[beta][0]))
    rest = _array(np.empty((0, width)) if background is None else background, "background", width)

    rng = np.random.default_rng(seed)
    kept, plane, kind = _plane([*sets, rest], rng, seed)
    *drawn, rest_drawn = plane
    drawn_labels = [y[rows] for y, rows in zip(labels, kept, strict=False)]

    everything = np.concatenate(plane)
    low, high = everything.min(axis=0), everything.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    low, high = (low + high - span) / 2, (low + high + span) / 2
    marks, fontsize = _class_marks((np.concatenate(drawn) - low) / span, np.concatenate(drawn_labels), classes, rng)

    columns = min(len(betas), 4)
    rows = -(-len(betas) // columns)
    side = 3.6 if images else 2.9  # inches: a thumbnail of 28 × 28 pixels gets some 50 × 50 at 200 dpi
    figure = Figure(figsize=(max(4.6, side * columns + 0.4), (side + 0.05) * rows + 1.4), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)  # inches: two lines of title, or of legend, touch the panels otherwise
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(betas) :]:
        axes.remove()
    margin = THUMBNAIL / 2 + 0.01 if images else 0.05
    area = float(np.clip(6000 / max(map(len, drawn)), 3.0, 14.0))
    for k, (beta, axes) in enumerate(zip(betas, panels.flat, strict=False)):
        layers = ((rest_drawn, BACKGROUND), (drawn[0], OWN), (drawn[k + 1], REWARD))
        for x, color in layers:
            # of own points and rewards, the fewer lie on the others
            z = 1 if color == BACKGROUND else 3 if len(x) == min(len(drawn[0]), len(drawn[k + 1])) else 2
            axes.scatter(*x.T, s=area, color=color, alpha=0.75, linewidths=0, zorder=z, rasterized=True)
        of, pixels = pictures[beta]
        seen = np.isin(of, kept[k + 1])
        places = drawn[k + 1][np.searchsorted(kept[k + 1], of[seen])]
        _add_thumbnails(axes, places, pixels[seen], low, span, marks, rng)
        for place, _, name in marks:
            text = axes.text(*(low + place * span), name, ha="center", va="center", fontsize=fontsize, zorder=5)
            text.set(fontweight="bold", path_effects=[withStroke(linewidth=2.0, foreground="white")])
        title = rf"$\beta$ = {beta_text(beta)}, $|G_{{{party + 1}}}|$ = {len(sets[k + 1]):,}"
        if len(drawn[k + 1]) < len(sets[k + 1]):
            title += f" ({len(drawn[k + 1]):,} drawn)"
        axes.set_title(title, fontsize=10)
        axes.set_xlim(low[0] - margin * span[0], high[0] + margin * span[0])
        axes.set_ylim(low[1] - margin * span[1], high[1] + margin * span[1])
        axes.set_box_aspect(1)
        axes.tick_params(labelsize=8)
        if k % columns == 0:
            axes.set_ylabel(f"{kind} 2", fontsize=9)
        if k + columns >= len(betas):
            axes.set_xlabel(f"{kind} 1", fontsize=9)
            axes.tick_params(labelbottom=True)

    def counted(label: str, part: NDArray, points: NDArray) -> str:
        number = f"{len(points):,}"
        return f"{label} ({number})" if len(part) == len(points) else f"{label} ({len(part):,} of {number} drawn)"

    names = {OWN: counted("own points", drawn[0], own), REWARD: "rewards"}
    if any(axes.images for axes in figure.axes):
        names[REWARD] += " (thumbnails: some of them)"
    if len(rest):
        names[BACKGROUND] = counted("reference dataset $T$", rest_drawn, rest)
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=6, color=color, label=label)
        for color, label in names.items()
    ]
    legend(figure, handles, "lower")

    title = f"Party {party + 1}: own points and rewards"
    if width != 2:
        count = len(np.unique(np.concatenate([x[rows] for x, rows in zip([*sets, rest], kept, strict=True)]), axis=0))
        title += f"\n{kind}{'' if kind == 'UMAP' else 's'} of {count:,} distinct points of dimension {width}"
        if any(len(rows) < len(x) for x, rows in zip([*sets, rest], kept, strict=True)):
            title += ", a random subset"
    figure.suptitle(title, fontsize=10)

    return figure


def _array(points: ArrayLike, name: str, width: int | None = None) -> NDArray[np.float64]:
    """Returns points as an array of shape (N, d), however few they are."""

    x = np.asarray(points, dtype=float)
    if x.size == 0 and width is not None:
        x = x.reshape(0, width)
    if x.ndim != 2 or x.shape[1] == 0 or (width is not None and x.shape[1] != width):
        raise ValueError(f"{name}: expected points of shape (N, {width or 'd'}), got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name}: holds NaN or infinity; drop or impute such rows first")

    return x


def _labelled(
    points: ArrayLike, labels: ArrayLike, name: str, width: int | None, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns points and their labels as arrays that fit each other."""

    x, y = _array(points, name, width), np.asarray(labels).ravel()
    if len(x) != len(y):
        raise ValueError(f"{name}: {len(x)} points but {len(y)} labels")
    if len(y) and not (y.min() >= 0 and y.max() < classes):
        raise ValueError(
            f"{name}: labels run from {y.min()} to {y.max()}, but the {classes} classes are numbered from 0"
        )

    return x, y.astype(np.int64)


def _pictures(
    rows: ArrayLike, images: ArrayLike, name: str, rewards: int
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Returns rows and their images as arrays that fit each other, the pixels in [0, 1]."""

    y, x = np.asarray(rows), np.asarray(images)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape[2:]:
        raise ValueError(f"{name}: expected images of shape (k, C, H, W) with C 1 or 3, got {x.shape}")
    if y.shape != x.shape[:1]:
        raise ValueError(f"{name}: {len(x)} images but rows of shape {y.shape}, expected ({len(x)},)")
    if len(y) and not (np.issubdtype(y.dtype, np.integer) and y.min() >= 0 and y.max() < rewards):
        raise ValueError(
            f"{name}: rows of type {y.dtype} run from {y.min()} to {y.max()}, expected whole numbers from 0 to "
            f"{rewards - 1}, for there are {rewards} rewards"
        )
    if x.dtype == np.uint8:
        x = x / np.float32(255)
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"{name}: pixels run from {x.min():g} to {x.max():g}, expected [0, 1] or uint8")

    return y.astype(np.int64), x


def _plane(
    sets: Sequence[NDArray[np.float64]], rng: np.random.Generator, seed: int
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]], str]:
    """Brings sets of points, a party's own first and the background last, into the plane.

    Returns:
        For each set the rows that are drawn; for each set where they are drawn, of shape (k, 2); what the two
        dimensions are.
    """

    kept = [np.arange(len(x)) for x in sets]
    if sets[0].shape[1] == 2:
        return kept, list(sets), "dimension"

    # the background may take a third of the room; points that several sets share are embedded once
    kept[-1] = np.sort(rng.permutation(kept[-1])[: EMBEDDED // 3])
    stacked = np.concatenate([x[rows] for x, rows in zip(sets, kept, strict=True)])
    pool, where = np.unique(stacked, axis=0, return_inverse=True)
    where = np.split(where.ravel(), np.cumsum([len(rows) for rows in kept])[:-1])

    # one random order for all sets: each loses about the same share of its points, but small ones keep some
    rank = rng.permutation(len(pool))
    first = [at[np.argsort(rank[at])[: 30 if k else 200]] for k, at in enumerate(where[:-1])]
    rank[np.concatenate([*first, where[-1]])] = -1
    chosen = np.zeros(len(pool), dtype=bool)
    chosen[np.argsort(rank, kind="stable")[:EMBEDDED]] = True

    plane = np.zeros((len(pool), 2))
    plane[chosen], kind = _embed(pool[chosen], seed)
    kept = [rows[chosen[at]] for rows, at in zip(kept, where, strict=True)]

    return kept, [plane[at[chosen[at]]] for at in where], kind


def _embed(x: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], str]:
    """Embeds distinct points in the plane, by UMAP or, if they are too few, by principal components."""

    if len(x) < 16:
        u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        scores = (u * s)[:, :2]
        return np.pad(scores, ((0, 0), (0, 2 - scores.shape[1]))), "principal component"

    from sklearn.neighbors import NearestNeighbors
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
        torch.set_num_threads(threads)  # numba, which umap-learn needs, sets them to the number of cores
        return places, "UMAP"


def _class_marks(
    x: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[str], rng: np.random.Generator
) -> tuple[list[tuple[NDArray[np.float64], NDArray[np.float64], str]], float]:
    """Finds where in the unit square to write the name of each class, and in which font size.

    That is where the class is densest against the others, or close to it where the name would hide it.

    Returns:
        For each class the middle of the name, half of its width and height, and the name; the font size.
    """

    samples = {y: x[labels == y] for y in np.unique(labels)}
    samples = {y: points[rng.permutation(len(points))[:150]] for y, points in samples.items()}
    names = {y: "\n".join(textwrap.wrap(classes[y], 12)) or str(y) for y in samples}
    longest = max(len(line) for name in names.values() for line in name.split("\n"))
    fontsize = 9.0 if longest <= 9 and len(names) <= 12 else 7.0
    shifts = np.stack(np.meshgrid(*[np.linspace(-0.4, 0.4, 25)] * 2), axis=-1).reshape(-1, 2)  # (625, 2)
    everything = np.concatenate(list(samples.values()))

    marks: list[tuple[NDArray[np.float64], NDArray[np.float64], str]] = []
    for y, points in samples.items():
        density = {z: (cdist(points, others) < 0.07).mean(axis=1) for z, others in samples.items()}
        others = [d for z, d in density.items() if z != y]
        center = points[(density[y] - (np.mean(others, axis=0) if others else 0.0)).argmax()]

        lines = names[y].split("\n")
        half = fontsize * np.array([0.0021 * max(map(len, lines)), 0.0036 * len(lines)])  # of a panel 2.5 inches wide
        places = np.clip(center + shifts, half, 1 - half)
        hidden = (np.abs(everything - places[:, None]) < half).all(axis=-1).sum(axis=1) / len(points)
        cost = hidden + 4 * np.linalg.norm(places - center, axis=1)
        for place, size, _ in marks:
            overlap = np.clip(half + size - np.abs(places - place), 0, None)
            cost += 20 * (overlap / half).prod(axis=1)
        marks.append((places[cost.argmin()], half, names[y]))

    return marks, fontsize


def _add_thumbnails(
    axes: Axes,
    places: NDArray[np.float64],
    images: NDArray[np.floating],
    low: NDArray[np.float64],
    span: NDArray[np.float64],
    marks: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], str]],
    rng: np.random.Generator,
) -> None:
    """Draws images (k, C, H, W) at places (k, 2), as many as overlap neither each other nor the names of classes."""

    height, width = images.shape[2:]
    half = THUMBNAIL / 2 * np.array([width, height]) / max(width, height)
    unit = (places - low) / span
    free = np.ones(len(unit), dtype=bool)
    for place, size, _ in marks:
        free &= (np.abs(unit - place) >= half + size).any(axis=1)
    for k in rng.permutation(len(unit)):
        if free[k]:
            free &= (np.abs(unit - unit[k]) >= 2 * half + GAP).any(axis=1)
            (left, right), (bottom, top) = (places[k] + np.outer([-1, 1], half * span)).T
            extent, ink = (left, right, bottom, top), {"cmap": "gray_r", "vmin": 0, "vmax": 1}
            axes.imshow(np.moveaxis(images[k], 0, -1), extent=extent, aspect="auto", zorder=4, **ink)
            frame = {"fill": False, "edgecolor": REWARD, "linewidth": 0.8, "zorder": 4}
            axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, **frame))
