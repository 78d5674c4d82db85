"""Errors of approximate valuations beside the intervals that they state, on games whose exact values are computed.

    python -m experiments.coverage
    python -m experiments.coverage --games 5 --kinds mixture tails --folder FOLDER

Games of nine kinds: mixtures in 2, 4 and 8 dimensions, heavy tails (Student's t with 3 degrees of freedom) in 4 and 20,
near-copies, an encoded table of numbers and categories, and parts of the paper's credit card data and of the features
of MNIST and CIFAR-10, which need their files in the data folder. Parties, pool and length-scale differ from game to
game. Writes README.md with a table, and games.jsonl with all games.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgm.cli.jobs import Job
from cgm.contributions.semivalues import Shapley
from cgm.utils.files import write_whole
from cgm.utils.text import markdown_table
from cgm.valuation.kernels import Kernel, SquaredExponential
from cgm.valuation.lengthscale import median_distance
from cgm.valuation.method import ValuationMethod
from cgm.valuation.valuation import Valuation
from experiments.settings import compose_run
from experiments.tables import deal, make_table

PARTIES, ROWS, POOL = 5, (200, 1500), (4000, 20_000)
SHARES = (1.0, 0.5, 0.25)  # of the length-scale of the data
METHODS = ("nufft", "hybrid", "nystrom")
TOLERANCES = (1e-3, 1e-4)
Problem = tuple[list[torch.Tensor], torch.Tensor, Kernel]
"""The parties' points, the pool, and a kernel."""


def simulated(d: int, kind: str, random: torch.Generator) -> Problem:
    """Draw parties, each with its own mixture of six clusters, and a pool of all clusters."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    centres = 1.5 * normal(6, d)

    def draw(n: int, weights: torch.Tensor) -> torch.Tensor:
        x = normal(n, d)
        if kind == "tails":
            x /= (normal(n, 3).square().mean(1, keepdim=True)).sqrt()
        if kind == "copies":
            x = x[torch.randint(0, max(2, n // 20), (n,), generator=random)] + 1e-9 * normal(n, d)
        return centres[torch.multinomial(weights, n, replacement=True, generator=random)] + 0.5 * x

    parties = [draw(integer(ROWS, random), torch.rand(6, generator=random) ** 2) for _ in range(PARTIES)]
    pool = draw(integer(POOL, random), torch.ones(6))
    return parties, pool, SquaredExponential(median_distance(torch.cat([*parties, pool])))


def integer(bounds: tuple[int, int], random: torch.Generator) -> int:
    """Draw an integer between bounds."""

    return int(torch.randint(bounds[0], bounds[1] + 1, (), generator=random))


def part_of(problem: Callable[[], Problem], random: torch.Generator) -> Problem:
    """Draw some points of each party and of the pool of a problem."""

    parties, pool, kernel = problem()

    def some(x: torch.Tensor, n: int) -> torch.Tensor:
        return x[torch.randperm(len(x), generator=random)[:n]]

    return [some(x, integer(ROWS, random)) for x in parties], some(pool, integer(POOL, random)), kernel


@cache
def table() -> Problem:
    """Settle a table of 12 numbers and 8 categories, and return its encoded points."""

    import cgm

    frames = deal(make_table(8000, 0), PARTIES, 0)
    settlement = cgm.settle(frames, synthetic_size=20_000, audit="none")
    game = settlement.game
    return [game.party(i) for i in range(game.n)], game.synthetic, game.kernel


@cache
def paper(dataset: str) -> Problem:
    """Return points of an experiment of the paper with its length-scale."""

    changes = ["split.points_per_party=1500"]
    experiment = Job.construct(compose_run([f"experiment=paper_{dataset}", *changes])).experiment
    mediator = experiment.mediator()
    pooled = mediator.pool(mediator.fit(experiment.load().parties, 0), 20_000, 0)
    game: Any = mediator.value(pooled)
    return [game.party(i) for i in range(game.n)], game.synthetic, game.kernel


KINDS: dict[str, Callable[[torch.Generator], Problem]] = {
    "mixture, d = 2": lambda random: simulated(2, "mixture", random),
    "mixture, d = 4": lambda random: simulated(4, "mixture", random),
    "mixture, d = 8": lambda random: simulated(8, "mixture", random),
    "heavy tails, d = 4": lambda random: simulated(4, "tails", random),
    "heavy tails, d = 20": lambda random: simulated(20, "tails", random),
    "near-copies, d = 3": lambda random: simulated(3, "copies", random),
    "encoded table": lambda random: part_of(table, random),
    "credit card": lambda random: part_of(lambda: paper("credit_card"), random),
    "MNIST features": lambda random: part_of(lambda: paper("mnist"), random),
    "CIFAR-10 features": lambda random: part_of(lambda: paper("cifar10"), random),
}


def values(game: Valuation) -> torch.Tensor:
    """Return the values of all coalitions of parties, and of each party with the pool."""

    return torch.cat([game.coalition_values()[1:], game.with_synthetic])


def alpha(game: Valuation) -> torch.Tensor:
    """Return the normalised Shapley values."""

    return Shapley().compute(game, 0).alpha


def measure(kind: str, number: int) -> list[dict[str, Any]]:
    """Compare approximate values of one game with exact ones."""

    parties, pool, kernel = KINDS[kind](torch.Generator().manual_seed(number))
    share = SHARES[number % len(SHARES)]
    kernel = kernel.with_lengthscale(share * kernel.numeric_lengthscale)
    exact = Valuation(kernel, parties, pool, "float64", method="exact")
    rows = []
    for method in METHODS:
        if method == "nufft" and (parties[0].shape[1] > 3 or number % 3):
            continue
        for tolerance in TOLERANCES[: 1 if method == "nufft" else None]:
            game = Valuation(kernel, parties, pool, method=ValuationMethod(method, tolerance))
            row: dict[str, Any] = {"kind": kind, "game": number, "share": share, "method": method}
            row |= {"tolerance": tolerance, "size": game.modes, "value": exact.grand_value}
            for name, statistic in (("v", values), ("alpha", alpha)):
                error, stated = (statistic(game) - statistic(exact)).abs(), game.half_widths(statistic)
                row |= {f"{name}_error": float(error.max()), f"{name}_stated": float(stated.max())}
                row[f"{name}_covered"] = float(error.max()) <= float(stated.max()) + 1e-12  # what a record states
                row[f"{name}_each"] = float((error <= stated + 1e-12).double().mean())
            rows.append(row)
    return rows


def report(rows: list[dict[str, Any]]) -> str:
    """Write the table."""

    head = [
        "",
        "method",
        "games",
        "size",
        "v covered",
        "α covered",
        "error of v / v(N)",
        "stated",
        "error of α",
        "stated",
    ]
    lines = []
    keys = list(dict.fromkeys((row["kind"], row["method"], row["tolerance"]) for row in rows))
    for kind, method, tolerance in keys:
        those = [r for r in rows if (r["kind"], r["method"], r["tolerance"]) == (kind, method, tolerance)]

        def spread(key: str, those: list[dict[str, Any]] = those, by_value: bool = False) -> str:
            found = [row[key] / (row["value"] if by_value else 1) for row in those]
            return f"{np.median(found):.0e} (to {max(found):.0e})"

        sizes = [row["size"] for row in those]
        covered = [f"{sum(row[f'{name}_covered'] for row in those)}" for name in ("v", "alpha")]
        name = method if method == "nufft" else f"{method}, {tolerance:g}"
        errors = [spread(f"v_{what}", by_value=True) for what in ("error", "stated")]
        errors += [spread(f"alpha_{what}") for what in ("error", "stated")]
        lines.append([kind, name, str(len(those)), f"{min(sizes):,} to {max(sizes):,}", *covered, *errors])
    games = {(row["kind"], row["game"]) for row in rows}
    share, each = (
        [float(np.mean([row[f"{name}_{what}"] for row in rows])) for name in ("v", "alpha")]
        for what in ("covered", "each")
    )
    return "\n".join(
        [
            "# Errors of approximate valuations\n",
            "Written by `python -m experiments.coverage`, from games whose exact values are computed in float64: "
            f"{len(games)} games, {len(rows)} approximations. The largest error of v in a game is below the stated one "
            f"in {share[0]:.1%} of them, and that of α in {share[1]:.1%}; of single values, {each[0]:.1%} are in their "
            f"intervals, and {each[1]:.1%} of single α. Five parties of {ROWS[0]} to {ROWS[1]:,} points, pools of "
            f"{POOL[0]:,} to {POOL[1]:,}; the length-scale is the median distance of simulated points, and that of the "
            f"settlement or the paper's rule otherwise, times {', '.join(f'{s:g}' for s in SHARES)} in turns. Sizes "
            "are those of grids or numbers of landmarks, of at most an eighth of the points here; the number behind a "
            "method is `valuation.tolerance`. Errors: median (to largest) over games of the largest error in a game.\n",
            markdown_table(head, lines),
            "",
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure all games, and write the table."""

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    parser.add_argument("--games", type=int, default=21, help="games of each kind")
    parser.add_argument("--folder", type=Path, default=Path("outputs/linear"))
    given = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    for kind in given.kinds:
        for number in range(given.games):
            rows += measure(kind, number)
        print(f"{kind}: {given.games} games", flush=True)
    given.folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_whole(given.folder / "games.jsonl", lines.encode())
    write_whole(given.folder / "README.md", report(rows).encode())
    print(report(rows))


if __name__ == "__main__":
    main()
