"""Spreads work over processor cores."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


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
