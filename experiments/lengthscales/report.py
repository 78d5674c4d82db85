"""The report of the study, from its records: criteria by candidate, tables and figures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean, median
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import kendalltau, spearmanr

from cgm.utils.text import markdown_table
from experiments.lengthscales.deals import TABLES
from experiments.lengthscales.study import BETAS, NAMES, SCALES, TOLERANCE

Record = dict[str, Any]

ALIKE = 1.6  # the ratio of rows of exchangeable parties up to which they are alike
CLASSIFIERS = ("logistic", "forest")
ORDERED = ("size", "class", "column", "mixed")  # deals in which parties differ


def write_report(folder: Path, runs: Path) -> Path:
    """Write README.md and its figure from the records of the settlements."""

    records = [json.loads(line) for line in runs.read_text(encoding="utf-8").splitlines()]
    records = [record for record in records if "error" not in record]
    used = {record["table"] for record in records}
    template = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    pairs, right, correlation = following(records)
    text = template.format(
        pairs=pairs,
        right=right,
        correlation=f"{correlation:.2f}",
        tables=len(used),
        names=", ".join(table.name for table in TABLES if table.name in used),
        tolerance=TOLERANCE,
        scales=", ".join(f"{scale:g}" for scale in SCALES),
        alike=ALIKE,
        criteria=criteria_table(records),
        alike_table=exchangeable_table(records),
        gain_table=gain_table(records),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    draw(records, folder / "criteria.png")
    return folder / "README.md"


def of(records: Iterable[Record], **values: Any) -> list[Record]:
    """Return the records with some values; a tuple means any of its entries."""

    def fits(record: Record, name: str, value: Any) -> bool:
        return record.get(name) in value if isinstance(value, tuple) else record.get(name) == value

    return [record for record in records if all(fits(record, name, value) for name, value in values.items())]


def ratios(records: Iterable[Record], beta: float) -> list[float]:
    """Return the rows of the largest reward over those of the smallest, for each settlement."""

    rows = [record["rows"][f"{beta:g}"] for record in records if "rows" in record]
    return [max(each) / max(1, min(each)) for each in rows]


def orders(records: Sequence[Record], candidate: str) -> tuple[list[float], list[float]]:
    """Return Kendall's τ of contributions between halves of the rows, and between seeds."""

    halves, seeds = [], []
    groups: dict[tuple[str, str], dict[tuple[int, str], list[float]]] = defaultdict(dict)
    for record in of(records, candidate=candidate, deal=ORDERED):
        if record.get("scheme", "gain") == "gain":
            groups[record["table"], record["deal"]][record["seed"], record["part"]] = record["phi"]
    for group in groups.values():
        for seed in {seed for seed, _ in group}:
            if {(seed, "first half"), (seed, "second half")} <= group.keys():
                halves.append(kendalltau(group[seed, "first half"], group[seed, "second half"]).statistic)
        whole = [phi for (_, part), phi in sorted(group.items()) if part == "all"]
        seeds += [kendalltau(one, other).statistic for one, other in combinations(whole, 2)]
    return halves, seeds


def rises(records: Sequence[Record], candidate: str, deal: str) -> list[float]:
    """Return the rank correlation of contributions with the order of the parties, from the most to the least."""

    return [
        float(spearmanr(record["phi"], (3, 2, 1)).statistic) for record in of(records, candidate=candidate, deal=deal)
    ]


def closed(records: Iterable[Record], classifier: str, beta: float, what: str = "reward") -> float | None:
    """Return the share of the way from own to pooled accuracy that some rows close, over all parties and tables."""

    entries = [
        entry
        for record in records
        for entry in record.get("accuracy", [])
        if entry["classifier"] == classifier and entry["beta"] == beta
    ]
    way = sum(entry["pooled"] - entry["own"] for entry in entries)
    return sum(entry[what] - entry["own"] for entry in entries) / way if way > 0 else None


def criteria_table(records: Sequence[Record]) -> str:
    """Return the criteria of all candidates."""

    rows = []
    for name, scheme in [*((name, "gain") for name in NAMES), ("median", "stable")]:
        chosen = of(records, candidate=name, scheme=scheme)
        random = ratios(of(chosen, deal="random", seed=(0, 1, 2)), 8)
        mixed = of(chosen, deal="mixed", part="all")
        order = ", ".join(cell(fmean, taus) for taus in orders(records, name))
        rise = ", ".join(cell(fmean, rises(records, name, deal)) for deal in ("coverage", "size"))
        ways = [f"{percent(closed(mixed, kind, 8))} ({percent(closed(mixed, kind, 1))})" for kind in CLASSIFIERS]
        alike = f"{count(random, ALIKE)} ({cell(median, random)})"
        if scheme == "stable":
            name, order, rise = f"{name}, `scheme={scheme}`", "as above", "as above"
        rows.append([name, alike, order, rise, *ways, str(len(mixed))])
    head = ["candidate", "alike (ratio)", "τ of halves, seeds", "coverage, size", *CLASSIFIERS, "settlements of 4"]
    return markdown_table(head, rows)


def exchangeable_table(records: Sequence[Record]) -> str:
    """Return how alike the rewards of exchangeable parties are with the default candidate, by table."""

    rows = []
    for deal, limit in (("random", ALIKE), ("same", 1.25)):
        for table in ("penguins", "wine", "diabetes"):
            chosen = of(records, candidate="sum of scales", scheme="gain", deal=deal, table=table)
            entries = [table, deal, str(len(chosen)), f"{limit:g}"]
            for beta in reversed(BETAS):
                found = ratios(chosen, beta)
                entries.append(f"{count(found, limit)} ({cell(median, found)})")
            rows.append(entries)
    head = ["table", "deal", "seeds", "ratio at most", "settlements, β = 8 (median)", "β = 1"]
    return markdown_table(head, rows)


def following(records: Sequence[Record]) -> tuple[int, int, float]:
    """Return whether rewards follow contributions, for pairs of parties that can be told apart.

    Returns:
        The number of pairs whose contributions differ by more than two standard errors, the number of them in which the
        party with the larger contribution has the larger delivered value, and the mean rank correlation of α and the
        share of the gain over settlements in which all parties can be told apart.
    """

    pairs = right = 0
    correlations = []
    for record in of(records, candidate="sum of scales", scheme="gain", deal="mixed", part="all"):
        phi, share = np.array(record["phi"]), np.array(record["share"]["8"])
        values = np.array(record["v"]) + share * (np.array(record["u"]) - np.array(record["v"]))
        told = [
            (i, j)
            for i, j in combinations(range(len(phi)), 2)
            if abs(phi[i] - phi[j]) > 2 * record["differences"][i][j]
        ]
        pairs += len(told)
        right += sum((phi[i] - phi[j]) * (values[i] - values[j]) > 0 for i, j in told)
        if len(told) == len(phi) * (len(phi) - 1) // 2 and np.ptp(share.round(2)) > 0:
            # a reward ends with the first row that reaches its target: shares that are equal to 1 % are ties
            correlations.append(float(spearmanr(record["alpha"], share.round(2)).statistic))
    return pairs, right, fmean(correlations) if correlations else float("nan")


def gain_table(records: Sequence[Record]) -> str:
    """Return the share of the way that rewards close, by table, with the default candidate and β = 8."""

    mixed = of(records, candidate="sum of scales", scheme="gain", deal="mixed", part="all")
    rows = []
    for name in [*dict.fromkeys(record["table"] for record in mixed), None]:
        chosen = mixed if name is None else of(mixed, table=name)
        numbers = [record["rows"]["8"] for record in chosen]
        rows.append(
            [
                name or "all",
                str(len(chosen)),
                " ".join(f"{fmean(party):.0f}" for party in zip(*numbers, strict=True)),
                *(
                    f"{percent(closed(chosen, kind, 8))} ({percent(closed(chosen, kind, 8, 'real'))}, "
                    f"{percent(closed(chosen, kind, 8, 'plain'))})"
                    for kind in CLASSIFIERS
                ),
            ]
        )
    return markdown_table(["table", "seeds", "rows, mean", "logistic (real, pool)", "forest (real, pool)"], rows)


def draw(records: Sequence[Record], path: Path) -> None:
    """Draw the ratios of exchangeable parties, and the share of the way that rewards close, by candidate."""

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
    for place, name in enumerate(reversed(NAMES)):
        gain = of(records, candidate=name, scheme="gain")
        found = ratios(of(gain, deal="random", seed=(0, 1, 2)), 8)
        axes[0].plot(found, [place] * len(found), "o", alpha=0.35, color="C0", markersize=4)
        if found:
            axes[0].plot(median(found), place, "|", color="black", markersize=16)
        for kind, color, shift in (("logistic", "C1", 0.12), ("forest", "C2", -0.12)):
            value = closed(of(gain, deal="mixed", part="all"), kind, 8)
            if value is not None:
                axes[1].plot(100 * value, place + shift, "o", color=color, label=kind if place == 0 else None)
    axes[0].set(xscale="log", xlabel="rows of the largest reward over the smallest, exchangeable parties")
    axes[0].axvline(ALIKE, color="gray", linewidth=0.8)
    axes[0].set_xticks([1, 1.6, 3, 10, 30], ["1", "1.6", "3", "10", "30"])
    axes[0].minorticks_off()
    axes[0].set_yticks(range(len(NAMES)), list(reversed(NAMES)))
    axes[1].set(xlabel="% of the way from own to pooled accuracy")
    axes[1].axvline(0, color="gray", linewidth=0.8)
    axes[1].legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def count(values: Sequence[float], limit: float) -> str:
    """Return how many values are at most a limit."""

    return f"{sum(value <= limit for value in values)} of {len(values)}"


def cell(summary: Callable[[Sequence[float]], float], values: Sequence[float]) -> str:
    """Return a summary of values that are numbers, or n/a."""

    numbers = [value for value in values if np.isfinite(value)]
    return f"{summary(numbers):.2f}" if numbers else "n/a"


def percent(value: float | None) -> str:
    """Return a share as a percentage, or n/a."""

    return "n/a" if value is None else f"{100 * value:.0f} %"
