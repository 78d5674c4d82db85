"""Measures how fast cgm is, beside other ways to compute the same, and how time and memory grow.

    python experiments/benchmark.py
    python experiments/benchmark.py what=[sampling,growth] repeats=9
    python experiments/benchmark.py size=small

Writes result.json, README.md (tables) and growth.png. The ways of a comparison run in turns (A B C A B C ...), and a
ratio is the median of the ratios within the rounds: what else the machine does then slows all of them alike. Wall time
and the processor time of all cores are both kept. The peers are in experiments/peers.py; `pip install .[bench]` brings
the packages among them, and what is not there is named as not measured.
"""

import inspect
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import peers
import torch
from benchmark_report import GROWING, growth_figure, tables
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from threadpoolctl import threadpool_limits
from torch import Tensor

from cgm.cli.jobs import explain
from cgm.cli.settings import own_settings
from cgm.contributions.shapley import shapley_values
from cgm.data import CreditRatings, EqualDisjoint
from cgm.generators import TrueMixture
from cgm.records.figures import plots
from cgm.records.plain import plain, versions
from cgm.rewards.sampling import Chain, sample_rewards
from cgm.utils.checks import check_integer
from cgm.utils.files import write_whole
from cgm.utils.memory import peak_memory
from cgm.utils.progress import progress
from cgm.valuation.kernels.base import Kernel
from cgm.valuation.kernels.squared_exponential import SquaredExponential
from cgm.valuation.lengthscale import fit_lengthscale
from cgm.valuation.mmd import block_sums, cross_sums
from cgm.valuation.valuation import Valuation

CONF = Path(__file__).resolve().parents[1] / "conf"
FOLDERS = {"full": "outputs/paper/benchmark", "small": "outputs/benchmark"}
BETAS = (1.0, 2.0, 4.0, 8.0)
PACKAGES = ("numba", "pykeops", "shapiq", "pyDVL")  # beside those whose versions a record tells
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "kernel_sums": [(20_000, 2), (20_000, 8)],  # t, d
        "kernel_sums_alone": [(50_000, 2), (50_000, 8)],
        "lengthscale": (1000, 100_000),  # points of each of five parties, |G|
        # |G|, d, points of a party, share of the way from v(D_i) to v(D_i ∪ G), points of a chain of the plain loop
        "sampling": [(100_000, 2, 1000, 0.5, 25), (100_000, 8, 1000, 0.5, 25), (1_000_000, 2, 200, 0.5, 5)],
        "authors": [(10_000, 2, 1000, 0.5)],
        "exact": [20, 24],
        "equal": 1000,
        "shapiq": [12, 14, 16],
        "sampled": (200, 50),  # parties, permutations of pyDVL
        "run": ["experiment=paper_credit_ratings"],
        "start": {"synthetic": 10_000, "points": 200, "parties": 5, "dimensions": 2, "chains": 20},
        "axes": {  # what differs from the start
            "synthetic": [{"synthetic": 10**k * m} for k in (3, 4, 5) for m in (1, 3)] + [{"synthetic": 10**6}],
            "t": [{"points": points} for points in (200, 800, 3200, 12_800)],
            "parties": [{"parties": n, "chains": n, "points": 5120 // n} for n in (2, 8, 32, 128)],
            "dimensions": [{"dimensions": d} for d in (1, 2, 4, 8, 16, 32)],
            "chains": [{"chains": chains} for chains in (5, 10, 20, 40, 80)],
        },
    },
    "small": {
        "kernel_sums": [(1500, 2)],
        "kernel_sums_alone": [(2000, 3)],
        "lengthscale": (50, 500),
        "sampling": [(500, 2, 50, 0.5, 2)],
        "authors": [(300, 2, 50, 0.5)],
        "exact": [8],
        "equal": 30,
        "shapiq": [6],
        "sampled": (6, 10),
        "run": ["experiment=debug", "synthetic_size=500", "figures=false", "downstream=none", "sampling.betas=[8]"],
        "start": {"synthetic": 300, "points": 30, "parties": 2, "dimensions": 2, "chains": 2},
        "axes": {"synthetic": [{"synthetic": 300}, {"synthetic": 600}]},
    },
}


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="benchmark")
def main(config: DictConfig) -> None:
    """Measures what the configuration says, and prints it."""

    settings = OmegaConf.to_container(config, resolve=True)
    try:
        result = benchmark(**settings)
    except (ValueError, OSError, InstantiationException) as error:
        sys.exit(f"benchmark: error: {explain(error)}")

    print(tables(result))


def benchmark(
    what: Sequence[str],
    size: str = "full",
    repeats: int = 5,
    seconds: float = 60,
    threads: int = 2,
    largest: int = 300_000,
    runs: Sequence[str] = (),
    seed: int = 0,
    folder: str | None = None,
) -> dict[str, Any]:
    """Measures some parts, and writes numbers, tables and the figure to a folder.

    Parts that the folder has from this machine, and that are not measured now, are kept.

    Arguments:
        what: The parts, among those of `PARTS`.
        size: `"full"` or `"small"`.
        repeats: The rounds of a comparison.
        seconds: The seconds after which no further round begins, after two.
        threads: The number of cores that may be used.
        largest: The largest |G| of the growth curves.
        runs: Folders of whole runs; if there is none, a run is started.
        seed: The seed of everything random.
        folder: Where the files go; `None` for the default.

    Returns:
        What result.json holds.

    Raises:
        ValueError: If a setting is out of range.
        FileNotFoundError: If a run's folder holds no complete run.
    """

    unknown = sorted(set(what) - set(PARTS))
    if unknown or not what:
        raise ValueError(f"what={list(what)}: expected some of {', '.join(PARTS)}")
    if size not in SIZES:
        raise ValueError(f"size={size!r}: expected one of {', '.join(SIZES)}")
    check_integer("repeats", repeats, min=1)
    check_integer("threads", threads, min=1)
    check_integer("largest", largest, min=1000)
    check_integer("seed", seed, min=0)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds={seconds}: must be finite and not negative")
    for run in runs:
        if not (Path(run) / "result.json").is_file():
            raise FileNotFoundError(f"runs: {run} holds no result.json, so no complete run")

    settings = {"repeats": repeats, "seconds": seconds, "threads": threads, "largest": largest, "seed": seed}
    settings |= {"sizes": SIZES[size], "runs": list(runs)}
    target = Path(FOLDERS[size] if folder is None else folder)
    result = plain({"machine": machine(), "size": size, "parts": {}})
    if (target / "result.json").is_file():
        before = json.loads((target / "result.json").read_text(encoding="utf-8"))
        if (before["machine"], before["size"]) == (result["machine"], size):
            result["parts"] = before["parts"]

    with cores(threads), progress(len(what), "benchmark (parts)") as bar:
        for part in PARTS:  # in this order
            if part in what:
                own = {"threads": threads, "repeats": repeats, "seconds": seconds, "seed": seed}
                result["parts"][part] = plain(PARTS[part](settings) | {"settings": own})
                bar.update()
                result["parts"] = {name: result["parts"][name] for name in PARTS if name in result["parts"]}
                save(result, target)  # a part that took minutes is not lost with the next one

    return result


def save(result: Mapping[str, Any], folder: Path) -> None:
    """Writes the figure, the tables and, last, the numbers."""

    if "growth" in result["parts"]:
        plots.save(growth_figure(result["parts"]["growth"]), folder, "growth")
    write_whole(folder / "README.md", tables(result).encode())
    write_whole(folder / "result.json", (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())


def machine() -> dict[str, Any]:
    """Describes the machine: processor, cores, memory, system and versions; not its name."""

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line[:10] == "model name"]
        model = models[0] if models else model
    found = versions()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue

    return {
        "processor": model,
        "cores": os.cpu_count(),
        "gibibytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "versions": found,
    }


@contextmanager
def cores(threads: int) -> Iterator[None]:
    """Lets torch and the libraries that are loaded by now use so many cores."""

    before = torch.get_num_threads()
    try:
        with threadpool_limits(threads):
            torch.set_num_threads(threads)
            yield
    finally:
        torch.set_num_threads(before)


# Comparisons


Ways = Mapping[str, Callable[[], object]]
"""Named ways to do the same. A way that is called does one unit of work, or as many as the number it returns."""


def compare(name: str, unit: str, ways: Ways, warm: Ways, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Measures ways to do the same, in turns.

    Arguments:
        name: What is done.
        unit: What a unit of work is.
        ways: The ways; all others are compared with the first one.
        warm: The same ways on a small problem. They run once before, so that nothing is compiled or loaded while the
            time is taken; one that fails, if it is not the first, is not measured.
        settings: `repeats`, `seconds` and `threads`.

    Returns:
        For each way the seconds for a unit in each round (`wall`, `cpu`), their medians, and their ratios to those of
        the first way in the same round; and why other ways are not measured.
    """

    first, *others = ways
    warm[first]()
    not_measured = {}
    for way in others:
        try:
            warm[way]()
        except ImportError as error:
            not_measured[way] = f"{error.name or 'a package'} cannot be imported"
        except Exception as error:  # a peer's own failure, whatever it is, is nothing to stop for
            not_measured[way] = f"failed with {type(error).__name__}"

    rounds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways if way not in not_measured}
    begin = time.perf_counter()
    with cores(settings["threads"]):  # again, for the libraries that have been loaded since
        for k in range(settings["repeats"]):
            if k >= 2 and time.perf_counter() - begin > settings["seconds"]:
                break
            for way, times in rounds.items():
                times.append(measure(ways[way]))

    found = {way: summary(times, rounds[first]) for way, times in rounds.items()}
    return {"name": name, "unit": unit, "ways": found, "not_measured": not_measured}


def measure(run: Callable[[], object]) -> tuple[float, float]:
    """Measures the wall and the processor seconds for a unit of work."""

    wall, cpu = time.perf_counter(), time.process_time()
    done = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    units = done if isinstance(done, int | float) else 1

    return wall / units, cpu / units


def summary(times: Sequence[tuple[float, float]], first: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Summarises the seconds (wall, processor) of a way's rounds beside those of the first way."""

    found = {}
    for k, clock in enumerate(("wall", "cpu")):
        seconds = [t[k] for t in times]
        ratios = [t[k] / f[k] for t, f in zip(times, first, strict=True) if f[k] > 0]
        found[clock] = {"rounds": seconds, **spread(seconds), "ratio": spread(ratios)}

    return found


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Tells the median, the least and the greatest of some values; `None` if there are no values."""

    if not values:
        return dict.fromkeys(("median", "least", "greatest"))
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


# The parts


def kernel_sums(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Compares sums of the kernel of each of t points with all of them."""

    can_choose = "precision" in inspect.signature(block_sums).parameters

    def ways(t: int, d: int) -> dict[str, Callable[[], object]]:
        x, lengthscale = normal(t, d, settings["seed"]), math.sqrt(d)
        kernel, single = SquaredExponential(lengthscale), x.float()  # peers are faster in single precision
        auto, double = ({"precision": p} if can_choose else {} for p in ("auto", "float64"))
        found = {"cgm": lambda: block_sums(kernel, x, [t], **auto)}
        if can_choose:
            found["cgm, float64"] = lambda: block_sums(kernel, x, [t], **double)
        found["exponentials"] = lambda: peers.exponentials(t * t // 2)
        if (t, d) not in settings["sizes"]["kernel_sums_alone"]:
            found["torch.cdist"] = lambda: peers.cdist_sums(single, lengthscale)
            found["scikit-learn"] = lambda: peers.sklearn_sums(single, lengthscale)
            found["KeOps"] = lambda: peers.keops_sums(single, lengthscale)
        return found

    comparisons = []
    for t, d in [*settings["sizes"]["kernel_sums"], *settings["sizes"]["kernel_sums_alone"]]:
        found = compare(f"t = {t:,}, d = {d}", "pass", ways(t, d), ways(1000, d), settings)
        for way, measured in found["ways"].items():
            computed = t * t if way in ("torch.cdist", "scikit-learn", "KeOps") else t * t / 2
            measured["computed_per_second"] = computed / measured["wall"]["median"]
            measured["delivered_per_second"] = t * t / measured["wall"]["median"]
        comparisons.append(found)

    return {"comparisons": comparisons}


def lengthscale(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Compares the search for the length-scale with the valuation, for simulated credit ratings."""

    seed = settings["seed"]

    def ways(points: int, synthetic: int) -> dict[str, Callable[[], object]]:
        data = CreditRatings().load(None, seed)
        split = EqualDisjoint(points_per_party=points)
        parties = [data.x[rows] for rows in split.deal(data.y, len(data.classes), seed, data.ordered, data.classes)]
        pool = TrueMixture().fit(torch.cat(parties), seed).sample(synthetic, seed)
        return {
            "Valuation": lambda: Valuation(SquaredExponential(0.26), parties, pool),  # near what will be found
            "fit_lengthscale": lambda: fit_lengthscale(SquaredExponential(), parties, pool),
        }

    points, synthetic = settings["sizes"]["lengthscale"]
    name = f"5 × {points:,} + {synthetic:,} points, d = 2"
    return {"comparisons": [compare(name, "call", ways(points, synthetic), ways(50, 500), settings)]}


def sampling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Compares weighted sampling with the straightforward loop, and with the authors' way."""

    def problem(synthetic: int, d: int, points: int, share: float) -> tuple[Valuation, Callable[[], int]]:
        parties, pool = mixture(5, points, synthetic, d, settings["seed"])
        valuation = Estimated(SquaredExponential(math.sqrt(d)), parties, pool)
        aims = targets(valuation, share)
        return valuation, lambda: sum(len(chain.indices) for chain in draw(valuation, aims, BETAS, settings["seed"]))

    def with_loop(synthetic: int, d: int, points: int, share: float, drawn: int) -> dict[str, Callable[[], object]]:
        valuation, cgm = problem(synthetic, d, points, share)
        return {
            "cgm": cgm,
            "loop, chains side by side": partial(peers.plain_chains, valuation, BETAS, drawn, side_by_side=True),
            "loop, chain by chain": partial(peers.plain_chains, valuation, BETAS, drawn, side_by_side=False),
        }

    def with_authors(synthetic: int, d: int, points: int, share: float) -> dict[str, Callable[[], object]]:
        valuation, cgm = problem(synthetic, d, points, share)
        s, sums = valuation.party(0), (float(valuation.b[0, 0]), float(valuation.a[0]))
        return {
            "cgm": cgm,  # the draw from the gains would add next to nothing to the authors' way
            "the authors' way": lambda: peers.authors_gains(
                valuation.kernel, s, valuation.points, valuation.synthetic, *sums
            ),
        }

    comparisons = []
    for ways, cases in ((with_loop, settings["sizes"]["sampling"]), (with_authors, settings["sizes"]["authors"])):
        for case in cases:
            synthetic, d, _, _, *rest = case
            small = ways(500, d, 50, 0.1, *rest)
            comparisons.append(compare(f"|G| = {synthetic:,}, d = {d}", "point", ways(*case), small, settings))

    return {"comparisons": comparisons}


def shapley(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Measures Shapley values by each method, beside other packages."""

    sizes, seed = settings["sizes"], settings["seed"]

    def exact(n: int, method: str = "exact", equal: bool = False) -> dict[str, Callable[[], object]]:
        return {"cgm": partial(shapley_values, game(n, seed, equal), method)}

    def with_shapiq(n: int) -> dict[str, Callable[[], object]]:
        return exact(n) | {"shapiq": partial(peers.shapiq_values, game(n, seed))}

    def with_pydvl(n: int, permutations: int) -> dict[str, Callable[[], object]]:
        valuation = game(n, seed)

        def pydvl() -> float:
            phi, stderr = peers.pydvl_values(valuation, permutations, seed)
            return float((0.01 * np.abs(phi).max() / stderr.max()) ** 2)  # the part done of what 1 % would take

        return {"cgm": partial(shapley_values, valuation, "sampled", tolerance=0.01), "pyDVL": pydvl}

    comparisons = []
    for n in sizes["exact"]:
        comparisons.append(compare(f"exact, n = {n}", "call", exact(n), exact(4), settings))
    n, equal = sizes["equal"], partial(exact, method="equal_sizes", equal=True)
    comparisons.append(compare(f"equal sizes, n = {n:,}", "call", equal(n), equal(4), settings))
    for n in sizes["shapiq"]:
        comparisons.append(compare(f"exact, n = {n}", "call", with_shapiq(n), with_shapiq(4), settings))
    n, permutations = sizes["sampled"]
    ways, small = with_pydvl(n, permutations), with_pydvl(4, 4)
    comparisons.append(compare(f"sampled to 1 %, n = {n}", "call", ways, small, settings))

    return {"comparisons": comparisons}


def runs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how long each station of whole runs took."""

    if settings["runs"]:
        results = [json.loads((Path(run) / "result.json").read_text(encoding="utf-8")) for run in settings["runs"]]
        return {"runs": [stations(result) for result in results]}

    overrides = [*settings["sizes"]["run"], f"seed={settings['seed']}", "cache=false"]
    begin = time.perf_counter()
    found = in_child(whole_run, overrides, settings["threads"])
    return {"runs": [found | {"wall": time.perf_counter() - begin}]}


def stations(result: Mapping[str, Any]) -> dict[str, Any]:
    """Takes what is told of a run out of its result."""

    found = {key: result[key] for key in ("dataset", "split", "seed", "synthetic_size", "t", "seconds")}
    return found | {"accepted": sum(chain["size"] for chain in result["sampling"])}


def whole_run(overrides: Sequence[str], threads: int) -> dict[str, Any]:
    """Runs an experiment in a folder that is then removed; tells the process's CPU time and peak memory as well."""

    torch.set_num_threads(threads)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"), tempfile.TemporaryDirectory() as folder:
        own = own_settings(hydra.compose("config", list(overrides)), overrides)
        experiment = hydra.utils.instantiate(own, _convert_="all")
        found = stations(experiment.run(folder).result)

    return found | {"cpu": time.process_time(), "mebibytes": peak_memory()}


def growth(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Measures how time and memory of the kernel pass and of sampling grow with one thing at a time."""

    start, axes = settings["sizes"]["start"], settings["sizes"]["axes"]
    cases = {axis: [start | change for change in changes] for axis, changes in axes.items()}
    cases["synthetic"] = [case for case in cases["synthetic"] if case["synthetic"] <= settings["largest"]]

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
    """Measures cases of growing size, in a process of its own.

    Arguments:
        cases: Sizes: synthetic (|G|), points (of a party), parties, dimensions and chains.
        threads: The number of cores that may be used.
        repeats: How often what takes less than a second is measured.
        seed: The seed of everything random.

    Returns:
        For each case the sizes, t, the number of accepted points, and what `GROWING` names. The peak memory is less
        that of a process that has everything loaded.
    """

    def once(synthetic: int, points: int, parties: int, dimensions: int, chains: int, times: int) -> dict[str, Any]:
        data, pool = mixture(parties, points, synthetic, dimensions, seed)
        kernel = SquaredExponential(math.sqrt(dimensions))
        (pass_seconds, pass_cpu_seconds), valuation = timed(lambda: Valuation(kernel, data, pool), times)
        aims, betas = targets(valuation, 0.3), np.linspace(4, 8, chains // parties)
        (seconds, cpu_seconds), chains_drawn = timed(lambda: draw(valuation, aims, betas, seed), times)
        accepted = sum(len(chain.indices) for chain in chains_drawn)
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


PARTS = {part.__name__: part for part in (kernel_sums, lengthscale, sampling, shapley, runs, growth)}


# What the parts share


def normal(n: int, d: int, seed: int) -> Tensor:
    """Draws points from the standard normal distribution, of shape (n, d), float64."""

    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixture(parties: int, points: int, synthetic: int, d: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Draws parties' points, each around a centre of its own, and a pool around all of these."""

    centres = 2 * normal(parties, d, seed)
    data = [centre + normal(points, d, seed + 1 + i) for i, centre in enumerate(centres)]
    pool = normal(synthetic, d, seed + 1 + parties) + centres[torch.arange(synthetic) % parties]

    return data, pool


class Estimated(Valuation):
    """Values points like a `Valuation`, but with the sums over G estimated from some thousand points of it.

    How long sampling takes does not depend on these numbers, and a pass over a million points would take minutes.
    """

    def __init__(self, kernel: Kernel, parties: Sequence[Tensor], synthetic: Tensor, few: int = 2000) -> None:
        self.kernel = kernel
        self.points = torch.cat([*parties, synthetic])
        self.sizes = [len(x) for x in (*parties, synthetic)]
        blocks = [*parties, synthetic[:few]]
        sums = [
            cross_sums(kernel, self.points, x) * (size / len(x)) for x, size in zip(blocks, self.sizes, strict=True)
        ]
        self.sums = torch.stack(sums, 1)
        self._add_up()


def targets(valuation: Valuation, share: float) -> Tensor:
    """Sets rewards to a share of the way from v(D_i) to v(D_i ∪ G), of shape (n)."""

    return valuation.party_values.lerp(valuation.with_synthetic, share)


def draw(valuation: Valuation, aims: Tensor, betas: Sequence[float], seed: int) -> list[Chain]:
    """Draws rewards, with no more than a few hundred points after the last one that helped."""

    return sample_rewards(valuation, aims, betas, seed, patience=min(1.0, 300 / valuation.sizes[-1]))


def game(n: int, seed: int, equal: bool = False) -> Valuation:
    """Makes a valuation of parties with few points: two to forty, or two each."""

    sizes = [2] * n if equal else torch.randint(2, 41, (n,), generator=torch.Generator().manual_seed(seed)).tolist()
    x = normal(sum(sizes), 2, seed).split(sizes)
    centres = normal(n, 2, seed + 1)

    return Valuation(
        SquaredExponential(2.0), [p + c for p, c in zip(x, centres, strict=True)], normal(500, 2, seed + 2)
    )


def timed(run: Callable[[], Any], times: int) -> tuple[tuple[float, float], Any]:
    """Runs something several times, as often as begins within a second.

    Arguments:
        run: What to run.
        times: How often, at most.

    Returns:
        The median seconds, wall and processor, and what the last run gave.
    """

    seconds: list[tuple[float, float]] = []
    while not seconds or (len(seconds) < times and sum(wall for wall, _ in seconds) < 1):
        wall, cpu = time.perf_counter(), time.process_time()
        given = run()
        seconds.append((time.perf_counter() - wall, time.process_time() - cpu))

    return tuple(statistics.median(clock) for clock in zip(*seconds, strict=True)), given


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a fresh process, whose peak memory is its own."""

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def exponent(x: Sequence[float], y: Sequence[float]) -> float | None:
    r"""Fits the exponent $p$ of a power law $y \propto x^p$ by least squares of logarithms.

    Only the greater half of x counts, but three at the least: small sizes show what a call costs. `None` if there
    are not two positive values of y.
    """

    pairs = sorted(zip(x, y, strict=True))[-max(3, math.ceil(len(x) / 2)) :]
    pairs = [(math.log(a), math.log(b)) for a, b in pairs if b > 0]
    if len(pairs) < 2:
        return None
    return float(np.polyfit(*zip(*pairs, strict=True), 1)[0])


if __name__ == "__main__":
    main()
