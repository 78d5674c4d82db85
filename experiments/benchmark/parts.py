"""The comparisons of the benchmark, one function for each part."""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgm.cli.jobs import Job
from cgm.contributions.semivalues import Shapley
from cgm.data.datasets.credit_ratings import CreditRatings
from cgm.data.splits import EqualDisjoint
from cgm.generators.gaussian_mixture import TrueMixture
from cgm.records.result import Result
from cgm.utils.run import peak_memory
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.lengthscale import fit_lengthscale
from cgm.valuation.mmd import block_sums
from cgm.valuation.valuation import Valuation
from experiments.benchmark import peers
from experiments.benchmark.compare import compare
from experiments.benchmark.growth import in_child
from experiments.benchmark.problems import Estimated, draw, mixture, normal, small_game, targets
from experiments.settings import compose_run

BETAS = (1.0, 2.0, 4.0, 8.0)
Calls = dict[str, Callable[[], object]]


def kernel_sums(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Compare sums of the kernel over all pairs with one of t points, for each of the t points."""

    def calls(t: int, d: int) -> Calls:
        x, scale = normal(t, d, settings["seed"]), math.sqrt(d)
        kernel, single = SquaredExponential(scale), x.float()  # the others are faster in single precision
        found: Calls = {
            "cgm": lambda: block_sums(kernel, x, [t], precision="auto"),
            "cgm, float64": lambda: block_sums(kernel, x, [t], precision="float64"),
            "exponentials": lambda: peers.exponentials(t * t // 2),
        }
        if (t, d) not in settings["sizes"]["kernel_sums_alone"]:
            found["torch.cdist"] = lambda: peers.cdist_sums(single, scale)
            found["scikit-learn"] = lambda: peers.sklearn_sums(single, scale)
            found["KeOps"] = lambda: peers.keops_sums(single, scale)
        return found

    comparisons = []
    for t, d in [*settings["sizes"]["kernel_sums"], *settings["sizes"]["kernel_sums_alone"]]:
        found = compare(f"t = {t:,}, d = {d}", "pass", calls(t, d), calls(1000, d), settings)
        for name, measured in found["implementations"].items():
            computed = t * t if name in ("torch.cdist", "scikit-learn", "KeOps") else t * t / 2
            measured["computed_per_second"] = computed / measured["wall"]["median"]
            measured["delivered_per_second"] = t * t / measured["wall"]["median"]
        comparisons.append(found)

    return {"comparisons": comparisons}


def lengthscale(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the search for the length-scale with the valuation, for simulated credit ratings."""

    seed = settings["seed"]

    def calls(points: int, synthetic: int) -> Calls:
        data = CreditRatings().load(None, seed)
        split = EqualDisjoint(points_per_party=points)
        parties = [data.x[rows] for rows in split.assign(data.y, len(data.classes), seed, data.ordered, data.classes)]
        pool = TrueMixture().fit(torch.cat(parties), seed).sample(synthetic, seed)
        return {
            # close to the fitted length-scale
            "Valuation, exact": lambda: Valuation(SquaredExponential(0.26), parties, pool, method="exact"),
            "fit_lengthscale, exact": lambda: fit_lengthscale(SquaredExponential(), parties, pool, method="exact"),
            "Valuation": lambda: Valuation(SquaredExponential(0.26), parties, pool),
            "fit_lengthscale": lambda: fit_lengthscale(SquaredExponential(), parties, pool),
        }

    points, synthetic = settings["sizes"]["lengthscale"]
    name = f"5 × {points:,} + {synthetic:,} points, d = 2"
    return {"comparisons": [compare(name, "call", calls(points, synthetic), calls(50, 500), settings)]}


def sampling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Compare weighted sampling with the straightforward loop, and with the authors' program."""

    def problem(synthetic: int, d: int, points: int, share: float) -> tuple[Valuation, Callable[[], int]]:
        parties, pool = mixture(5, points, synthetic, d, settings["seed"])
        valuation = Estimated(SquaredExponential(math.sqrt(d)), parties, pool)
        rewards = targets(valuation, share)
        return valuation, lambda: sum(len(chain.indices) for chain in draw(valuation, rewards, BETAS, settings["seed"]))

    def with_loop(synthetic: int, d: int, points: int, share: float, drawn: int) -> Calls:
        valuation, cgm = problem(synthetic, d, points, share)
        return {
            "cgm": cgm,
            "loop, chains side by side": partial(peers.plain_chains, valuation, BETAS, drawn, side_by_side=True),
            "loop, chain by chain": partial(peers.plain_chains, valuation, BETAS, drawn, side_by_side=False),
        }

    def with_authors(synthetic: int, d: int, points: int, share: float) -> Calls:
        valuation, cgm = problem(synthetic, d, points, share)
        s, sums = valuation.party(0), (float(valuation.b[0, 0]), float(valuation.a[0]))
        return {
            "cgm": cgm,
            # without the draw from the gains, which takes hardly any time in comparison
            "the authors' way": lambda: peers.authors_gains(
                valuation.kernel, s, valuation.points, valuation.synthetic, *sums
            ),
        }

    comparisons = []
    cases: tuple[tuple[Callable[..., Calls], Sequence[Sequence[Any]]], ...] = (
        (with_loop, settings["sizes"]["sampling"]),
        (with_authors, settings["sizes"]["authors"]),
    )
    for calls, sizes in cases:
        for synthetic, d, points, share, *rest in sizes:
            name = f"|G| = {synthetic:,}, d = {d}"
            own, small = calls(synthetic, d, points, share, *rest), calls(500, d, 50, 0.1, *rest)
            comparisons.append(compare(name, "point", own, small, settings))

    return {"comparisons": comparisons}


def shapley(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Measure Shapley values by each method, and compare them with other packages."""

    sizes, seed = settings["sizes"], settings["seed"]

    def exact(n: int, method: str = "exact", equal: bool = False) -> Calls:
        return {"cgm": partial(Shapley(method).compute, small_game(n, seed, equal), 0)}

    def with_shapiq(n: int) -> Calls:
        return exact(n) | {"shapiq": partial(peers.shapiq_values, small_game(n, seed))}

    def with_pydvl(n: int, permutations: int) -> Calls:
        valuation = small_game(n, seed)

        def pydvl() -> float:
            phi, stderr = peers.pydvl_values(valuation, permutations, seed)
            return float((0.01 * np.abs(phi).max() / stderr.max()) ** 2)  # the share of the work for an error of 1 %

        return {"cgm": partial(Shapley("sampled", tolerance=0.01).compute, valuation, 0), "pyDVL": pydvl}

    comparisons = []
    for n in sizes["exact"]:
        comparisons.append(compare(f"exact, n = {n}", "call", exact(n), exact(4), settings))
    n, equal = sizes["equal"], partial(exact, method="equal_sizes", equal=True)
    comparisons.append(compare(f"equal sizes, n = {n:,}", "call", equal(n), equal(4), settings))
    for n in sizes["shapiq"]:
        comparisons.append(compare(f"exact, n = {n}", "call", with_shapiq(n), with_shapiq(4), settings))
    n, permutations = sizes["sampled"]
    own, small = with_pydvl(n, permutations), with_pydvl(4, 4)
    comparisons.append(compare(f"sampled to 1 %, n = {n}", "call", own, small, settings))

    return {"comparisons": comparisons}


def runs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Report how long each station of complete runs took."""

    if settings["runs"]:
        texts = [(Path(run) / "result.json").read_text(encoding="utf-8") for run in settings["runs"]]
        return {"runs": [stations(Result.loads(text)) for text in texts]}

    overrides = [*settings["sizes"]["run"], f"seed={settings['seed']}", "cache=false"]
    begin = time.perf_counter()
    found = in_child(whole_run, overrides, settings["threads"])
    return {"runs": [found | {"wall": time.perf_counter() - begin}]}


def stations(result: Result) -> dict[str, Any]:
    """Select what the report shows of a run."""

    return {
        "dataset": result.dataset,
        "split": result.split,
        "seed": result.seed,
        "synthetic_size": result.synthetic_size,
        "t": result.t,
        "seconds": result.seconds,
        "accepted": sum(chain.size for chain in result.sampling),
    }


def whole_run(overrides: Sequence[str], threads: int) -> dict[str, Any]:
    """Run an experiment in a temporary folder, and return its stations, its CPU time and its peak memory."""

    torch.set_num_threads(threads)
    experiment = Job.construct(compose_run(overrides), overrides).experiment
    with tempfile.TemporaryDirectory() as folder:
        found = stations(experiment.run(folder).result)

    return found | {"cpu": time.process_time(), "mebibytes": peak_memory()}
