"""Tests of the figures of a sweep."""

import itertools
import math
import statistics
from typing import NamedTuple

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from cgm.figures.style import LABELS
from cgm.records.collect import Run
from cgm.records.figures.attack_gains import LABELS as ATTACK_LABELS
from cgm.records.headline import HEADLINE
from cgm.records.sweep.figure import COLORS, cells_of, choose_panels, find_factors, number_label, picture_of, shortened
from tests.drawn import legend, whole
from tests.records.sweep.grids import grid, table

N, M, MANY = [0.1, 0.2, 0.3], [3, 5, 8, 10], [f"w{k}" for k in range(9)]
X, Y = ["x", "y"], ["u", "v", "w"]


class Picture(NamedTuple):
    figure: Figure
    caption: str
    alt: str


def picture(runs: list[Run], number: str = "v_star") -> Picture:
    return Picture(*picture_of(runs, find_factors(runs, table(runs).varying), number))


def means(axes) -> list:
    """Return the lines and markers of means, without the small dots of runs."""

    return [line for line in axes.lines if line.get_marker() in "os^Dv<>"]


def bars(axes) -> np.ndarray:
    """Return the ends of all error bars, of shape (bars, 2, 2)."""

    return np.array([segment for lines in axes.collections for segment in lines.get_segments()])


def test_a_number_is_a_line_with_bars_over_seeds():
    shown = picture(grid(lambda own: own["a"] + 0.5 * own["seed"], a=[0.2, 0.1, 0.4], seed=[0, 2]))
    (axes,) = shown.figure.axes
    (line,) = means(axes)
    np.testing.assert_allclose(line.get_xydata(), [[0.1, 0.6], [0.2, 0.7], [0.4, 0.9]])
    np.testing.assert_allclose(bars(axes)[:, :, 1], [[0.1, 1.1], [0.2, 1.2], [0.4, 1.4]])  # seeds differ by 1: ± 1 / 2
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.2", "0.4"]
    assert axes.get_xlabel() == "a"
    title = "largest reward value $v^*$\nmean ± standard error over 2 seeds"
    assert shown.figure.get_suptitle() == title
    assert shown.caption == "Bars: standard errors. Small dots: runs."
    assert shown.alt == "v_star by a: means from 0.6 to 0.9."
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
    assert not bars(shown.figure.axes[0]).size


def test_changes_have_a_line_at_zero():
    runs = grid(lambda own: 0.0, a=[1, 2], kind=X)
    for run, gain in zip(runs, (-0.5, 0.125, 0.25, 0.0), strict=True):
        run.numbers["accuracy_gain"] = gain
    axes = picture(runs, "accuracy_gain").figure.axes[0]
    assert any(list(line.get_ydata()) == [0, 0] for line in axes.lines)
    axes = picture(runs[:2], "accuracy_gain").figure.axes[0]
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines)


def test_a_choice_is_a_row_with_an_interval():
    shown = picture(grid(lambda own: len(own["kernel"]) + own["seed"], kernel=["xx", "yyy"], seed=[0, 2]))
    (axes,) = shown.figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["xx", "yyy"]
    (dots,) = means(axes)
    np.testing.assert_array_equal(dots.get_xydata(), [[3, 0], [4, 1]])
    np.testing.assert_allclose(bars(axes)[:, :, 0], [[2, 4], [3, 5]])
    assert axes.get_ylim() == (1.5, -0.5)  # the first on top
    assert whole(shown.figure)


def test_a_second_factor_is_a_colour_and_a_marker():
    for kinds in (["x", "yy"], [2, 3]):
        shown = picture(grid(lambda own: own["a"] * len(str(own["kind"])), a=[1, 2, 3], kind=kinds, seed=[0, 1]))
        assert legend(shown.figure) == list(map(str, kinds))
        assert shown.figure.legends[0].get_title().get_text() == "kind"
        lines = [(to_hex(line.get_color()).upper(), line.get_marker()) for line in means(shown.figure.axes[0])]
        assert lines == [(COLORS[0], "o"), (COLORS[1], "s")]
        assert whole(shown.figure)


def test_lines_that_coincide_can_be_distinguished():
    shown = picture(grid(lambda own: own["a"] + (own["kind"] == "z"), a=[1, 2], kind=["x", "y", "z"]))
    own = means(shown.figure.axes[0])
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
    cut = ["Fair, rho=…silon=0.001, stable=false", "Fair, rho=…psilon=0.001, stable=true", "Other"]
    assert [len(name) <= 32 for name in shortened(names)] == [True] * 3
    assert [name.split("…")[0] for name in shortened(names)] == [name.split("…")[0] for name in cut]
    assert shortened(["x" * 40, "x" * 39 + "y", "short $"])[2] == "short \\$"
    alike = ["a" * 30 + end + "b" * 30 for end in ("cd", "ce")]  # differ in the middle
    assert shortened(alike) == alike
    runs = grid(lambda own: own["a"] * len(own["kind"]), a=[1, 2], kind=names, seed=[0, 1])
    assert legend(picture(runs).figure) == shortened(names)


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
    assert shown.alt == "v_star: means from 1 to 1."


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
    axes = shown.figure.axes[0]
    # means over the other settings; the error is that of the seeds alone, whatever the others do
    np.testing.assert_allclose(means(axes)[0].get_ydata(), [1 + 20 + 2 + 0.5 + 1, 2 + 20 + 2 + 0.5 + 1])
    np.testing.assert_allclose(bars(axes)[:, :, 1], [[23.5, 25.5], [24.5, 26.5]])
    assert "Each panel shows one setting, as the mean over the others." in shown.caption
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
    assert sorted(labels) == sorted(shortened(names))
    assert shortened(["new\nline\x00"]) == ["new line"]


def test_every_number_has_a_label():
    for number in [*HEADLINE, "correlation_size", "beta_correlation_my_$_metric", "values.grand"]:
        runs = grid(lambda own: 0.0, a=[1, 2])
        for k, run in enumerate(runs):
            run.numbers[number] = float(k)
        shown = picture(runs, number)
        assert shown.figure.get_suptitle() == number_label(number)
        assert whole(shown.figure)
        if number in HEADLINE:
            assert number_label(number) in (LABELS | ATTACK_LABELS).values()


def test_a_number_that_no_run_has_is_refused():
    runs = grid(lambda own: math.inf if own["a"] == 1 else None, a=[1, 2])
    with pytest.raises(ValueError, match="number=v_star: no run has it"):
        picture(runs)


def panels(every: int = 1, **settings) -> list:
    """Choose the panels of a grid, of which every k-th run is kept."""

    runs = grid(lambda own: 0.0, **settings, seed=[0, 1])[::every]
    return choose_panels(find_factors(runs, table(runs).varying), range(len(runs)))


def test_what_varies_decides():
    for settings, expected in [
        ({}, [(None, None)]),
        ({"a": N}, [("a", None)]),
        ({"a": X}, [("a", None)]),
        ({"a": N, "b": M}, [("b", "a")]),
        ({"a": N, "b": Y}, [("a", "b")]),
        ({"a": Y, "b": N}, [("b", "a")]),
        ({"a": X, "b": MANY}, [("b", "a")]),
        ({"a": N, "b": M, "c": X}, [("b", "a")] * 2),
        ({"a": N, "b": Y, "c": X}, [("a", "b")] * 2),
        ({"a": X, "b": M, "c": ["q", *Y]}, [("b", "c")] * 2),
    ]:
        assert [(p.main and p.main.name, p.series and p.series.name) for p in panels(**settings)] == expected
    parts = panels(a=N, b=Y, c=X)
    assert [panel.title for panel in parts] == ["c = x", "c = y"]
    assert [len(panel.runs) for panel in parts] == [18, 18]
    assert sorted(k for panel in parts for k in panel.runs) == list(range(36))


def test_otherwise_each_setting_has_a_panel():
    for every, settings in [
        (1, {"a": N, "b": X, "c": Y, "d": [True, False]}),  # more than three
        (1, {"a": N, "b": MANY}),  # more colours than can be distinguished
        (5, {"a": M, "b": [1, 2, 4, 7]}),  # most combinations were not run
    ]:
        chosen = panels(every, **settings)
        assert [panel.title for panel in chosen] == [panel.main.name for panel in chosen] == list(settings)
        assert all(panel.series is None for panel in chosen)


def test_many_values_of_a_search_are_not_connected():
    for n, line in ((12, "-"), (13, "None")):
        (points,) = means(picture(grid(lambda own: own["a"] ** 2, a=[k + 0.5 for k in range(n)])).figure.axes[0])
        assert points.get_linestyle() == line


def test_a_cell_has_the_mean_and_the_standard_error_over_seeds():
    runs = grid(lambda own: own["a"] + own["seed"] ** 2 / 8, a=[1, 2], b=[0, 4], seed=[0, 1, 2, 3])
    values = [run.numbers["v_star"] + run.settings["b"] for run in runs]
    values[-1] = values[-5] = None
    (panel,) = choose_panels(find_factors(runs, ["a", "seed"]), range(16))
    cells = cells_of(panel, values, [str(run.settings["seed"]) for run in runs])
    for i, seeds in ((0, [0, 1, 4, 9]), (1, [0, 1, 4])):
        by_seed = [i + 1 + square / 8 + 2 for square in seeds]  # runs that share a seed are not independent
        assert cells[i, 0].n_seeds == len(seeds)
        assert cells[i, 0].mean == pytest.approx(statistics.fmean(by_seed), abs=1e-12)
        assert cells[i, 0].error == pytest.approx(statistics.stdev(by_seed) / math.sqrt(len(seeds)), abs=1e-12)
    alone = cells_of(panel, values, ["0"] * 16)
    assert [cell.error for cell in alone.values()] == [None, None]
