"""The runs of the reproduction: which datasets, splits, seeds and settings."""

from collections.abc import Sequence

from cgm.utils.checks import check_bool, check_choice, check_integer
from experiments.jobs import Job
from experiments.settings import check_names

SPLITS = ("equal_disjoint", "unequal")
DATASETS: dict[str, tuple[str, ...]] = {
    "credit_ratings": ("experiment=paper_credit_ratings", "dataset.reference=true"),  # the points of the paper
    "credit_card": ("experiment=paper_credit_card",),
    "mnist": ("experiment=paper_mnist",),
    "cifar10": ("experiment=paper_cifar10",),
    # not in the paper: images that need no download
    "digits": ("dataset=digits", "features=pca", "synthetic_size=5000", "split.points_per_party=200"),
}
METRICS = "metric=[paper,novelty]"  # the last one for what Fig. 1 shows
IMAGES = ("mnist", "cifar10")
DEFAULT_DATASETS = {  # of each size, for datasets=null
    "full": ("credit_ratings", "credit_card", "mnist", "cifar10"),
    "small": ("credit_ratings", "digits", "credit_card", "mnist", "cifar10"),
}
SIZES: dict[str, tuple[str, ...]] = {
    "full": (),
    "small": ("synthetic_size=5000", "split.points_per_party=200"),
}
SEEDS = {  # number of seeds for seeds=null; at full size, some datasets have more
    "full": 3,
    "small": 2,
}
MORE_SEEDS = {"credit_ratings": 5, "credit_card": 5}

BASE = "base"  # the folder of the runs that the choices are compared with
# choices, with the overrides of each alternative and the datasets whose default it is not
CHOICES: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "features": {
        "pca": ("features=pca", IMAGES),
        "autoencoder": ("features=autoencoder", IMAGES),
        "umap_of_pixels": ("features=umap", ("cifar10",)),
        "umap_of_encoder": ("features=umap_encoder", IMAGES),
        "umap_of_classifier": ("features=umap features.of=classifier", IMAGES),
        "umap_of_imagenet_lite0": ("features.network=efficientnet_lite0 features.size=96", ("cifar10",)),
        "umap_of_imagenet_classifier": ("features.of=imagenet_classifier", ("cifar10",)),
    },
    "bandwidth": {
        "scott": ("generator.bandwidth=scott", ("credit_card",)),
        "cv": ("generator.bandwidth=cv", ("credit_card",)),
        "0.2": ("generator.bandwidth=0.2", ("credit_card",)),
        "0.1": ("generator.bandwidth=0.1", ("credit_card",)),
        "0.05": ("generator.bandwidth=0.05", ("credit_card",)),
    },
    "pool": {  # real images that no party has: what the best possible generator would draw
        "real_images": (
            "generator._target_=experiments.paper.pool.RealImages +generator.data_dir=${data_dir}",
            ("mnist",),  # in CIFAR-10 as it is split here, too few are left
        ),
    },
    "scheme": {"fair": ("scheme=fair", tuple(DATASETS)), "gain": ("scheme=gain", tuple(DATASETS))},
    "labeller": {"knn": ("labeller=knn", IMAGES)},
    "test": {"others": ("downstream.test=others", tuple(DATASETS))},
}
CHOICE_SIZES: dict[str, tuple[str, ...]] = {  # 20 synthetic points for each point of a party, as in most of the paper
    "full": ("synthetic_size=20000", "split.points_per_party=1000", "figures=false"),
    "small": ("synthetic_size=2000", "split.points_per_party=100", "figures=false"),
}
CHOICE_SEEDS = {"full": 3, "small": 1}


def plan_jobs(
    what: Sequence[str],
    datasets: Sequence[str] | None = None,
    splits: Sequence[str] = SPLITS,
    seeds: int | None = None,
    size: str = "full",
    figures: bool = True,
    more: Sequence[str] = (),
) -> list[Job]:
    """List the runs.

    Arguments:
        what: `"paper"` and names of `CHOICES`.
        datasets: Names of `DATASETS`; `None` for those of the size.
        splits: Names of splits.
        seeds: The number of seeds; `None` for that of the size and dataset.
        size: `"full"` or `"small"`.
        figures: Whether to draw the figures of runs of the paper with seed 0.
        more: Further overrides of every run.

    Raises:
        ValueError: If a setting is out of range.
    """

    check_choice("size", size, SIZES)
    datasets = DEFAULT_DATASETS[size] if datasets is None else datasets
    check_names("what", what, ("paper", *CHOICES))
    check_names("datasets", datasets, DATASETS)
    check_names("splits", splits, SPLITS)
    check_integer("seeds", seeds, min=1, optional=True)
    check_bool("figures", figures)

    jobs = []
    if "paper" in what:
        for dataset in datasets:
            default = MORE_SEEDS.get(dataset, SEEDS[size]) if size == "full" else SEEDS[size]
            for seed in range(seeds or default):
                settings = (*SIZES[size], f"figures={str(figures and seed == 0).lower()}", *more)
                jobs += [_job("runs", dataset, split, seed, settings) for split in splits]

    chosen = {name: choice for name, choice in CHOICES.items() if name in what}
    variants = {BASE: ("", tuple(DATASETS))} if chosen else {}
    for name, alternatives in chosen.items():
        variants |= {f"{name}-{value}": alternative for value, alternative in alternatives.items()}
    for variant, (override, known) in variants.items():
        for dataset in [dataset for dataset in datasets if dataset in known]:
            settings = (*CHOICE_SIZES[size], *override.split(), *more)
            for seed in range(seeds or CHOICE_SEEDS[size]):
                jobs += [_job(f"choices/{variant}", dataset, split, seed, settings) for split in splits]
    return jobs


def _job(folder: str, dataset: str, split: str, seed: int, settings: Sequence[str]) -> Job:
    overrides = (*DATASETS[dataset], METRICS, f"split={split}", f"seed={seed}", *settings)
    return Job(dataset, f"{folder}/{dataset}-{split}-seed{seed}", overrides)
