"""Names and numbers that only the report of the reproduction writes."""

from collections.abc import Sequence

from cgm.rewards.sampling import Reward
from experiments.text import NONE, signed

OF_THE_PAPER = ("credit_ratings", "credit_card", "mnist", "cifar10")
METRICS = {
    "neg_mmd2_unbiased": "−MMD_u²",
    "neg_reverse_kl": "−reverse KL",
    "neg_wasserstein2": "−Wasserstein-2",
    "neg_class_imbalance": "−class imbalance",
    "size": "|G_i|",
    "accuracy": "SVM accuracy",
}


def with_errors(mean: float | None, *errors: float | None) -> str:
    """Write a correlation with its standard errors; an unknown error before a known one is n/a."""

    if mean is None:
        return NONE
    known = [f"{error:.3f}" if error is not None else "n/a" for error in errors]
    while known and known[-1] == "n/a":
        known.pop()
    return " ± ".join([signed(mean), *known])


def increasing(chains: Sequence[Reward]) -> float | None:
    """Return the share of the accepted points of some chains that raised v; `None` if there are none."""

    counts = [(chain.increasing * chain.size, chain.size) for chain in chains if chain.increasing is not None]
    return sum(up for up, _ in counts) / sum(size for _, size in counts) if counts else None


def increasing_share(chains: Sequence[Reward]) -> str:
    """Write the share of the accepted points of some chains that raised v."""

    share = increasing(chains)
    return NONE if share is None else f"{share:.1%}"
