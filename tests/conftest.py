"""What all tests share."""

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

import cgm.cli.jobs as program

settings.register_profile("cgm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("cgm")


@pytest.fixture(autouse=True)
def _global_state_stays() -> Iterator[None]:
    """Starts each test from the same global random state, and fails one that leaves torch with other settings."""

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the very state that the library must not need
    random.seed(0)

    def state() -> tuple:
        return torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()

    before = state()
    yield
    assert state() == before, "the test changed torch's global state"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Finds the folder of real data, or skips."""

    folder = os.environ.get("CGM_DATA")
    if not folder:
        pytest.skip("CGM_DATA is not set: no folder of real data")
    return Path(folder)


@pytest.fixture
def cgm(monkeypatch, tmp_path, capsys):
    """Runs the command line with some arguments, in an empty folder, and gives what it prints."""

    root, logger = logging.getLogger(), logging.getLogger("cgm")
    before = root.handlers[:], root.level, logger.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])

    def run(*args: str) -> str:
        monkeypatch.setattr(sys, "argv", ["cgm", *args])
        program.main()
        return capsys.readouterr().out

    yield run
    for handler in set(root.handlers) - set(before[0]):
        handler.close()
    root.handlers, root.level, logger.level = before
