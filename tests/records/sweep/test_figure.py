"""Tests of the figures of a sweep."""

import itertools
import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

from cgm.records.collect import Run
from cgm.records.headline import HEADLINE
from cgm.records.sweep.factors import find_factors
from cgm.records.sweep.figure import Picture, picture_of
from cgm.records.sweep.labels import LABELS, number_label, outside, outside_distinct
from cgm.records.sweep.panels import COLORS, _ink_on
from tests.figures import legend, whole
from tests.records.sweep.grids import grid, table


def picture(runs: list[Run], number: str = "v_star") -> Picture:
    return picture_of(runs, find_factors(runs, table(runs).varying), number)


def test_a_number_is_a_line_with_a_band_over_seeds():
    shown = picture(grid(lambda own: own["a"] + 0.5 * own["seed"], a=[0.2, 0.1, 0.4], seed=[0, 2]))
    (axes,) = shown.figure.axes
    line = axes.lines[-1]
    np.testing.assert_allclose(line.get_xydata(), [[0.1, 0.6], [0.2, 0.7], [0.4, 0.9]])
    (band,) = axes.collections
    box = band.get_paths()[0].get_extents()
    np.testing.assert_allclose([box.ymin, box.ymax], [0.6 - 0.5, 0.9 + 0.5])  # seeds differ by 1: error 1 / 2
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.2", "0.4"]
    assert axes.get_xlabel() == "a"
    title = "largest reward value $v^*$\nmean ± standard error over 2 seeds"
    assert shown.figure.get_suptitle() == title
    assert shown.caption == "Bands: standard errors. Small dots: runs."
    assert shown.alt == "Lines of v_star by a: means from 0.6 (a = 0.1) to 0.9 (a = 0.4)."
    assert whole(shown.figure)


def test_a_wide_range_of_numbers_is_logarithmic():
    (axes,) = picture(grid(lambda own: own["a"], a=[1e-4, 1e-3, 1e-2])).figure.axes
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.0001", "0.001", "0.01"]
    (axes,) = picture(grid(lambda own: 1.0 + own["a"], a=[0, 1, 100])).figure.axes
    assert axes.get_xscale() == "linear"


def test_without_repeats_there_is_no_error():
    shown = picture(grid(lambda own: own["a"], a=[1, 2, 3]))
    assert shown.figure.get_suptitle() == LABELS["v_star"]
    assert shown.caption == ""
    assert not shown.figure.axes[0].collections


def test_two_numbers_are_a_heat_map_with_numbers():
    runs = grid(lambda own: 10 * own["a"] + own["b"] + own["seed"], a=[1, 2], b=[3, 5, 7], seed=[0, 2])
    shown = picture([run for run in runs if (run.settings["a"], run.settings["b"]) != (2, 5)])
    axes = shown.figure.axes[0]
    (image,) = axes.images
    expected = [[14, 16, 18], [24, np.nan, 28]]
    np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), expected)
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["14\n± 1", "16\n± 1", "18\n± 1", "24\n± 1", "n/a", "28\n± 1"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("b", "a")
    assert shown.caption == "Numbers after ±: standard errors."
    assert shown.alt.endswith("means from 14 (b = 3, a = 1) to 28 (b = 7, a = 2).")
    assert whole(shown.figure)


def test_attacks_are_rows_from_the_top():
    runs = grid(lambda own: float(len(own["attack"]) + len(own["b"])), attack=["clone", "noises"], b=["u", "long name"])
    axes = picture(runs).figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["clone", "noises"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["long name", "u"]
    assert axes.get_ylim() == (1.5, -0.5)
    assert len(axes.texts) == 4


def test_changes_have_colours_that_are_symmetric_about_zero():
    runs = grid(lambda own: 0.0, a=[1, 2], b=[3, 5])
    for run, gain in zip(runs, (-0.5, 0.125, 0.25, 0.0), strict=True):
        run.numbers["accuracy_gain"] = gain
    axes = picture(runs, "accuracy_gain").figure.axes[0]
    assert axes.images[0].get_clim() == (-0.5, 0.5)
    assert [text.get_text() for text in axes.texts] == ["−0.5", "+0.125", "+0.25", "+0"]


def test_numbers_on_dark_cells_are_white():
    assert _ink_on((0.0, 0.1, 0.3, 1.0)) == "white"
    assert _ink_on((1.0, 0.9, 0.2, 1.0)) == "black"


def test_a_choice_is_a_row_with_an_interval():
    shown = picture(grid(lambda own: len(own["kernel"]) + own["seed"], kernel=["xx", "yyy"], seed=[0, 2]))
    (axes,) = shown.figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["xx", "yyy"]
    means = [line.get_xdata() for line in axes.lines if line.get_marker() == "o"]
    assert [x[0] for x in means] == [3, 4]
    bars = [bar.get_segments()[0] for bar in axes.collections]
    np.testing.assert_allclose([bar[:, 0] for bar in bars], [[2, 4], [3, 5]])
    assert shown.caption == "Intervals: standard errors. Small dots: runs."
    assert whole(shown.figure)


def test_a_second_choice_is_a_colour_and_a_marker():
    shown = picture(grid(lambda own: own["a"], a=[1, 2], kind=["x", "y"], seed=[0, 1]))
    assert "does not depend on kind" in shown.caption  # and is not shown
    assert not shown.figure.legends
    shown = picture(grid(lambda own: own["a"] * len(own["kind"]), a=[1, 2], kind=["x", "yy"], seed=[0, 1]))
    assert legend(shown.figure) == ["x", "yy"]
    assert shown.figure.legends[0].get_title().get_text() == "kind"
    lines = [line for line in shown.figure.axes[0].lines if line.get_marker() != "."]
    assert [(to_hex(line.get_color()).upper(), line.get_marker()) for line in lines] == [
        (COLORS[0], "o"),
        (COLORS[1], "s"),
    ]
    assert whole(shown.figure)


def test_lines_that_coincide_can_be_distinguished():
    shown = picture(grid(lambda own: own["a"] + (own["kind"] == "z"), a=[1, 2], kind=["x", "y", "z"]))
    own = [line for line in shown.figure.axes[0].lines if line.get_marker() != "."]
    np.testing.assert_array_equal(own[0].get_xydata(), own[1].get_xydata())
    dashes = [str(line._unscaled_dash_pattern) for line in own]
    assert len(set(dashes)) == len({line.get_marker() for line in own}) == 3
    for below, above in itertools.pairwise(own):  # the one below is seen on both sides of the one above
        assert below.get_linewidth() >= above.get_linewidth() + 0.5
        assert below.get_markersize() >= above.get_markersize() + 2
        assert below.get_markerfacecolor() == "none"
    handles = shown.figure.legends[0].legend_handles
    assert [str(line._unscaled_dash_pattern) for line in handles] == dashes
    assert whole(shown.figure)


def test_names_are_cut_so_that_they_stay_distinct():
    names = ["Fair, rho=null, epsilon=0.001, stable=false", "Fair, rho=null, epsilon=0.001, stable=true", "Other"]
    assert outside_distinct(names) == [
        "Fair, rho=…n=0.001, stable=false",
        "Fair, rho=…on=0.001, stable=true",
        "Other",
    ]
    assert outside_distinct(["x" * 40, "x" * 39 + "y", "short $"])[2] == "short \\$"
    alike = ["a" * 30 + end + "b" * 30 for end in ("cd", "ce")]  # differ in the middle
    assert outside_distinct(alike) == alike
    assert outside_distinct(["n" * 100]) == ["n" * 31 + "…"]

    runs = grid(lambda own: own["a"] * len(own["kind"]), a=[1, 2], kind=names, seed=[0, 1])
    assert legend(picture(runs).figure) == outside_distinct(names)
    axes = picture(grid(lambda own: len(own["kind"]), kind=names)).figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == outside_distinct(names)


def test_settings_that_vary_together_are_named():
    runs = grid(lambda own: own["a"], a=[1, 2, 3], seed=[0, 1])
    for run in runs:
        run.settings["b"] = run.settings["a"] > 1
    assert picture(runs).caption.endswith("b varies together with a.")
    for run in runs:
        run.settings["c"] = str(run.settings["a"] < 3)
    assert picture(runs).caption.endswith("b and c vary together with a.")


def test_seeds_alone_are_one_row():
    shown = picture(grid(lambda own: own["seed"], seed=[0, 1, 2]))
    assert [text.get_text() for text in shown.figure.axes[0].get_yticklabels()] == ["all runs"]
    assert shown.alt == "Dots with intervals of v_star: mean 1."


def test_more_settings_have_a_panel_each_with_means_over_the_others():
    runs = grid(
        lambda own: own["a"] + 10 * own["b"] + len(own["c"]) + own["d"] + own["seed"],
        a=[1, 2],
        b=[1, 3],
        c=["x", "yyy"],
        d=[True, False],
        seed=[0, 2],
    )
    shown = picture(runs)
    assert [axes.get_title() for axes in shown.figure.axes] == ["a", "b", "c", "d"]
    # means over the other settings; the error is that of the seeds alone, whatever the others do
    np.testing.assert_allclose(shown.figure.axes[0].lines[-1].get_ydata(), [1 + 20 + 2 + 0.5 + 1, 2 + 20 + 2 + 0.5 + 1])
    box = shown.figure.axes[0].collections[0].get_paths()[0].get_extents()
    np.testing.assert_allclose([box.ymin, box.ymax], [24.5 - 1, 25.5 + 1])
    assert shown.caption.startswith("Each panel shows one setting, as the mean over the others.")
    assert whole(shown.figure)


def test_cells_with_fewer_seeds_are_named():
    runs = grid(lambda own: own["a"] + own["seed"], a=[1, 2], seed=[0, 1, 2])
    runs[0].numbers["v_star"] = None
    assert picture(runs).figure.get_suptitle().endswith("over 2 to 3 seeds")
    runs[1].numbers["v_star"] = None  # one seed has no error, but counts
    assert picture(runs).figure.get_suptitle().endswith("over 1 to 3 seeds")


def test_text_from_outside_is_no_formula():
    names = ["a $\\frac{$ b", "$", "\\alpha_$x$", "new\nline\x00", "n" * 100]
    shown = picture(grid(lambda own: len(own["path"]), path=names, seed=[0, 1]))
    assert whole(shown.figure)
    labels = [text.get_text() for text in shown.figure.axes[0].get_yticklabels()]
    assert sorted(labels) == sorted(outside(name) for name in names)
    assert outside("new\nline\x00") == "new line"


@pytest.mark.parametrize("number", [*HEADLINE, "correlation_size", "beta_correlation_my_$_metric", "values.grand"])
def test_every_number_has_a_label(number):
    runs = grid(lambda own: 0.0, a=[1, 2])
    for k, run in enumerate(runs):
        run.numbers[number] = float(k)
    shown = picture(runs, number)
    assert shown.figure.get_suptitle() == number_label(number)
    assert whole(shown.figure)
    if number in HEADLINE:
        assert number_label(number) in LABELS.values()


def test_a_number_that_no_run_has_is_refused():
    runs = grid(lambda own: math.inf if own["a"] == 1 else None, a=[1, 2])
    with pytest.raises(ValueError, match="number=v_star: no run has it"):
        picture(runs)
