"""Names and numbers as the report writes them."""

from collections.abc import Iterable, Sequence

from cgm.evaluation.correlations import summarise
from cgm.records.result import ChainResult
from experiments.paper.published import Setting

DATASETS = {
    "credit_ratings": "credit ratings",
    "credit_card": "credit card",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "digits": "digits (not in the paper)",
}
OF_THE_PAPER = ("credit_ratings", "credit_card", "mnist", "cifar10")
SPLITS = {"equal_disjoint": "equal disjoint", "unequal": "unequal"}
METRICS = {
    "neg_mmd2_unbiased": "−MMD_u²",
    "neg_reverse_kl": "−reverse KL",
    "neg_wasserstein2": "−Wasserstein-2",
    "neg_class_imbalance": "−class imbalance",
    "size": "|G_i|",
    "accuracy": "SVM accuracy",
}
NONE = "–"


def dataset_name(dataset: str) -> str:
    """Return the name of a dataset in the report."""

    return DATASETS.get(dataset, dataset)


def names(setting: Setting) -> list[str]:
    """Return the names of a dataset and a split."""

    dataset, split = setting
    return [dataset_name(dataset), SPLITS.get(split, split)]


def signed(x: float) -> str:
    """Write a number with its sign and three decimals."""

    return minus(f"{x:+.3f}")


def minus(number: str) -> str:
    """Replace the hyphens of a number by minus signs."""

    return number.replace("-", "−")


def with_errors(mean: float | None, *errors: float | None) -> str:
    """Write a correlation with its standard errors; an unknown error before a known one is n/a."""

    if mean is None:
        return NONE
    known = [f"{error:.3f}" if error is not None else "n/a" for error in errors]
    while known and known[-1] == "n/a":
        known.pop()
    return " ± ".join([signed(mean), *known])


def mean_over_seeds(values: Sequence[float], digits: int) -> str:
    """Write a mean over seeds and its standard error, unless that is 0 or unknown."""

    summary = summarise(values)
    if summary.mean is None:
        return NONE
    error = "" if summary.sem is None else f"{summary.sem:.{digits}f}"
    return minus(f"{summary.mean:.{digits}f}") + (f" ± {error}" if error and float(error) else "")


def increasing(chains: Sequence[ChainResult]) -> float | None:
    """Return the share of the accepted points of some chains that raised v; `None` if there are none."""

    counts = [(chain.increasing * chain.size, chain.size) for chain in chains if chain.increasing is not None]
    return sum(up for up, _ in counts) / sum(size for _, size in counts) if counts else None


def increasing_share(chains: Sequence[ChainResult]) -> str:
    """Write the share of the accepted points of some chains that raised v."""

    share = increasing(chains)
    return NONE if share is None else f"{share:.1%}"


def distinct(texts: Iterable[str]) -> str:
    """Join texts, each of them once."""

    return ", ".join(dict.fromkeys(texts))
