"""Tests of `cgm.api`, the page of public names, and of the names at the top of the package."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import torch

import cgm
import cgm.api
from cgm import Mediator

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "api.md"
# What held-out checks and other packages import.
FIXED = re.findall(
    r"\w+",
    """
    Mediator Settlement Experiment Record settle Valuation block_sums mmd2_biased mmd2_unbiased SquaredExponential
    RationalQuadratic Laplacian Sum fit_lengthscale TableGame Shapley Banzhaf LeaveOneOut LeastCore Pointwise
    shapley_exact shapley_values ShapleyFair Gain solve_scheme check_incentives sample_rewards check_generator KDE
    Generator
    """,
)


def test_every_public_name_has_one_line_on_its_page():
    text = PAGE.read_text(encoding="utf-8")
    names = re.findall(r"^- \{py:obj\}`(\w+)`: .+\.$", text, re.M)
    assert len(names) == len(re.findall(r"^- ", text, re.M))
    assert sorted(names) == cgm.api.__all__


def test_public_names_are_there_and_documented():
    assert set(FIXED) <= set(cgm.api.__all__)
    for name in cgm.api.__all__:
        thing = getattr(cgm.api, name)
        assert thing.__name__ == name
        assert thing.__doc__, name
        assert not name.startswith("_")


def test_type_checkers_see_the_names():
    """Strict checkers take `import b as b` and `import *` from modules with a literal `__all__` for exports."""

    for node in ast.parse(Path(cgm.api.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("cgm"):
            if node.names[0].name == "*":
                module = ast.parse(Path(importlib.import_module(node.module).__file__).read_text(encoding="utf-8"))
                lists = [n.value for n in module.body if isinstance(n, ast.Assign) and n.targets[0].id == "__all__"]
                assert [type(each) for each in lists] == [ast.List], node.module
            else:
                assert all(alias.asname == alias.name for alias in node.names), node.module


@pytest.mark.parametrize(
    ("old", "new"),
    [("Chain", "Reward"), ("TableSettlement", "PartySettlement"), ("ImageSettlement", "PartySettlement")],
)
def test_an_old_name_warns(old, new):
    with pytest.warns(DeprecationWarning, match=f"cgm.api.{old} is now cgm.api.{new}") as caught:
        assert getattr(cgm.api, old) is getattr(cgm.api, new)
    assert caught[0].filename == __file__
    assert old not in cgm.api.__all__


def test_rewards_as_a_list_warn():
    random = torch.Generator().manual_seed(0)
    parties = [torch.randn(30, 2, generator=random) + shift for shift in (0.0, 1.0)]
    settlement = Mediator(synthetic_size=200).settle(parties, seed=0)
    with pytest.warns(DeprecationWarning, match="Settlement.chains is now"):
        assert settlement.chains == list(settlement.drawn.values())


def test_the_names_at_the_top_are_public():
    for name in set(cgm.__all__) - {"__version__"}:
        assert getattr(cgm, name) is getattr(cgm.api, name)
    assert dir(cgm) == sorted(cgm.__all__)
    for module in (cgm, cgm.api):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'no_such'"):
            _ = module.no_such
