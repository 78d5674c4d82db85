r"""An experiment on the estimate of the reverse KL divergence: is it biased, and by what?

    python -m experiments.paper.divergence

$G_i$ is a part of $G$, and so of the $T$ that it is compared with. Here a pool of twice the size is drawn, rewards
come from one half, $G$, and the divergence is estimated from $T$ and from $D_1 \cup \dots \cup D_n \cup G'$, with
the other half, $G'$: the same distribution, but other points. And it is estimated for uniformly drawn subsets of $T$
with the sizes of $D_i \cup G_i$, whose divergence is 0. The report of `python -m experiments.paper` shows the result,
which is in `divergence.json`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import torch

from cgm.cli.jobs import Job
from cgm.data.features.base import Identity
from cgm.evaluation.correlations import correlation, summarise
from cgm.evaluation.metrics.paper import neg_reverse_kl
from cgm.experiment import Experiment
from cgm.generators.base import Generator
from cgm.utils.files import write_whole
from cgm.utils.text import markdown_table
from experiments.paper.plan import CHOICE_SEEDS, CHOICE_SIZES, DATASETS, MORE_SEEDS, SPLITS
from experiments.paper.text import OF_THE_PAPER
from experiments.settings import compose_run
from experiments.text import mean_over_seeds, names

FILE = "divergence.json"


@dataclass(eq=False)
class Given(Generator):
    """A pool of given points, each of them once.

    Arguments:
        points: The points, of shape (N, d).
    """

    fixed: ClassVar[bool] = True  # type: ignore[misc]  # the same for all seeds

    points: torch.Tensor

    def fit(self, x: torch.Tensor, seed: int) -> "Given":
        """Return the generator as it is."""

        return self

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Return the first n points."""

        return self.points[:n]


def measure(dataset: str, split: str, seed: int, size: int = 20_000) -> dict[str, Any]:
    """Estimate the divergence of each reward from T and from other points of its distribution, and of uniform draws.

    Arguments:
        dataset, split, seed: The setting, as in the choices of the reproduction.
        size: |G|.

    Returns:
        The setting, α, and for each estimate the values by β and party, and their mean correlation with α over β.
    """

    settings = (
        *DATASETS[dataset],
        f"split={split}",
        f"seed={seed}",
        *CHOICE_SIZES["full"],
        "scheme=fair",
    )  # always feasible
    overrides = (*settings, f"synthetic_size={2 * size}")
    experiment: Experiment = Job.construct(compose_run(overrides), overrides).experiment
    embedded = experiment.mediator(sampling=replace(experiment.sampling, betas=(float("inf"),)))
    both = embedded.settle(experiment.load().parties, seed)
    points = both.pool.points[torch.randperm(2 * size, generator=torch.Generator().manual_seed(seed))]
    half, other = points[:size], points[size : 2 * size]
    mediator = experiment.mediator(features=Identity(), generator=Given(half), synthetic_size=size, max_growth=1.0)
    settlement = mediator.settle(both.parties, seed)

    real = torch.cat(settlement.parties)
    sets = {"T": torch.cat([real, half]), "other": torch.cat([real, other])}
    betas, n = list(experiment.sampling.betas), settlement.game.n
    values: dict[str, list[list[float]]] = {name: [[0.0] * n for _ in betas] for name in (*sets, "uniform")}
    stream = torch.Generator().manual_seed(seed)
    for chain in settlement.drawn.values():
        own = torch.cat([settlement.parties[chain.party], half[chain.indices]])
        for name, points in sets.items():
            values[name][betas.index(chain.beta)][chain.party] = neg_reverse_kl(own, points)
        uniform = sets["T"][torch.randperm(len(sets["T"]), generator=stream)[: len(own)]]
        values["uniform"][betas.index(chain.beta)][chain.party] = neg_reverse_kl(uniform, sets["T"])
    alpha = settlement.contributions.alpha.tolist()
    correlations = {
        name: summarise([correlation(alpha, by_party).value for by_party in table]).mean
        for name, table in values.items()
    }
    sizes = [[len(settlement.drawn[i, beta].indices) for i in range(n)] for beta in betas]
    setting = {"dataset": dataset, "split": split, "seed": seed, "size": size, "alpha": alpha, "sizes": sizes}
    return {**setting, "values": values, "correlations": correlations}


def divergences(folder: Path) -> list[str]:
    """Write the section of the report, from the file in the folder of the reproduction; nothing without it."""

    path = folder / FILE
    if not path.is_file():
        return []
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for entry in json.loads(path.read_text("utf-8")):
        found.setdefault((entry["dataset"], entry["split"]), []).append(entry)
    rows = []
    for setting, entries in found.items():
        cells = [*names(setting), str(len(entries))]
        for name in ("T", "other", "uniform"):
            means = [fmean(x for by_party in entry["values"][name] for x in by_party) for entry in entries]
            cells += [mean_over_seeds(means, 3), mean_over_seeds([e["correlations"][name] for e in entries], 2)]
        rows.append(cells)
    size = entries[0]["size"]
    compared = ("rewards and T", "rewards and D ∪ G′", "uniform draws and T")
    head = ["dataset", "split", "seeds", *(f"{name}: {what}" for name in compared for what in ("mean", "with α"))]
    return [
        "## Bias of the reverse KL divergence",
        "A divergence is never negative, but its k-NN estimate often is. Two possible reasons are tested, with rewards "
        f"of `scheme=fair` from |G| = {size:,}: G_i is a part of T, so the same rewards are also compared with the "
        "parties' points and another pool G′ of the same generator; and the number of points biases the estimate, so "
        "it is computed for uniform draws from T of the same sizes, whose divergence is 0. The table has the "
        "estimates of −reverse KL, mean over parties and β, and their correlation with α, mean over β; ± is the "
        "standard error over seeds. Where uniform draws are far from 0 or correlate with α, the estimate says more of "
        "the number of points than about the divergence. "
        "`python -m experiments.paper.divergence`.",
        markdown_table(head, rows),
    ]


def main(folder: Path = Path("outputs/paper")) -> None:
    """Measure all settings, those of the file excepted, and write the file after each."""

    path = folder / FILE
    entries = json.loads(path.read_text("utf-8")) if path.is_file() else []
    done = {(entry["dataset"], entry["split"], entry["seed"]) for entry in entries}
    for dataset in OF_THE_PAPER:
        for seed in range(CHOICE_SEEDS["full"] if dataset in MORE_SEEDS else 1):  # features of images take minutes
            for split in SPLITS:
                if (dataset, split, seed) in done:
                    continue
                entries.append(measure(dataset, split, seed))
                print(dataset, split, seed, entries[-1]["correlations"], flush=True)
                write_whole(path, json.dumps(entries, indent=1).encode())


if __name__ == "__main__":
    main()
