"""The claims of the paper, one by one, with the numbers that decide them."""

from collections.abc import Callable, Iterable
from statistics import fmean, pstdev

from cgm.records.result import Result
from cgm.utils.text import markdown_table
from experiments.claims import Check, verdicts
from experiments.paper import published
from experiments.paper.published import Variable
from experiments.paper.records import Groups, correlation
from experiments.paper.tables import INCENTIVES
from experiments.paper.text import METRICS, OF_THE_PAPER, increasing, increasing_share
from experiments.text import Setting, dataset_name, names, signed

HIGH = 0.5  # a correlation from it counts as high


def claims(groups: Groups) -> list[str]:
    """List what the paper claims, how it is tested here, and whether it holds."""

    rows = verdicts(tested(groups))
    if not rows:
        return []
    head = ["the paper says (Sec. 6, but for the last two)", "tested here", "smallest to largest", "verdict", "not in"]
    return [
        "## What the paper claims",
        f"A setting is a dataset with a split. Numbers are means over seeds. {_published()}",
        markdown_table(head, rows),
    ]


def tested(groups: Groups) -> list[tuple[str, str, list[Check]]]:
    """Test the claims of the paper: each with how it is tested, and its tests, which name what they are about."""

    own = {setting: group for setting, group in groups.items() if setting[0] in OF_THE_PAPER}
    svm = {setting: group for setting, group in own.items() if setting[0] != "credit_ratings"}
    high = f"≥ {HIGH:g}"
    return [
        (
            "Very large α are observed for parties of the unequal split with full class distribution.",
            "parties 1 and 2 have the two largest α",
            full_classes(own),
        ),
        (
            "α are typically more evenly spread in the equal disjoint split.",
            "the standard deviation of α is smaller there than in the unequal split",
            spread(own),
        ),
        (
            "β is highly negatively correlated with the number of synthetic points,",
            "correlation of β with |G_i| ≤ −0.8",
            correlations(own, "beta", "size", lambda x: x <= -0.8),
        ),
        (
            "and highly positively with the negative unbiased MMD.",
            f"correlation of β with −MMD_u² {high}",
            correlations(own, "beta", "neg_mmd2_unbiased", lambda x: x >= HIGH),
        ),
        (
            "As β increases, the algorithm samples fewer points, more dissimilar from a party's own (Fig. 1).",
            "correlation of β with MMD_u² of G_i and D_i > 0",
            correlations(own, "beta", "novelty", lambda x: x > 0),
        ),
        (
            "Across all splits, datasets, and metrics, the negative of the metrics",
            "correlation of α with −MMD_u² ≥ 0.9",
            correlations(own, "alpha", "neg_mmd2_unbiased", lambda x: x >= 0.9),
        ),
        *(
            (
                {"size": "and |G_i| mostly display highly positive correlations with α."}.get(metric, "(the same)"),
                f"correlation of α with {METRICS[metric]} {high}",
                correlations(own, "alpha", metric, lambda x: x >= HIGH),
            )
            for metric in ("neg_reverse_kl", "neg_wasserstein2", "neg_class_imbalance", "size")
        ),
        (
            "The accuracies of SVMs correlate positively with α.",
            "correlation of α with the SVM's accuracy > 0, where the paper has an SVM (not for credit ratings)",
            correlations(svm, "alpha", "accuracy", lambda x: x > 0),
        ),
        (
            f"Roughly {published.INCREASING:.0%} of the accepted points raise v (Sec. 5).",
            f"share of all accepted points that raise v, within 10 percentage points of {published.INCREASING:.0%}",
            accepted(own),
        ),
        (
            "The reward scheme guarantees incentives R1 to R6 (Sec. 4).",
            "R1 to R6, checked by their definitions, in all seeds",
            incentives(own),
        ),
    ]


def full_classes(groups: Groups) -> list[Check]:
    """Test in which seeds the two parties of the unequal split that have all classes have the largest α."""

    checks = []
    for setting, group in _of_split(groups, "unequal"):
        first = [sorted(range(r.n_parties), key=lambda i: -r.contributions.alpha[i])[:2] for r in group]
        right = sum(set(pair) == {0, 1} for pair in first)
        about = ("contributions", *setting, "order")
        checks.append(Check(dataset_name(setting[0]), right == len(group), f"{right} of {len(group)} seeds", about))
    return checks


def spread(groups: Groups) -> list[Check]:
    """Compare the standard deviations of α of the two splits."""

    def mean(group: Iterable[Result]) -> float:
        return fmean(pstdev(result.contributions.alpha.tolist()) for result in group)

    checks = []
    for (dataset, _), group in _of_split(groups, "unequal"):
        if (dataset, "equal_disjoint") in groups:
            even, uneven = mean(groups[dataset, "equal_disjoint"]), mean(group)
            about = ("contributions", dataset, "unequal", "spread")
            checks.append(Check(dataset_name(dataset), even < uneven, f"{even:.2f} and {uneven:.2f}", about))
    return checks


def correlations(groups: Groups, variable: Variable, metric: str, holds: Callable[[float], bool]) -> list[Check]:
    """Test the mean correlation of each setting."""

    checks = []
    for setting, group in groups.items():
        mean = correlation(group, variable, metric).mean
        if mean is not None:
            checks.append(Check(", ".join(names(setting)), holds(mean), signed(mean), (variable, *setting, metric)))
    return checks


def accepted(groups: Groups) -> list[Check]:
    """Test the share of the accepted points that raise v."""

    checks = []
    for setting, group in groups.items():
        chains = [chain for result in group for chain in result.sampling]
        share = increasing(chains)
        if share is not None:
            near = abs(share - published.INCREASING) <= 0.1
            about = ("increasing", *setting, "")
            checks.append(Check(", ".join(names(setting)), near, increasing_share(chains), about))
    return checks


def incentives(groups: Groups) -> list[Check]:
    """Test each incentive in each setting."""

    checks = []
    for setting, group in groups.items():
        missed = [name for name in INCENTIVES if any(r.incentives[name].holds is not True for r in group)]
        number = "all held" if not missed else f"{', '.join(missed)} not in every seed"
        checks.append(Check(", ".join(names(setting)), not missed, number, ("incentives", *setting, "")))
    return checks


def _of_split(groups: Groups, split: str) -> list[tuple[Setting, list[Result]]]:
    return [(setting, group) for setting, group in groups.items() if setting[1] == split]


def _published() -> str:
    """Tell how many of the published correlations with α are high."""

    bars = [number[0] for own in published.ALPHA.values() for metric, number in own.items() if metric != "accuracy"]
    high = sum(x >= HIGH for x in bars)
    return f"Of the {len(bars)} published correlations with α of Fig. 2 that are known, {high} are {HIGH:g} or higher."
