r"""The runs of the study: honest ones first, which say who attacks, and then the attacks.

The base is the paper's scheme without stability: Shapley values, all data as the reference, `scheme=fair`. Each variant
changes one of the three. Apart from that, images are valued in other features, honest and with one attack.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from cgm.records.result import Result
from cgm.utils.settings import Choice, Integer, Listed, Settings
from experiments.jobs import Job
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

TASK: tuple[str, ...] = ("downstream=svm", "downstream.max_points=2000")  # of honest runs

BASE = "base"
BASE_SETTINGS = {"contribution": "shapley", "reference": "all", "scheme": "fair"}
CHANGES: dict[str, tuple[str, ...]] = {
    "contribution": ("banzhaf", "equal", "least_core", "leave_one_out", "pointwise"),
    "reference": ("leave_one_out", "pool", "real"),
    "scheme": ("gain", "max_welfare", "proportional", "spread", "stable"),
}
VARIANTS = (BASE, *(f"{group}={choice}" for group, choices in CHANGES.items() for choice in choices))
UNCONDITIONAL = ("contribution=equal", "scheme=max_welfare")  # rewards do not depend on what a party contributes
COMPARED = (BASE, "scheme=stable", "scheme=gain")  # schemes that are attacked by either party, in all splits
HONEST_ONLY = UNCONDITIONAL  # without attacks: what a party hands in hardly matters there, and G_i is nearly all of G

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

BASE_ONLY = ("free_ride",)  # not repeated for variants: it loses in each setting of the base, by either party

FEATURES = "features"
DEFAULT = "default"  # those of the base
FEATURE_CHOICES = (DEFAULT, "ard", "deep")
FEATURE_DATASETS = ("mnist", "digits")
FEATURE_SIZES = {"full": 2_000, "small": 1_000}  # |G|; features=ard of MNIST has 784 dimensions
FEATURE_ATTACK = "noise"


Place = tuple[str, str, int]  # a dataset, a split and a seed


@dataclass(frozen=True)
class Study(Settings):
    """What is run.

    Arguments:
        what: Names of `CHANGES`, and `"features"` for the features of images.
        attacks: Names of `ATTACKS`.
        datasets: Names of `DATASETS`; `None` for those of the size.
        splits: Names of splits. Attacks on variants that are not in `COMPARED` are run for the first of them only.
        seeds: The number of seeds; `None` for that of the size.
        size: `"full"` or `"small"`.
        synthetic_size: The size of G; `None` for that of the size.
        more: Further overrides of every run.

    Raises:
        ValueError: If a setting is out of range.
    """

    what: Annotated[Sequence[str], Listed(Choice((*CHANGES, FEATURES)))] = (*CHANGES, FEATURES)
    attacks: Annotated[Sequence[str], Listed(Choice(tuple(ATTACKS)))] = tuple(ATTACKS)
    datasets: Annotated[Sequence[str], Listed(Choice(tuple(DATASETS)))] | None = None
    splits: Annotated[Sequence[str], Listed(Choice(tuple(SPLITS)))] = ("unequal", "equal_disjoint")
    seeds: Annotated[int, Integer(min=1)] | None = None
    size: Annotated[str, Choice(tuple(SEEDS))] = "full"
    synthetic_size: Annotated[int, Integer(min=10 * RATIO)] | None = None
    more: Sequence[str] = ()

    def places(self) -> list[Place]:
        """List datasets, splits and seeds, by seed: an interrupted study has all datasets and splits."""

        if not self.attacks:
            return []
        seeds = range(self.seeds or SEEDS[self.size])
        return [(dataset, split, seed) for seed in seeds for dataset in self._datasets() for split in self.splits]

    def honest(self, place: Place) -> list[Job]:
        """List the runs without an attack, of the base and all variants, for a dataset, a split and a seed."""

        return [self._job(f"honest/{variant}", place, (*_changed(variant), *TASK)) for variant in self._variants()]

    def attacked(self, place: Place, honest: Mapping[str, Result]) -> list[Job]:
        """List the runs with an attack for a dataset, a split and a seed; none if its attackers are not known.

        Runs with the same attack follow each other: they have much in common.

        Arguments:
            place: The dataset, the split and the seed.
            honest: The results of the honest runs, by their folders; only that of the base is used.
        """

        base = honest.get(f"honest/{BASE}/{_name(*place)}")
        if base is None:
            return []
        order = sorted(range(base.n_parties), key=base.contributions.alpha.__getitem__)
        jobs = []
        for attacker in ATTACKERS:
            party, source = (order[0], order[-1]) if attacker == WEAKEST else (order[-1], order[-2])
            repeated = place[1] == self.splits[0] and attacker == WEAKEST
            for attack in self.attacks:
                for variant in self._attacked_variants(attack, repeated):
                    settings = (*_changed(variant), *_attack(attack, party, source), "downstream=none")
                    jobs.append(self._job(f"attacks/{variant}/{attacker}/{attack}", place, settings))
        return jobs

    def feature_places(self) -> list[Place]:
        """List the datasets, splits and seeds of the runs with other features."""

        if not self.attacks or FEATURES not in self.what:
            return []
        datasets = [name for name in FEATURE_DATASETS if self.datasets is None or name in self.datasets]
        seeds = range(self.seeds or SEEDS[self.size])
        return [(dataset, split, seed) for seed in seeds for dataset in datasets for split in self.splits]

    def with_features(self, place: Place, honest: Mapping[str, Result] | None = None) -> list[Job]:
        """List the runs with other features: the honest ones, or those with an attack if the honest results are given.

        The attacker is the party with the smallest α in the default features.
        """

        size = self.synthetic_size or FEATURE_SIZES[self.size]
        kind, settings = "honest", TASK
        if honest is not None:
            base = honest.get(f"features/{DEFAULT}/honest/{_name(*place)}")
            if base is None:
                return []
            weakest = min(range(base.n_parties), key=base.contributions.alpha.__getitem__)
            kind, settings = FEATURE_ATTACK, (*_attack(FEATURE_ATTACK, weakest, weakest), "downstream=none")
        jobs = []
        for choice in FEATURE_CHOICES:
            features = () if choice == DEFAULT else (f"features={choice}",)
            jobs.append(self._job(f"features/{choice}/{kind}", place, (*_changed(BASE), *features, *settings), size))
        return jobs

    def count(self) -> dict[str, tuple[int, int]]:
        """Return the numbers of honest runs and of runs with an attack of each dataset, if all honest runs succeed.

        Without those of other features.
        """

        seeds, variants = self.seeds or SEEDS[self.size], len(self._variants())
        honest = len(self.splits) * variants
        attacked = sum(
            len(self._attacked_variants(attack, split == self.splits[0] and attacker == WEAKEST))
            for split in self.splits
            for attacker in ATTACKERS
            for attack in self.attacks
        )
        return dict.fromkeys(self._datasets() if self.attacks else (), (seeds * honest, seeds * attacked))

    def _datasets(self) -> Sequence[str]:
        return DEFAULT_DATASETS[self.size] if self.datasets is None else self.datasets

    def _variants(self) -> list[str]:
        return [BASE, *(f"{group}={choice}" for group in CHANGES if group in self.what for choice in CHANGES[group])]

    def _attacked_variants(self, attack: str, repeated: bool) -> list[str]:
        """List the variants with an attack; `repeated`: whether it is repeated for those that are not compared."""

        if attack in BASE_ONLY:
            return [BASE]
        variants = [variant for variant in self._variants() if variant not in HONEST_ONLY]
        return [variant for variant in variants if repeated or variant in COMPARED]

    def _job(self, folder: str, place: Place, settings: Sequence[str], size: int | None = None) -> Job:
        dataset, split, seed = place
        size = size or self.synthetic_size or SYNTHETIC[self.size]
        sizes = (f"synthetic_size={size}", f"split.points_per_party={size // RATIO}")
        chosen = [override for override in DATASETS[dataset] if not _replaced(override, settings)]
        overrides = (*chosen, f"split={split}", f"seed={seed}", *sizes, *SETTINGS, *settings, *self.more)
        return Job(dataset, f"{folder}/{_name(*place)}", overrides)


def _replaced(override: str, settings: Sequence[str]) -> bool:
    """Return whether settings choose something else in the group of an override."""

    return any(setting.split("=")[0] == override.split("=")[0] for setting in settings)


def _attack(attack: str, party: int, source: int) -> tuple[str, ...]:
    settings = (f"attack={attack}", *ATTACKS[attack], f"++attack.party={party + 1}")
    return (*settings, f"attack.source={source + 1}") if attack == "clone" else settings


def _changed(variant: str) -> tuple[str, ...]:
    group, _, choice = variant.partition("=")
    return tuple(f"{name}={value}" for name, value in (BASE_SETTINGS | ({group: choice} if choice else {})).items())


def _name(dataset: str, split: str, seed: int) -> str:
    return f"{dataset}-{split}-seed{seed}"
