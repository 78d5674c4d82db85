"""Tests of the figures of records and settlements that are drawn into axes."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgm.figures.embedding import BACKGROUND, OWN, REWARD
from cgm.figures.plots import Points
from cgm.figures.rewards import reward_sizes, reward_values
from cgm.mediator import Settlement
from cgm.records.figures.run import correlations, outcome_of
from cgm.records.record import Record
from cgm.settlements.figures import PartyPlots, draw_values
from cgm.settlements.view import describe
from tests.drawn import line, whole
from tests.records.results import alpha_correlation, make_record, make_result, make_settlement
from tests.settlements.settled_tables import settle

BETAS = (1.0, 8.0)


@pytest.fixture(autouse=True)
def _figures_of_pyplot():
    """Draw without a display, and close all figures."""

    with mpl.rc_context({"backend": "agg"}):
        yield
        pyplot.close("all")


@pytest.fixture(scope="module")
def settlement() -> Settlement:
    return make_settlement(BETAS)


@pytest.fixture
def record(settlement) -> Record:
    correlation = {"size": alpha_correlation(0.5, 0.1, [0.4, 0.6])}
    result = make_result(3, BETAS, correlations=correlation)
    rewards = {key: reward.indices for key, reward in settlement.drawn.items()}
    return make_record(result, (), rewards, settlement.pool.points)


def drawn(axes: Axes) -> list[tuple]:
    """Describe what axes show: lines, bars and points."""

    lines = [(line.get_label(), *map(tuple, np.nan_to_num(line.get_xydata()))) for line in axes.lines]
    points = [tuple(map(tuple, np.asarray(artist.get_offsets()))) for artist in axes.collections]
    return [*lines, *points, axes.get_xlim(), axes.get_ylim()]


def test_axes_show_what_the_files_of_a_run_show(record):
    outcome = outcome_of(record.result)
    pairs = [
        (record.plot.correlations(), correlations(record.result).axes[0]),
        (record.plot.rewards(), reward_sizes(outcome).axes[0]),
        (record.plot.values(), reward_values(outcome).axes[0]),
        (record.plot.values(close_up=True), reward_values(outcome).axes[1]),
    ]
    for axes, of_file in pairs:
        assert drawn(axes) == drawn(of_file)
        assert axes.get_legend() is not None
        assert whole(axes.figure)


def test_given_axes_are_drawn_into_and_returned(record, settlement):
    figure = Figure(layout="constrained")
    panels = figure.subplots(4, 2).ravel()
    methods = [record.plot.correlations, record.plot.rewards, record.plot.values, record.plot.embedding]
    methods += [settlement.plot.rewards, settlement.plot.values, settlement.plot.embedding]
    for axes, method in zip(panels, methods, strict=False):
        assert method(axes, legend=False) is axes
        assert axes.has_data()
        assert axes.get_legend() is None
    assert pyplot.get_fignums() == []  # nothing of pyplot was used
    assert settlement.plot.rewards(ax=panels[-1]) is panels[-1]
    with pytest.raises(
        ValueError, match=r"ax: expected one Axes of matplotlib, such as plt\.subplots\(\)\[1\], got nd"
    ):
        record.plot.rewards(panels)


def test_new_axes_are_those_of_one_figure_of_pyplot(record):
    for k, method in enumerate((record.plot.correlations, record.plot.rewards, record.plot.embedding), start=1):
        axes = method()
        assert len(pyplot.get_fignums()) == k
        assert pyplot.gcf() is axes.figure


def scatter(axes: Axes) -> dict[str, np.ndarray]:
    return {
        mpl.colors.to_hex(each.get_facecolor()[0]).upper(): np.asarray(each.get_offsets()) for each in axes.collections
    }


def test_the_embedding_has_own_points_only_where_they_are_known(record, settlement):
    axes = settlement.plot.embedding(party=1, beta=1)
    points = scatter(axes)
    np.testing.assert_array_equal(points[OWN], settlement.parties[1])
    np.testing.assert_array_equal(points[REWARD], settlement.reward(1, 1.0))
    assert len(points[BACKGROUND]) == 60 + 200
    assert axes.get_title() == rf"party 2, $\beta$ = 1: {settlement.drawn[1, 1.0].size} points"

    axes = record.plot.embedding(party=1)
    np.testing.assert_array_equal(scatter(axes)[REWARD], settlement.reward(1, 8.0))
    assert len(scatter(axes)[BACKGROUND]) == 200
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["rewards", "synthetic pool $G$ (200)"]


def test_images_of_rewards_are_thumbnails(settlement):
    pool = replace(settlement.pool, images=torch.full((200, 1, 4, 4), 128, dtype=torch.uint8))
    axes = replace(settlement, pool=pool).plot.embedding()
    assert axes.images
    assert isinstance(settlement.plot._points, Points)


def test_rewards_that_do_not_exist_are_named(settlement):
    with pytest.raises(ValueError, match=r"party=3: expected an integer from 0 to 2"):
        settlement.plot.embedding(party=3)
    with pytest.raises(ValueError, match=r"beta=3: party 1 has no such reward; expected one of 1, 8"):
        settlement.plot.embedding(beta=3)


def test_a_loaded_record_reads_its_points_when_they_are_drawn(record, tmp_path):
    record.save(tmp_path)
    loaded = Record.load(tmp_path)
    assert drawn(loaded.plot.embedding()) == drawn(record.plot.embedding())
    (tmp_path / "rewards.npz").unlink()
    loaded = Record.load(tmp_path)
    assert loaded.plot.values().has_data()
    with pytest.raises(FileNotFoundError, match=r"no rewards\.npz"):
        loaded.plot.embedding()


def test_parties_have_their_names():
    settlement = replace(settle(), names=["a $x$ $", "<b>", "c"])
    plots = settlement.plot
    assert isinstance(plots, PartyPlots)
    axes = plots.rewards()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a $x$ $", "<b>", "c"]
    assert whole(axes.figure)  # which would read $x$ $ as a broken formula
    axes = plots.values()
    of_report = draw_values(describe(settlement)["parties"]).axes[0]
    assert drawn(axes) == drawn(of_report)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a $x$ $", "<b>", "c"]
    assert whole(axes.figure)
    reached = line(axes, "own data and reward")
    close = plots.values(close_up=True)
    assert close.get_xlim()[0] > axes.get_xlim()[0]
    np.testing.assert_array_equal(line(close, "own data and reward"), reached)
    axes = plots.embedding()
    assert axes.get_title().startswith(rf"a \$x\$ \$, $\beta$ = {settlement.recommended[0]:g}: ")
    assert whole(axes.figure)


def test_the_text_of_plots_lists_the_figures(record, settlement):
    assert repr(record.plot) == (
        "Figures: correlations(), embedding(), rewards(), values(); each takes ax=None and returns the Axes"
    )
    assert "correlations" not in repr(settlement.plot)
