r"""Engines that may have workers on other machines: Dask and Ray."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar

import numpy as np
import torch

from cgm.engines import LOSSES, Engine, Packed, ProcessWorkers, Started, Workers, compute_packed, ended_by
from cgm.utils.settings import Text

__all__ = ["Dask", "Ray"]

CONNECT = 10.0  # seconds in which the machine of an address must answer, and a scheduler of Dask there
ANSWER = 30.0  # seconds in which a cluster must let a process connect
CHECK = 10.0  # seconds of waiting for a task after which it is checked that the cluster still has workers


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
                with _interrupts_ignored():
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
def _interrupts_ignored() -> Iterator[None]:
    """Let processes that are started ignore Ctrl-C, which each of them would report; this process ends them."""

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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


class DaskWorkers(ProcessWorkers):
    """The workers of a Dask cluster, to which arrays are scattered."""

    lost = (CancelledError,)  # all workers that had the shared arrays have ended

    def __init__(self, engine: Engine, client: Any) -> None:
        super().__init__(engine)
        self.client = client

    @property
    def count(self) -> int:
        """The number of threads of all workers."""

        return max(1, sum(self.client.nthreads().values()))

    def place(self, value: Packed | np.ndarray) -> Any:
        """Send a value to all workers."""

        try:
            return self.client.scatter([value], broadcast=True, hash=False)[0]
        except (ValueError, KeyError, OSError) as error:  # a worker has ended meanwhile
            raise CancelledError(str(error)) from error

    def starter(self, work: Any, arrays: Sequence[Any]) -> Callable[[tuple], Started]:
        """Return what starts a task on the cluster."""

        return lambda task: DaskTask(self, self.client.submit(compute_packed, work, task, *arrays, pure=False))


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
                raise OSError(f"{self.workers.engine.name}: {ended_by(error)} again and again") from error

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


class RayWorkers(ProcessWorkers):
    """The workers of a Ray cluster, which has arrays in its store of objects."""

    @property
    def count(self) -> int:
        """The number of cores."""

        import ray

        return max(1, int(ray.cluster_resources().get("CPU", 0)))

    def place(self, value: Packed | np.ndarray) -> Any:
        """Put a value into the store."""

        import ray

        return ray.put(value)

    def starter(self, work: Any, arrays: Sequence[Any]) -> Callable[[tuple], Started]:
        """Return what starts a task on the cluster, to which the function is sent once."""

        import ray

        remote = ray.remote(num_cpus=1, max_retries=LOSSES)(compute_packed)
        return lambda task: RayTask(self, remote.remote(work, task, *arrays))


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
            raise OSError(f"{self.workers.engine.name}: {ended_by(error)} again and again") from error

    def cancel(self) -> None:
        """Leave the task alone: Ray would interrupt it in the middle, perhaps of an import, if it has begun."""
