"""Spreads work over processor cores."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numba
import torch
from threadpoolctl import threadpool_limits

Result = TypeVar("Result")


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Lets torch, numba and the libraries behind numpy and scipy use so many threads at most, in this process.

    Two runs at a time that use all cores each are slower than one after the other: threads wait for one another.

    Arguments:
        threads: The most threads; nothing is changed if `None`.
    """

    if threads is None:
        yield
        return

    before = torch.get_num_threads()
    numba_before = numba.get_num_threads()  # second: when numba starts its threads, it sets torch's to as many
    try:
        with threadpool_limits(threads):
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
            torch.set_num_threads(threads)
            yield
    finally:
        numba.set_num_threads(numba_before)
        torch.set_num_threads(before)  # last: the libraries that threadpoolctl sets are those of torch, too


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Gives a pool of as many threads as torch may use, each of which computes on its own.

    Torch itself spreads each single operation over its threads, which then wait for one another a thousand times
    a second. On a machine that is also busy with something else, that can be a hundred times slower than it ought
    to be. Threads with work of their own wait for nobody.
    """

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def in_order(
    pool: ThreadPoolExecutor, function: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], ahead: int = 64
) -> Iterator[Result]:
    """Computes function(*task) side by side, and yields the results in the order of the tasks.

    Arguments:
        pool: The threads.
        function: What to compute.
        tasks: Its arguments.
        ahead: The most results that wait to be asked for.
    """

    waiting: deque = deque()
    for task in tasks:
        waiting.append(pool.submit(function, *task))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
