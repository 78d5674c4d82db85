r"""Engines: where the independent tasks of one run are computed, in threads, processes or on a cluster.

No number of a run depends on its engine or on the number of workers: tasks are divided by the size of the data alone,
each is computed by one thread, and results are taken in the order of the tasks.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar, Protocol, TypeVar

import cloudpickle
import numpy as np
import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

from cgm.utils.run import workers
from cgm.utils.settings import Integer, Settings, Text

log = logging.getLogger(__name__)

__all__ = ["Dask", "Engine", "Loky", "Ray", "Threads", "Workers", "current_engine"]

AHEAD = 4  # tasks for each worker that are started before their results are taken
END: Any = object()  # after the last task
FEW = 1e8  # operations that are done in this process, whatever the engine, sooner than what they share would travel
LOSSES = 3  # times in a row that workers may end in the middle of the same task
IDLE = 300  # seconds after which processes that have nothing to do end
ALIGNMENT = 64  # bytes, as of the tensors of torch
REST = "rest"  # the file beside those of arrays
CONNECT = 10.0  # seconds in which the machine of an address must answer, and a scheduler of Dask there
ANSWER = 30.0  # seconds in which a cluster must let a process connect
CHECK = 10.0  # seconds of waiting for a task after which it is checked that the cluster still has workers
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
            shared: Reaches each worker once: numpy arrays, kernels, and what has such.
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
                    raise OSError(f"{self.engine.name}: {_ended(error)} {LOSSES} times in the same task") from error
                log.warning("%s: %s; %d tasks are computed again", self.engine.name, _ended(error), len(waiting))
            finally:
                for each in started:
                    each.cancel()


def _ended(error: BaseException) -> str:
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

        yield LokyWorkers(self)


class LokyWorkers(Workers):
    """Processes, which map the same arrays into memory."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        from loky.process_executor import BrokenProcessPool, ShutdownExecutorError

        self.lost = (BrokenProcessPool, ShutdownExecutorError)

    @property
    def count(self) -> int:
        """The number of processes."""

        return self.engine.workers or torch.get_num_threads()

    @contextmanager
    def sharing(self, function: Callable[..., Any], shared: Any) -> Iterator[Callable[[tuple], Started]]:
        """Write the function and the arrays to files, which processes read once."""

        from loky import get_reusable_executor

        with TemporaryDirectory(prefix="cgm-engine-", ignore_cleanup_errors=True) as folder:
            Packed((function, shared)).save(Path(folder))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it waits for tasks whose results are no longer wanted
                executor = get_reusable_executor(self.count, timeout=IDLE, env=ONE_THREAD)
            yield lambda task: executor.submit(_compute_from, folder, task)


class Packed:
    """A value as arrays, which processes may share, and bytes for the rest.

    Arguments:
        value: The value. Arrays and tensors of what is unpacked are read-only.
    """

    def __init__(self, value: Any) -> None:
        arrays: list[pickle.PickleBuffer] = []
        with io.BytesIO() as file:
            _Pickler(file, protocol=5, buffer_callback=arrays.append).dump(value)
            self.rest = file.getvalue()
        self.arrays = [np.frombuffer(array.raw(), np.uint8) for array in arrays]

    @cached_property
    def value(self) -> Any:
        """The value."""

        return pickle.loads(self.rest, buffers=list(map(_aligned, self.arrays)))

    def __getstate__(self) -> dict[str, Any]:
        return {"rest": self.rest, "arrays": self.arrays}

    def save(self, folder: Path) -> None:
        """Write the value to an empty folder: a file for each array, and one for the rest."""

        for number, array in enumerate(self.arrays):
            array.tofile(folder / str(number))
        (folder / REST).write_bytes(self.rest)

    @classmethod
    def load(cls, folder: Path) -> Packed:
        """Read a value. Its arrays are in memory once for all processes of a machine."""

        packed = cls.__new__(cls)
        packed.rest = (folder / REST).read_bytes()
        paths = [folder / str(number) for number in range(len(list(folder.iterdir())) - 1)]
        packed.arrays = [np.memmap(path, mode="r") if path.stat().st_size else np.empty(0, np.uint8) for path in paths]
        return packed


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

    return array if array.ctypes.data % ALIGNMENT == 0 else _tensor(array).clone().numpy()


@lru_cache(maxsize=1)
def _load(folder: str) -> Packed:
    return Packed.load(Path(folder))


def _compute_from(folder: str, task: tuple) -> Any:
    """Compute a task in a process, with what is in a folder."""

    return compute_alone(_load(folder), task)


def compute_alone(packed: Packed, task: tuple) -> Any:
    """Compute a task in a process of an engine, with one thread."""

    import numba

    function, shared = packed.value
    _limit_libraries()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    return function(shared, *task)


@cache
def _limit_libraries() -> None:
    """Limit the libraries behind numpy and scipy to one thread, for good: threads of a worker share this setting."""

    threadpool_limits(1)


@dataclass(frozen=True)
class Cluster(Engine):
    r"""Base class of engines that may have workers on other machines.

    Arguments:
        address: The address of a cluster that is there, whose workers are all used. `None`: a cluster of `workers`
            processes on this machine, which the run starts and ends.
    """

    address: Annotated[str, Text()] | None = None

    package: ClassVar[str]
    pattern: ClassVar[str]
    example: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address is None:
            return
        if not re.fullmatch(self.pattern, self.address):
            raise ValueError(f"engine.address={self.address}: expected {self.example}")
        if self.workers is not None:
            raise ValueError(
                f"engine.workers={self.workers}: all workers of the cluster at engine.address={self.address} are used; "
                "give one of the two settings"
            )

    def check_package(self) -> None:
        """Raise an error if the package of the cluster is not installed."""

        if find_spec(self.package) is None:
            extra = type(self).__name__.lower()
            raise ValueError(f'{self.name}: {self.package} is not installed; run pip install "cgm-rewards[{extra}]"')

    def check_answers(self) -> None:
        """Raise an error if no program answers at the address, within some seconds."""

        if found := re.search(r"([^/]+):(\d+)$", self.address or ""):
            try:
                socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=CONNECT).close()
            except (OSError, OverflowError, UnicodeError) as error:
                raise self.no_answer(error) from error

    def no_answer(self, error: object) -> OSError:
        """Return the error that there is no cluster at the address."""

        return OSError(f"engine.address={self.address}: no {type(self).__name__} cluster answers there ({error})")


@dataclass(frozen=True)
class Dask(Cluster):
    """A Dask cluster: its own processes on this machine, or those of a scheduler at an address."""

    package = "distributed"
    pattern = r"((tcp|tls)://)?([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}"
    example = "the address of a Dask scheduler, such as tcp://HOST:8786"

    @contextmanager
    def start(self) -> Iterator[Workers]:
        """Start a cluster on this machine, or connect to that at the address."""

        self.check_package()
        from distributed import Client, LocalCluster

        with ExitStack() as stack:
            stack.enter_context(_quiet("distributed"))
            if self.address is None:
                count = self.workers or torch.get_num_threads()
                options = {
                    "threads_per_worker": 1,
                    "dashboard_address": "127.0.0.1:0",
                    "silence_logs": logging.CRITICAL,
                }
                place = stack.enter_context(LocalCluster(n_workers=count, **options))
            else:
                self._check_scheduler(place := self.address)
            client = stack.enter_context(Client(place, timeout=ANSWER, set_as_default=False))
            if not client.nthreads():
                raise OSError(f"engine.address={self.address}: the cluster has no workers")
            yield DaskWorkers(self, client)

    def _check_scheduler(self, address: str) -> None:
        """Ask what is at an address; a client would wait, and complain when it ends.

        Raises:
            OSError: If it is no scheduler.
        """

        self.check_answers()
        try:
            with ThreadPoolExecutor(1) as pool:  # there may be an event loop in this thread, as in notebooks
                kind = pool.submit(asyncio.run, _identity(address)).result()
        except Exception as error:  # of a program that is no scheduler, anything may come back
            raise self.no_answer(type(error).__name__) from error
        if kind != "Scheduler":
            raise self.no_answer(f"it is that of a {kind}")


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silence a logger: what matters is said by `Workers.map`."""

    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


async def _identity(address: str) -> str:
    """Return what is at an address of Dask: `Scheduler`, `Worker` or `Nanny`."""

    from distributed import rpc
    from distributed.security import Security

    async def ask() -> str:
        async with rpc(address, timeout=CONNECT, connection_args=Security().get_connection_args("client")) as there:
            return (await there.identity())["type"]

    return await asyncio.wait_for(ask(), CONNECT)


class DaskWorkers(Workers):
    """The workers of a Dask cluster, to which arrays are scattered."""

    lost = (CancelledError,)  # all workers that had the shared arrays have ended

    def __init__(self, engine: Engine, client: Any) -> None:
        super().__init__(engine)
        self.client = client

    @property
    def count(self) -> int:
        """The number of threads of all workers."""

        return max(1, sum(self.client.nthreads().values()))

    @contextmanager
    def sharing(self, function: Callable[..., Any], shared: Any) -> Iterator[Callable[[tuple], Started]]:
        """Send the function and the arrays to all workers."""

        try:
            (work,) = self.client.scatter([Packed((function, shared))], broadcast=True, hash=False)
        except (ValueError, KeyError, OSError) as error:  # a worker has ended meanwhile
            raise CancelledError(str(error)) from error
        yield lambda task: DaskTask(self, self.client.submit(compute_alone, work, task, pure=False))


class DaskTask:
    """A task on a Dask cluster."""

    def __init__(self, workers: DaskWorkers, future: Any) -> None:
        self.workers, self.future = workers, future

    def result(self) -> Any:
        """Wait for the result, as long as there are workers."""

        from distributed import KilledWorker

        while True:
            try:
                return self.future.result(timeout=CHECK)
            except TimeoutError as error:
                if self.future.done():  # one of the task itself
                    raise
                if not self.workers.client.nthreads():
                    raise OSError(f"{self.workers.engine.name}: the cluster has no workers any more") from error
            except KilledWorker as error:
                raise OSError(f"{self.workers.engine.name}: {_ended(error)} again and again") from error

    def cancel(self) -> None:
        """Do not compute the task, if it has not begun."""

        self.future.cancel()


@dataclass(frozen=True)
class Ray(Cluster):
    """A Ray cluster: its own processes on this machine, or the cluster at an address."""

    package = "ray"
    pattern = r"auto|(ray://)?([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}"
    example = "HOST:6379, ray://HOST:10001, or auto for the cluster that this machine belongs to"

    @contextmanager
    def start(self) -> Iterator[Workers]:
        """Start a cluster on this machine, or connect to that at the address, unless Ray runs in this process."""

        self.check_package()
        import ray

        if ray.is_initialized():  # as in a job of hydra/launcher=ray
            yield RayWorkers(self)
            return
        os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of tasks whose results are no longer wanted
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if self.address is None:
            options |= {"num_cpus": self.workers or torch.get_num_threads(), "include_dashboard": False}
        else:
            self.check_answers()
            self._check_cluster()
        ray.init(self.address or "local", **options)
        try:
            yield RayWorkers(self)
        finally:
            ray.shutdown()

    def _check_cluster(self) -> None:
        """Connect to the cluster in another process first: where there is none, Ray waits for minutes and then exits.

        Raises:
            OSError: If there is none.
        """

        code = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='critical')"
        try:
            done = subprocess.run([sys.executable, "-c", code, str(self.address)], capture_output=True, timeout=ANSWER)
        except subprocess.TimeoutExpired as error:
            raise self.no_answer(f"within {ANSWER:g} s") from error
        if done.returncode:
            lines = done.stderr.decode(errors="replace").split("\n")
            raise self.no_answer(next((line for line in reversed(lines) if line.strip()), "no reason given"))


class RayWorkers(Workers):
    """The workers of a Ray cluster, which has arrays in its store of objects."""

    @property
    def count(self) -> int:
        """The number of cores."""

        import ray

        return max(1, int(ray.cluster_resources().get("CPU", 0)))

    @contextmanager
    def sharing(self, function: Callable[..., Any], shared: Any) -> Iterator[Callable[[tuple], Started]]:
        """Put the function and the arrays into the store."""

        import ray

        work, remote = ray.put(Packed((function, shared))), ray.remote(num_cpus=1, max_retries=LOSSES)(compute_alone)
        yield lambda task: RayTask(self, remote.remote(work, task))


class RayTask:
    """A task on a Ray cluster."""

    def __init__(self, workers: RayWorkers, reference: Any) -> None:
        self.workers, self.reference = workers, reference

    def result(self) -> Any:
        """Wait for the result, as long as there are workers."""

        import ray
        from ray.exceptions import RayError, RayTaskError

        while not ray.wait([self.reference], timeout=CHECK)[0]:
            if not ray.cluster_resources().get("CPU", 0):
                raise OSError(f"{self.workers.engine.name}: the cluster has no workers any more")
        try:
            return ray.get(self.reference)
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            raise OSError(f"{self.workers.engine.name}: {_ended(error)} again and again") from error

    def cancel(self) -> None:
        """Leave the task alone: Ray would interrupt it in the middle, perhaps of an import, if it has begun."""
