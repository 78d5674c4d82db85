import subprocess
import sys

import pytest

from cgm.utils import run as memory
from cgm.utils.run import MARK, peak_memory, reset_peak

CODE = """
import numpy as np
from cgm.utils.run import peak_memory, reset_peak

big = np.ones(60 * 2**20)  # 480 MiB
del big
reset_peak()
before = peak_memory()
x = np.ones(20 * 2**20)  # 160 MiB
grown = peak_memory() - before
del x
reset_peak()
print(grown, peak_memory() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak can be reset on Linux only")
@pytest.mark.skipif(not MARK.exists(), reason="the system has no such file")
def test_peak_and_reset():
    # in a process of its own: in this one, memory that other tests leave may be freed at any time
    grown, rest = map(float, subprocess.run([sys.executable, "-c", CODE], stdout=-1, check=True).stdout.split())
    assert grown > 140
    assert rest < 75


def test_other_systems(monkeypatch, tmp_path):
    expected = peak_memory()
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "MARK", tmp_path / "folder" / "mark")
    reset_peak()  # no effect, no error

    assert peak_memory() >= 0.9 * expected
