"""Names and numbers as reports write them."""

from collections.abc import Iterable, Sequence

from cgm.evaluation.correlations import summarise

Setting = tuple[str, str]  # a dataset and a split

DATASETS = {
    "credit_ratings": "credit ratings",
    "credit_card": "credit card",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "digits": "digits",
}
SPLITS = {"equal_disjoint": "equal disjoint", "unequal": "unequal"}
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


def mean_over_seeds(values: Sequence[float], digits: int) -> str:
    """Write a mean over seeds and its standard error, unless that is 0 or unknown."""

    summary = summarise(values)
    if summary.mean is None:
        return NONE
    error = "" if summary.sem is None else f"{summary.sem:.{digits}f}"
    return minus(f"{summary.mean:.{digits}f}") + (f" ± {error}" if error and float(error) else "")


def distinct(texts: Iterable[str]) -> str:
    """Join texts, each of them once."""

    return ", ".join(dict.fromkeys(texts))
