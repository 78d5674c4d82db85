"""Time, memory and errors of valuations in linear time, beside the exact pass and KeOps."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from cgm.contributions.semivalues import Shapley
from cgm.utils.run import peak_memory
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.method import ValuationMethod
from cgm.valuation.valuation import Valuation
from experiments.benchmark import peers
from experiments.benchmark.compare import measure_median
from experiments.benchmark.growth import exponent, in_child
from experiments.benchmark.problems import clusters

PARTIES, POINTS = 5, 5000
CLOCKS = ("wall", "cpu")


def linear(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Measure valuations in linear time as the pool grows, and exact ones where they take less than a minute."""

    sizes, rows = settings["sizes"]["linear"], []
    for d in sizes["dimensions"]:
        for t in sizes["t"]:
            case = (t, d, sizes["points"], t <= sizes["exact"], settings["threads"], settings["repeats"])
            rows.append(in_child(measure_case, *case, settings["seed"]))  # with its own peak memory
    exponents = {}
    for d in sizes["dimensions"]:
        those = [row for row in rows if row["d"] == d]
        exponents[str(d)] = {clock: exponent([r["t"] for r in those], [r[clock] for r in those]) for clock in CLOCKS}
    return {"rows": rows, "exponents": exponents, "parties": PARTIES, "points": sizes["points"]}


def measure_case(
    t: int, d: int, points: int, exact: bool, threads: int, repeats: int, seed: int
) -> dict[str, float | str | None]:
    """Value the points of five parties and a pool.

    Arguments:
        t: The number of all points.
        d: Their dimension: up to three by Fourier grids, more by landmarks.
        points: The number of points of each party.
        exact: Whether exact sums are computed as well, and those by KeOps.
        threads: The number of cores to use.
        repeats: The number of measurements of what takes less than a second.
        seed: The seed of everything random.
    """

    torch.set_num_threads(threads)
    parties, pool = clusters(PARTIES, points, t - PARTIES * points, d, seed)
    kernel, method = SquaredExponential(math.sqrt(d) / 2), "nufft" if d <= 3 else "nystrom"
    Valuation(kernel, [x[:200] for x in parties], pool[:1000], method=ValuationMethod(method, 1.0))  # loads libraries
    before = peak_memory()
    wall, cpu, game = measure_median(lambda: Valuation(kernel, parties, pool, method=method), repeats)
    row: dict[str, float | str | None] = {"t": t, "d": d, "method": method, "size": game.modes}
    row |= {"wall": wall, "cpu": cpu, "mebibytes": peak_memory() - before, "value": game.grand_value}
    row |= {"v_stated": game.error, "alpha_stated": float(game.half_widths(alpha).max())}
    if exact:
        wall, cpu, true = measure_median(lambda: Valuation(kernel, parties, pool, method="exact"), repeats)
        row |= {"exact_wall": wall, "exact_cpu": cpu}
        precise = Valuation(kernel, parties, pool, "float64", method="exact")
        row["v_error"] = float(torch.stack([values(game) - values(precise)]).abs().max())
        row["exact_v_error"] = float(torch.stack([values(true) - values(precise)]).abs().max())
        row["alpha_error"] = float((alpha(game) - alpha(precise)).abs().max())
        x = torch.cat([*parties, pool]).float()
        try:
            peers.keops_sums(x[:1000], kernel.numeric_lengthscale)  # compiles it
            row["keops_wall"], row["keops_cpu"], _ = measure_median(
                lambda: peers.keops_sums(x, kernel.numeric_lengthscale), 1
            )
        except ImportError:
            row["keops_wall"] = row["keops_cpu"] = None
    return row


def values(game: Valuation) -> torch.Tensor:
    """Return the values of all coalitions of parties, and of each party with the pool."""

    return torch.cat([game.coalition_values()[1:], game.with_synthetic])


def alpha(game: Valuation) -> torch.Tensor:
    """Return the normalised Shapley values."""

    return Shapley().compute(game, 0).alpha
