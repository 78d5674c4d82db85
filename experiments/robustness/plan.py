r"""The runs of the study: honest ones first, which say who attacks, and then the attacks.

The base is the paper's scheme without stability: Shapley values, all data as the reference, `scheme=fair`. Each variant
changes one of the three.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cgm.records.result import Result
from cgm.utils.checks import check_choice, check_integer
from experiments.jobs import Job
from experiments.settings import check_names
from experiments.text import SPLITS

DATASETS: dict[str, tuple[str, ...]] = {
    "credit_ratings": ("dataset=credit_ratings", "generator=true_mixture"),
    "credit_card": ("dataset=credit_card", "generator=kde_adaptive"),
    "mnist": ("dataset=mnist", "generator=mmd_gan", "features=encoder"),  # both trained beforehand
    "cifar10": ("dataset=cifar10", "generator=mmd_gan", "features=encoder"),
    "digits": ("dataset=digits", "features=pca"),  # enough images for synthetic_size=4000
}
DEFAULT_DATASETS = {  # of each size, for datasets=null
    "full": ("credit_ratings", "credit_card", "mnist", "cifar10"),
    "small": ("credit_ratings", "digits"),
}
SEEDS = {"full": 3, "small": 1}
SYNTHETIC = {"full": 10_000, "small": 1_000}
RATIO = 20  # synthetic points for each point of a party, as in most of the paper
SETTINGS = ("sampling.betas=[1,8]", "max_growth=2", "figures=false")

BASE = "base"
BASE_SETTINGS = {"contribution": "shapley", "reference": "all", "scheme": "fair"}
CHANGES: dict[str, tuple[str, ...]] = {
    "contribution": ("banzhaf", "equal", "leave_one_out", "pointwise"),
    "reference": ("leave_one_out", "pool", "real"),
    "scheme": ("max_welfare", "proportional", "stable"),
}
VARIANTS = (BASE, *(f"{group}={choice}" for group, choices in CHANGES.items() for choice in choices))
UNCONDITIONAL = ("contribution=equal", "scheme=max_welfare")  # rewards do not depend on what a party contributes

WEAKEST, STRONGEST = "weakest", "strongest"
ATTACKERS = (WEAKEST, STRONGEST)  # the parties with the smallest and the largest α of the honest base run
ATTACKS: dict[str, tuple[str, ...]] = {
    "duplicate": ("attack.copies=2",),
    "split": ("attack.identities=2",),
    "clone": ("attack.kind=add",),  # of the strongest other party
    "noise": ("attack.share=1", "attack.kind=uniform"),
    "free_ride": ("attack.kind=subset", "attack.share=0.1"),
    "poison": ("attack.share=0.2", "attack.shift=3"),
}


@dataclass(frozen=True)
class Study:
    """What is run.

    Arguments:
        what: Names of `CHANGES`.
        attacks: Names of `ATTACKS`.
        datasets: Names of `DATASETS`; `None` for those of the size.
        splits: Names of splits. Attacks on the variants are run for the first of them only.
        seeds: The number of seeds; `None` for that of the size.
        size: `"full"` or `"small"`.
        synthetic_size: The size of G; `None` for that of the size.
        more: Further overrides of every run.

    Raises:
        ValueError: If a setting is out of range.
    """

    what: Sequence[str] = tuple(CHANGES)
    attacks: Sequence[str] = tuple(ATTACKS)
    datasets: Sequence[str] | None = None
    splits: Sequence[str] = ("unequal", "equal_disjoint")
    seeds: int | None = None
    size: str = "full"
    synthetic_size: int | None = None
    more: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_choice("size", self.size, SEEDS)
        check_names("what", self.what, CHANGES)
        check_names("attacks", self.attacks, ATTACKS)
        if self.datasets is not None:
            check_names("datasets", self.datasets, DATASETS)
        check_names("splits", self.splits, SPLITS)
        check_integer("seeds", self.seeds, min=1, optional=True)
        check_integer("synthetic_size", self.synthetic_size, min=10 * RATIO, optional=True)

    def honest(self) -> list[Job]:
        """List the runs without an attack: the base and all variants, with every split; none if there is no attack."""

        return [
            self._job(f"honest/{variant}", dataset, split, seed, (*_changed(variant), *self._task()))
            for dataset, split, seed in self._places(self.splits)
            for variant in self._variants()
        ]

    def attacked(self, honest: Mapping[str, Result]) -> list[Job]:
        """List the runs with an attack whose attackers are known.

        Arguments:
            honest: The results of the honest runs, by their folders; only those of the base are used.
        """

        jobs = []
        for dataset, split, seed in self._places(self.splits):
            base = honest.get(f"honest/{BASE}/{_name(dataset, split, seed)}")
            if base is None:
                continue
            order = sorted(range(base.n_parties), key=base.contributions.alpha.__getitem__)
            for variant in self._variants() if split == self.splits[0] else (BASE,):
                for attacker in ATTACKERS if variant == BASE else (WEAKEST,):
                    party = order[0] if attacker == WEAKEST else order[-1]
                    source = order[-1] if attacker == WEAKEST else order[-2]
                    for attack in self.attacks:
                        settings = (f"attack={attack}", *ATTACKS[attack], f"++attack.party={party + 1}")
                        settings += (f"attack.source={source + 1}",) if attack == "clone" else ()
                        settings = (*_changed(variant), *settings, "downstream=none")
                        folder = f"attacks/{variant}/{attacker}/{attack}"
                        jobs.append(self._job(folder, dataset, split, seed, settings))
        return jobs

    def count(self) -> dict[str, tuple[int, int]]:
        """Return the numbers of honest runs and of runs with an attack of each dataset, if all honest runs succeed."""

        seeds, variants = self.seeds or SEEDS[self.size], len(self._variants())
        honest = len(self.splits) * variants
        attacked = (len(self.splits) * len(ATTACKERS) + (variants - 1)) * len(self.attacks) if self.splits else 0
        return dict.fromkeys(self._datasets() if self.attacks else (), (seeds * honest, seeds * attacked))

    def _datasets(self) -> Sequence[str]:
        return DEFAULT_DATASETS[self.size] if self.datasets is None else self.datasets

    def _variants(self) -> list[str]:
        return [BASE, *(f"{group}={choice}" for group in CHANGES if group in self.what for choice in CHANGES[group])]

    def _places(self, splits: Sequence[str]) -> list[tuple[str, str, int]]:
        """List datasets, splits and seeds, by seed: an interrupted study has all datasets and splits."""

        if not self.attacks:
            return []
        seeds = range(self.seeds or SEEDS[self.size])
        return [(dataset, split, seed) for seed in seeds for dataset in self._datasets() for split in splits]

    def _task(self) -> tuple[str, ...]:
        return ("downstream=svm", "downstream.max_points=2000")

    def _job(self, folder: str, dataset: str, split: str, seed: int, settings: Sequence[str]) -> Job:
        size = self.synthetic_size or SYNTHETIC[self.size]
        sizes = (f"synthetic_size={size}", f"split.points_per_party={size // RATIO}")
        overrides = (*DATASETS[dataset], f"split={split}", f"seed={seed}", *sizes, *SETTINGS, *settings, *self.more)
        return Job(dataset, f"{folder}/{_name(dataset, split, seed)}", overrides)


def _changed(variant: str) -> tuple[str, ...]:
    group, _, choice = variant.partition("=")
    return tuple(f"{name}={value}" for name, value in (BASE_SETTINGS | ({group: choice} if choice else {})).items())


def _name(dataset: str, split: str, seed: int) -> str:
    return f"{dataset}-{split}-seed{seed}"
