"""Tests of the figure of rewards in the plane: points and thumbnails are at their places."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.image import imread

from cgm.figures import embedding
from tests.drawn import legend, whole

INF = float("inf")


def blobs(width: int, sizes: tuple[int, int] = (60, 40)) -> tuple:
    """Make up own points of class 0 and, for two betas, rewards of classes 1 and 2, all far apart."""

    rng = np.random.default_rng(width)
    centers = 10.0 * np.eye(max(width, 3))[:3, :width]
    own = centers[0] + rng.normal(size=(50, width))
    rewards = {}
    for beta, k in zip((8.0, 1.0), sizes, strict=True):
        y = rng.integers(1, 3, k)
        rewards[beta] = (centers[y] + rng.normal(size=(k, width)), y)

    return own, np.zeros(50, dtype=int), rewards


def offsets(axes, color: str) -> np.ndarray:
    """Return the points of a colour."""

    (found,) = [c for c in axes.collections if to_hex(c.get_facecolor()[0]).upper() == color]
    return np.asarray(found.get_offsets())


def test_large_sets_are_drawn_in_part(monkeypatch):
    monkeypatch.setattr(embedding, "MAX_DRAWN", 45)
    own, own_labels, rewards = blobs(2)
    figure = embedding.reward_embedding(own, own_labels, rewards, ("zero", "one", "two"), own[:30] - 9)
    assert [axes.get_title().split("= ")[-1] for axes in figure.axes] == ["40", "60 (45 drawn)"]
    assert "own points (45 of 50 drawn)" in legend(figure)
    drawn = offsets(figure.axes[1], embedding.REWARD)
    assert len(np.unique(drawn, axis=0)) == 45
    assert set(map(tuple, drawn.tolist())) < set(map(tuple, rewards[8.0][0].tolist()))


def test_embedding_of_two_dimensions_is_the_data():
    own, own_labels, rewards = blobs(2)
    background = np.random.default_rng(0).normal(size=(7, 2))
    figure = embedding.reward_embedding(
        torch.from_numpy(own),
        torch.from_numpy(own_labels),
        rewards,
        ("zero", "one", "two"),
        background,
        party=3,
    )

    titles = [r"$\beta$ = 1, $|G_{4}|$ = 40", r"$\beta$ = 8, $|G_{4}|$ = 60"]
    assert [axes.get_title() for axes in figure.axes] == titles
    for axes, beta in zip(figure.axes, (1.0, 8.0), strict=True):
        np.testing.assert_array_equal(offsets(axes, embedding.OWN), own)
        np.testing.assert_array_equal(offsets(axes, embedding.REWARD), rewards[beta][0])
        np.testing.assert_array_equal(offsets(axes, embedding.BACKGROUND), background)
        everything = np.concatenate([own, background, *(x for x, _ in rewards.values())])
        assert (everything.min(axis=0) > [axes.get_xlim()[0], axes.get_ylim()[0]]).all()
        assert (everything.max(axis=0) < [axes.get_xlim()[1], axes.get_ylim()[1]]).all()
        assert axes.get_xlabel() == "dimension 1"
    assert figure.axes[0].get_ylabel() == "dimension 2"
    assert figure.get_suptitle().startswith("Party 4")
    assert legend(figure) == ["own points (50)", "rewards", "reference dataset $T$ (7)"]
    assert whole(figure)


def test_embedding_marks_each_class_at_its_own_cluster():
    own, own_labels, rewards = blobs(2)
    x = np.concatenate([own, *(x for x, _ in rewards.values())])
    y = np.concatenate([own_labels, *(y for _, y in rewards.values())])
    figure = embedding.reward_embedding(own, own_labels, rewards, ("zero", "one", "two"))

    for axes in figure.axes:
        assert sorted(t.get_text() for t in axes.texts) == ["one", "two", "zero"]
        for text in axes.texts:
            nearest = y[np.linalg.norm(x - text.get_position(), axis=1).argmin()]
            assert ("zero", "one", "two")[nearest] == text.get_text()


@pytest.mark.parametrize("width", [2, 5])
def test_rewards_without_labels_are_drawn_and_only_own_classes_are_named(width, monkeypatch):
    monkeypatch.setattr(embedding, "embed", project)
    own, own_labels, rewards = blobs(width)
    unlabelled = {beta: (x, None) for beta, (x, _) in rewards.items()}
    figure = embedding.reward_embedding(own, own_labels, unlabelled, ("zero", "one", "two"), own[:7])

    for axes, beta in zip(figure.axes, (1.0, 8.0), strict=True):
        np.testing.assert_array_equal(offsets(axes, embedding.OWN), own[:, :2])
        np.testing.assert_array_equal(offsets(axes, embedding.REWARD), rewards[beta][0][:, :2])
        (text,) = axes.texts
        assert text.get_text() == "zero"
        assert np.linalg.norm(own[:, :2] - text.get_position(), axis=1).min() < 1
    assert legend(figure) == ["own points (50)", "rewards", "reference dataset $T$ (7)"]
    assert whole(figure)


def test_embedding_marks_do_not_overlap():
    rng = np.random.default_rng(0)
    names = [f"{low} < Amount <= {low + 10}" for low in range(0, 50, 10)]
    own = rng.normal(size=(200, 2))
    figure = embedding.reward_embedding(
        own, np.arange(200) % 5, dict.fromkeys((1, 2, 4, 8), (own, np.arange(200) % 5)), names
    )

    assert whole(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 5
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_embedding_has_a_panel_for_each_beta():
    own, own_labels, _ = blobs(2)
    for k in (1, 5, 8):
        rewards = {float(b): (own[: 5 * b], own_labels[: 5 * b]) for b in range(k)}
        figure = embedding.reward_embedding(own, own_labels, rewards, ("a",))

        assert [a.get_title() for a in figure.axes] == [rf"$\beta$ = {b}, $|G_{{1}}|$ = {5 * b}" for b in range(k)]
        assert [bool(a.get_xlabel()) for a in figure.axes] == [b + min(k, 4) >= k for b in range(k)]
        assert whole(figure)


def project(x, seed):
    """Replace UMAP, which takes seconds."""

    return x[:, :2].copy(), "UMAP"


def test_embedding_draws_a_common_subset(monkeypatch):
    monkeypatch.setattr(embedding, "embed", project)
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(12_000, 3))
    own = rng.normal(size=(2_500, 3))
    # nested rewards: the few of beta=8 are among the many of beta=1
    rewards = {
        1.0: (pool, np.zeros(12_000, int)),
        8.0: (pool[:4_000], np.zeros(4_000, int)),
        9.0: (pool[:40], [1] * 40),
    }
    figure = embedding.reward_embedding(
        own, np.zeros(2_500, int), rewards, ("a", "b"), rng.normal(size=(5_000, 3)), seed=1
    )

    many, few, fewest = ({tuple(x) for x in offsets(axes, embedding.REWARD)} for axes in figure.axes)
    rest = {tuple(x) for x in offsets(figure.axes[0], embedding.BACKGROUND)}
    mine = {tuple(x) for x in offsets(figure.axes[0], embedding.OWN)}
    assert few == many & {tuple(x) for x in pool[:4_000, :2]}
    assert 30 <= len(fewest) <= 40
    assert fewest <= few <= many
    assert len(rest) == 1_000
    assert len(many | mine | rest) == embedding.MAX_POINTS
    assert len(few) / len(many) == pytest.approx(1 / 3, rel=0.15)
    assert abs(np.mean(list(many), axis=0)).max() < 0.15  # drawn at random, not from one end
    assert mine <= {tuple(x) for x in own[:, :2]}
    assert len(mine) >= 200
    assert f"({len(many):,} drawn)" in figure.axes[0].get_title()
    assert f"own points ({len(mine)} of 2,500 drawn)" in legend(figure)
    assert "UMAP of 3,000 distinct points of dimension 3, a random subset" in figure.get_suptitle()
    assert whole(figure)


def test_embedding_draws_everything_that_is_not_too_much(monkeypatch):
    monkeypatch.setattr(embedding, "embed", project)
    own, own_labels, rewards = blobs(5)
    figure = embedding.reward_embedding(own, own_labels, rewards, ("a", "b", "c"), own)

    for axes, beta in zip(figure.axes, (1.0, 8.0), strict=True):
        np.testing.assert_array_equal(offsets(axes, embedding.OWN), own[:, :2])
        np.testing.assert_array_equal(offsets(axes, embedding.REWARD), rewards[beta][0][:, :2])
    assert figure.get_suptitle().endswith("UMAP of 150 distinct points of dimension 5")
    assert "drawn" not in " ".join([*legend(figure), *(a.get_title() for a in figure.axes)])


def test_embedding_of_constant_and_empty_data():
    for width in (1, 2, 4):
        none = (np.empty((0, width)), np.empty(0))
        rewards = {0.0: none, 1.0: ([], []), INF: (np.ones((3, width)), [0, 0, 0])}
        figure = embedding.reward_embedding(np.ones((4, width)), [1] * 4, rewards, ("a", "b"))

        assert [len(a.texts) for a in figure.axes] == [2, 2, 2]
        assert figure.axes[2].get_title() == r"$\beta$ = ∞, $|G_{1}|$ = 3"
        assert whole(figure)


def test_embedding_of_few_points_keeps_their_distances():
    x = np.random.default_rng(0).normal(size=(15, 2)) @ np.random.default_rng(1).normal(size=(2, 6))
    figure = embedding.reward_embedding(x[:9], [0] * 9, {1.0: (x[9:], [1] * 6)}, ("a", "b"))

    plane = np.concatenate([offsets(figure.axes[0], color) for color in (embedding.OWN, embedding.REWARD)])
    distances = [np.linalg.norm(points[:, None] - points, axis=-1) for points in (x, plane)]
    np.testing.assert_allclose(*distances, atol=1e-12)
    assert figure.axes[0].get_xlabel() == "principal component 1"
    assert "principal components of 15 distinct points" in figure.get_suptitle()


def thumbnails(axes) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the middle and the half size of each thumbnail, and the colours in which it is drawn."""

    found = []
    for image in axes.images:
        left, right, bottom, top = image.get_extent()
        middle, half = np.array([left + right, bottom + top]) / 2, np.array([right - left, top - bottom]) / 2
        found.append((middle, half, image.to_rgba(image.get_array())[..., :3]))

    return found


@pytest.mark.parametrize(("channels", "kind"), [(1, np.float32), (3, np.uint8)])
def test_thumbnails_are_the_given_images_at_their_places(channels, kind):
    rng = np.random.default_rng(0)
    own, own_labels, _ = blobs(2)
    x = rng.uniform(size=(300, 2)) * [3.0, 50.0]
    rows = rng.permutation(300)[:200]  # the others have no image
    pixels = rng.integers(0, 256, size=(200, channels, 6, 4)).astype(np.uint8)
    images = torch.from_numpy(pixels if kind == np.uint8 else (pixels / 255).astype(kind))
    rewards = {8.0: (x, [0] * 300), 1: (x, [0] * 300), 2.0: (x, [0] * 300)}
    figure = embedding.reward_embedding(
        own, own_labels, rewards, ("a",), images={8.0: (torch.from_numpy(rows), images), 1.0: (rows[:1], images[:1])}
    )

    one, none, many = (thumbnails(axes) for axes in figure.axes)
    assert (len(one), len(none)) == (1, 0)
    assert len(many) > 15
    for middle, _, colors in (*one, *many):
        distances = np.abs(x[rows] - middle).max(axis=1)
        k = distances.argmin()
        assert distances[k] < 1e-9
        expected = np.moveaxis(pixels[k], 0, -1) / 255
        np.testing.assert_allclose(colors, np.repeat(1 - expected, 3, -1) if channels == 1 else expected, atol=0.005)
    half = many[0][1]
    middles = np.array([middle for middle, _, _ in many])
    apart = (np.abs(middles[:, None] - middles) > 2 * half).any(axis=-1)
    assert apart[~np.eye(len(many), dtype=bool)].all()
    frames = [frame.get_bbox() for frame in figure.axes[2].patches]
    np.testing.assert_allclose([(b.p0 + b.p1) / 2 for b in frames], middles)
    # no region is left out: a point without thumbnail is near one, or near a name
    names = np.array([text.get_position() for text in figure.axes[2].texts])
    kept = np.concatenate([middles, names])
    reach = 2.5 * half * [1.5, 1.0]  # images are narrower than high
    assert (np.abs(x[rows][:, None] - kept) < reach).all(axis=-1).any(axis=1).all()
    for axes in figure.axes:
        assert all((m - h > [axes.get_xlim()[0], axes.get_ylim()[0]]).all() for m, h, _ in thumbnails(axes))
        assert all((m + h < [axes.get_xlim()[1], axes.get_ylim()[1]]).all() for m, h, _ in thumbnails(axes))
    assert "rewards (thumbnails: some of them)" in legend(figure)
    assert whole(figure)


@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_stand_upright(tmp_path, channels):
    image = np.zeros((1, channels, 10, 10))
    image[..., :5, :5] = 1.0  # upper left
    figure = embedding.reward_embedding(
        [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0, 0, 0], {1: ([[0.8, 0.8]], [0])}, ("a",), images={1: ([0], image)}
    )
    figure.savefig(tmp_path / "figure.png", dpi=200)
    shown = imread(tmp_path / "figure.png")

    (axes,) = figure.axes
    ((middle, half, _),) = thumbnails(axes)
    np.testing.assert_allclose(middle, [0.8, 0.8])
    to_inches = axes.transData + figure.dpi_scale_trans.inverted()
    corners = to_inches.transform(middle + half * [[-0.5, 0.5], [0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])
    colors = [shown[len(shown) - round(200 * y), round(200 * x), :3] for x, y in corners]
    light, dark = np.ones(3), np.zeros(3)
    expected = [dark, light, light, light] if channels == 1 else [light, dark, dark, dark]
    np.testing.assert_allclose(colors, expected, atol=0.02)
    width, height = np.ptp(to_inches.transform([middle - half, middle + half]), axis=0)
    assert width == pytest.approx(height, rel=0.01)
    assert 200 * width > 1.5 * 28


def test_thumbnails_leave_the_names_of_classes_free():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(2_000, 2)), rng.integers(0, 5, 2_000)
    names = ("airplane", "automobile", "deer", "ship", "truck")
    rewards = {float(beta): (x, y) for beta in (1, 2, 4, 8)}
    images = {1.0: (np.arange(2_000), rng.random((2_000, 1, 5, 5)))}
    figure = embedding.reward_embedding(x[:50], y[:50], rewards, names, images=images)

    assert whole(figure)
    boxes = [frame.get_window_extent() for frame in figure.axes[0].patches]
    assert len(boxes) > 20
    for text in figure.axes[0].texts:
        assert not any(text.get_window_extent().overlaps(box) for box in boxes)


def test_thumbnails_are_of_drawn_points_alone(monkeypatch):
    monkeypatch.setattr(embedding, "embed", project)
    monkeypatch.setattr(embedding, "MAX_POINTS", 90)
    rng = np.random.default_rng(0)
    own, x = rng.normal(size=(20, 3)), rng.normal(size=(400, 3))
    rows, pixels = rng.permutation(400), rng.random((400, 3, 2, 2))

    def draw(chosen):
        images = {1.0: (rows[chosen], pixels[chosen])}
        return embedding.reward_embedding(own, [0] * 20, {1.0: (x, [0] * 400)}, ("a",), images=images)

    figure = draw(np.arange(400))
    drawn = {tuple(place) for place in offsets(figure.axes[0], embedding.REWARD)}
    assert 30 <= len(drawn) <= 90
    assert len(figure.axes[0].images) > 5
    for middle, _, colors in thumbnails(figure.axes[0]):
        (k,) = np.flatnonzero(np.abs(x[rows, :2] - middle).max(axis=1) < 1e-9)
        assert tuple(x[rows[k], :2]) in drawn
        np.testing.assert_allclose(colors, np.moveaxis(pixels[k], 0, -1), atol=0.005)

    hidden = draw(np.array([tuple(place) not in drawn for place in x[rows, :2]]))
    assert {tuple(place) for place in offsets(hidden.axes[0], embedding.REWARD)} == drawn
    assert not hidden.axes[0].images
    assert "rewards" in legend(hidden)


@pytest.mark.slow
def test_embedding_by_umap():
    own, own_labels, rewards = blobs(6)
    states = np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    figure, again = (embedding.reward_embedding(own, own_labels, rewards, ("a", "b", "c"), seed=7) for _ in range(2))
    x, y = (
        np.concatenate([offsets(a, c) for a in f.axes for c in (embedding.OWN, embedding.REWARD)])
        for f in (figure, again)
    )

    np.testing.assert_array_equal(x, y)
    assert (np.random.get_state()[1] == states[0]).all()  # noqa: NPY002
    assert random.getstate() == states[1]
    assert (torch.get_rng_state() == states[2]).all()
    assert figure.axes[0].get_xlabel() == "UMAP 1"
    # what lies apart in six dimensions does so in the plane
    points, rewarded = offsets(figure.axes[0], embedding.OWN), offsets(figure.axes[0], embedding.REWARD)
    spread = np.linalg.norm(points - points.mean(axis=0), axis=1).max()
    assert np.linalg.norm(rewarded - points.mean(axis=0), axis=1).min() > spread
    other = embedding.reward_embedding(own, own_labels, rewards, ("a", "b", "c"), seed=8)
    assert not np.array_equal(offsets(other.axes[0], embedding.OWN), points)


def test_what_does_not_fit_is_refused():
    good = {
        "own": np.zeros((3, 2)),
        "own_labels": [0, 0, 1],
        "rewards": {1.0: (np.zeros((1, 2)), [0])},
        "classes": ("a", "b"),
    }
    embedding.reward_embedding(**good)
    shapes = [
        ((1,), (1, 2, 2)),
        ((1,), (1, 2, 2, 3)),
        ((1,), (1, 1, 0, 3)),
        ((2,), (1, 1, 2, 2)),
        ((1, 1), (1, 1, 2, 2)),
    ]
    for changes, message in [
        ({"rewards": {}}, "rewards={}: expected the rewards for at least one beta"),
        ({"own": np.zeros((3, 2, 2))}, r"own: expected points of shape \(N, d\), got \(3, 2, 2\)"),
        ({"own": np.full((3, 2), np.nan)}, "own: has NaN or infinity"),
        ({"own": np.zeros((0, 2)), "own_labels": []}, "own: has no points"),
        ({"own_labels": [0, 0]}, "own: 3 points but 2 labels"),
        ({"own_labels": [0, 0, 2]}, "own: labels run from 0 to 2, but the 2 classes are numbered from 0"),
        ({"own_labels": [0, 0, -1]}, "own: labels run from -1 to 0"),
        ({"rewards": {4.0: (np.zeros((1, 3)), [0])}}, r"rewards\[4\.0\]: expected points of shape \(N, 2\)"),
        ({"rewards": {4.0: (np.zeros((1, 2)), [])}}, r"rewards\[4\.0\]: 1 points but 0 labels"),
        ({"background": np.zeros((1, 3))}, r"background: expected points of shape \(N, 2\)"),
        *(
            ({"images": {1.0: (np.zeros(rows, int), np.zeros(images))}}, r"images\[1\.0\]: expected k rows and images")
            for rows, images in shapes
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            embedding.reward_embedding(**{**good, **changes})


def test_needs_no_display_and_imports_no_pyplot_or_umap():
    code = (
        "import sys; from cgm.figures import embedding; "
        "embedding.reward_embedding([[0.0, 1.0]], [0], {1: ([[1.0, 0.0]], [0])}, ['a']).get_tightbbox(); "
        "print([name for name in ('matplotlib.pyplot', 'umap', 'numba') if name in sys.modules])"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
