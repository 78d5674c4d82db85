"""Tests of settings by name, and of how runs differ in them."""

import math

from cgm.records.settings import canonical, cell, find_varying, flatten, sort_key
from tests.records.results import SETTINGS


def test_settings_have_the_names_of_the_command_line():
    assert flatten(SETTINGS) == {
        "dataset": "Digits",
        "dataset.test_share": 0.2,
        "scheme": "ShapleyFair",
        "scheme.epsilon": 0.001,
        "scheme.rho": None,
        "sampling": "WeightedSampling",
        "sampling.betas": [1.0, "inf"],
        "seed": 0,
        "figures": False,
    }
    assert flatten({"kernel": {"_target_": "my.kernels.Mine", "scale": 1}}) == {"kernel": "Mine", "kernel.scale": 1}


def test_canonical():
    for value, text in (
        ({"b": 1.0, "a": [2.5, True, None, "x"]}, '{"a": [2.5, true, null, "x"], "b": 1}'),
        ((1.0, -2.0), "[1, -2]"),
        (1e300, "1e+300"),
        (math.inf, "Infinity"),
    ):
        assert canonical(value) == text


def test_cells():
    assert [cell(value) for value in ("x", 1.0, 0.1, None, [1.0, "inf"])] == ["x", "1", "0.1", "null", '[1, "inf"]']
    assert sorted(["b", 10, None, 9.5, "a"], key=sort_key) == [9.5, 10, "a", "b", None]
    assert sorted([[16], [1, 8], "a", [4], 2], key=sort_key) == [2, [1, 8], [4], [16], "a"]


def test_what_varies():
    one = {"generator": "KDE", "generator.bandwidth": "scott", "seed": 1, "t": 5}
    two = {"generator": "Mixture", "generator.components": 3, "seed": 2.0, "t": 5.0}
    three = two | {"generator.components": 4}
    assert find_varying([one, two]) == ["generator", "seed"]  # the options follow from the class
    assert find_varying([one, two, three]) == ["generator", "generator.components", "seed"]
    assert find_varying([one, one]) == find_varying([one]) == find_varying([]) == []
