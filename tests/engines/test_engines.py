"""Threads and processes: the order of results, what is shared, threads, workers that end."""

import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import get_class

import cgm.clusters
import cgm.engines
from cgm.engines import KEEP, Engine, Loky, LokyWorkers, Packed, Threads, _aligned, current_engine
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.method import ValuationMethod
from cgm.valuation.valuation import Valuation
from tests.contracts.members import check_configuration, classes, configurations
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


def test_every_configuration_has_the_settings_of_its_class() -> None:
    members = configurations("engine")
    engines = {
        name: cls
        for module in (cgm.engines, cgm.clusters)
        for name, cls in classes(module, lambda cls: issubclass(cls, Engine)).items()
    }
    assert {get_class(config._target_) for config in members.values()} == {*engines.values()}
    for config in members.values():
        check_configuration(config, {})


def test_tasks_may_depend_on_earlier_results() -> None:
    for engine in (Threads(2), Loky(1)):
        results: list[int] = []

        def numbers(results: list[int] = results) -> Iterator[tuple[int] | None]:
            yield None
            yield from ((0,), (1,), (2,), None, None)
            yield (10 * sum(results),)
            yield None

        with engine.running() as running:
            for result in running.map(tasks.refuse, "", numbers()):
                results.append(result)
        assert results == [0, 1, 2, 30]


def test_arrays_and_tensors_travel_beside_the_rest() -> None:
    x = torch.arange(12.0, dtype=torch.float64).reshape(3, 4).T
    value = {
        "tensor": x,
        "view": x[1:],
        "array": x.numpy(),
        "kernel": SquaredExponential(2.0),
        "empty": torch.empty(0, 2),
    }
    packed = Packed(value)
    assert sum(array.nbytes for array in packed.arrays) >= 2 * x.numel() * 8
    for unpacked in (packed.value(), pickle.loads(pickle.dumps(packed)).value()):
        assert unpacked["kernel"] == value["kernel"]
        for name in ("tensor", "view", "empty"):
            assert torch.equal(unpacked[name], value[name])
            assert unpacked[name].stride() == value[name].stride() or not value[name].is_contiguous()
        np.testing.assert_array_equal(unpacked["array"], value["array"])
    unaligned = np.empty(8 * 12 + 1, np.uint8)[1:]
    assert unaligned.ctypes.data % 64
    assert _aligned(unaligned).ctypes.data % 64 == 0
    np.testing.assert_array_equal(_aligned(unaligned), unaligned)


class Counting(LokyWorkers):
    """Processes, to which it is counted how often large arrays travel."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.placed: list[bytes] = []

    def place(self, value: Packed | np.ndarray) -> Any:
        """Count it."""

        if isinstance(value, np.ndarray):
            self.placed.append(value.tobytes())
        return super().place(value)


@pytest.mark.parametrize(("method", "d"), [("exact", 2), ("nufft", 2), ("nystrom", 4), ("hybrid", 4)])
def test_points_travel_once_for_all_passes_of_a_valuation(method: str, d: int, monkeypatch) -> None:
    monkeypatch.setattr("cgm.engines.FEW", 0)
    monkeypatch.setattr("cgm.engines.LARGE", 10_000)
    monkeypatch.setattr("cgm.engines.LokyWorkers", Counting)
    random = torch.Generator().manual_seed(0)
    parties = [torch.randn(500, d, generator=random, dtype=torch.float64) + shift for shift in (0, 1)]
    pool, kernel = torch.randn(4000, d, generator=random, dtype=torch.float64), SquaredExponential(1.0)
    with Loky(1).running() as workers:
        assert isinstance(workers, Counting)
        there = Valuation(kernel, parties, pool, method=ValuationMethod(method, 1e-9))
        assert len(workers.placed) == len({*workers.placed})
        points = there.points.numpy().tobytes()
        assert [x for x in workers.placed if points in x] == ([] if method == "exact" else [points])
    here = Valuation(kernel, parties, pool, method=ValuationMethod(method, 1e-9))
    assert torch.equal(there.sums, here.sums)


def test_arrays_that_are_not_used_again_are_removed(monkeypatch) -> None:
    monkeypatch.setattr("cgm.engines.LARGE", 1)
    x, y = np.arange(10.0), np.arange(10.0, 20.0)
    with Loky(1).running() as running:
        assert isinstance(running, LokyWorkers)
        assert list(running.map(tasks.total, {"x": x}, [(0, 1)])) == [45.0]
        (file,) = running._kept.values()
        for _ in range(KEEP):
            assert list(running.map(tasks.total, {"x": y}, [(0, 1)])) == [145.0]
        assert list(running.map(tasks.total, {"x": x, "y": y}, [(0, 1)])) == [45.0]
        assert next(iter(running._kept.values())) is file
        for _ in range(KEEP + 1):
            assert list(running.map(tasks.total, {"x": y}, [(0, 1)])) == [145.0]
        assert len(running._kept) == 1
        path = Path(file.path)
        del file
        assert not path.exists()
