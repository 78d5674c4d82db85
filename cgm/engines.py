r"""Engines: where the independent tasks of one run are computed, in threads, processes or on a cluster.

No number of a run depends on its engine or on the number of workers: tasks are divided by the size of the data alone,
each is computed by one thread, and results are taken in the order of the tasks.
"""

from __future__ import annotations

import hashlib
import io
import logging
import multiprocessing
import pickle
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Protocol, TypeVar

import cloudpickle
import numpy as np
import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

from cgm.utils.run import workers
from cgm.utils.settings import Integer, Settings

log = logging.getLogger(__name__)

__all__ = ["Engine", "Loky", "Threads", "Workers", "current_engine"]

AHEAD = 4  # tasks for each worker that are started before their results are taken
END: Any = object()  # after the last task
FEW = 1e8  # operations that are done in this process, whatever the engine, sooner than what they share would travel
LOSSES = 3  # times in a row that workers may end in the middle of the same task
IDLE = 300  # seconds after which processes that have nothing to do end
ALIGNMENT = 64  # bytes, as of the tensors of torch
LARGE = 2**20  # bytes of arrays that are kept for other maps
KEEP = 3  # maps that may not use an array that is kept
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

Result = TypeVar("Result")


class Started(Protocol):
    """A task that was started: a future."""

    def result(self) -> Any:
        """Wait for the result."""

    def cancel(self) -> Any:
        """Do not compute the task, if it has not begun."""


class Workers(ABC):
    """The workers of an engine that is running.

    Attributes:
        engine: The engine.
        lost: The errors that mean that a worker has ended, and not that a task has failed.
    """

    lost: tuple[type[BaseException], ...] = ()

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    @abstractmethod
    def count(self) -> int:
        """The number of tasks that are computed at a time."""

    @abstractmethod
    def sharing(self, function: Callable[..., Any], shared: Any) -> Any:
        """Return a context in which workers have a function and its first argument, with what starts a task."""

    def map(
        self,
        function: Callable[..., Result],
        shared: Any,
        tasks: Iterable[tuple[Any, ...] | None],
        ahead: int | None = None,
    ) -> Iterator[Result]:
        """Compute `function(shared, *task)` for each task, and yield the results in the order of the tasks.

        Tasks whose worker ends in the middle are computed again.

        Arguments:
            function: A function of a module, not one inside of another: processes find it by its name. It may read
                `shared`, but not change it. It is computed by one thread.
            shared: Reaches each worker once: arrays, tensors of the CPU, kernels, and what has such.
            tasks: The other arguments of each task: few numbers. After `None`, the next task is asked for when all
                results so far have been taken, so that it may depend on them.
            ahead: The maximum number of results that wait to be taken; four for each worker by default.

        Raises:
            OSError: If workers end in the middle of the same task again and again.
        """

        ahead = AHEAD * self.count if ahead is None else ahead
        remaining, waiting = iter(tasks), deque[tuple[Any, ...]]()  # tasks not started, and without a result
        ended = paused = False
        losses = 0
        while True:
            started = deque[Started]()
            try:
                with self.sharing(function, shared) as start:
                    started.extend(map(start, waiting))
                    while True:
                        while not (ended or paused) and len(waiting) <= ahead:
                            task = next(remaining, END)
                            ended, paused = task is END, task is None
                            if task is not None and not ended:
                                waiting.append(task)
                                started.append(start(task))
                        if not waiting and ended:
                            return
                        paused = paused and bool(waiting)
                        if not waiting:
                            continue
                        result = started[0].result()
                        started.popleft()
                        waiting.popleft()
                        losses = 0
                        yield result
            except self.lost as error:
                losses += 1
                if losses == LOSSES:
                    raise OSError(f"{self.engine.name}: {ended_by(error)} {LOSSES} times in the same task") from error
                log.warning("%s: %s; %d tasks are computed again", self.engine.name, ended_by(error), len(waiting))
            finally:
                for each in started:
                    each.cancel()


def ended_by(error: BaseException) -> str:
    """Describe that a worker has ended, for a message."""

    return f"a worker has ended, as it does if memory is short ({type(error).__name__})"


_RUNNING: ContextVar[Workers | None] = ContextVar("engine", default=None)


def current_engine() -> Workers:
    """Return the workers of the engine that is running; outside of `Engine.running`, the threads of this process."""

    return _RUNNING.get() or ThreadWorkers(Threads())


def engine_for(operations: float) -> Workers:
    """Return the workers of the engine that is running; for few operations, the threads of this process.

    Arguments:
        operations: The number of operations of all tasks, such as values of a kernel.
    """

    engine = current_engine()
    if operations >= FEW or isinstance(engine, ThreadWorkers):
        return engine
    return ThreadWorkers(Threads())


@dataclass(frozen=True)
class Engine(Settings, ABC):
    r"""Base class of engines: where the independent tasks of a run are computed.

    Arguments:
        workers: The number of workers, each of which computes with one thread. `None`: as many as this process may use
            threads.

    Raises:
        ValueError: If a setting is out of range.
    """

    workers: Annotated[int, Integer(min=1)] | None = None

    section = "engine"

    @property
    def name(self) -> str:
        """The engine as a setting, for messages."""

        return f"engine={type(self).__name__.lower()}"

    def check_package(self) -> None:
        """Raise an error if a package that the engine needs is not installed.

        Raises:
            ValueError: If it is not; the message names the extra that installs it.
        """

    @contextmanager
    def running(self) -> Iterator[Workers]:
        """Let the tasks within the `with` block be computed by the engine, which is started if it is not running.

        Raises:
            ValueError: If a package is not installed, or if no cluster answers.

        Example:
            >>> with Threads(workers=2).running() as engine:
            ...     list(engine.map(pow, 2, [(1,), (2,), (3,)]))
            [2, 4, 8]
        """

        running = _RUNNING.get()
        if running is not None and running.engine == self:
            yield running
            return
        with self.start() as started:
            token = _RUNNING.set(started)
            try:
                yield started
            finally:
                _RUNNING.reset(token)

    @abstractmethod
    def start(self) -> Any:
        """Return a context in which there are workers, see `Workers`."""


@dataclass(frozen=True)
class Threads(Engine):
    """Threads of this process."""

    @contextmanager
    def start(self) -> Iterator[Workers]:
        """Start nothing: threads are started for each map."""

        yield ThreadWorkers(self)


class ThreadWorkers(Workers):
    """Threads, which read the same arrays."""

    @property
    def count(self) -> int:
        """The number of threads."""

        return self.engine.workers or torch.get_num_threads()

    @contextmanager
    def sharing(self, function: Callable[..., Any], shared: Any) -> Iterator[Callable[[tuple], Started]]:
        """Start threads, each of which computes by itself."""

        with _libraries().limit(limits=1, user_api="blas"), workers(self.count) as pool:
            yield lambda task: pool.submit(function, shared, *task)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@dataclass(frozen=True)
class Loky(Engine):
    """Processes of this machine, by joblib's loky; they stay for the next run, and end when they have nothing to do."""

    @contextmanager
    def start(self) -> Iterator[Workers]:
        """Start nothing: processes are started with the first task."""

        try:
            yield LokyWorkers(self)
        finally:
            if multiprocessing.current_process().name != "MainProcess":  # it could not end before they do
                from loky import get_reusable_executor

                get_reusable_executor(self.workers or torch.get_num_threads(), env=ONE_THREAD).shutdown(wait=True)


class ProcessWorkers(Workers):
    """Base class of workers in other processes, to which large arrays travel once, however many maps use them.

    Arrays are known by what is in them, and kept until some maps in a row have not used them.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._kept: dict[bytes, Any] = {}
        self._unused: dict[bytes, int] = {}  # maps since the last one that used an array

    @abstractmethod
    def place(self, value: Packed | np.ndarray) -> Any:
        """Put a value where all workers can read it, and return what refers to it there."""

    @abstractmethod
    def starter(self, work: Any, arrays: Sequence[Any]) -> Callable[[tuple], Started]:
        """Return what starts a task, given what refers to the function with its first argument, and to arrays."""

    @contextmanager
    def sharing(self, function: Callable[..., Any], shared: Any) -> Iterator[Callable[[tuple], Started]]:
        """Put the function and the arrays where workers can read them."""

        packed = Packed((function, shared))
        large = packed.split()
        keys = [hashlib.blake2b(array.data, digest_size=20).digest() for array in large]
        self._unused = {key: maps + 1 for key, maps in self._unused.items() if maps < KEEP} | dict.fromkeys(keys, 0)
        try:
            self._kept = {key: where for key, where in self._kept.items() if key in self._unused}
            for key, array in zip(keys, large, strict=True):
                if key not in self._kept:
                    self._kept[key] = self.place(array)
            work, arrays = self.place(packed), [self._kept[key] for key in keys]
            yield self.starter(work, arrays)
        except self.lost:
            self._kept = {}  # what the workers had is lost as well
            raise


class LokyWorkers(ProcessWorkers):
    """Processes, which map the same arrays into memory."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        from loky.process_executor import BrokenProcessPool, ShutdownExecutorError

        self.lost = (BrokenProcessPool, ShutdownExecutorError)

    @property
    def count(self) -> int:
        """The number of processes."""

        return self.engine.workers or torch.get_num_threads()

    def place(self, value: Packed | np.ndarray) -> _File:
        """Write a value to a file."""

        return _File(value)

    def starter(self, work: _File, arrays: Sequence[_File]) -> Callable[[tuple], Started]:
        """Return what starts a task in a process, which reads the files once."""

        from loky import get_reusable_executor

        paths = tuple(array.path for array in arrays)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it waits for tasks whose results are no longer wanted
            executor = get_reusable_executor(self.count, timeout=IDLE, env=ONE_THREAD)
        return lambda task: executor.submit(_compute_from, work.path, paths, task)


class _File:
    """A file with a value, which is removed when nothing refers to this object any more."""

    def __init__(self, value: Packed | np.ndarray) -> None:
        self._folder = TemporaryDirectory(prefix="cgm-engine-", ignore_cleanup_errors=True)
        self.path = str(Path(self._folder.name) / "value")
        if isinstance(value, Packed):
            Path(self.path).write_bytes(pickle.dumps(value, protocol=5))
        else:
            value.tofile(self.path)


class Packed:
    """A value as arrays, which processes may share, and bytes for the rest.

    Arguments:
        value: The value. Arrays and tensors of what is unpacked are read-only.

    Attributes:
        rest: The bytes.
        arrays: The arrays, as bytes; `None` for those that `split` has taken away.
        unpacked: The value, once it was unpacked in a worker.
    """

    unpacked: Any = None

    def __init__(self, value: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        with io.BytesIO() as file:
            _Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
            self.rest = file.getvalue()
        self.arrays: list[np.ndarray | None] = [np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers]

    def split(self) -> list[np.ndarray]:
        """Take the large arrays away, and return them."""

        large = [array for array in self.arrays if array is not None and array.size >= LARGE]
        self.arrays = [array if array is not None and array.size < LARGE else None for array in self.arrays]
        return large

    def __getstate__(self) -> dict[str, Any]:
        return {"rest": self.rest, "arrays": self.arrays}

    def value(self, large: Sequence[np.ndarray] = ()) -> Any:
        """Return the value, with the large arrays that were taken away."""

        missing = iter(large)
        arrays = [next(missing) if array is None else array for array in self.arrays]
        return pickle.loads(self.rest, buffers=list(map(_aligned, arrays)))


class _Pickler(cloudpickle.Pickler):
    """A pickler that takes tensors for arrays, which are not copied."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how an object is pickled."""

        if type(obj) is torch.Tensor and obj.device.type == "cpu" and not obj.requires_grad:
            return _tensor, (obj.numpy(),)
        return super().reducer_override(obj)


def _tensor(array: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor, which nothing writes to."""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the array is read-only
        return torch.from_numpy(array)


def _aligned(array: np.ndarray) -> np.ndarray:
    """Return an array as it lies in memory everywhere: products of matrices may depend on it in their last digits."""

    array = array.view() if array.ctypes.data % ALIGNMENT == 0 else _tensor(array).clone().numpy()
    array.flags.writeable = False  # others read it, too
    return array


@lru_cache(maxsize=1)
def _read(work: str, arrays: Sequence[str]) -> Any:
    """Read what `Workers.place` wrote. Arrays are in memory once for all processes of a machine."""

    return pickle.loads(Path(work).read_bytes()).value([np.memmap(path, mode="r") for path in arrays])


def _compute_from(work: str, arrays: Sequence[str], task: tuple) -> Any:
    """Compute a task in a process, with what is in files."""

    return _compute_alone(_read(work, arrays), task)


def compute_packed(packed: Packed, task: tuple, *arrays: np.ndarray) -> Any:
    """Compute a task in a process of a cluster, with the large arrays of what is packed."""

    if packed.unpacked is None:  # it may stay in the memory of the worker
        packed.unpacked = packed.value(arrays)
    return _compute_alone(packed.unpacked, task)


def _compute_alone(work: tuple[Callable[..., Any], Any], task: tuple) -> Any:
    """Compute a task in a process, with one thread."""

    import numba

    function, shared = work
    _limit_libraries()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    return function(shared, *task)


@cache
def _limit_libraries() -> None:
    """Limit the libraries behind numpy and scipy to one thread, for good: threads of a worker share this setting."""

    threadpool_limits(1)
