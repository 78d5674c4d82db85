r"""An experiment on the estimate of the reverse KL divergence: what decides its sign, is it biased, and by what?

    python -m experiments.paper.divergence

$G_i$ is a part of $G$, and so of the $T$ that it is compared with. Here a pool of twice the size is drawn, rewards
come from one half, $G$, and the divergence is estimated from $T$ and from $D_1 \cup \dots \cup D_n \cup G'$, with
the other half, $G'$: the same distribution, but other points. It is estimated for uniformly drawn subsets of $T$ with
the sizes of $D_i \cup G_i$, whose divergence is 0. And it is estimated once more after all of $G$ has been moved away
from the parties' points, with the same rewards: what it would be if a generator's points were unlike real ones. The
report of `python -m experiments.paper` shows the result, which is in `divergence.json`.
"""

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import torch
from scipy.spatial import cKDTree

from cgm.cli.jobs import Job
from cgm.data.features.base import Identity
from cgm.evaluation.correlations import Summary
from cgm.evaluation.metrics.paper import neg_reverse_kl
from cgm.experiment import Experiment
from cgm.generators.base import Generator
from cgm.records.result import Result
from cgm.utils.files import write_whole
from cgm.utils.plain import NUMERICS
from cgm.utils.text import markdown_table
from experiments.paper import published
from experiments.paper.plan import CHOICE_SEEDS, CHOICE_SIZES, DATASETS, MORE_SEEDS, SPLITS
from experiments.paper.records import Groups, correlation, correlation_with_alpha, over_seeds
from experiments.paper.text import OF_THE_PAPER, with_errors
from experiments.settings import compose_run
from experiments.text import NONE, Setting, mean_over_seeds, names

FILE = "divergence.json"
COMPARED = {
    "T": "rewards and T",
    "other": "rewards and D ∪ G′",
    "uniform": "uniform draws and T",
    "less": "rewards less uniform draws",
    "apart": "G moved away",
    "sizes": "of the sizes alone",
}
OF_EACH = ("mean", "with α")


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


def of_sizes(own: int, drawn: int, real: int, t: int) -> float:
    r"""Compute the part of $-\text{KL}(D_i \cup G_i \| T)$ that depends on nothing but sizes, if $D$ and $G$ are apart.

    .. math:: - p \log \frac{p}{s} - (1 - p) \log \frac{1 - p}{1 - s}, \qquad
        p = \frac{|D_i|}{|D_i| + |G_i|}, \quad s = \frac{|D|}{t}

    Arguments:
        own: $|D_i|$, at least 1.
        drawn: $|G_i|$.
        real: $|D|$, the number of points of all parties.
        t: $|T|$, larger than |D|.
    """

    p, s = own / (own + drawn), real / t
    return -p * math.log(p / s) - ((1 - p) * math.log((1 - p) / (1 - s)) if drawn else 0.0)


def measure(dataset: str, split: str, seed: int, size: int = 20_000) -> dict[str, Any]:
    """Estimate the divergence of each reward from T and from other points of its distribution, and of uniform draws.

    Arguments:
        dataset, split, seed: The setting, as in the choices of the reproduction.
        size: |G|.

    Returns:
        The setting, α, |G_i| by β and party, and for each estimate the values by β and party, and their mean
        correlation with α over β; and the share of the parties' points whose nearest other point in T is a party's.
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
    moved = half.clone()
    moved[:, 0] += 10 * (torch.cat([real, half]).max() - torch.cat([real, half]).min())  # beyond all points of parties
    sets = {"T": torch.cat([real, half]), "other": torch.cat([real, other]), "apart": torch.cat([real, moved])}
    betas, n = list(experiment.sampling.betas), settlement.game.n
    values: dict[str, list[list[float]]] = {name: [[0.0] * n for _ in betas] for name in (*sets, "uniform")}
    stream = torch.Generator().manual_seed(seed)
    for chain in settlement.drawn.values():
        for name, points in sets.items():
            reward = (moved if name == "apart" else half)[chain.indices]
            s = torch.cat([settlement.parties[chain.party], reward])
            values[name][betas.index(chain.beta)][chain.party] = neg_reverse_kl(s, points)
        uniform = sets["T"][torch.randperm(len(sets["T"]), generator=stream)[: len(s)]]
        values["uniform"][betas.index(chain.beta)][chain.party] = neg_reverse_kl(uniform, sets["T"])
    alpha = settlement.contributions.alpha.tolist()
    correlations = {name: correlation_with_alpha(alpha, table).mean for name, table in values.items()}
    nearest = cKDTree(sets["T"].numpy()).query(real.numpy(), k=2)[1][:, 1]
    sizes = [[len(settlement.drawn[i, beta].indices) for i in range(n)] for beta in betas]
    setting = {"dataset": dataset, "split": split, "seed": seed, "size": size, "numerics": NUMERICS}
    own = [len(x) for x in settlement.parties]
    places = {"points": own, "nearest_is_real": float((nearest < len(real)).mean())}
    return {**setting, "alpha": alpha, "sizes": sizes, **places, "values": values, "correlations": correlations}


def divergences(folder: Path, groups: Groups) -> list[str]:
    """Write the section of the report.

    Arguments:
        folder: The folder of the reproduction, which may have the file of the experiment.
        groups: The runs of the paper.
    """

    parts = [*_signs(groups), *_experiment(folder / FILE)]
    if not parts:
        return []
    return [
        "## Sign and bias of the reverse KL divergence",
        "If the parties' points D and the pool G are apart, so that no place has points of both, then "
        "KL(D_i ∪ G_i ‖ T) = p log(p / s) + (1 − p) log((1 − p) / (1 − s)) + p KL(D_i ‖ D) + (1 − p) KL(G_i ‖ G), with "
        "p = |D_i| / |D_i ∪ G_i| and s = |D| / t ([derivation](../../docs/mathematics.md#evaluation-sec-6)). The first "
        "two terms depend on sizes alone: they fall as |G_i| grows up to |D_i| |G| / |D|, so that −reverse KL then "
        "correlates with α as |G_i| does. If D and G share places, the divergence is smaller, and the closer a "
        "generator comes to the parties' points, the less the sizes say of it.",
        *parts,
    ]


def _signs(groups: Groups) -> list[str]:
    """Compare the correlations of −reverse KL with α with those of the sizes alone."""

    rows = []
    for setting, group in groups.items():
        known, theirs = published.ALPHA.get(setting, {}).get("neg_reverse_kl"), _published_sizes(setting)
        rows.append(
            [
                *names(setting),
                with_errors(*correlation(group, "alpha", "neg_reverse_kl")),
                with_errors(*over_seeds([sizes_alone(result) for result in group])),
                NONE if known is None else with_errors(*known),
                NONE if theirs is None else with_errors(*theirs),
            ]
        )
    if not rows:
        return []
    head = ["dataset", "split", "−reverse KL", "of the sizes alone", "published: −reverse KL", "of the sizes alone"]
    return [
        "Correlations with α, measured and of minus the first two terms, from the sizes in the records. Few |G_i| are "
        "published: those of credit ratings, equal disjoint, and those of MNIST, unequal, for β = 1. ± as in Fig. 2.",
        markdown_table(head, rows),
    ]


def sizes_alone(result: Result) -> Summary:
    """Correlate the part of −reverse KL that depends on sizes alone with α, as mean and standard error over β."""

    points, table = result.points_per_party, {reward.beta: [0.0] * result.n_parties for reward in result.sampling}
    for reward in result.sampling:
        table[reward.beta][reward.party] = of_sizes(points[reward.party], reward.size, sum(points), result.t)
    return correlation_with_alpha(result.contributions.alpha.tolist(), list(table.values()))


def _published_sizes(setting: Setting) -> tuple[float | None, float | None] | None:
    """Correlate the same with α, from the published |G_i|; `None` if they are unknown."""

    drawn, alpha = published.REWARD_SIZES.get(setting), published.CONTRIBUTIONS.get(setting)
    if drawn is None or alpha is None:
        return None
    own, size = published.SIZES[setting[0]]
    real = own * len(alpha)
    values = [[of_sizes(own, count, real, real + size) for count in counts] for counts in drawn.values()]
    summary = correlation_with_alpha(alpha, values)
    return summary.mean, summary.sem


def _experiment(path: Path) -> list[str]:
    """Write the result of the experiment; nothing without its file."""

    if not path.is_file():
        return []
    found: dict[Setting, list[Mapping[str, Any]]] = {}
    for entry in json.loads(path.read_text("utf-8")):
        found.setdefault((entry["dataset"], entry["split"]), []).append(entry)
    rows = []
    for setting, entries in found.items():
        near, chance = zip(*((entry["nearest_is_real"], _share_of_real(entry)) for entry in entries), strict=True)
        cells = [*names(setting), str(len(entries)), f"{fmean(near):.0%} ({fmean(chance):.0%})"]
        for name in COMPARED:
            tables = [_table(entry, name) for entry in entries]
            means = [fmean(x for by_party in table for x in by_party) for table in tables]
            with_alpha = [correlation_with_alpha(e["alpha"], t).mean for e, t in zip(entries, tables, strict=True)]
            cells += [mean_over_seeds(means, 3), mean_over_seeds([x for x in with_alpha if x is not None], 2)]
        rows.append(cells)
    size = entries[0]["size"]
    head = ["dataset", "split", "seeds", "nearest is real", *(f"{c}: {w}" for c in COMPARED.values() for w in OF_EACH)]
    return [
        f"An experiment at a smaller size, with rewards of `scheme=fair` from |G| = {size:,}, tests this, and where "
        "negative estimates come from, since a divergence is never negative. The same rewards are compared with T; "
        "with the parties' points and another pool G′ of the same generator, as G_i is a part of G; and with T after "
        "all of G, and so G_i, has been moved away from the parties' points. Uniform draws from T of the sizes of D_i "
        "∪ G_i have the divergence 0: where their estimates are far from it or correlate with α, the number of points "
        "biases the estimate, and rewards less uniform draws is the estimate without this bias. The table has "
        "−reverse KL, mean over parties and β, and its correlation with α, mean over β; ± is the standard error over "
        "seeds. First the share of the parties' points whose nearest other point in T is a party's, in brackets what "
        "it is by chance: the less they differ, the less are D and G apart. `python -m experiments.paper.divergence`.",
        markdown_table(head, rows),
    ]


def _table(entry: Mapping[str, Any], name: str) -> list[list[float]]:
    """Return the values of a column of the table, by β and party."""

    if name == "less":
        pairs = zip(entry["values"]["T"], entry["values"]["uniform"], strict=True)
        return [[x - bias for x, bias in zip(*rows, strict=True)] for rows in pairs]
    if name == "sizes":
        points, real = entry["points"], sum(entry["points"])
        t = real + entry["size"]
        return [[of_sizes(own, n, real, t) for own, n in zip(points, row, strict=True)] for row in entry["sizes"]]
    return entry["values"][name]


def _share_of_real(entry: Mapping[str, Any]) -> float:
    """Return the share of real points among the points of T other than a real one."""

    real = sum(entry["points"])
    return (real - 1) / (real + entry["size"] - 1)


def main(arguments: list[str] | None = None) -> None:
    """Measure all settings, those of the file with the same numerics of cgm excepted, and write the file after each."""

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("outputs/paper"), help="of the reproduction")
    path = parser.parse_args(arguments).folder / FILE
    entries = json.loads(path.read_text("utf-8")) if path.is_file() else []
    entries = [entry for entry in entries if entry.get("numerics") == NUMERICS]
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
