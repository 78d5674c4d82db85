"""Benchmark of cgm: its speed compared with other implementations, and the growth of time and memory.

    python -m experiments.benchmark
    python -m experiments.benchmark 'what=[sampling,growth]' repeats=9
    python -m experiments.benchmark size=small

Writes result.json, README.md (tables) and growth.png. The implementations of a comparison take turns (A B C A B C ...),
and a ratio is the median of the ratios within the rounds: other load of the machine slows all of them alike. Both wall
time and the processor time of all cores are recorded. The other implementations are in `experiments.benchmark.peers`;
`pip install ".[bench]"` installs the packages that they use, and those that cannot be imported are listed as not
measured.
"""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig

from cgm.cli.errors import explain
from cgm.figures import style
from cgm.utils.checks import check_choice, check_integer, check_number
from cgm.utils.files import write_whole
from cgm.utils.plain import plain, versions
from cgm.utils.run import progress
from experiments.benchmark.compare import limit_cores
from experiments.benchmark.concepts import contributions
from experiments.benchmark.growth import growth
from experiments.benchmark.linear import linear
from experiments.benchmark.parts import kernel_sums, lengthscale, runs, sampling, shapley
from experiments.benchmark.report import growth_figure, tables
from experiments.benchmark.reproduction import reproduction
from experiments.benchmark.startup import startup
from experiments.settings import as_dict, check_names, program

FOLDERS = {"full": "outputs/paper/benchmark", "small": "outputs/benchmark"}
PACKAGES = ("numba", "pykeops", "shapiq", "pyDVL")  # recorded in addition to those of every record
PARTS = {
    part.__name__: part
    for part in (
        kernel_sums,
        linear,
        lengthscale,
        sampling,
        shapley,
        contributions,
        runs,
        reproduction,
        growth,
        startup,
    )
}
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "kernel_sums": [(20_000, 2), (20_000, 8)],  # t, d
        "kernel_sums_alone": [(50_000, 2), (50_000, 8)],
        "linear": {  # t, d, points of each of five parties, and the largest t with exact sums
            "t": [30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000],
            "dimensions": [2, 8],
            "points": 5000,
            "exact": 100_000,
        },
        "lengthscale": (1000, 100_000),  # points of each of five parties, |G|
        # |G|, d, points of a party, share of the way from v(D_i) to v(D_i ∪ G), points of a chain of the plain loop
        "sampling": [(100_000, 2, 1000, 0.5, 25), (100_000, 8, 1000, 0.5, 25), (1_000_000, 2, 200, 0.5, 5)],
        "authors": [(10_000, 2, 1000, 0.5)],
        "exact": [20, 24],
        "concepts": 20,
        "concepts_shapiq": 14,
        "pointwise": (20, 4000, 20_000),  # parties, points of each, |G|
        "equal": 1000,
        "shapiq": [12, 14, 16],
        "sampled": (200, 50),  # parties, permutations of pyDVL
        "run": ["experiment=paper_credit_ratings"],
        "paper": [],
        "paper_more": [],
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
        "linear": {"t": [3000, 4000], "dimensions": [2, 5], "points": 200, "exact": 3000},
        "lengthscale": (50, 500),
        "sampling": [(500, 2, 50, 0.5, 2)],
        "authors": [(300, 2, 50, 0.5)],
        "exact": [8],
        "concepts": 6,
        "concepts_shapiq": 5,
        "pointwise": (3, 20, 40),
        "equal": 30,
        "shapiq": [6],
        "sampled": (6, 10),
        "run": ["experiment=debug", "synthetic_size=500", "figures=false", "downstream=none", "sampling.betas=[8]"],
        "paper": ["size=small", "datasets=[credit_ratings]", "splits=[equal_disjoint]"],
        "paper_more": ["synthetic_size=500", "split.points_per_party=50", "downstream=none", "sampling.betas=[8]"],
        "start": {"synthetic": 300, "points": 30, "parties": 2, "dimensions": 2, "chains": 2},
        "axes": {"synthetic": [{"synthetic": 300}, {"synthetic": 600}]},
    },
}


@program("benchmark/benchmark.yaml")
def main(config: DictConfig) -> None:
    """Measure what the configuration asks for, and print the tables."""

    try:
        result = benchmark(**as_dict(config))
    except (ValueError, OSError, InstantiationException) as error:
        sys.exit(f"experiments.benchmark: error: {explain(error)}")

    print(tables(result))


def benchmark(
    what: Sequence[str],
    size: str = "full",
    repeats: int = 5,
    seconds: float = 60,
    threads: int = 2,
    max_synthetic: int = 300_000,
    runs: Sequence[str] = (),
    seed: int = 0,
    folder: str | None = None,
) -> dict[str, Any]:
    """Measure some parts, and write numbers, tables and the figure to a folder.

    Parts that the folder has from this machine, and that are not measured now, are kept with the versions of the
    packages that they were measured with.

    Arguments:
        what: Names of `PARTS`.
        size: `"full"` or `"small"`.
        repeats: The number of rounds of a comparison.
        seconds: The seconds after which no further round begins; there are at least two rounds.
        threads: The number of cores to use.
        max_synthetic: The largest |G| of the growth curves.
        runs: Folders of complete runs to report; if empty, a run is started.
        seed: The seed of everything random.
        folder: The folder of the files; `None` for the default.

    Returns:
        The content of result.json.

    Raises:
        ValueError: If a setting is out of range.
        FileNotFoundError: If a folder in `runs` has no complete run.
    """

    check_names("what", what, PARTS)
    if not what:
        raise ValueError(f"what=[]: expected at least one of {', '.join(PARTS)}")
    check_choice("size", size, SIZES)
    check_integer("repeats", repeats, min=1)
    check_integer("threads", threads, min=1)
    check_integer("max_synthetic", max_synthetic, min=1000)
    check_integer("seed", seed, min=0)
    check_number("seconds", seconds, min=0)
    for run in runs:
        if not (Path(run) / "result.json").is_file():
            raise FileNotFoundError(f"runs: {run} has no result.json, so no complete run")

    own = {"threads": threads, "repeats": repeats, "seconds": seconds, "seed": seed}
    settings = own | {"max_synthetic": max_synthetic, "sizes": SIZES[size], "runs": list(runs)}
    target = Path(FOLDERS[size] if folder is None else folder)
    result = plain({"machine": machine(), "size": size, "parts": {}})
    if (target / "result.json").is_file():
        before = json.loads((target / "result.json").read_text(encoding="utf-8"))
        versions_before = before["machine"].pop("versions")
        if (before["machine"], before["size"]) == (_hardware(result), size):
            result["parts"] = {name: {"versions": versions_before} | part for name, part in before["parts"].items()}

    with limit_cores(threads), progress(len(what), "benchmark (parts)") as bar:
        for part in PARTS:  # in this order
            if part in what:
                found = PARTS[part](settings) | {"settings": own, "versions": result["machine"]["versions"]}
                result["parts"][part] = plain(found)
                bar.update()
                result["parts"] = {name: result["parts"][name] for name in PARTS if name in result["parts"]}
                save(result, target)  # after each part: a failure of the next does not lose minutes of measurements

    return result


def _hardware(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result["machine"].items() if name != "versions"}


def save(result: Mapping[str, Any], folder: Path) -> None:
    """Write the figure, the tables and finally the numbers."""

    if "growth" in result["parts"]:
        style.save(growth_figure(result["parts"]["growth"]), folder, "growth")
    write_whole(folder / "README.md", tables(result).encode())
    write_whole(folder / "result.json", (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())


def machine() -> dict[str, Any]:
    """Describe the machine by processor, cores, memory, system and versions, without its name."""

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
