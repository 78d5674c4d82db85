"""Measurement of the seconds that each part of a run takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Stopwatch for the named parts of a run.

    Example:
        >>> clock = Clock()
        >>> with clock("data"):
        ...     pass
        >>> list(clock.seconds)
        ['data']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add the seconds that the `with` block takes to those of a part; also if the block raises an error."""

        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begin
