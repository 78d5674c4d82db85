"""Tests the figures: what is drawn is what the record says, nothing is cut off, files are whole."""

import os
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from cgm.records.figures import plots
from tests.figures import legend, whole

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


def line(axes, label: str) -> np.ndarray:
    """Returns the y of the line or collection of that label."""

    (found,) = [artist for artist in axes.lines if artist.get_label() == label]
    return np.asarray(found.get_ydata())


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
