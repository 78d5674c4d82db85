"""Threads and processes: the order of results, what is shared, threads, workers that end."""

import logging
import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from cgm.engines import Engine, Loky, Threads, current_engine
from tests.engines import tasks

ENGINES = [Threads(), Threads(2), Loky(1), Loky(2)]


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_results_come_in_order_with_one_thread_each(engine: Engine) -> None:
    x = np.random.default_rng(0).random(300_000)
    before = torch.get_num_threads()
    with engine.running() as running:
        shared = {"x": x, "others": [np.zeros(0), np.arange(12.0).reshape(3, 4).T], "name": "x"}
        assert list(running.map(tasks.total, shared, [(k, 40) for k in range(40)])) == [
            float(x[k::40].sum()) for k in range(40)
        ]
        assert list(running.map(tasks.total, shared, [])) == []
        assert [*running.map(tasks.threads, 0, [(k,) for k in range(4)])] == 4 * [{1}]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("engine", [Threads(2), Loky(1)], ids=repr)
def test_an_error_of_a_task_is_that_of_the_run(engine: Engine) -> None:
    with engine.running() as running:
        results = running.map(tasks.refuse, "setting", [(k,) for k in range(9)])
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match=r"^setting=3: not possible$"):
            next(results)


@pytest.mark.parametrize("engine", [Threads(2), Loky(1)], ids=repr)
def test_a_limited_number_of_results_waits(engine: Engine) -> None:
    given = []

    def numbers() -> Iterator[tuple[int]]:
        for k in range(100):
            given.append(k)
            yield (k,)

    with engine.running() as running:
        results = running.map(tasks.refuse, "", numbers(), ahead=2)
        assert next(results) == 0
        assert len(given) == 3
        results.close()
        assert len(given) == 3


def test_processes_share_arrays_that_they_cannot_change() -> None:
    x = np.zeros(1000)
    with Loky(1).running() as running:
        places = set(running.map(tasks.place, x, [(k,) for k in range(50)]))
    assert os.getpid() not in {process for process, _ in places}
    assert {writeable for _, writeable in places} == {False}
    assert {*Threads(2).running().__enter__().map(tasks.place, x, [(0,)])} == {(os.getpid(), True)}


def test_a_task_whose_process_is_killed_is_computed_again(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setattr("cgm.engines.LOSSES", 2)
    with Loky(1).running() as running, caplog.at_level(logging.WARNING):
        results = list(running.map(tasks.die_once, tmp_path / "killed", [(k,) for k in range(20)]))
        assert results == [10 * k for k in range(20)]
        (line,) = caplog.messages
        assert line.startswith("engine=loky: a worker has ended, as it does if memory is short (TerminatedWorkerError)")
        with pytest.raises(OSError, match=r"^engine=loky: a worker has ended, .* 2 times in the same task$"):
            list(running.map(tasks.die, None, [(k,) for k in range(4)]))
        assert list(running.map(tasks.refuse, None, [(0,), (1,)])) == [0, 1]


def test_the_engine_in_use() -> None:
    assert current_engine().engine == Threads()
    with Loky(1).running() as outer:
        assert current_engine() is outer
        with Loky(1).running() as inner:
            assert inner is outer  # an equal one is not started again
        with Threads(3).running() as inner:
            assert current_engine() is inner
            assert (inner.count, outer.count) == (3, 1)
        assert current_engine() is outer
    assert current_engine().engine == Threads()
    assert current_engine().count == torch.get_num_threads()


def test_settings() -> None:
    for cls in (Threads, Loky):
        with pytest.raises(ValueError, match=r"^engine\.workers=0: expected an integer >= 1 or null$"):
            cls(workers=0)
