"""Tests the figures: what is drawn is what the record says, nothing is cut off, files are whole."""

import os
import random
import subprocess
import sys
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from cgm import plots

INF = float("inf")


@dataclass
class Chain:
    party: int
    beta: float
    values: torch.Tensor
    target: float | None
    start: float


def make_run(n: int, betas: list[float], length: int = 40) -> tuple[dict, list[Chain]]:
    """Makes up a record and its chains, all numbers different."""

    rng = np.random.default_rng(n)
    alpha = rng.uniform(0.3, 1.0, n)
    own = rng.uniform(0.01, 0.06, n)
    rewards = 0.5 * alpha**0.1
    sampling, chains = [], []
    for i in range(n):
        for beta in betas:
            size = int(rng.integers(length // 2, length))
            values = np.sort(rng.uniform(own[i], rewards[i], size))
            values[-1] = rewards[i] + 1e-4 * rng.random()
            entry = {"party": i, "beta": beta, "size": size, "target": rewards[i], "value": values[-1]}
            sampling.append({**entry, "reached": True, "increasing": 0.76})
            chains.append(Chain(i, beta, torch.from_numpy(values), float(rewards[i]), float(own[i])))

    correlations = {
        metric: {"mean": mean, "sem": sem, "by_beta": [mean] * len(betas), "reasons": []}
        for metric, mean, sem in (
            ("neg_mmd2_unbiased", 0.99, 0.01),
            ("size", -0.7, 0.05),
            ("my_metric", 0.2, 0.3),
        )
    }
    record = {
        "n_parties": n,
        "synthetic_size": 12345,
        "values": {
            "party": list(own),
            "grand": 0.45,
            "lower": list(own + 0.1),
            "upper": list(rewards + rng.uniform(0.0, 0.05, n)),
        },
        "shapley": {"alpha": list(alpha)},
        "scheme": {"v_star": float(rewards.max()), "rho": 0.1, "rewards": list(rewards)},
        "sampling": sampling,
        "correlations": correlations,
    }

    return record, chains


def blobs(width: int, sizes: tuple[int, int] = (60, 40)) -> tuple:
    """Makes up own points of class 0 and, for two betas, rewards of classes 1 and 2, all far apart."""

    rng = np.random.default_rng(width)
    centers = 10.0 * np.eye(max(width, 3))[:3, :width]
    own = centers[0] + rng.normal(size=(50, width))
    rewards = {}
    for beta, k in zip((8.0, 1.0), sizes, strict=True):
        y = rng.integers(1, 3, k)
        rewards[beta] = (centers[y] + rng.normal(size=(k, width)), y)

    return own, np.zeros(50, dtype=int), rewards


def whole(figure: Figure) -> bool:
    """Says whether all that is drawn lies inside the figure."""

    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()

    return box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def line(axes, label: str) -> np.ndarray:
    """Returns the y of the line or collection of that label."""

    (found,) = [artist for artist in axes.lines if artist.get_label() == label]
    return np.asarray(found.get_ydata())


def offsets(axes, color: str) -> np.ndarray:
    """Returns the points of that colour."""

    (found,) = [c for c in axes.collections if to_hex(c.get_facecolor()[0]).upper() == color]
    return np.asarray(found.get_offsets())


RUNS = [
    (1, [1.0]),
    (3, [INF, 0.0, 1.0]),
    (5, [1.0, 2.0, 4.0, 8.0]),
    (50, [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, INF]),
]


@pytest.mark.parametrize(("n", "betas"), RUNS)
def test_reward_sizes(n, betas):
    record, _ = make_run(n, betas)
    figure = plots.reward_sizes(record)
    (axes,) = figure.axes

    for beta in betas:
        label = rf"$\beta$ = {'∞' if beta == INF else f'{beta:g}'}"
        expected = [entry["size"] for entry in record["sampling"] if entry["beta"] == beta]
        assert line(axes, label).tolist() == expected
        assert label in legend(figure)
    assert [t.get_text() for t in axes.get_xticklabels()] == [str(i + 1) for i in range(n)]
    assert "12,345" in axes.get_ylabel()
    assert axes.get_yscale() == "linear"
    assert "target not reached" not in legend(figure)
    assert whole(figure)


def test_reward_sizes_of_unequal_magnitude():
    record, _ = make_run(3, [1.0, 2.0])
    for entry, size in zip(record["sampling"], (0, 0, 700, 900, 100_000, None), strict=True):
        entry["size"] = size
    record["sampling"][4]["reached"] = False
    figure = plots.reward_sizes(record)
    (axes,) = figure.axes

    np.testing.assert_array_equal(line(axes, r"$\beta$ = 1"), [0, 700, np.nan])
    np.testing.assert_array_equal(line(axes, r"$\beta$ = 2"), [0, 900, np.nan])
    (hollow,) = [a for a in axes.lines if np.nanmax([*a.get_ydata(), 0]) == 100_000]
    assert hollow.get_markerfacecolor() == "white"
    assert "target not reached" in legend(figure)
    assert "n/a: party 3, β = 2" in figure.get_suptitle()
    assert axes.get_yscale() == "symlog"
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] > 100_000
    assert whole(figure)


@pytest.mark.parametrize("sizes", [[0, 0, 0], [None, None, None]])
def test_reward_sizes_without_rewards(sizes):
    record, _ = make_run(3, [1.0])
    for entry, size in zip(record["sampling"], sizes, strict=True):
        entry["size"] = size
    figure = plots.reward_sizes(record)

    assert figure.axes[0].get_ylim() == (0, 1)
    assert ("n/a" in figure.get_suptitle()) == (sizes[0] is None)
    assert whole(figure)


@pytest.mark.parametrize(("n", "betas"), RUNS)
def test_reward_values(n, betas):
    record, _ = make_run(n, betas)
    figure = plots.reward_values(record)
    top, bottom = figure.axes
    values, rewards = record["values"], record["scheme"]["rewards"]

    for axes in (top, bottom):
        np.testing.assert_array_equal(line(axes, r"upper bound $v(D_i \cup G)$"), values["upper"])
        np.testing.assert_array_equal(line(axes, "lower bound"), values["lower"])
        np.testing.assert_array_equal(line(axes, "own data $v(D_i)$"), values["party"])
        assert set(line(axes, "greatest reward value $v^*$")) == {record["scheme"]["v_star"]}
        assert set(line(axes, "all real data $v_c(N)$")) == {values["grand"]}
        (bars,) = [c for c in axes.collections if c.get_label() == "reward value $r_i$"]
        assert [segment[0, 1] for segment in bars.get_segments()] == rewards
        for beta in betas:
            expected = [entry["value"] for entry in record["sampling"] if entry["beta"] == beta]
            assert line(axes, rf"$\beta$ = {'∞' if beta == INF else f'{beta:g}'}").tolist() == expected

    low, high = bottom.get_ylim()
    assert low < min(rewards) <= max(rewards) < high
    assert high - low < 0.5 * np.ptp(top.get_ylim())
    assert f"max r − min r = {max(rewards) - min(rewards):.4g}" in figure.get_suptitle()
    assert whole(figure)


def test_reward_values_that_are_missing():
    record, _ = make_run(3, [1.0])
    record["values"]["lower"][0] = record["values"]["upper"][1] = record["scheme"]["rewards"][2] = None
    record["values"]["grand"] = record["scheme"]["v_star"] = record["scheme"]["rho"] = None
    record["sampling"][1] |= {"value": 0.001, "reached": False}
    record["sampling"][2] |= {"value": None}
    figure = plots.reward_values(record)

    for name in (
        "lower bound of party 1",
        "upper bound of party 2",
        "r_i of party 3",
        "party 3, β = 1",
        "v_c(N)",
        "v^*",
    ):
        assert name in figure.get_suptitle().replace("\n", " ")
    assert figure.axes[1].get_ylim()[0] > 0.1  # a chain that missed its target does not spoil the close-up
    assert figure.axes[0].get_ylim()[0] < 0.001
    assert whole(figure)


def test_reward_values_all_equal():
    record, _ = make_run(4, [1.0])
    record["scheme"]["rewards"] = [0.5] * 4
    for entry in record["sampling"]:
        entry["value"] = 0.5
    figure = plots.reward_values(record)

    assert "min r = 0," in figure.get_suptitle()
    assert figure.axes[1].get_ylim() == pytest.approx((0.4995, 0.5005))


@pytest.mark.parametrize(("n", "betas"), [*RUNS[:3], (26, [1.0, 8.0])])
def test_value_curves(n, betas):
    record, chains = make_run(n, betas)
    figure = plots.value_curves(chains[::-1], record)

    assert len(figure.axes) == n
    for i, axes in enumerate(figure.axes):
        mine = sorted((chain for chain in chains if chain.party == i), key=lambda chain: chain.beta)
        curves = [a for a in axes.lines if len(a.get_xdata()) > 2]
        assert len(curves) == len(betas)
        for chain, curve in zip(mine, curves, strict=True):
            np.testing.assert_array_equal(curve.get_xdata(), np.arange(len(chain.values) + 1))
            np.testing.assert_array_equal(curve.get_ydata(), [chain.start, *chain.values.tolist()])
        (target,) = [a for a in axes.lines if a.get_linestyle() == "--"]
        assert set(target.get_ydata()) == {mine[0].target}
        assert axes.get_title().startswith(f"party {i + 1} ")
        assert f"{record['shapley']['alpha'][i]:.3g}" in axes.get_title()
        assert axes.get_xlim()[1] > max(len(chain.values) for chain in mine)
    assert len(legend(figure)) == len(betas) + 1
    assert whole(figure)


def test_value_curves_of_long_empty_and_missing_chains():
    record, _ = make_run(3, [1.0])
    record["shapley"]["alpha"][2] = None
    values = np.random.default_rng(0).random(100_000)
    chains = [Chain(0, INF, values, 0.9, 0.25), Chain(1, 1.0, torch.empty(0), None, 0.125)]
    figure = plots.value_curves(chains, record)

    curve = max(figure.axes[0].lines, key=lambda a: len(a.get_xdata()))
    x, y = curve.get_xdata(), curve.get_ydata()
    assert len(x) == plots.DRAWN
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0.25, 100_000, values[-1])
    np.testing.assert_array_equal(y[1:], values[x[1:] - 1])
    assert np.ptp(np.diff(x)) <= 1
    assert [list(a.get_ydata()) for a in figure.axes[1].lines] == [[0.125], [0.125]]
    assert [t.get_text() for t in figure.axes[2].texts] == ["no chain"]
    assert "n/a" in figure.axes[2].get_title()
    assert whole(figure)


@pytest.mark.parametrize("betas", [[1.0], [8.0, 1.0], RUNS[3][1]])
def test_correlations(betas):
    record, _ = make_run(5, betas)
    entry = record["correlations"]["size"]
    entry["by_beta"] = [-0.7 + 0.01 * k for k in range(len(betas))]
    figure = plots.correlations(record)
    (axes,) = figure.axes

    assert [t.get_text() for t in axes.get_yticklabels()] == [r"$-\mathrm{MMD}_u^2$", r"$|G_i|$", "my metric"]
    assert [bar.get_width() for bar in axes.patches] == [0.99, -0.7, 0.2]
    bars = [c for c in axes.containers if hasattr(c, "has_xerr") and c.has_xerr]
    for bar, mean, sem in zip(bars, (0.99, -0.7, 0.2), (0.01, 0.05, 0.3), strict=True):
        np.testing.assert_allclose(bar.lines[2][0].get_segments()[0][:, 0], [mean - sem, mean + sem])
    dots = {a.get_xdata()[0]: a for a in axes.lines if 0.5 < a.get_ydata()[0] < 1.5 and len(a.get_xdata()) == 1}
    colors = dict(zip(legend(figure), [h.get_color() for h in figure.legends[0].legend_handles], strict=True))
    for beta, value in zip(betas, entry["by_beta"], strict=True):
        label = rf"$\beta$ = {'∞' if beta == INF else f'{beta:g}'}"
        assert dots[value].get_color() == colors[label]
    assert {"+0.990 ± 0.010", "−0.700 ± 0.050", "+0.200 ± 0.300"} <= {t.get_text() for t in axes.texts}
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first metric on top
    assert whole(figure)


def test_correlations_that_could_not_be_computed():
    record, _ = make_run(5, [1.0, 2.0])
    reasons = [
        "beta=1: all 5 entries of y are 0.9",
        "beta=2: all 5 entries of y are 0.9",
        "none of 2 values is there",
    ]
    record["correlations"] = {
        "accuracy": {"mean": None, "sem": None, "by_beta": [None, None], "reasons": reasons},
        "size": {
            "mean": 0.5,
            "sem": None,
            "by_beta": [0.5, None],
            "reasons": ["beta=2: all 5 entries of y are 3"],
        },
    }
    figure = plots.correlations(record)
    (axes,) = figure.axes
    accuracy, size = (t.get_text() for t in axes.texts)

    assert "".join(accuracy.split()) == "".join(f"n/a: {'; '.join(reasons)}".split())
    assert size == "+0.500 ± n/a\n(1 of 2 β n/a)"
    assert [bar.get_width() for bar in axes.patches] == [0.5]
    assert whole(figure)


def test_correlations_refuses_other_betas():
    record, _ = make_run(5, [1.0, 2.0])
    record["correlations"]["size"]["by_beta"] = [0.5]
    with pytest.raises(ValueError, match=r"correlations\.size\.by_beta=\[0\.5\]"):
        plots.correlations(record)


def test_embedding_of_two_dimensions_is_the_data():
    own, own_labels, rewards = blobs(2)
    background = np.random.default_rng(0).normal(size=(7, 2))
    figure = plots.reward_embedding(
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
        np.testing.assert_array_equal(offsets(axes, plots.OWN), own)
        np.testing.assert_array_equal(offsets(axes, plots.REWARD), rewards[beta][0])
        np.testing.assert_array_equal(offsets(axes, plots.BACKGROUND), background)
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
    figure = plots.reward_embedding(own, own_labels, rewards, ("zero", "one", "two"))

    for axes in figure.axes:
        assert sorted(t.get_text() for t in axes.texts) == ["one", "two", "zero"]
        for text in axes.texts:
            nearest = y[np.linalg.norm(x - text.get_position(), axis=1).argmin()]
            assert ("zero", "one", "two")[nearest] == text.get_text()


def test_embedding_marks_do_not_overlap():
    rng = np.random.default_rng(0)
    names = [f"{low} < Amount <= {low + 10}" for low in range(0, 50, 10)]
    own = rng.normal(size=(200, 2))
    figure = plots.reward_embedding(
        own, np.arange(200) % 5, dict.fromkeys((1, 2, 4, 8), (own, np.arange(200) % 5)), names
    )

    assert whole(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 5
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


@pytest.mark.parametrize("k", [1, 5, 8])
def test_embedding_has_a_panel_for_each_beta(k):
    own, own_labels, _ = blobs(2)
    rewards = {float(b): (own[: 5 * b], own_labels[: 5 * b]) for b in range(k)}
    figure = plots.reward_embedding(own, own_labels, rewards, ("a",))

    assert [a.get_title() for a in figure.axes] == [rf"$\beta$ = {b}, $|G_{{1}}|$ = {5 * b}" for b in range(k)]
    assert [bool(a.get_xlabel()) for a in figure.axes] == [b + min(k, 4) >= k for b in range(k)]
    assert whole(figure)


def project(x, seed):
    """Stands in for UMAP, which takes seconds."""

    return x[:, :2].copy(), "UMAP"


def test_embedding_draws_a_common_subset(monkeypatch):
    monkeypatch.setattr(plots, "_embed", project)
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(12_000, 3))
    own = rng.normal(size=(2_500, 3))
    # nested rewards: the few of beta=8 are among the many of beta=1
    rewards = {
        1.0: (pool, np.zeros(12_000, int)),
        8.0: (pool[:4_000], np.zeros(4_000, int)),
        9.0: (pool[:40], [1] * 40),
    }
    figure = plots.reward_embedding(own, np.zeros(2_500, int), rewards, ("a", "b"), rng.normal(size=(5_000, 3)), seed=1)

    many, few, least = ({tuple(x) for x in offsets(axes, plots.REWARD)} for axes in figure.axes)
    rest = {tuple(x) for x in offsets(figure.axes[0], plots.BACKGROUND)}
    mine = {tuple(x) for x in offsets(figure.axes[0], plots.OWN)}
    assert few == many & {tuple(x) for x in pool[:4_000, :2]}
    assert 30 <= len(least) <= 40
    assert least <= few <= many
    assert len(rest) == 1_000
    assert len(many | mine | rest) == plots.EMBEDDED
    assert len(few) / len(many) == pytest.approx(1 / 3, rel=0.15)
    assert abs(np.mean(list(many), axis=0)).max() < 0.15  # drawn at random, not from one end
    assert mine <= {tuple(x) for x in own[:, :2]}
    assert len(mine) >= 200
    assert f"({len(many):,} drawn)" in figure.axes[0].get_title()
    assert f"own points ({len(mine)} of 2,500 drawn)" in legend(figure)
    assert "UMAP of 3,000 distinct points of dimension 3, a random subset" in figure.get_suptitle()
    assert whole(figure)


def test_embedding_draws_everything_that_is_not_too_much(monkeypatch):
    monkeypatch.setattr(plots, "_embed", project)
    own, own_labels, rewards = blobs(5)
    figure = plots.reward_embedding(own, own_labels, rewards, ("a", "b", "c"), own)

    for axes, beta in zip(figure.axes, (1.0, 8.0), strict=True):
        np.testing.assert_array_equal(offsets(axes, plots.OWN), own[:, :2])
        np.testing.assert_array_equal(offsets(axes, plots.REWARD), rewards[beta][0][:, :2])
    assert figure.get_suptitle().endswith("UMAP of 150 distinct points of dimension 5")
    assert "drawn" not in " ".join([*legend(figure), *(a.get_title() for a in figure.axes)])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_embedding_of_constant_and_empty_data(width):
    none = (np.empty((0, width)), np.empty(0))
    rewards = {0.0: none, 1.0: ([], []), INF: (np.ones((3, width)), [0, 0, 0])}
    figure = plots.reward_embedding(np.ones((4, width)), [1] * 4, rewards, ("a", "b"))

    assert [len(a.texts) for a in figure.axes] == [2, 2, 2]
    assert figure.axes[2].get_title() == r"$\beta$ = ∞, $|G_{1}|$ = 3"
    assert whole(figure)


def test_embedding_of_few_points_keeps_their_distances():
    x = np.random.default_rng(0).normal(size=(15, 2)) @ np.random.default_rng(1).normal(size=(2, 6))
    figure = plots.reward_embedding(x[:9], [0] * 9, {1.0: (x[9:], [1] * 6)}, ("a", "b"))

    plane = np.concatenate([offsets(figure.axes[0], color) for color in (plots.OWN, plots.REWARD)])
    distances = [np.linalg.norm(points[:, None] - points, axis=-1) for points in (x, plane)]
    np.testing.assert_allclose(*distances, atol=1e-12)
    assert figure.axes[0].get_xlabel() == "principal component 1"
    assert "principal components of 15 distinct points" in figure.get_suptitle()


@pytest.mark.slow
def test_embedding_by_umap():
    own, own_labels, rewards = blobs(6)
    states = np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    figure, again = (plots.reward_embedding(own, own_labels, rewards, ("a", "b", "c"), seed=7) for _ in range(2))
    x, y = (np.concatenate([offsets(a, c) for a in f.axes for c in (plots.OWN, plots.REWARD)]) for f in (figure, again))

    np.testing.assert_array_equal(x, y)
    assert (np.random.get_state()[1] == states[0]).all()  # noqa: NPY002
    assert random.getstate() == states[1]
    assert (torch.get_rng_state() == states[2]).all()
    assert figure.axes[0].get_xlabel() == "UMAP 1"
    # what lies apart in six dimensions does so in the plane
    points, rewarded = offsets(figure.axes[0], plots.OWN), offsets(figure.axes[0], plots.REWARD)
    spread = np.linalg.norm(points - points.mean(axis=0), axis=1).max()
    assert np.linalg.norm(rewarded - points.mean(axis=0), axis=1).min() > spread
    other = plots.reward_embedding(own, own_labels, rewards, ("a", "b", "c"), seed=8)
    assert not np.array_equal(offsets(other.axes[0], plots.OWN), points)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": {}}, "rewards={}: expected the rewards for at least one beta"),
        ({"own": np.zeros((3, 2, 2))}, r"own: expected points of shape \(N, d\), got \(3, 2, 2\)"),
        ({"own": np.full((3, 2), np.nan)}, "own: holds NaN or infinity"),
        ({"own": np.zeros((0, 2)), "own_labels": []}, "own: holds no points"),
        ({"own_labels": [0, 0]}, "own: 3 points but 2 labels"),
        ({"own_labels": [0, 0, 2]}, "own: labels run from 0 to 2, but the 2 classes are numbered from 0"),
        ({"own_labels": [0, 0, -1]}, "own: labels run from -1 to 0"),
        ({"rewards": {4.0: (np.zeros((1, 3)), [0])}}, r"rewards\[4\.0\]: expected points of shape \(N, 2\)"),
        ({"rewards": {4.0: (np.zeros((1, 2)), [])}}, r"rewards\[4\.0\]: 1 points but 0 labels"),
        ({"background": np.zeros((1, 3))}, r"background: expected points of shape \(N, 2\)"),
    ],
)
def test_embedding_refuses_what_does_not_fit(changes, message):
    good = {
        "own": np.zeros((3, 2)),
        "own_labels": [0, 0, 1],
        "rewards": {1.0: (np.zeros((1, 2)), [0])},
        "classes": ("a", "b"),
    }
    plots.reward_embedding(**good)
    with pytest.raises(ValueError, match=message):
        plots.reward_embedding(**{**good, **changes})


def test_save_writes_both_files_the_same_each_time(tmp_path):
    record, _ = make_run(3, [1.0, 2.0])
    before = dict(mpl.rcParams)
    folder = tmp_path / "new" / "figures"
    png, pdf = plots.save(plots.reward_sizes(record), folder, "sizes")
    plots.save(plots.reward_sizes(record), folder, "again.v1")

    assert (png, pdf) == (folder / "sizes.png", folder / "sizes.pdf")
    assert sorted(p.name for p in folder.iterdir()) == [
        "again.v1.pdf",
        "again.v1.png",
        "sizes.pdf",
        "sizes.png",
    ]
    assert (folder / "again.v1.png").read_bytes() == png.read_bytes()
    assert (folder / "again.v1.pdf").read_bytes() == pdf.read_bytes()
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert pdf.read_bytes().rstrip().endswith(b"%%EOF")
    assert b"CreationDate" not in pdf.read_bytes()
    assert b"/Type3" not in pdf.read_bytes()
    width, height = plots.reward_sizes(record).get_size_inches()
    assert imread(png).shape[:2] == (round(200 * height), round(200 * width))
    assert dict(mpl.rcParams) == before


def test_save_is_whole_or_not_at_all(tmp_path, monkeypatch):
    record, _ = make_run(2, [1.0])
    figure = plots.reward_sizes(record)
    plots.save(figure, tmp_path, "sizes")
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args, **kwargs):
        raise OSError("disk full")

    record["sampling"][0]["size"] = 1
    changed = plots.reward_sizes(record)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            plots.save(changed, tmp_path, "sizes")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", fail)
        with pytest.raises(OSError, match="disk full"):
            plots.save(changed, tmp_path, "other")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


@pytest.mark.parametrize("name", ["", "a/b", "..", "/a"])
def test_save_refuses_a_name_with_a_folder(tmp_path, name):
    with pytest.raises(ValueError, match="without its folder and ending"):
        plots.save(Figure(), tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_needs_no_display_and_imports_no_pyplot_or_umap():
    code = (
        "import sys; from cgm import plots; "
        "plots.reward_embedding([[0.0, 1.0]], [0], {1: ([[1.0, 0.0]], [0])}, ['a']).get_tightbbox(); "
        "print([name for name in ('matplotlib.pyplot', 'umap', 'numba') if name in sys.modules])"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
