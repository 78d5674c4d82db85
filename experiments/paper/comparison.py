"""Sections of the report that compare correlations with the published ones, and the choices with each other."""

from collections.abc import Iterable, Mapping, Sequence
from math import log
from statistics import fmean
from typing import NamedTuple

from cgm.records.result import Result
from cgm.utils.text import markdown_table
from experiments.paper import published
from experiments.paper.causes import find_cause
from experiments.paper.plan import BASE
from experiments.paper.published import Number, Variable
from experiments.paper.records import Groups, Records, all_results, correlation
from experiments.paper.text import METRICS, increasing_share, with_errors
from experiments.text import NONE, SPLITS, Setting, dataset_name, distinct, minus, names, signed

OF_FEATURES = ("neg_mmd2_unbiased", "neg_reverse_kl", "neg_wasserstein2", "neg_class_imbalance", "size", "accuracy")
VALUED = [metric for metric in METRICS if metric != "accuracy"]


def fig2(groups: Groups) -> list[str]:
    """Compare the correlations of metrics with α."""

    return [
        "## Fig. 2: correlations with α",
        "![Correlations with α](fig2.png)",
        *_beside(groups, "alpha", [metric for metric in METRICS if metric != "accuracy"], published.ALPHA),
    ]


def role_of_beta(groups: Groups) -> list[str]:
    """Compare the correlations of metrics with β."""

    return [
        "## Role of β",
        "Correlations of β with the number of synthetic points and with −MMD_u²; the first ± is over parties.",
        *_beside(groups, "beta", ["size", "neg_mmd2_unbiased"], published.BETA),
    ]


def downstream(groups: Groups) -> list[str]:
    """Compare the correlation of the SVM's accuracy with α, and list the accuracies."""

    rows = []
    for setting, group in groups.items():
        before, after = [], []
        for entry in (entry for result in group for entry in result.downstream):
            if entry.accuracy is not None and entry.accuracy_before is not None:
                before.append(entry.accuracy_before)
                after.append(entry.accuracy)
        rows.append([*names(setting), *(f"{fmean(x):.3f}" if x else NONE for x in (before, after))])
    limits = {
        dataset_name(dataset): limit
        for (dataset, _), group in groups.items()
        if (limit := group[0].settings["downstream"].get("max_points")) is not None
        and any(r.points_per_party[each.party] + each.size > limit for r in group for each in r.sampling)
    }
    limited = "".join(f" (for {name}, on at most {n:,} of them, evenly spaced)" for name, n in limits.items())
    return [
        "## Downstream task: correlation of an SVM's accuracy with α",
        f"Each party trains an SVM on the points of D_i ∪ G_i{limited}, which is tested on real points of no party.",
        *_beside(groups, "alpha", ["accuracy"], published.ALPHA),
        "The accuracies themselves, means over parties, β and seeds:",
        markdown_table(["dataset", "split", "trained on D_i", "on D_i ∪ G_i"], rows),
    ]


def _beside(
    groups: Groups, variable: Variable, metrics: Sequence[str], others: Mapping[Setting, Mapping[str, Number]]
) -> list[str]:
    """Make a table of correlations beside the published ones, and list the remarks on large differences."""

    rows, large = [], []
    for dataset in dict.fromkeys(dataset for dataset, _ in groups):
        for metric in metrics:
            row = [dataset_name(dataset), METRICS[metric]]
            for split in SPLITS:
                results = groups.get((dataset, split), [])
                mean, *errors = correlation(results, variable, metric)
                number = others.get((dataset, split), {}).get(metric)
                difference = None if mean is None or number is None else mean - number[0]
                cell = NONE if difference is None else signed(difference)
                if difference is not None and abs(difference) > published.LARGE:
                    cell = f"**{cell}**"
                    cause = find_cause((variable, dataset, split, metric), results)
                    remark = "the cause is unknown" if cause is None else cause.text
                    large.append(f"- {dataset_name(dataset)}, {SPLITS[split]}, {METRICS[metric]}: {remark}")
                row += [with_errors(mean, *errors), NONE if number is None else with_errors(*number), cell]
            rows.append(row)
    columns = [f"{name}: {what}" for name in SPLITS.values() for what in ("cgm", "published", "difference")]
    parts = [markdown_table(["dataset", "", *columns], rows)]
    if large:
        parts += ["Large differences:\n\n" + "\n".join(large)]
    return parts


def choices(records: Mapping[str, Records]) -> list[str]:
    """Compare the choices that the paper leaves open, each with the base of the same datasets and splits."""

    groups = {name: own.groups for name, own in records.items() if own.groups}
    base = groups.pop(BASE, {})
    if not base:
        return []
    settings = [setting for setting in published.ALPHA if "accuracy" in published.ALPHA[setting]]
    columns = [", ".join(names(setting)) for setting in settings]
    svm = [["published", *(signed(published.ALPHA[setting]["accuracy"][0]) for setting in settings)]]
    for name, own in {"cgm's default": base, **groups}.items():
        cells = (with_errors(*correlation(own.get(setting, []), "alpha", "accuracy")) for setting in settings)
        svm.append([name, *cells])

    bars = [["cgm's default", "all", *(_bar(base, base, metric) for metric in METRICS)]]
    for name, own in groups.items():
        concerned = distinct(dataset_name(dataset) for dataset, _ in own)
        bars.append([name, concerned, *(_bar(own, base, metric, show_base=True) for metric in METRICS)])

    drawn = sorted(result.synthetic_size for result in all_results(base))
    sizes = f"|G| = {drawn[0]:,}" + (f", or up to {drawn[-1]:,} where it grew" if drawn[-1] > drawn[0] else "")
    points = distinct(f"{result.points_per_party[0]:,}" for result in all_results(base))
    seeds = distinct(str(len(group)) for group in base.values())
    present = dict.fromkeys(name.split("-")[0] for name in groups)
    reasons = [f"- {name}: {published.DEFAULTS[name]}." for name in present if name in published.DEFAULTS]
    return [
        "## Choices that the paper leaves open",
        f"One choice at a time differs from cgm's default, at a smaller size ({sizes}; {points} points per party; "
        f"seeds, by setting: {seeds}). The first table compares the correlation of α with the SVM's accuracy in the "
        f"six settings of the paper; {NONE}: the choice does not apply to this dataset.",
        markdown_table(["", *columns], svm),
        "The second table compares the bars of Fig. 2, means over the two splits and the datasets to which the choice "
        "applies; in brackets, the same mean with cgm's default.",
        markdown_table(["", "datasets", *METRICS.values()], bars),
        "Features and generator decide what is valued. The third table has, for each choice of them, means over seeds: "
        "α, the length-scale, the correlations of metrics with α and of −MMD_u² with β, and the share of the accepted "
        "points that raise v.",
        _valued({"cgm's default": base, **groups}),
        "Reasons for the defaults:\n\n" + "\n".join(reasons),
    ]


def _valued(groups: Mapping[str, Groups]) -> str:
    """Make the table of the choices that change what is valued, after the default in the same setting."""

    changing = {name: own for name, own in groups.items() if name.startswith(("features", "bandwidth", "pool"))}
    settings = dict.fromkeys(setting for own in changing.values() for setting in own)
    default, rows = next(iter(groups.items())), []
    for setting in settings:
        for name, own in (default, *changing.items()):
            group = own.get(setting, [])
            if not group:
                continue
            alphas = zip(*(result.contributions.alpha.tolist() for result in group), strict=True)
            means = [correlation(group, "alpha", metric).mean for metric in VALUED]
            means += [correlation(group, "beta", "neg_mmd2_unbiased").mean]
            rows.append(
                [
                    *names(setting),
                    name,
                    " ".join(minus(f"{fmean(column):.2f}") for column in alphas),
                    f"{fmean(result.kernel.lengthscale for result in group):.3f}",
                    *(NONE if mean is None else minus(f"{mean:+.2f}") for mean in means),
                    increasing_share([reward for result in group for reward in result.sampling]),
                ]
            )
    head = ["dataset", "split", "", "α of parties 1 to n", "length-scale", *(METRICS[metric] for metric in VALUED)]
    return markdown_table([*head, "−MMD_u² with β", "raise v"], rows)


class Distances(NamedTuple):
    """How far a run is from the published numbers of its setting; `None` where either has none.

    Attributes:
        lengthscale: The absolute logarithm of the ratio of the length-scales.
        mmd2: The mean over parties of that of MMD_u², of the parties' own points and T.
        wasserstein2: The mean over parties of that of the squared Wasserstein-2 distance of these.
        alpha: The mean over parties of the absolute difference of α.
    """

    lengthscale: float | None
    mmd2: float | None
    wasserstein2: float | None
    alpha: float | None


def distances(result: Result) -> Distances:
    """Compute how far a run is from the published numbers; parties without a positive number are left out of a mean."""

    setting = (result.dataset, result.split)

    def ratios(own: Sequence[float], known: Sequence[float] | None) -> float | None:
        if known is None or len(own) != len(known):
            return None
        logs = [abs(log(a / b)) for a, b in zip(own, known, strict=True) if a > 0]
        return fmean(logs) if logs else None

    length, alpha = published.LENGTHSCALES.get(setting), published.CONTRIBUTIONS.get(setting)
    own = result.contributions.alpha.tolist()
    found = result.distances
    return Distances(
        None if length is None else ratios([result.kernel.lengthscale], [length]),
        ratios(found.get("mmd2_unbiased", ()), published.MMD2_BEFORE.get(setting)),
        ratios(found.get("wasserstein2", ()), published.WASSERSTEIN2_BEFORE.get(setting)),
        None if alpha is None or len(alpha) != len(own) else fmean(abs(a - b) for a, b in zip(own, alpha, strict=True)),
    )


def features(runs: Groups, choices: Mapping[str, Records]) -> list[str]:
    """Compare the features of images: numbers of the parties' own points, beside the published ones."""

    own = {name: records.groups for name, records in choices.items() if name.startswith(("features-", "pool-"))}
    if not own or BASE not in choices:
        return []
    compared = {"cgm's default, full size": runs, "cgm's default": choices[BASE].groups, **own}
    parts = []
    for setting in [setting for setting in published.MMD2_BEFORE if any(setting in groups for groups in own.values())]:
        lists = (published.CONTRIBUTIONS, published.MMD2_BEFORE, published.WASSERSTEIN2_BEFORE)
        alpha, *before = (_listed(each.get(setting, ())) for each in lists)
        rows = [["published", alpha, f"{published.LENGTHSCALES[setting]:.3g}", *before, *_alphas(setting), ""]]
        for name, groups in compared.items():
            group = [result for result in groups.get(setting, []) if result.distances]
            if group:
                rows.append(_features_row(name, group))
        if len(rows) > 1:
            head = ["", "α", "length-scale", "MMD_u² of D_i", "W2 of D_i"]
            head += [METRICS[metric] for metric in OF_FEATURES]
            parts += [f"### {', '.join(names(setting))}", markdown_table([*head, "distance to published"], rows)]
    if not parts:
        return []
    return [
        "## Features of images",
        "What each choice of features gives, means over seeds: α, the length-scale, the distances of the parties' own "
        "points D_i to T, and correlations of α with metrics of the rewards. Distance to published: the |log ratio| of "
        "the length-scale, the mean of those of MMD_u² and of W2, and the mean |Δα|. `umap_of_imagenet_classifier` "
        "learns from labels of images that no party has, and `umap_of_classifier` from labels of all training images; "
        "the default of CIFAR-10 and `umap_of_imagenet_lite0` from those of ImageNet; the others from none. In the row "
        "`pool-real_images`, features are the default ones, and the pool is of training images that no party has in "
        "place of generated ones.",
        *parts,
    ]


def _features_row(name: str, group: Sequence[Result]) -> list[str]:
    """Write the means over seeds of what features give."""

    def means(values: Iterable[Iterable[float]]) -> list[float]:
        return [fmean(column) for column in zip(*values, strict=True)]

    far = []
    for column in zip(*(distances(result) for result in group), strict=True):
        known = [x for x in column if x is not None]
        far.append(f"{fmean(known):.2f}" if known else NONE)
    correlations = (correlation(list(group), "alpha", metric).mean for metric in OF_FEATURES)
    return [
        name,
        _listed(means(result.contributions.alpha.tolist() for result in group)),
        f"{fmean(result.kernel.lengthscale for result in group):.3g}",
        *(_listed(means(r.distances[metric] for r in group)) for metric in ("mmd2_unbiased", "wasserstein2")),
        *(NONE if mean is None else minus(f"{mean:+.2f}") for mean in correlations),
        ", ".join(far),
    ]


def _alphas(setting: Setting) -> list[str]:
    """Write the published correlations of α."""

    known = published.ALPHA[setting]
    return [minus(f"{known[metric][0]:+.2f}") if metric in known else NONE for metric in OF_FEATURES]


def _listed(numbers: Sequence[float]) -> str:
    """Write numbers of parties in two or three digits."""

    return minus(" ".join(f"{x:.2g}" if abs(x) < 0.1 else f"{x:.3g}" for x in numbers)) or NONE


def _bar(own: Groups, base: Groups, metric: str, show_base: bool = False) -> str:
    """Write the mean of a correlation over the settings that both groups have."""

    means = _known(
        tuple(correlation(groups[setting], "alpha", metric).mean for groups in (own, base))
        for setting in own
        if setting in base
    )
    if not means:
        return NONE
    mine, default = (fmean(column) for column in zip(*means, strict=True))
    return f"{signed(mine)} ({signed(default)})" if show_base else signed(mine)


def _known(rows: Iterable[tuple[float | None, ...]]) -> list[tuple[float, ...]]:
    """Return the rows without missing values."""

    return [known for row in rows if len(known := tuple(x for x in row if x is not None)) == len(row)]
