"""Tests of numbers as people read them."""

import math

from cgm.utils.text import beta_name, number


def test_numbers_are_readable():
    for x, text in [
        (0, "0"), (12345, "12,345"), (0.0, "0"), (1e-15, "0"), (1.0, "1"), (0.5, "0.5"), (-0.25, "−0.25"),
        (0.000123456, "0.0001235"), (1234.56, "1,235"), (99999.9, "100,000"), (1e15, "1e+15"), (2e-10, "2e-10"),
        (None, "n/a"), (math.nan, "n/a"), (math.inf, "∞"), (-math.inf, "−∞"), ("inf", "∞"), (100.0, "100"),
        (9.99996, "10"),
    ]:  # fmt: skip
        assert number(x) == text


def test_names_of_betas():
    assert [beta_name(beta) for beta in (8, 0.1, 1e-7, math.inf, "inf")] == ["8", "0.1", "1e-07", "inf", "inf"]
