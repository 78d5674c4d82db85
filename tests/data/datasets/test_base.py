import math
import re
from dataclasses import replace

import pytest
import torch

from cgm import Experiment
from cgm.data import Dataset, Shares

GOOD = Dataset(
    name="spoilt",
    x=torch.arange(12.0).reshape(4, 3),
    y=torch.tensor([0, 1, 1, 0]),
    x_test=torch.zeros(2, 3),
    y_test=torch.tensor([0, 1]),
    classes=("a", "b"),
)


def broken(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x[1, 2] = math.nan
    return x


CASES = {
    "NaN": ({"x": broken(GOOD.x)}, "dataset spoilt: row 1 holds NaN or infinity"),
    "NaN in the test part": ({"x_test": broken(GOOD.x_test)}, "dataset spoilt, test part: row 1 holds NaN or infinity"),
    "one point": ({"x": GOOD.x[:1], "y": GOOD.y[:1]}, "dataset spoilt: has 1 points, at least 2 are needed"),
    "one test point": ({"x_test": GOOD.x[:1]}, "dataset spoilt, test part: has 1 points, at least 2 are needed"),
    "width": ({"x_test": torch.zeros(2, 4)}, "dataset spoilt, test part: has 4 columns where 3 are expected"),
    "text": ({"x": [["a"], ["b"]]}, "dataset spoilt: expected numbers, got text"),
    "few labels": ({"y": GOOD.y[:3]}, "dataset spoilt: 4 training points but labels of shape (3,)"),
    "matrix of labels": ({"y": GOOD.y[:, None]}, "dataset spoilt: training labels: expected integers"),
    "float labels": (
        {"y_test": torch.zeros(2)},
        "dataset spoilt: test labels: expected integers",
    ),
    "large label": ({"y": GOOD.y + 1}, "dataset spoilt: training labels: run from 1 to 2, but classes are numbered"),
    "negative label": ({"y_test": GOOD.y_test - 1}, "dataset spoilt: test labels: run from -1 to 0"),
}


def test_bad_data():
    for case in CASES:
        changes, message = CASES[case]
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            replace(GOOD, **changes)


def test_classes_are_numbered_by_default():
    assert replace(GOOD, classes=()).classes == ("0", "1")
    assert replace(GOOD, classes=(), y_test=[0, 3]).classes == ("0", "1", "2", "3")
    with pytest.raises(ValueError, match=r"dataset spoilt: labels: expected classes 0, 1, \.\.\., got text"):
        replace(GOOD, classes=(), y=["a", "b", "b", "a"])


class Loads:
    def load(self, data_dir, seed):
        return GOOD.x, GOOD.y


def test_a_dataset_in_memory_needs_no_class():
    split = Shares([[0.5, 0.5]] * 2)
    assert Experiment(dataset=GOOD, split=split).load().classes == GOOD.classes
    for dataset, message in (
        (Loads, r"dataset: got the class Loads itself, an object is expected; write Loads\(\)"),
        (object(), "dataset: expected an object with a method load, got object"),
    ):
        with pytest.raises(ValueError, match=message):
            Experiment(dataset=dataset)
    with pytest.raises(ValueError, match=r"dataset: Loads\.load returned a tuple, expected a Dataset"):
        Experiment(dataset=Loads()).load()


def test_columns_of_different_scales_are_warned_of(caplog):
    parties = [torch.randn(40, 3, dtype=torch.float64) for _ in range(2)]
    for scales, features, warns in (
        ([1, 1, 0], "auto", False),
        ([1, 20, 1], "auto", False),
        ([1, 1000, 0], "auto", True),
        ([1, 1000, 0], "pca", False),
    ):
        scaled = [x * torch.tensor(scales) for x in parties]
        found = Experiment(features=features)._compare_scales(scaled)
        assert len(found) == warns
        if warns:
            assert found == caplog.messages
            assert re.match(r"dataset: column 1 has the standard deviation .* and column 0 .* Standardise", found[0])
