"""Writes the report of a reproduction, tables and figures, from the records of its runs alone.

The same records give the same bytes.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import published
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from published import Number

from cgm.evaluation.correlations import summarise
from cgm.records.collect import find_runs, markdown_table, read_run
from cgm.records.figures import plots
from cgm.utils.files import write_whole

NAMES = {
    "credit_ratings": "credit ratings",
    "credit_card": "credit card",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "digits": "digits (not in the paper)",
}
SPLITS = {"equal_disjoint": "equal disjoint", "unequal": "unequal"}
METRICS = {
    "neg_mmd2_unbiased": "−MMD_u²",
    "neg_reverse_kl": "−reverse KL",
    "neg_wasserstein2": "−Wasserstein-2",
    "neg_class_imbalance": "−class imbalance",
    "size": "|G_i|",
    "accuracy": "SVM accuracy",
}
INCENTIVES = ("R1", "R2", "R3", "R4", "R5", "R6")
PAPERS = tuple(NAMES)[:4]  # the datasets of the paper
NONE = "–"
BAR, SEEDS = "#56B4E9", "#0072B2"

Result = dict[str, Any]
Groups = dict[tuple[str, str], list[Result]]  # by dataset and split, a result for each seed


@dataclass(frozen=True)
class Records:
    """Holds the results in a folder.

    Attributes:
        groups: For each dataset and split, in the order of the report, the results by seed.
        broken: For each folder without a whole result, what is wrong.
    """

    groups: Groups
    broken: dict[str, str]


def write_report(folder: str | Path) -> Path:
    """Writes README.md, fig1.png and fig2.png from the records in `runs` and `choices`, and returns the former's path.

    Arguments:
        folder: The folder of the reproduction.
    """

    folder = Path(folder)
    runs = read(folder / "runs")
    choices = {path.name: read(path) for path in _folders(folder / "choices")}
    for name in ("fig1.png", "fig2.png", "fig2.pdf"):
        (folder / name).unlink(missing_ok=True)  # of other records

    first = _picture(folder, runs.groups)
    if first is not None:
        write_whole(folder / "fig1.png", (folder / first / "rewards_of_party_1.png").read_bytes())
    if runs.groups:
        plots.save(draw_correlations(runs.groups), folder, "fig2")

    parts = [
        *_head(runs),
        *_state(runs, choices),
        *(_short(runs.groups) if runs.groups else []),
        *(_fig1(first) if first is not None else []),
    ]
    if runs.groups:
        sections = (_fig2, _contributions, _role_of_beta, _downstream, _increasing, _incentives)
        sections = (*sections, _credit_ratings, _spent, _warnings)
        parts += [part for section in sections for part in section(runs.groups)]
    parts += _choices(choices)
    parts += _pictures(folder, runs.groups)
    write_whole(folder / "README.md", ("\n\n".join(parts) + "\n").encode())

    return folder / "README.md"


def read(folder: Path) -> Records:
    """Reads the results in a folder's runs."""

    groups: Groups = {}
    broken = {}
    for path in find_runs(folder) if folder.is_dir() else ():
        name = path.relative_to(folder.parent).as_posix()
        try:
            if (path / "error.json").is_file():
                raise ValueError("failed: " + _message(path / "error.json"))
            result, _ = read_run(path)
            lacking = sorted({"dataset", "split", "seed", "settings", "memory", "versions"} - set(result))
            if lacking:
                raise ValueError(f"is of another version of cgm: its result.json lacks {', '.join(lacking)}")
        except (FileNotFoundError, ValueError) as error:
            broken[name] = str(error)
        else:
            groups.setdefault((result["dataset"], result["split"]), []).append(result | {"folder": name})
    order = [(dataset, split) for dataset in NAMES for split in SPLITS]
    known = {key: sorted(groups[key], key=lambda r: r["seed"]) for key in order if key in groups}
    return Records(known | {key: groups[key] for key in sorted(set(groups) - set(order))}, broken)


def draw_correlations(groups: Groups) -> Figure:
    r"""Draws the correlations of negated metrics, $|G_i|$ and accuracy with $\alpha$ (Fig. 2), and the published ones.

    Arguments:
        groups: The results.
    """

    datasets = list(dict.fromkeys(dataset for dataset, _ in groups))
    splits = list(dict.fromkeys(split for _, split in groups))
    size = (2.5 * len(datasets) + 1.6, 2.1 * len(splits) + 0.9)
    figure = Figure(figsize=(max(size[0], 6.0), size[1]), layout="constrained")
    panels = figure.subplots(len(splits), len(datasets), sharex=True, sharey=True, squeeze=False)
    for row, split in zip(panels, splits, strict=True):
        for axes, dataset in zip(row, datasets, strict=True):
            _panel(axes, groups.get((dataset, split), []), published.ALPHA.get((dataset, split), {}))
            axes.set_title(f"{NAMES.get(dataset, dataset)}\n{SPLITS.get(split, split)}", fontsize=9)
    panels[0, 0].set_xlim(-1.1, 1.1)
    panels[0, 0].set_ylim(len(METRICS) - 0.5, -0.5)
    panels[0, 0].set_yticks(range(len(METRICS)), [plots.LABELS[metric] for metric in METRICS])
    figure.supxlabel(r"Pearson correlation with $\alpha_i$", fontsize=10)
    handles = [
        Patch(color=BAR, label=r"mean over $\beta$ and seeds"),
        Line2D([], [], color=plots.INK, marker="|", label=r"standard error over $\beta$"),
        Line2D([], [], color=SEEDS, linewidth=4, label="standard error over seeds"),
        Line2D([], [], color=plots.TARGET, marker="D", markersize=5, linestyle="", label="published"),
    ]
    plots.legend(figure, handles, "upper")
    return figure


def _panel(axes: Axes, results: Sequence[Result], theirs: Mapping[str, Number]) -> None:
    axes.axvline(0, color=plots.INK, linewidth=1)
    axes.grid(axis="x", color="#EEEEEE")
    axes.set_axisbelow(True)
    for row, metric in enumerate(METRICS):
        mean, over_betas, over_seeds = _correlation(results, "correlations", metric)
        if mean is not None:
            axes.barh(row, mean, height=0.6, color=BAR, zorder=1)
            if over_seeds is not None:
                axes.errorbar(mean, row - 0.17, xerr=over_seeds, color=SEEDS, linewidth=4, zorder=2)
            if over_betas is not None:
                axes.errorbar(mean, row, xerr=over_betas, color=plots.INK, linewidth=1, capsize=3, zorder=3)
        elif results:
            axes.text(0.05, row, "n/a", va="center", fontsize=8, color=plots.INK)
        if metric in theirs:
            value, error = theirs[metric]
            style = {"color": plots.TARGET, "marker": "D", "markersize": 4, "linewidth": 1, "zorder": 4}
            axes.errorbar(value, row + 0.17, xerr=error, **style)


def _head(runs: Records) -> list[str]:
    results = _all(runs.groups)
    versions = sorted({tuple(sorted(r["versions"].items())) for r in results})
    said = "; or ".join(", ".join(f"{name} {number}" for name, number in made) for made in versions)
    rows = [
        [
            *_setting(key),
            _several(f"{len(r['points_per_party'])} × {r['points_per_party'][0]:,}" for r in group),
            _several(f"{r['synthetic_size']:,}" for r in group),
            _several(f"{r['t']:,}" for r in group),
            _several(str(r["dimensions"]) for r in group),
            str(len(group)),
        ]
        for key, group in runs.groups.items()
    ]
    head = ["dataset", "split", "parties' points", "|G|", "t", "d", "seeds"]
    parts = [
        "# The paper's experiments, reproduced",
        "Section 6 of *Incentivizing Collaboration in Machine Learning via Synthetic Data Rewards* (Tay, Xu, Foo, Low, "
        "AAAI 2022), run with cgm. This page and its figures are written by `python experiments/reproduce.py` from the "
        "records in `runs` and `choices` alone.",
        "Published numbers are the paper's where it has them (accuracies of the SVM, the share of points that raise "
        "v); else those of a notebook that its authors published in 2021, perhaps older than the paper. A difference "
        f"of correlations above {published.LARGE} is in bold, and spoken of below its table. Numbers are means; the "
        "first ± is the standard error over β (1, 2, 4, 8; in the table of β: over parties), as in the paper, the mean "
        "of it over seeds; the second ± is the standard error over seeds. Metrics are negated: higher is better.",
    ]
    if rows:
        parts += [markdown_table(head, rows), f"Made by {said}."]
    return parts


def _state(runs: Records, choices: Mapping[str, Records]) -> list[str]:
    """Names what is not there."""

    broken = runs.broken | {f"choices/{n}": why for records in choices.values() for n, why in records.broken.items()}
    lines = [f"- `{name}`: {' '.join(why.split())}" for name, why in broken.items()]
    for dataset in PAPERS:
        lines += [
            f"- {NAMES[dataset]}, {SPLITS[split]}: no complete run"
            for split in SPLITS
            if (dataset, split) not in runs.groups
        ]
    if choices and not ("base" in choices and choices["base"].groups):
        lines.append("- `choices/base`: no complete run that the other choices could be compared with")
    if not lines:
        return []
    what = "The same command as before goes on with what was cut off; without `datasets` it runs all of them."
    return ["## What is missing", f"{what}\n\n" + "\n".join(lines)]


def _short(groups: Groups) -> list[str]:
    """Tells whether the paper's main claims hold, in numbers."""

    claims: tuple[tuple[str, str, str, Callable[[float], bool]], ...] = (
        ("α with −MMD_u² is at least 0.9", "correlations", "neg_mmd2_unbiased", lambda x: x >= 0.9),
        ("β with |G_i| is at most −0.8", "beta_correlations", "size", lambda x: x <= -0.8),
        ("α with the accuracy of an SVM is positive", "correlations", "accuracy", lambda x: x > 0),
    )
    rows = []
    for claim, kind, metric, holds in claims:
        asked = [key for key in groups if key[0] in PAPERS and (metric != "accuracy" or key[0] != "credit_ratings")]
        means = {key: _correlation(groups[key], kind, metric)[0] for key in asked}
        means = {key: mean for key, mean in means.items() if mean is not None}
        missed = [f"{', '.join(_setting(key))}: {_signed(mean)}" for key, mean in means.items() if not holds(mean)]
        held = f"{len(means) - len(missed)} of {len(means)} settings"
        if means:
            rows.append([claim, held, "; ".join(missed) or NONE])
    if not rows:
        return []
    return ["## In short", markdown_table(["the correlation of", "holds in", "but not in"], rows)]


def _fig1(run: str) -> list[str]:
    dataset, split = Path(run).name.split("-")[:2]
    where = f"{NAMES.get(dataset, dataset)}, {SPLITS.get(split, split)}"
    note = "" if dataset == "mnist" else " There are no records of MNIST, which the paper's Fig. 1 shows."
    return [
        "## Fig. 1: rewards of party 1",
        f"Party 1's own points and its rewards, {where} split, seed 0, for each β.{note}",
        "![Rewards of party 1](fig1.png)",
    ]


def _fig2(groups: Groups) -> list[str]:
    metrics = [metric for metric in METRICS if metric != "accuracy"]
    return [
        "## Fig. 2: correlations with α",
        "![Correlations with α](fig2.png)",
        *_beside(groups, "correlations", metrics, published.ALPHA, "alpha"),
    ]


def _role_of_beta(groups: Groups) -> list[str]:
    return [
        "## Role of β",
        "Correlation of β with the number of synthetic points and with −MMD_u²; the first ± is over parties.",
        *_beside(groups, "beta_correlations", ["size", "neg_mmd2_unbiased"], published.BETA, "beta"),
    ]


def _downstream(groups: Groups) -> list[str]:
    before, after = [], []
    for group in groups.values():
        told = [e for r in group for e in r["downstream"] if None not in (e["accuracy"], e["accuracy_before"])]
        before.append(fmean(e["accuracy_before"] for e in told) if told else None)
        after.append(fmean(e["accuracy"] for e in told) if told else None)
    rows = [
        [*_setting(key), *(NONE if x is None else f"{x:.3f}" for x in (a, b))]
        for key, a, b in zip(groups, before, after, strict=True)
    ]
    capped = {
        NAMES.get(key[0], key[0]): most
        for key, group in groups.items()
        if (most := group[0]["settings"]["downstream"].get("most_points")) is not None
    }
    note = "".join(f" For {name}, on {most:,} of these points at most, evenly taken." for name, most in capped.items())
    return [
        "## Downstream task: an SVM's accuracy with α",
        f"Each party trains an SVM on D_i ∪ G_i, which is tested on real points that no party has.{note}",
        *_beside(groups, "correlations", ["accuracy"], published.ALPHA, "alpha"),
        "The accuracies themselves, means over parties, β and seeds:",
        markdown_table(["dataset", "split", "trained on D_i", "on D_i ∪ G_i"], rows),
    ]


def _beside(
    groups: Groups,
    kind: str,
    metrics: Sequence[str],
    theirs: Mapping[tuple[str, str], Mapping[str, Number]],
    table: str,
) -> list[str]:
    """Makes a table of correlations beside published ones, and tells what is known of large differences."""

    rows, large = [], []
    for dataset in dict.fromkeys(dataset for dataset, _ in groups):
        for metric in metrics:
            row = [NAMES.get(dataset, dataset), METRICS[metric]]
            for split in SPLITS:
                mean, *errors = _correlation(groups.get((dataset, split), []), kind, metric)
                number = theirs.get((dataset, split), {}).get(metric)
                difference = None if mean is None or number is None else mean - number[0]
                told = NONE if difference is None else _signed(difference)
                if difference is not None and abs(difference) > published.LARGE:
                    told = f"**{told}**"
                    remark = _remark(table, dataset, split, metric, groups[dataset, split])
                    what = f"{NAMES.get(dataset, dataset)}, {SPLITS[split]}, {METRICS[metric]}"
                    large.append(f"- {what}: {remark}")
                row += [_number(mean, *errors), NONE if number is None else _number(*number), told]
            rows.append(row)
    columns = [f"{name}: {what}" for name in SPLITS.values() for what in ("cgm", "published", "difference")]
    parts = [markdown_table(["dataset", "", *columns], rows)]
    if large:
        parts += ["Large differences:\n\n" + "\n".join(large)]
    return parts


def _remark(table: str, dataset: str, split: str, metric: str, results: Sequence[Result]) -> str:
    """Says why a number differs from the published one, as far as it is known."""

    points, size = published.SIZES[dataset]
    if any(r["synthetic_size"] < size or set(r["points_per_party"]) != {points} for r in results):
        return f"not of the paper's size, |G| = {size:,} and {points:,} points a party."
    return published.REMARKS.get((table, dataset, split, metric), "the reason is not known.")


def _contributions(groups: Groups) -> list[str]:
    parties = max(r["n_parties"] for r in _all(groups))
    rows = []
    for key, group in groups.items():
        by_party = list(zip(*(r["shapley"]["alpha"] for r in group), strict=True))
        spread = [max(r["shapley"]["alpha"]) - min(r["shapley"]["alpha"]) for r in group]
        cells = [_mean(column, 3) for column in (*by_party, *([[]] * (parties - len(by_party))), spread)]
        rows.append([*_setting(key), *cells])
        if key == ("credit_ratings", "equal_disjoint"):
            alpha = published.CREDIT_RATINGS["α"]
            told = [f"{a:.3f}" for a in alpha] + [NONE] * (parties - len(alpha)) + [f"{max(alpha) - min(alpha):.3f}"]
            rows.append(["", "published", *told])
    return [
        "## Assessing contributions: α",
        "Normalised Shapley values, mean ± standard error over seeds. The paper tells in words that α is very large "
        "for parties that have all classes (parties 1 and 2 of the unequal split), and more evenly spread in the "
        "equal disjoint split; numbers are published for one setting only. The credit ratings are the paper's own "
        "points, the same for every seed.",
        markdown_table(["dataset", "split", *(f"party {i + 1}" for i in range(parties)), "max − min"], rows),
    ]


def _increasing(groups: Groups) -> list[str]:
    betas = sorted({float(s["beta"]) for r in _all(groups) for s in r["sampling"]})
    rows = []
    for name, results in [*((_setting(key), group) for key, group in groups.items()), (["all", ""], _all(groups))]:
        chains = [s for r in results for s in r["sampling"] if s["size"]]
        shares = [_share([s for s in chains if float(s["beta"]) == beta]) for beta in betas]
        mean = f"{fmean(s['increasing'] for s in chains):.1%}" if chains else NONE
        rows.append([*name, *shares, _share(chains), mean])
    head = ["dataset", "split", *(f"β = {beta:g}" for beta in betas), "all points", "mean over rewards"]
    return [
        "## Accepted points that raise v",
        f"The paper (Sec. 5): roughly {published.INCREASING:.0%} of all synthetic points that are added. Large rewards "
        "have a large say in a share of all points; in the last column each reward, of a party for one β, counts once.",
        markdown_table(head, rows),
    ]


def _incentives(groups: Groups) -> list[str]:
    rows = []
    for key, group in groups.items():
        cells = []
        for name in INCENTIVES:
            states = [r["incentives"][name]["holds"] for r in group]
            slack = [s for r in group if (s := r["incentives"][name]["slack"]) is not None]
            cell = "held" if all(s is True for s in states) else f"held in {states.count(True)} of {len(states)}"
            untold = states.count(None)
            cell = f"{cell}, {untold} not told" if untold else cell
            if slack:
                least = min(slack)
                cell += f" ({least if abs(least) > 1e-12 else 0:.2g})".replace("-", "−")
            cells.append(cell)
        rows.append([*_setting(key), *cells])
    return [
        "## Incentives",
        "Whether R1 to R6 hold, by their definitions, over all coalitions, with the least slack over seeds (negative: "
        "by so much one is missed). The paper's bounds guarantee them where v is monotone, which no data promises.",
        markdown_table(["dataset", "split", *INCENTIVES], rows),
    ]


def _credit_ratings(groups: Groups) -> list[str]:
    """Compares credit ratings of the paper's own points, at full size, to the digit."""

    theirs = published.CREDIT_RATINGS
    points, size = published.SIZES["credit_ratings"]
    group = [
        r
        for r in groups.get(("credit_ratings", "equal_disjoint"), [])
        if r["settings"]["dataset"].get("reference")
        and (r["points_per_party"], r["synthetic_size"]) == ([points] * len(theirs["α"]), size)
    ]
    if not group:
        return []
    first = group[0]
    pairs: list[tuple[str, float, float, int]] = [
        ("length-scale", first["kernel"]["lengthscale"], theirs["length-scale"], 10),
        ("v*", first["scheme"]["v_star"], theirs["v*"], 6),
        ("ρ", first["scheme"]["rho"], theirs["ρ"], 4),
    ]
    for name, ours, digits in (("α", first["shapley"]["alpha"], 8), ("r", first["scheme"]["rewards"], 4)):
        own = zip(ours, theirs[name], strict=True)
        pairs += [(f"{name}, party {i + 1}", a, b, digits) for i, (a, b) in enumerate(own)]
    exact = [
        [name, f"{a:.{digits}f}", f"{b:.{digits}f}", f"{a - b:+.1e}".replace("-", "−") if a != b else "0"]
        for name, a, b, digits in pairs
    ]

    sizes = []
    for beta, counts in published.CREDIT_RATINGS_SIZES.items():
        for i, count in enumerate(counts):
            own = [s["size"] for r in group for s in r["sampling"] if (s["party"], float(s["beta"])) == (i, beta)]
            if not own:
                continue  # another β was asked for
            spread = f" ± {np.std(own, ddof=1):.0f}" if len(own) > 1 else ""
            difference = f"{fmean(own) / count - 1:+.1%}".replace("-", "−")
            sizes.append([str(beta), str(i + 1), f"{fmean(own):.0f}{spread}", str(count), difference])
    return [
        "## Credit ratings to the digit",
        "From the very points of the paper's own experiment, equal disjoint split. Without randomness:",
        markdown_table(["", "cgm", "published", "difference"], exact),
        f"The number of synthetic points |G_i|, mean ± standard deviation over {len(group)} seeds of the sampling, "
        "beside one published run:",
        markdown_table(["β", "party", "cgm", "published", "difference"], sizes),
    ]


def _spent(groups: Groups) -> list[str]:
    stations = ("valuation", "lengthscale", "sampling", "downstream", "figures")
    rows = []
    for key, group in groups.items():
        seconds = [sum(r["seconds"].values()) for r in group]
        own = [[r["seconds"][station] for r in group if station in r["seconds"]] for station in stations]
        peak = max(r["memory"]["peak_mib"] for r in group) / 1024
        whole = f"{fmean(seconds):.0f} ({min(seconds):.0f} to {max(seconds):.0f})"
        rows.append([*_setting(key), whole, *(f"{fmean(x):.0f}" if x else NONE for x in own), f"{peak:.1f}"])
    total = sum(sum(r["seconds"].values()) for r in _all(groups))
    head = ["dataset", "split", "whole run, s", *(f"{station}, s" for station in stations), "greatest memory, GiB"]
    return [
        "## Time and memory",
        f"Wall-clock seconds, means over seeds, on the machine that made the records, which may have had other work; "
        f"{total / 3600:.1f} hours in all. Features and pools of images are kept from run to run, and figures are "
        "drawn for seed 0 only. Memory is that of the whole process.",
        markdown_table(head, rows),
    ]


def _warnings(groups: Groups) -> list[str]:
    lines = []
    for key, group in groups.items():
        warned = [r for r in group if r["warnings"]]
        if warned:
            others = f" ({len(warned)} of {len(group)} seeds warned)" if len(group) > 1 else ""
            first = "; ".join(warned[0]["warnings"][:3]) + ("; ..." if len(warned[0]["warnings"]) > 3 else "")
            lines.append(f"- {', '.join(_setting(key))}, seed {warned[0]['seed']}{others}: {first}")
    return ["## What runs warned of", "\n".join(lines)] if lines else []


def _choices(choices: Mapping[str, Records]) -> list[str]:
    """Compares the choices that the paper leaves open, each with the base of the same datasets and splits."""

    groups = {name: records.groups for name, records in choices.items() if records.groups}
    base = groups.pop("base", {})
    if not base:
        return []
    tasks = [key for key in published.ALPHA if "accuracy" in published.ALPHA[key]]
    names = [", ".join(_setting(key)) for key in tasks]
    svm = [["published", *(_signed(published.ALPHA[key]["accuracy"][0]) for key in tasks)]]
    for name, own in {"as cgm has it": base, **groups}.items():
        svm.append([name, *(_number(*_correlation(own.get(key, []), "correlations", "accuracy")) for key in tasks)])

    bars = [["as cgm has it", "all", *(_bar(base, base, metric) for metric in METRICS)]]
    for name, own in groups.items():
        where = ", ".join(dict.fromkeys(NAMES.get(dataset, dataset) for dataset, _ in own))
        bars.append([name, where, *(_bar(own, base, metric, beside=True) for metric in METRICS)])

    sizes = _several(f"|G| = {r['synthetic_size']:,}" for r in _all(base))
    points = _several(f"{r['points_per_party'][0]:,}" for r in _all(base))
    seeds = _several(str(len(group)) for group in base.values())
    asked = dict.fromkeys(name.split("-")[0] for name in groups)
    why = [f"- {name}: {published.DEFAULTS[name]}." for name in asked if name in published.DEFAULTS]
    return [
        "## Choices that the paper leaves open",
        f"One choice at a time is made differently, at a smaller size ({sizes}, {points} points a party; "
        f"seeds, by setting: {seeds}). First, the correlation of α with the SVM's accuracy in the paper's "
        "six settings; an empty place: the choice does not concern this dataset.",
        markdown_table(["", *names], svm),
        "Then Fig. 2's bars, means over the two splits and the datasets that the choice concerns; in brackets, the "
        "same mean with cgm's default.",
        markdown_table(["", "datasets", *METRICS.values()], bars),
        "Defaults are chosen on principle, not for these numbers:\n\n" + "\n".join(why),
    ]


def _bar(own: Groups, base: Groups, metric: str, beside: bool = False) -> str:
    """Writes the mean of a correlation over the settings that both have."""

    keys = [key for key in own if key in base]
    pairs = [tuple(_correlation(groups[key], "correlations", metric)[0] for groups in (own, base)) for key in keys]
    pairs = [pair for pair in pairs if None not in pair]
    if not pairs:
        return NONE
    mine, default = (fmean(column) for column in zip(*pairs, strict=True))
    return f"{_signed(mine)} ({_signed(default)})" if beside else _signed(mine)


def _pictures(folder: Path, groups: Groups) -> list[str]:
    lines = []
    for key, group in groups.items():
        for run in (r["folder"] for r in group):
            files = sorted(path.name for path in (folder / run).glob("*.png"))
            if files:
                links = ", ".join(f"[{Path(f).stem.replace('_', ' ')}]({run}/{f})" for f in files)
                lines.append(f"- {', '.join(_setting(key))}: {links}")
    return ["## More pictures", "\n".join(lines)] if lines else []


def _picture(folder: Path, groups: Groups) -> str | None:
    """Finds the run for Fig. 1: MNIST, equal disjoint, or else the first that has the picture."""

    keys = sorted(groups, key=lambda key: key != ("mnist", "equal_disjoint"))  # others stay in their order
    runs = [r["folder"] for key in keys for r in groups[key]]
    return next((run for run in runs if (folder / run / "rewards_of_party_1.png").is_file()), None)


def _correlation(results: Sequence[Result], kind: str, metric: str) -> tuple[float | None, float | None, float | None]:
    """Computes a correlation's mean over seeds, the mean of its standard errors over β, and that over seeds."""

    entries = [r[kind][metric] for r in results if metric in r[kind]]
    means = summarise([entry["mean"] for entry in entries])
    return means.mean, summarise([entry["sem"] for entry in entries]).mean, means.sem


def _setting(key: tuple[str, str]) -> list[str]:
    dataset, split = key
    return [NAMES.get(dataset, dataset), SPLITS.get(split, split)]


def _all(groups: Groups) -> list[Result]:
    return [result for group in groups.values() for result in group]


def _share(chains: Sequence[Mapping[str, Any]]) -> str:
    """Writes the share of the chains' points that raised v."""

    counts = [(s["increasing"] * s["size"], s["size"]) for s in chains]
    return f"{sum(up for up, _ in counts) / sum(size for _, size in counts):.1%}" if counts else NONE


def _signed(x: float) -> str:
    return f"{x:+.3f}".replace("-", "−")


def _number(mean: float | None, *errors: float | None) -> str:
    """Writes a correlation with its standard errors; one that is not known, before one that is, as n/a."""

    if mean is None:
        return NONE
    told = [f"{error:.3f}" if error is not None else "n/a" for error in errors]
    while told and told[-1] == "n/a":
        told.pop()
    return " ± ".join([_signed(mean), *told])


def _mean(values: Sequence[float], digits: int) -> str:
    """Writes a mean over seeds and its standard error, if it has one that is not 0."""

    summary = summarise(values)
    if summary.mean is None:
        return NONE
    error = f"{summary.sem:.{digits}f}" if summary.sem is not None else ""
    told = f"{summary.mean:.{digits}f}".replace("-", "−")
    return told + (f" ± {error}" if error and float(error) else "")


def _several(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _message(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return "error.json is damaged"
