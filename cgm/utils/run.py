"""The run of a program: seconds, memory, progress, threads, devices."""

from __future__ import annotations

import contextlib
import logging
import re
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cgm.utils.text import printable


class Clock:
    """Stopwatch for the named parts of a run: within its `with` block, `timed` adds to it.

    Example:
        >>> with Clock() as clock:
        ...     with timed("data"):
        ...         pass
        >>> list(clock.seconds)
        ['data']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Clock:
        self._token = _CLOCK.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        _CLOCK.reset(self._token)


_CLOCK: ContextVar[Clock | None] = ContextVar("clock", default=None)


@contextmanager
def timed(part: str) -> Iterator[None]:
    """Add the seconds that the `with` block takes to a part of the innermost clock; also if the block raises an error.

    Arguments:
        part: The name of the part.
    """

    begin = time.perf_counter()
    try:
        yield
    finally:
        if (clock := _CLOCK.get()) is not None:
            clock.seconds[part] = clock.seconds.get(part, 0.0) + time.perf_counter() - begin


STATUS, MARK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory() -> float:
    """Return the maximum resident memory of this process since its start, or since `reset_peak`, in MiB."""

    if STATUS.is_file():  # counts this program alone; `getrusage` starts from the peak of the parent process
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def reset_peak() -> None:
    """Set the peak memory to what is resident now; no effect where the system (other than Linux) cannot do this."""

    with contextlib.suppress(OSError):
        MARK.write_text("5")


def progress(total: int, label: str) -> tqdm:
    """Return a progress bar that appears after two seconds, on a terminal or in a notebook.

    In a notebook it is a widget if ipywidgets is installed, and text otherwise. As with all bars of tqdm,
    `TQDM_DISABLE=1` in the environment turns it off.
    """

    settings: dict[str, Any] = {"total": total, "desc": label, "delay": 2, "leave": False}
    if not in_notebook():
        return tqdm(**settings, dynamic_ncols=True, **({} if sys.stderr.isatty() else {"disable": True}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no ipywidgets
        from tqdm.auto import tqdm as notebook_tqdm
    return notebook_tqdm(**settings)


def in_notebook() -> bool:
    """Return whether the program runs in a kernel of Jupyter."""

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config


Result = TypeVar("Result")


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Limit the threads that torch, numba and the libraries behind numpy and scipy use in this process.

    Two simultaneous runs that use all cores each are slower than one after the other, because threads wait for each
    other.

    Arguments:
        threads: The maximum number of threads. No limit is set, if `None`.
    """

    import numba

    if threads is None:
        yield
        return

    before = torch.get_num_threads()
    numba_before = numba.get_num_threads()  # after torch's: when numba starts its threads, it changes torch's number
    try:
        with threadpool_limits(threads):
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]  # dynamic
            torch.set_num_threads(threads)
            yield
    finally:
        numba.set_num_threads(numba_before)
        torch.set_num_threads(before)  # last, because threadpoolctl also sets libraries that torch uses


@contextmanager
def workers(count: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Provide a pool of threads, each of which computes independently.

    By default, torch spreads each single operation over its threads, which then wait for each other a thousand times
    a second. On a machine that is also busy with other work, this can be a hundred times slower than necessary.
    Threads with independent tasks do not wait for each other.

    Arguments:
        count: Their number; as many as torch may use, if `None`.
    """

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(count or threads) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def in_order(
    pool: ThreadPoolExecutor, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], ahead: int = 64
) -> Iterator[Result]:
    """Compute `function(*task)` in parallel, and yield the results in the order of the tasks.

    Arguments:
        pool: The threads.
        function: The function to compute.
        tasks: Its arguments.
        ahead: The maximum number of results that are computed before they are consumed.
    """

    waiting: deque[Future[Result]] = deque()
    for task in tasks:
        waiting.append(pool.submit(function, *task))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def ending() -> Iterator[None]:
    """Let the signal that asks the process to end raise SystemExit, so that what it writes is cleaned up.

    Python alone would end at once. Only the main thread can do this; in others nothing changes.
    """

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class LogFormatter(logging.Formatter):
    """Lines of the log in which names from outside can neither control the terminal nor look like other lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line of a message, without the traceback that may follow it."""

        record.message = printable(record.message)
        return super().formatMessage(record)


_TRAINING: ContextVar[torch.device | None] = ContextVar("training", default=None)


def check_device(name: object) -> None:
    """Check the name of a device. Whether it is available depends on the machine, see `resolve_device`.

    Raises:
        ValueError: If it is neither a CPU nor a CUDA device.
    """

    if not (isinstance(name, str) and re.fullmatch(r"auto|cpu|cuda(:\d+)?", name)):
        raise ValueError(f"device={name}: expected cpu, cuda, cuda:0 (or another number), or auto")


@contextmanager
def training_on(device: torch.device) -> Iterator[None]:
    """Train networks of generators on a device. Their weights are on the CPU before and after.

    Example:
        >>> import torch
        >>> with training_on(torch.device("cpu")):
        ...     training_device()
        device(type='cpu')
    """

    token = _TRAINING.set(device)
    try:
        yield
    finally:
        _TRAINING.reset(token)


def training_device() -> torch.device:
    """Return the device of `training_on`; outside of it, the CPU."""

    return _TRAINING.get() or torch.device("cpu")


def resolve_device(name: str) -> torch.device:
    """Return a device by its name, and check that it is available.

    Arguments:
        name: `"cpu"`, `"cuda"`, `"cuda:0"`, ..., or `"auto"` for a GPU if there is one, otherwise the CPU.

    Raises:
        ValueError: If the device is not available on this machine, or is neither a CPU nor a CUDA device.
    """

    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("only cpu and cuda are supported")
        torch.empty(0, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device={name}: not available on this machine ({error}); use 'cpu'") from error

    return device
