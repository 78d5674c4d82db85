import pytest

from cgm.utils import run as clock
from cgm.utils.run import Clock


@pytest.fixture(autouse=True)
def _time(monkeypatch):
    """Advance the time by one second at each reading."""

    seconds = iter(range(100))
    monkeypatch.setattr(clock.time, "perf_counter", lambda: float(next(seconds)))


def test_seconds_add_up_by_part():
    timer = Clock()
    for part in ("data", "pool", "data"):
        with timer(part):
            pass
    assert timer.seconds == {"data": 2.0, "pool": 1.0}


def test_nested_parts():
    timer = Clock()
    with timer("outer"), timer("inner"):
        pass
    assert timer.seconds == {"inner": 1.0, "outer": 3.0}


def test_a_part_that_fails_counts():
    timer = Clock()
    with pytest.raises(OverflowError), timer("data"):
        raise OverflowError
    assert timer.seconds == {"data": 1.0}
