"""Tests of the choice of panels, and of the means that they show."""

import math
import statistics

import pytest

from cgm.records.sweep.factors import find_factors
from cgm.records.sweep.layout import Cell, Layout, cells_of, choose_layout
from tests.records.sweep.grids import grid, table

N, M, MANY = [0.1, 0.2, 0.3], [3, 5, 8, 10], [f"w{k}" for k in range(9)]
X, Y = ["x", "y"], ["u", "v", "w"]


def layout(every: int = 1, **settings) -> Layout:
    """Choose the layout of a grid, of which every k-th run is kept."""

    runs = grid(lambda own: 0.0, **settings, seed=[0, 1])[::every]
    return choose_layout(find_factors(runs, table(runs).varying), range(len(runs)))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [("dots", None, None)]),
        ({"a": N}, [("lines", "a", None)]),
        ({"a": X}, [("dots", "a", None)]),
        ({"a": N, "b": M}, [("heat_map", "b", "a")]),
        ({"a": N, "b": Y}, [("lines", "a", "b")]),
        ({"a": Y, "b": N}, [("lines", "b", "a")]),
        ({"a": X, "b": Y}, [("dots", "b", "a")]),
        ({"a": X, "b": MANY}, [("dots", "b", "a")]),
        ({"a": N, "b": M, "c": X}, [("heat_map", "b", "a")] * 2),
        ({"a": N, "b": Y, "c": X}, [("lines", "a", "b")] * 2),
        ({"a": X, "b": M, "c": N}, [("heat_map", "b", "c")] * 2),
        ({"attack": X, "b": Y}, [("heat_map", "b", "attack")]),
        ({"attack": Y, "b": X}, [("heat_map", "b", "attack")]),
        ({"attack": X, "b": N}, [("lines", "b", "attack")]),
        ({"attack": ["p", *X], "b": X, "c": ["q", *Y]}, [("heat_map", "c", "attack")] * 2),
        ({"attack": X, "b": Y, "c": ["q", *Y]}, [("heat_map", "c", "attack")] * 3),
    ],
)
def test_what_varies_decides(settings, expected):
    chosen = layout(**settings)
    own = [(p.kind, p.main and p.main.name, p.series and p.series.name) for p in chosen.panels]
    assert own == expected
    assert not chosen.averaged


@pytest.mark.parametrize(
    ("every", "settings"),
    [
        (1, {"a": N, "b": X, "c": Y, "d": [True, False]}),  # more than three
        (1, {"a": N, "b": MANY}),  # more colours than can be told apart
        (1, {"a": list(range(13)), "b": N}),  # more columns than can be read
        (5, {"a": M, "b": [1, 2, 4, 7]}),  # most combinations were not run
    ],
)
def test_otherwise_each_setting_has_a_panel(every, settings):
    chosen = layout(every, **settings)
    assert chosen.averaged
    assert [panel.title for panel in chosen.panels] == [panel.main.name for panel in chosen.panels] == list(settings)
    assert all(panel.series is None for panel in chosen.panels)


def test_panels_have_their_own_runs():
    chosen = layout(a=N, b=Y, c=X)
    assert [panel.title for panel in chosen.panels] == ["c = x", "c = y"]
    assert [len(panel.runs) for panel in chosen.panels] == [18, 18]
    assert sorted(k for panel in chosen.panels for k in panel.runs) == list(range(36))


def test_a_cell_has_the_mean_and_the_standard_error_over_seeds():
    values = [0.5, 0.25, 1.0, 0.75]
    cell = Cell.of(values, ["0", "1", "2", "3"])
    assert (cell.mean, cell.n_repeats) == (statistics.mean(values), 4)
    assert cell.error == pytest.approx(statistics.stdev(values) / 2, abs=1e-15)
    assert Cell.of([0.5], ["0"]).error is None


def test_runs_that_share_a_seed_are_not_independent():
    cell = Cell.of([0.0, 1.0, 0.2, 1.2], ["0", "0", "1", "1"])
    assert cell.mean == pytest.approx(0.6)
    assert cell.error == pytest.approx(0.1)  # of the means 0.5 and 0.7: their distance / 2
    assert Cell.of([0.0, 1.0], ["0", "0"]).error is None


def test_runs_without_the_number_are_left_out():
    runs = grid(lambda own: own["a"] + own["seed"], a=[1, 2, 3], seed=[0, 2])
    values = [run.numbers["v_star"] for run in runs]
    values[1] = values[2] = values[3] = None
    (panel,) = choose_layout(find_factors(runs, ["a", "seed"]), range(6)).panels
    cells = cells_of(panel, values, [str(run.settings["seed"]) for run in runs])
    assert {place: (cell.mean, cell.error) for place, cell in cells.items()} == {(0, 0): (1, None), (2, 0): (4, 1.0)}
    assert math.isfinite(cells[2, 0].error)
