"""Sections of the report about the generators, from the records of `python -m experiments.generators`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cgm.records.result import Result
from cgm.utils.text import markdown_table
from experiments.paper.plan import BASE
from experiments.paper.records import Records, correlation
from experiments.paper.text import METRICS
from experiments.text import DATASETS, NONE, dataset_name, mean_over_seeds, minus

SHOWN = ("neg_mmd2_unbiased", "neg_reverse_kl", "accuracy")
RULES = ("scott", "0.2", "cv", "0.1", "0.05", "adaptive")  # from wide to narrow


def read_generators(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the evaluations of generators, by dataset.

    Arguments:
        folder: The folder of the reproduction; the evaluation of a dataset is in `generators/<dataset>/result.json`.
    """

    paths = {dataset: folder / "generators" / dataset / "result.json" for dataset in DATASETS}
    return {dataset: json.loads(path.read_text("utf-8")) for dataset, path in paths.items() if path.is_file()}


def generators(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """List the quality of each generator."""

    rows = []
    for dataset, result in found.items():
        share = result["training_points"] / (result["training_points"] + result["test_points"])
        for name, measured in result["sets"].items():
            if name == "test":
                continue
            label = {"generator": result["generator"]["class"], "training": f"real {result['kind']}"}.get(name, name)
            copies = measured.get("nearer_to_training")
            rows.append(
                [
                    dataset_name(dataset),
                    label,
                    f"{measured['frechet']:.3g}",
                    f"{measured['precision']:.1%}",
                    f"{measured['recall']:.1%}",
                    f"{measured['classes']['min']:.1%}",
                    f"{share:.1%} by chance" if copies is None else f"{copies:.1%}",
                ]
            )
    if not rows:
        return []
    links = ", ".join(f"[{dataset_name(dataset)}](generators/{dataset}/README.md)" for dataset in found)
    head = ["dataset", "generator", "Fréchet distance", "precision", "recall", "smallest class", "nearest is training"]
    return [
        "## Generators",
        "Likeness to test points, in the features of a network that labels images, or of standardised columns. Real "
        "points are the training points: the values to aim for. The last column is the share of samples whose nearest "
        f"real point is one of the training; more than by chance means copies. All numbers and images: {links}.",
        markdown_table(head, rows),
    ]


def bandwidths(found: Mapping[str, Mapping[str, Any]], choices: Mapping[str, Records]) -> list[str]:
    """Compare the bandwidths of the KDE of the credit card data: likelihood, likeness, and what follows of them."""

    result = found.get("credit_card")
    if result is None:
        return []
    default = choices[BASE].groups if BASE in choices else {}
    rows = []
    for rule in RULES:
        measured = result["sets"].get(f"KDE, h = {rule}")
        own = choices[f"bandwidth-{rule}"].groups if f"bandwidth-{rule}" in choices else default
        group = [
            run
            for run in own.get(("credit_card", "unequal"), [])
            if str(run.settings["generator"].get("bandwidth")) == rule
        ]
        if measured is None and not group:
            continue
        likeness = [NONE] * 4
        if measured is not None and measured["log_likelihood"] is not None:
            likelihood, distance = measured["log_likelihood"], measured["kid"]
            likeness = [
                *(minus(f"{likelihood[mean]:.2f}") for mean in ("mean", "trimmed")),
                minus(f"{1e4 * distance['mean']:.1f} ± {1e4 * distance['stderr']:.1f}"),
                f"{measured['precision']:.1%}",
            ]
        both = [f"{correlation(group, 'alpha', metric).mean:+.2f}" if group else NONE for metric in SHOWN]
        rows.append([rule, *likeness, *_alphas(group), *map(minus, both)])
    if not rows:
        return []
    head = ["bandwidth", "log-likelihood", "without the lowest 1 %", "MMD_u² · 10⁴", "precision"]
    head += [*(f"α, party {i + 1}" for i in range(5)), *(f"{METRICS[metric]} with α" for metric in SHOWN)]
    return [
        "## Bandwidth of the credit card data",
        "Log-likelihood of held-out rows, mean per row; squared MMD and precision of samples with respect to held-out "
        "rows; and, of the unequal split with each rule, α and its correlations, at the size of the choices below "
        "(means over seeds). The default is the rule of the largest likelihood. The paper says that parties 1 and 2, "
        "which have all classes, have very large α, and that metrics correlate with α. The narrower the kernels, the "
        "larger are these α; and the closer is the pool to the data, the less do MMD_u² and divergence differ among "
        "parties. A fixed bandwidth of 0.1 has both, up to −reverse KL; the paper, which names a KDE and no "
        "bandwidth, may have had one like it.",
        markdown_table(head, rows),
    ]


def _alphas(group: Sequence[Result]) -> list[str]:
    """Return the mean α of each party over runs, if there are any."""

    if not group:
        return [NONE] * 5
    return [mean_over_seeds(column, 2) for column in zip(*(r.contributions.alpha.tolist() for r in group), strict=True)]
