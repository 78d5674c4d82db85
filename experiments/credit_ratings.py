"""Reproduces the paper's credit ratings from its very points, beside the published numbers.

    python experiments/credit_ratings.py --seeds 5

Writes outputs/paper/credit_ratings/README.md and a run's record for each seed and split.
"""

import argparse
import logging
from pathlib import Path

import numpy as np

from cgm import Experiment, Record
from cgm.collect import markdown_table
from cgm.data import CreditRatings, EqualDisjoint, Unequal
from cgm.downstream import NoTask
from cgm.generators import TrueMixture

# Read off the authors' published notebook (2021), equal disjoint split
PUBLISHED = {
    "length-scale": 0.2646284961700439,
    "α": (0.41661842, 0.71042182, 1, 0.32040511, 0.88063143),
    "v*": 0.535833,
    "ρ": 0.0943,
    "r": (0.4934, 0.5188, 0.5358, 0.4813, 0.5295),
    "|G_i|": {
        1: (1510, 1854, 6123, 1437, 2071),
        2: (1239, 1451, 4412, 1253, 1560),
        4: (1080, 1189, 3139, 1083, 1189),
        8: (1010, 1062, 3314, 1014, 1019),
    },
}
PUBLISHED_CORRELATIONS = {  # of α with each negated metric, mean and standard error over β
    "equal_disjoint": {
        "neg_mmd2_unbiased": (0.993, None),
        "neg_reverse_kl": (0.837, 0.051),
        "neg_wasserstein2": (0.986, None),
        "neg_class_imbalance": (0.736, 0.072),
        "size": (0.694, 0.019),
    },
    "unequal": {
        "neg_mmd2_unbiased": (0.918, 0.007),
        "neg_reverse_kl": (0.512, 0.213),
        "neg_wasserstein2": (0.812, 0.021),
        "neg_class_imbalance": (0.651, 0.061),
        "size": (0.719, 0.019),
    },
}


def run(split: EqualDisjoint | Unequal, seed: int, size: int, folder: Path) -> Record:
    """Runs one experiment, or reads it back if it is complete."""

    if (folder / "result.json").is_file():
        return Record.load(folder)
    experiment = Experiment(
        dataset=CreditRatings(reference=True),
        split=split,
        generator=TrueMixture(reference=True),
        downstream=NoTask(),
        synthetic_size=size,
        seed=seed,
        figures=seed == 0,
    )
    return experiment.run(folder)


def report(records: dict[str, list[Record]], size: int) -> str:
    """Writes the report."""

    first = records["equal_disjoint"][0].result
    exact = [
        ["length-scale", f"{first['kernel']['lengthscale']:.10f}", f"{PUBLISHED['length-scale']:.10f}"],
        ["v*", f"{first['scheme']['v_star']:.6f}", f"{PUBLISHED['v*']}"],
        ["ρ", f"{first['scheme']['rho']:.4f}", f"{PUBLISHED['ρ']}"],
    ]
    for i in range(5):
        exact.append([f"α, party {i + 1}", f"{first['shapley']['alpha'][i]:.8f}", f"{PUBLISHED['α'][i]}"])
    for i in range(5):
        exact.append([f"r, party {i + 1}", f"{first['scheme']['rewards'][i]:.4f}", f"{PUBLISHED['r'][i]}"])

    sizes = []
    for beta, published in PUBLISHED["|G_i|"].items():
        for i, theirs in enumerate(published):
            ours = np.array([len(record.rewards[i, float(beta)]) for record in records["equal_disjoint"]])
            spread = f" ± {ours.std(ddof=1):.0f}" if len(ours) > 1 else ""
            difference = f"{ours.mean() / theirs - 1:+.1%}"
            sizes.append([f"{beta}", f"{i + 1}", f"{ours.mean():.0f}{spread}", f"{theirs}", difference])

    parts = [
        "# Credit ratings, from the paper's own points\n",
        f"|G| = {size:,}, {len(records['equal_disjoint'])} seeds of the sampling; written by "
        "`experiments/credit_ratings.py`. The published numbers are those of the authors' notebook of 2021.\n",
        "## Deterministic, equal disjoint split\n",
        markdown_table(["", "cgm", "published"], exact),
        "\n## Reward sizes |G_i|, equal disjoint split: mean ± standard deviation over seeds; one published run\n",
        markdown_table(["β", "party", "cgm", "published", "difference"], sizes),
    ]
    for name, runs in records.items():
        rows = []
        for metric, (mean, sem) in PUBLISHED_CORRELATIONS[name].items():
            ours = np.array([record.result["correlations"][metric]["mean"] for record in runs], dtype=float)
            error = np.array([record.result["correlations"][metric]["sem"] for record in runs], dtype=float)
            published = f"{mean:+.3f}" + ("" if sem is None else f" ± {sem:.3f}")
            rows.append([metric, f"{ours.mean():+.3f} ± {error.mean():.3f}", published, f"{ours.mean() - mean:+.3f}"])
        increasing = [s["increasing"] for record in runs for s in record.result["sampling"] if s["size"]]
        parts += [
            f"\n## Correlation with α, {name.replace('_', ' ')} split: mean ± standard error over β\n",
            markdown_table(["", "cgm", "published", "difference"], rows),
            f"\nShare of accepted points that raised v: {np.mean(increasing):.0%} (the paper: roughly 76 %). "
            f"Incentives: {incentives(runs[0].result)}.\n",
            f"![Rewards of party 1](seed-0-{name}/rewards_of_party_1.png)\n",
            f"![Correlations](seed-0-{name}/correlations.png)",
        ]
    return "\n".join(parts) + "\n"


def incentives(result: dict) -> str:
    """Lists the incentives with their state."""

    words = {True: "held", False: "not held", None: "not told"}
    return ", ".join(
        f"{name} {words[result['incentives'][name]['holds']]}" for name in ("R1", "R2", "R3", "R4", "R5", "R6")
    )


def main() -> None:
    """Runs all seeds of both splits and writes the report."""

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (5)")
    parser.add_argument("--size", type=int, default=100_000, help="|G| (100000)")
    parser.add_argument("--output", type=Path, default=Path("outputs/paper/credit_ratings"), help="folder")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")

    records = {}
    for name, split in (("equal_disjoint", EqualDisjoint()), ("unequal", Unequal())):
        split = type(split)(points_per_party=1000)
        records[name] = [run(split, seed, args.size, args.output / f"seed-{seed}-{name}") for seed in range(args.seeds)]
    (args.output / "README.md").write_text(report(records, args.size))
    print(args.output / "README.md")


if __name__ == "__main__":
    main()
