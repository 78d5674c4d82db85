"""The section of the report that compares reward schemes: the paper's with and without stability, and `gain`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from cgm.records.result import Result
from cgm.utils.text import markdown_table
from experiments.paper import published
from experiments.paper.plan import BASE
from experiments.paper.records import Groups, Records, correlation
from experiments.text import NONE, Setting, distinct, mean_over_seeds, minus, names

SCHEMES = {"stable": BASE, "fair": "scheme-fair", "gain": "scheme-gain"}  # the folders of their runs in `choices`

Number = Callable[[Result], float | None]


def groups_of_schemes(choices: Mapping[str, Records]) -> dict[str, Groups]:
    """Return the results of each scheme, in the order of `SCHEMES`; nothing if only one scheme has results."""

    groups = {name: choices[folder].groups for name, folder in SCHEMES.items() if folder in choices}
    groups = {name: own for name, own in groups.items() if own}
    return groups if len(groups) > 1 else {}


def schemes(groups: Mapping[str, Groups]) -> list[str]:
    """Compare what parties receive with each scheme."""

    if not groups:
        return []
    settings = list(dict.fromkeys(setting for own in groups.values() for setting in own))
    common = [setting for setting in settings if all(setting in own for own in groups.values())]
    values, points = [], []
    for setting in settings:
        for name in (name for name in groups if setting in groups[name]):
            group = groups[name][setting]
            row, pool = [*names(setting), name], distinct(f"{result.synthetic_size:,}" for result in group)
            values.append([*row, pool, *_cells(group, VALUES), _held(group)])
            points.append([*row, _sizes(group), *_cells(group, POINTS)])
    for name, own in groups.items():
        group = [result for setting in common for result in own[setting]]
        row = ["all", f"means over {len(common)} settings", name]
        values.append([*row, "", *_means(own, common, VALUES), _held(group)])
        points.append([*row, "", *_means(own, common, POINTS)])
    lacking = [
        f"`{name}` has no runs of {'; '.join(' '.join(names(setting)) for setting in settings if setting not in own)}."
        for name, own in groups.items()
        if not own.keys() >= set(settings)
    ]
    head = ["dataset", "split", "scheme"]
    return [
        "## Schemes: stable, fair and gain",
        "The paper's scheme with stability (`stable`, Proposition 3c) and without (`fair`, 3b), and `gain`, which is "
        "not in the paper: r_i = v_i + α_i^ρ (v* − v_i), a share of the way from the value v_i of a party's own data "
        "to v*, with the stable bounds of `stable`. The runs are those of the choices below: each scheme has the same "
        "data and the same α, except where G has to grow until there are rewards within all bounds, which `fair` does "
        "not need. The figure has the correlations of Fig. 2 for each scheme.",
        "![Correlations with α for each scheme](schemes.png)",
        "Reward values, means ± standard error over seeds. The spread is (max r − min r) / max r. A share of gain is "
        "(r_i − v_i) / (v(D_i ∪ G) − v_i), how much a party is given of what all of G would add to its own data.",
        markdown_table([*head, "|G|", *VALUES, "R6 holds in"], values),
        "Rewards G_i: mean number of points over β and seeds, the largest of these numbers divided by the smallest "
        "(less than one point counts as one), and the SVM trained on D_i ∪ G_i.",
        markdown_table([*head, "|G_i| of parties 1 to n", *POINTS], points),
        *lacking,
    ]


def stable_bounds(records: Iterable[Records]) -> list[str]:
    """Compare the stable rewards with those of the paper's bounds, where these miss R6."""

    rows = []
    for own in records:
        for setting, folders in own.folders.items():
            for folder, result in zip(folders, own.groups[setting], strict=True):
                if folder in published.WITH_PAPER_BOUNDS:
                    slack, rho, rewards = published.WITH_PAPER_BOUNDS[folder]
                    now, new = result.incentives["R6"], result.scheme
                    rows.append([f"`{folder}`", minus(f"missed by {-slack:.2g}"), f"{rho:.3f}", _rewards(rewards)])
                    held = "held" if now.holds else "missed"
                    rows.append(["", held, f"{new.number('rho'):.3f}", _rewards(new.values.tolist())])
    if not rows:
        return []
    return [
        "## Stable bounds for any v",
        "The paper's bounds v_c(C_i) guarantee R6 where v is monotone. It is not in these runs, where a part of C_i is "
        "worth more than C_i. First line: with v_c(C_i); second line: with the largest v_c(C) over all coalitions in "
        "which a party contributes most, as everywhere on this page. Contributions and values are the same in both.",
        markdown_table(["run", "R6", "ρ", "r of parties 1 to n"], rows),
    ]


def _rewards(values: Iterable[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def reward_sizes(result: Result) -> list[float]:
    """Return the mean |G_i| over β of each party."""

    return [fmean(reward.size for reward in result.sampling if reward.party == i) for i in range(result.n_parties)]


def size_ratio(result: Result) -> float:
    """Return the largest mean |G_i| over β divided by the smallest; less than one point counts as one."""

    sizes = reward_sizes(result)
    return max(sizes) / max(min(sizes), 1.0)


def shares_of_gain(result: Result) -> list[float]:
    """Return what each r_i adds to v(D_i), as a share of what all of G adds; 1 for a party to which G adds nothing."""

    own, upper, rewards = (x.tolist() for x in (result.values.party, result.values.upper, result.scheme.values))
    return [(r - v) / (u - v) if u > v else 1.0 for r, v, u in zip(rewards, own, upper, strict=True)]


def _accuracy(result: Result) -> float | None:
    known = [entry.accuracy for entry in result.downstream if entry.accuracy is not None]
    return fmean(known) if known else None


def _correlation(metric: str) -> Number:
    return lambda result: correlation([result], "alpha", metric).mean


VALUES: dict[str, tuple[Number, int]] = {  # columns, with their decimals
    "ρ": (lambda result: result.scheme.number("rho"), 3),
    "spread": (lambda result: result.scheme.spread / float(result.scheme.values.max()), 3),
    "share of gain, smallest": (lambda result: min(shares_of_gain(result)), 3),
    "mean over parties": (lambda result: fmean(shares_of_gain(result)), 3),
}
POINTS: dict[str, tuple[Number, int]] = {
    "largest / smallest |G_i|": (size_ratio, 1),
    "|G_i| with α": (_correlation("size"), 3),
    "SVM accuracy": (_accuracy, 3),
    "SVM accuracy with α": (_correlation("accuracy"), 3),
}


def _cells(group: Sequence[Result], columns: Mapping[str, tuple[Number, int]]) -> list[str]:
    return [mean_over_seeds(_known(group, number), digits) for number, digits in columns.values()]


def _means(groups: Groups, settings: Sequence[Setting], columns: Mapping[str, tuple[Number, int]]) -> list[str]:
    """Write the means over settings of means over seeds."""

    cells = []
    for number, digits in columns.values():
        means = [fmean(known) for setting in settings if (known := _known(groups[setting], number))]
        cells.append(minus(f"{fmean(means):.{digits}f}") if means else NONE)
    return cells


def _known(group: Sequence[Result], number: Number) -> list[float]:
    return [x for result in group if (x := number(result)) is not None]


def _sizes(group: Sequence[Result]) -> str:
    return " ".join(f"{fmean(sizes):,.0f}" for sizes in zip(*map(reward_sizes, group), strict=True))


def _held(group: Sequence[Result]) -> str:
    return f"{sum(result.incentives['R6'].holds is True for result in group)} of {len(group)}"
