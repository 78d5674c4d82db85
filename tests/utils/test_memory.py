import sys

import numpy as np
import pytest

from cgm.utils import run as memory
from cgm.utils.run import MARK, peak_memory, reset_peak


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak can be reset on Linux only")
@pytest.mark.skipif(not MARK.exists(), reason="the system has no such file")
def test_peak_and_reset():
    reset_peak()
    before = peak_memory()
    x = np.ones(20 * 2**20)  # 160 MiB
    assert peak_memory() - before > 140
    del x
    reset_peak()
    assert peak_memory() - before < 75


def test_other_systems(monkeypatch, tmp_path):
    expected = peak_memory()
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "MARK", tmp_path / "folder" / "mark")
    reset_peak()  # no effect, no error

    assert peak_memory() >= 0.9 * expected
