"""Fixtures of all tests."""

import logging
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from cgm.cli.main import main

settings.register_profile("cgm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("cgm")


@pytest.fixture(autouse=True)
def _global_state_stays() -> Iterator[None]:
    """Start each test with the same global random state, and fail those that change torch's settings."""

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global state, which the library must not use
    random.seed(0)

    def state() -> tuple:
        return torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()

    before = state()
    yield
    assert state() == before, "the test changed torch's global state"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; without it, the test is skipped."""

    folder = os.environ.get("CGM_DATA")
    if not folder:
        pytest.skip("CGM_DATA is not set: no folder of real data")
    return Path(folder)


@pytest.fixture
def cgm(monkeypatch, tmp_path, capsys):
    """A function that runs the command line in an empty folder and returns what it prints."""

    root, logger = logging.getLogger(), logging.getLogger("cgm")
    before = root.handlers[:], root.level, logger.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # which main sets for other processes

    def run(*args: str) -> str:
        monkeypatch.setattr(sys, "argv", ["cgm", *args])
        main()
        return capsys.readouterr().out

    yield run
    for handler in set(root.handlers) - set(before[0]):
        handler.close()
    root.handlers, root.level, logger.level = before
