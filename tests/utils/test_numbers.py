"""Tests of numbers in words."""

import math

import pytest
from cgm.settlements.report.words import beta_name, number, rounded


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0, "0"), (12345, "12,345"), (0.0, "0"), (1e-15, "0"), (1.0, "1"), (0.5, "0.5"), (-0.25, "−0.25"),
        (0.000123456, "0.0001235"), (1234.56, "1,235"), (99999.9, "100,000"), (1e15, "1e+15"), (2e-10, "2e-10"),
        (None, "n/a"), (math.nan, "n/a"), (math.inf, "∞"), (-math.inf, "−∞"), (100.0, "100"), (9.99996, "10"),
    ],
)  # fmt: skip
def test_numbers_are_readable(x, text):
    assert number(x) == text


def test_rounding_and_names():
    assert rounded(0.123456789) == 0.123457
    assert rounded(-123456789.0) == -123457000.0
    assert [beta_name(beta) for beta in (8, 0.1, 1e-7, math.inf)] == ["8", "0.1", "1e-07", "inf"]
