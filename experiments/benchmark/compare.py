"""Comparisons of implementations that compute the same, in turns."""

import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from threadpoolctl import threadpool_limits

Implementations = Mapping[str, Callable[[], object]]
"""Implementations by name. A call does one unit of work, or the number of units that it returns."""


def compare(
    name: str, unit: str, implementations: Implementations, warm: Implementations, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Measure implementations that compute the same, in turns.

    Arguments:
        name: What they compute.
        unit: The unit of work.
        implementations: The implementations; the others are compared with the first.
        warm: The same implementations on a small problem. They run once before the measurement, so that nothing is
            compiled or loaded while the time is taken. One that fails, except the first, is not measured.
        settings: `repeats`, `seconds` and `threads`.

    Returns:
        For each implementation the seconds per unit in each round (`wall`, `cpu`), their median, and their ratios to
        those of the first in the same round; and why the others are not measured.
    """

    first, *others = implementations
    warm[first]()
    not_measured = {}
    for other in others:
        try:
            warm[other]()
        except ImportError as error:
            not_measured[other] = f"{error.name or 'a package'} cannot be imported"
        except Exception as error:  # no failure of another package may end the benchmark
            not_measured[other] = f"failed with {type(error).__name__}"

    rounds: dict[str, list[tuple[float, float]]] = {each: [] for each in implementations if each not in not_measured}
    begin = time.perf_counter()
    with limit_cores(settings["threads"]):  # again, for the libraries that were loaded in between
        for k in range(settings["repeats"]):
            if k >= 2 and time.perf_counter() - begin > settings["seconds"]:
                break
            for each, times in rounds.items():
                times.append(measure(implementations[each]))

    found = {each: summary(times, rounds[first]) for each, times in rounds.items()}
    return {"name": name, "unit": unit, "implementations": found, "not_measured": not_measured}


def measure(run: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and the processor seconds per unit of work."""

    wall, cpu = time.perf_counter(), _processor_seconds()
    done = run()
    wall, cpu = time.perf_counter() - wall, _processor_seconds() - cpu
    units = done if isinstance(done, int | float) else 1

    return wall / units, cpu / units


def _processor_seconds() -> float:
    """Return the processor seconds of this process and of its children that have ended."""

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure_median(run: Callable[[], Any], times: int) -> tuple[float, float, Any]:
    """Run a function several times, until a second has passed.

    Arguments:
        run: The function.
        times: The maximum number of calls.

    Returns:
        The median of the wall and of the processor seconds, and the result of the last call.
    """

    seconds: list[tuple[float, float]] = []
    while not seconds or (len(seconds) < times and sum(wall for wall, _ in seconds) < 1):
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        seconds.append((time.perf_counter() - wall, time.process_time() - cpu))

    return statistics.median(wall for wall, _ in seconds), statistics.median(cpu for _, cpu in seconds), result


def summary(times: Sequence[tuple[float, float]], first: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Summarise the seconds (wall, processor) of each round, and their ratios to those of the first implementation."""

    found = {}
    for k, clock in enumerate(("wall", "cpu")):
        seconds = [t[k] for t in times]
        ratios = [t[k] / f[k] for t, f in zip(times, first, strict=True) if f[k] > 0]
        found[clock] = {"rounds": seconds, **spread(seconds), "ratio": spread(ratios)}

    return found


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Return the median, the minimum and the maximum of some values; `None` if there are no values."""

    if not values:
        return dict.fromkeys(("median", "min", "max"))
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


@contextmanager
def limit_cores(threads: int) -> Iterator[None]:
    """Limit the number of cores that torch and the libraries that are loaded by now use."""

    before = torch.get_num_threads()
    try:
        with threadpool_limits(threads):
            torch.set_num_threads(threads)
            yield
    finally:
        torch.set_num_threads(before)
