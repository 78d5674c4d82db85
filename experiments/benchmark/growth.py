"""Growth of time and memory with the size of a problem."""

import math
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import torch

from cgm.utils.run import peak_memory, progress
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation
from experiments.benchmark.compare import measure_median
from experiments.benchmark.problems import draw, mixture, targets
from experiments.benchmark.report import GROWING


def growth(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Measure how time and memory of the kernel pass and of sampling grow with one size at a time."""

    start, axes = settings["sizes"]["start"], settings["sizes"]["axes"]
    cases = {axis: [start | change for change in changes] for axis, changes in axes.items()}
    cases["synthetic"] = [case for case in cases["synthetic"] if case["synthetic"] <= settings["max_synthetic"]]

    # a process for each axis: its peak memory is that of the largest case so far
    with progress(len(cases), "growth (axes)") as bar:
        found = {}
        for axis in cases:
            found[axis] = in_child(grow, cases[axis], settings["threads"], settings["repeats"], settings["seed"])
            bar.update()

    exponents = {
        axis: {key: exponent([row[axis] for row in rows], [row[key] for row in rows]) for key in GROWING}
        for axis, rows in found.items()
    }
    return {"start": start, "axes": found, "exponents": exponents}


def grow(cases: Sequence[Mapping[str, int]], threads: int, repeats: int, seed: int) -> list[dict[str, Any]]:
    """Measure cases of growing size, in a process of its own.

    Arguments:
        cases: Sizes: synthetic (|G|), points (of a party), parties, dimensions and chains.
        threads: The number of cores to use.
        repeats: The number of measurements of what takes less than a second.
        seed: The seed of everything random.

    Returns:
        For each case the sizes, t, the number of accepted points, and the keys of `GROWING`. From the peak memory,
        that of a process in which everything is loaded is subtracted.
    """

    def once(synthetic: int, points: int, parties: int, dimensions: int, chains: int, times: int) -> dict[str, Any]:
        data, pool = mixture(parties, points, synthetic, dimensions, seed)
        kernel = SquaredExponential(math.sqrt(dimensions))
        pass_seconds, pass_cpu_seconds, valuation = measure_median(
            lambda: Valuation(kernel, data, pool, method="exact"), times
        )
        rewards, betas = targets(valuation, 0.3), np.linspace(4, 8, chains // parties).tolist()
        seconds, cpu_seconds, drawn = measure_median(lambda: draw(valuation, rewards, betas, seed), times)
        accepted = sum(len(chain.indices) for chain in drawn)
        return {
            "t": valuation.t,
            "accepted": accepted,
            "pass_seconds": pass_seconds,
            "pass_cpu_seconds": pass_cpu_seconds,
            "point_ms": 1000 * seconds / accepted,
            "point_cpu_ms": 1000 * cpu_seconds / accepted,
            "sampling_seconds": seconds,
        }

    torch.set_num_threads(threads)
    once(1000, 20, 2, 2, 2, times=1)
    before, rows = peak_memory(), []
    for case in cases:
        rows.append({**case, **once(**case, times=repeats), "mebibytes": peak_memory() - before})

    return rows


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, which has its own peak memory."""

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def exponent(x: Sequence[float], y: Sequence[float]) -> float | None:
    r"""Fit the exponent $p$ of a power law $y \propto x^p$ by least squares of logarithms.

    Only the larger half of x counts, but at least three values: small sizes mostly show the overhead of a call. `None`
    if there are fewer than two positive values of y.
    """

    pairs = sorted(zip(x, y, strict=True))[-max(3, math.ceil(len(x) / 2)) :]
    pairs = [(math.log(a), math.log(b)) for a, b in pairs if b > 0]
    if len(pairs) < 2:
        return None
    return float(np.polyfit([a for a, _ in pairs], [b for _, b in pairs], 1)[0])
