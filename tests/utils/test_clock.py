import pytest

from cgm.utils import run as clock
from cgm.utils.run import Clock, timed


@pytest.fixture(autouse=True)
def _time(monkeypatch):
    """Advance the time by one second at each reading."""

    seconds = iter(range(100))
    monkeypatch.setattr(clock.time, "perf_counter", lambda: float(next(seconds)))


def test_seconds_add_up_by_part():
    with Clock() as timer:
        for part in ("data", "pool", "data"):
            with timed(part):
                pass
    assert timer.seconds == {"data": 2.0, "pool": 1.0}
    with timed("later"):  # without a clock
        pass
    assert timer.seconds == {"data": 2.0, "pool": 1.0}


def test_nested_parts_and_clocks():
    with Clock() as outer, timed("outer"):
        with timed("inner"):
            pass
        with Clock() as inner, timed("other"):
            pass
    assert outer.seconds == {"inner": 1.0, "outer": 5.0}
    assert inner.seconds == {"other": 1.0}


def test_a_part_that_fails_counts():
    with Clock() as timer, pytest.raises(OverflowError), timed("data"):
        raise OverflowError
    assert timer.seconds == {"data": 1.0}
