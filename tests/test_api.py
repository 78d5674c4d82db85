"""Tests of `cgm.api`, the page of public names, and of the names at the top of the package."""

import re

import pytest

import cgm
import cgm.api

LINES = dict(re.findall(r"^- `(\w+)`: (.+)\.$", cgm.api.__doc__, re.M))


def test_every_public_name_has_one_line():
    names = re.findall(r"^- `(\w+)`", cgm.api.__doc__, re.M)
    assert sorted(names) == sorted(LINES) == sorted(cgm.api.__all__)


@pytest.mark.parametrize("name", cgm.api.__all__)
def test_a_public_name_is_there_and_documented(name):
    thing = getattr(cgm.api, name)
    assert thing.__name__ == name
    assert thing.__module__.startswith("cgm.")
    assert thing.__doc__


def test_the_names_at_the_top_are_public():
    for name in set(cgm.__all__) - {"__version__"}:
        assert getattr(cgm, name) is getattr(cgm.api, name)
    assert dir(cgm) == sorted(cgm.__all__)
    with pytest.raises(AttributeError, match="module 'cgm' has no attribute 'no_such'"):
        _ = cgm.no_such
