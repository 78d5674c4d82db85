"""Runs the README's example of a generator of one's own."""

import importlib
import re
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

from cgm.generators import Generator, check_generator

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The example, imported as a reader would import it: as `my_package`."""

    section = re.search(r"^## Your own generator\n(.*?)(?=^## |\Z)", README.read_text(encoding="utf-8"), re.M | re.S)
    assert section, "README.md has no section '## Your own generator'"
    block = re.search(r"^```python\n(.*?)^```", section[1], re.M | re.S)
    assert block, "the README's section '## Your own generator' has no block of Python"
    assert len(block[1].splitlines()) <= 30

    (tmp_path / "my_package.py").write_text(block[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(importlib.sys.modules, "my_package", raising=False)
    yield importlib.import_module("my_package")
    del importlib.sys.modules["my_package"]


def test_keeps_to_the_contract(module):
    classes = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == "my_package"]
    assert [issubclass(c, Generator) for c in classes] == [True]

    check_generator(classes[0]())
    check_generator(classes[0](), torch.randn(50, 5, generator=torch.Generator().manual_seed(0)))


def test_can_be_named_in_a_config(module):
    assert isinstance(instantiate({"_target_": "my_package.MyGenerator"}), module.MyGenerator)
