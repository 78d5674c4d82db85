"""Limits on threads, and work shared among them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

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
def workers(device: torch.device | None = None) -> Iterator[ThreadPoolExecutor]:
    """Provide a pool of as many threads as torch may use, each of which computes independently.

    By default, torch spreads each single operation over its threads, which then wait for each other a thousand times
    a second. On a machine that is also busy with other work, this can be a hundred times slower than necessary.
    Threads with independent tasks do not wait for each other.

    Arguments:
        device: Where they compute. Two threads keep a GPU busy, and more would need more of its memory.
    """

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(2 if device is not None and device.type != "cpu" else threads) as pool:
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
