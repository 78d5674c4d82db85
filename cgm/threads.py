"""Spreads work over processor cores."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


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
