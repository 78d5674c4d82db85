"""Sections of the report about the generators, from the records of `python -m experiments.generators`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgm.utils.text import markdown_table
from experiments.paper.plan import BASE
from experiments.paper.records import Groups, Records
from experiments.text import DATASETS, NONE, dataset_name, mean_over_seeds, minus

RULES = {"scott": "KDE, h = scott", "cv": "KDE, h = cv", "adaptive": "KDE, h = adaptive"}


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
    """Compare the bandwidths of the KDE of the credit card data: likelihood, likeness, and the α that follow."""

    result = found.get("credit_card")
    if result is None:
        return []
    default = choices[BASE].groups if BASE in choices else {}
    rows = []
    for rule, name in RULES.items():
        measured = result["sets"].get(name)
        if measured is None or measured["log_likelihood"] is None:
            continue
        own = choices[f"bandwidth-{rule}"].groups if f"bandwidth-{rule}" in choices else default
        likelihood, distance = measured["log_likelihood"], measured["kid"]
        rows.append(
            [
                rule,
                *(minus(f"{likelihood[mean]:.2f}") for mean in ("mean", "trimmed")),
                minus(f"{1e4 * distance['mean']:.1f} ± {1e4 * distance['stderr']:.1f}"),
                f"{measured['precision']:.1%}",
                *_alphas(own, rule),
            ]
        )
    if not rows:
        return []
    head = ["bandwidth", "log-likelihood", "without the lowest 1 %", "MMD_u² · 10⁴", "precision"]
    return [
        "## Bandwidth of the credit card data",
        "Log-likelihood of held-out rows, mean per row; squared MMD and precision of samples with respect to held-out "
        "rows; and α of the unequal split with each rule, at the size of the choices below (mean over seeds). The "
        "default is the rule of the largest likelihood.",
        markdown_table([*head, *(f"α, party {i + 1}" for i in range(5))], rows),
    ]


def _alphas(groups: Groups, rule: str) -> list[str]:
    """Return the mean α of each party in the unequal split, if the runs have that bandwidth."""

    group = [
        result
        for result in groups.get(("credit_card", "unequal"), [])
        if result.settings["generator"].get("bandwidth") == rule
    ]
    if not group:
        return [NONE] * 5
    return [mean_over_seeds(column, 2) for column in zip(*(r.contributions.alpha.tolist() for r in group), strict=True)]
