import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch

from cgm.utils.checks import (
    check_choice,
    check_details,
    check_integer,
    check_labels,
    check_number,
    check_parties,
    check_points,
    check_pool,
    check_values,
)

X = torch.arange(12, dtype=torch.float64).reshape(4, 3)


def broken(row: int, value: float) -> torch.Tensor:
    x = X.clone()
    x[row, 2] = value
    return x


@pytest.mark.parametrize("x", [X, X.float(), X[:1], X.reshape(2, 3, 1, 2), X * 1e300])
def test_good_points_come_back_as_they_are(x: torch.Tensor) -> None:
    assert check_points(x, "points") is x
    assert check_points(x, "points", width=3, min=len(x)) is x


POINTS = {
    "vector": (X[0], {}, "expected shape (N, d), got (3,); use x.reshape(-1, d)"),
    "number": (X[0, 0], {}, "expected shape (N, d), got ()"),
    "no columns": (X[:, :0], {}, "expected shape (N, d), got (4, 0)"),
    "narrow": (X, {"width": 5}, "has 3 columns where 5 are expected"),
    "empty": (X[:0], {}, "has 0 points, at least 1 are needed"),
    "few": (X, {"min": 5}, "has 4 points, at least 5 are needed"),
    "NaN": (broken(2, math.nan), {}, "row 2 holds NaN or infinity; drop or impute such rows first"),
    "infinity": (broken(0, math.inf), {}, "row 0 holds NaN or infinity"),
    "minus infinity": (broken(3, -math.inf), {}, "row 3 holds NaN or infinity"),
    "NaN in an image": (broken(3, math.nan).reshape(2, 3, 1, 2), {}, "row 1 holds NaN or infinity"),
}


@pytest.mark.parametrize("case", POINTS)
def test_bad_points(case: str) -> None:
    x, limits, match = POINTS[case]
    with pytest.raises(ValueError, match="^party 7: " + re.escape(match)):
        check_points(x, "party 7", **limits)


def test_the_first_bad_row_is_named() -> None:
    x = broken(1, math.nan)
    x[3, 0] = math.inf
    with pytest.raises(ValueError, match="row 1 "):
        check_points(x, "points")


def test_good_labels() -> None:
    for y in (torch.tensor([0, 2, 1]), torch.tensor([0]), torch.tensor([1, 1], dtype=torch.uint8)):
        assert check_labels(y, "labels") is y
        assert check_labels(y, "labels", n_classes=3) is y


LABELS = {
    "floats": (torch.tensor([0.0, 1.0]), "expected integers of shape (N), got torch.float32"),
    "booleans": (torch.tensor([True]), "expected integers of shape (N), got torch.bool"),
    "matrix": (torch.tensor([[0], [1]]), "expected integers of shape (N), got torch.int64 of shape (2, 1)"),
    "empty": (torch.tensor([], dtype=torch.int64), "has no labels"),
    "negative": (torch.tensor([0, -1, 2]), "run from -1 to 2, but classes are numbered from 0 to 2"),
    "large": (torch.tensor([1, 3]), "run from 1 to 3, but classes are numbered from 0 to 2"),
}


@pytest.mark.parametrize("case", LABELS)
def test_bad_labels(case: str) -> None:
    y, match = LABELS[case]
    with pytest.raises(ValueError, match="^labels: " + re.escape(match)):
        check_labels(y, "labels", n_classes=3)


def test_labels_of_any_number_of_classes() -> None:
    check_labels(torch.tensor([1000]), "labels")
    with pytest.raises(ValueError, match=r"classes are numbered from 0$"):
        check_labels(torch.tensor([-1]), "labels")


def test_good_integers() -> None:
    for value in (2, 5, np.int64(3)):
        check_integer("group.setting", value, min=2)
        check_integer("group.setting", value, min=2, max=5)


@pytest.mark.parametrize("value", [1, -3, 6, 3.0, 2.5, "3", None, math.nan, True, np.float64(3)])
def test_bad_integers(value: object) -> None:
    match = rf"^group\.setting={value}: expected an integer from 2 to 5$"
    with pytest.raises(ValueError, match=match):
        check_integer("group.setting", value, min=2, max=5)


def test_integers_without_maximum() -> None:
    check_integer("group.setting", 10**12, min=2)
    with pytest.raises(ValueError, match=r"^group\.setting=1: expected an integer >= 2$"):
        check_integer("group.setting", 1, min=2)


def test_optional_integers() -> None:
    check_integer("group.setting", None, min=2, optional=True)
    check_integer("group.setting", 2, min=2, optional=True)
    for value in (1, "null", False):
        with pytest.raises(ValueError, match=rf"^group\.setting={value}: expected an integer >= 2 or null$"):
            check_integer("group.setting", value, min=2, optional=True)


NUMBERS = {  # the limits, the interval in the message, good values, bad values
    "closed": ({"min": 0, "max": 1}, "[0, 1]", (0, 1, 0.5, np.float32(0.5), Fraction(1, 3)), (-1e-9, 1.1)),
    "open": ({"min": 0, "max": 1, "open_min": True, "open_max": True}, "(0, 1)", (1e-9, 0.5), (0, 1, 0.0, 1.0)),
    "open below": ({"min": 0, "max": 1, "open_min": True}, "(0, 1]", (1e-9, 1), (0, -0.0, 1.5)),
    "open above": ({"min": 0, "max": 1, "open_max": True}, "[0, 1)", (0, 0.5), (1, -1)),
    "positive": ({"min": 0, "open_min": True}, "(0, inf)", (1e-300, 10**400), (0, -1, -math.inf)),
    "negative": ({"max": 0, "open_max": True}, "(-inf, 0)", (-1e-300,), (0, 1)),
    "any": ({}, "(-inf, inf)", (-1e300, 0, 1e300), ()),
    "optional": ({"min": 0, "optional": True}, "[0, inf) or null", (None, 0), (-1,)),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers(case: str) -> None:
    limits, interval, good, bad = NUMBERS[case]
    for value in good:
        check_number("group.setting", value, **limits)
    for value in (*bad, math.inf, math.nan, "0.5", True, [0.5], torch.tensor(0.5), *([] if None in good else [None])):
        message = f"group.setting={value}: expected a number in {interval}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            check_number("group.setting", value, **limits)


def test_choices() -> None:
    check_choice("group.setting", "b", ("a", "b"))
    check_choice("group.setting", "b", {"b": 1})
    for value in ("c", "", "a, b", None, 1, ["a"]):
        with pytest.raises(ValueError, match=f"^{re.escape(f'group.setting={value}')}: expected one of a, b$"):
            check_choice("group.setting", value, ("a", "b"))


PARTIES = {
    "none": ([], X, "parties: there are none; at least one is needed"),
    "one point": ([X, X[:1]], X, "party 2: has 1 points, at least 2 are needed"),
    "width": ([X, X[:, :2]], X, "party 2: has 2 columns where 3 are expected"),
    "NaN": ([X, broken(1, math.nan)], X, "party 2: row 1 holds NaN or infinity"),
    "copies": ([X, X[:1].repeat(4, 1)], X, "party 2: all its 4 points are equal; such data cannot be valued"),
    "empty pool": ([X], X[:0], "synthetic pool (synthetic_size): has 0 points, at least 1 are needed"),
    "width of the pool": ([X], X[:, :2], "synthetic pool (synthetic_size): has 2 columns where 3 are expected"),
}


@pytest.mark.parametrize("case", PARTIES)
def test_bad_parties(case: str) -> None:
    parties, pool, match = PARTIES[case]
    check_pool(X[:1], check_parties([X, X[:2]]))
    with pytest.raises(ValueError, match="^" + re.escape(match)):
        check_pool(pool, check_parties(parties))


def test_details_are_what_json_can_represent():
    check_details("x", {"a": [1, 2.5, None, True, "text", {"b": ()}]})
    for value, message in ((math.inf, r"x\.a\[0\]=inf"), (torch.ones(1), r"x\.a\[0\]: expected .* got Tensor")):
        with pytest.raises(ValueError, match=message):
            check_details("x", {"a": [value]})


def test_values_are_converted():
    assert torch.equal(check_values("x", [1, 2]), torch.tensor([1.0, 2.0], dtype=torch.float64))
    for values, message in (
        ([], r"x: has shape \(0,\) where \(n,\)"),
        ([[1.0]], "x: has shape"),
        ([1, math.nan], "x: expected finite numbers"),
        ("text", "x: expected numbers, got str"),
    ):
        with pytest.raises(ValueError, match=message):
            check_values("x", values)
