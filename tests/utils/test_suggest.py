"""Tests of suggestions for names that are mistyped."""

import pytest

from cgm.utils.text import choice_error, setting_error

NAMES = ["seed", "scheme", "scheme.rho", "generator", "generator.bandwidth", "split", "split.n_parties", "attack.rho"]


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("sed", "did you mean seed?"),
        ("generatr", "did you mean generator?"),
        ("generator.bandwith", "did you mean generator.bandwidth?"),
        ("generatr.bandwidth", "did you mean generator.bandwidth?"),
        ("bandwidth", "did you mean generator.bandwidth?"),
        ("rho", "did you mean scheme.rho or attack.rho?"),
        ("split.parties", "did you mean split.n_parties?"),
        ("split.majority", "split has n_parties"),
        ("seed.x", "--help lists all settings"),
        ("zzz", "--help lists all settings"),
        ("zzz.y", "--help lists all settings"),
    ],
)
def test_a_setting(name, rest):
    assert setting_error(name, NAMES) == f"{name}: unknown setting; {rest}"


def test_a_choice():
    choices = ["laplacian", "sum"]
    splits = ["dirichlet", "equal_disjoint", "unequal"]
    assert choice_error("split=equal", "equal", splits).endswith("unequal; did you mean equal_disjoint?")
    assert choice_error("split=", "", splits).endswith("unequal")
    assert choice_error("kernel=sun", "sun", choices) == "kernel=sun: expected one of laplacian, sum; did you mean sum?"
    assert choice_error("kernel=x", "x", choices) == "kernel=x: expected one of laplacian, sum"
    assert choice_error("kernel=", "", choices) == "kernel=: expected one of laplacian, sum"
