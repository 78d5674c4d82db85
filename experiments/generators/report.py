"""Tables and figures of the evaluation of generators."""

import io
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional
from torchvision.utils import make_grid, save_image

from cgm.utils.text import markdown_table

GENERATOR, TRAINING, TEST = "generator", "training", "test"  # names of sets
NONE = "–"
LIKELIHOODS = ("log-likelihood of a test point", "without the smallest 1 %")
COLUMNS = 10  # images in a row of a figure


def class_rows(images: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Arrange the first images of each class in rows, one row per class; missing images are grey."""

    rows = torch.full((classes, COLUMNS, *images.shape[1:]), 0.5)
    for c in range(classes):
        members = images[labels == c][:COLUMNS]
        rows[c, : len(members)] = members

    return rows.flatten(0, 1)


def paired_rows(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """Arrange up to five full rows of each of two sets of images, in turns."""

    rows = min(len(above), len(below)) // COLUMNS
    pairs = [x[: rows * COLUMNS].unflatten(0, (rows, COLUMNS))[: COLUMNS // 2] for x in (above, below)]

    return torch.stack(pairs, 1).flatten(0, 2)


def png(images: torch.Tensor) -> bytes:
    """Draw images of shape (N, C, H, W) in rows of ten, three times as large."""

    file = io.BytesIO()
    large = functional.interpolate(images.float(), scale_factor=3, mode="nearest")
    save_image(make_grid(large, nrow=COLUMNS, padding=3, pad_value=0.5), file, format="png")

    return file.getvalue()


def tables(result: Mapping[str, Any]) -> str:
    """Write the numbers of a result as Markdown."""

    things = result["kind"]
    parts = [
        f"# {result['generator']['class']} and others, {things} of {result['dataset']}\n",
        f"{result['samples']:,} {things} of each set; seed {result['seed']}. Written by `python -m "
        "experiments.generators`.\n",
        *_likeness(result),
        *_classes(result),
    ]
    if independent := result.get("independent"):  # the same tables, by another judge
        other = {**result, **independent}
        parts += [f"\n{part}" if i == 0 else part for i, part in enumerate(_likeness(other, ", by another judge"))]
        parts += _classes(other)
    parts += _privacy(result)
    if things == "images":
        parts += [
            "\n## Figures\n",
            "Random samples:\n\n![Random samples](samples.png)\n",
            f"One row per class ({', '.join(result['classes'])}), by the network:\n\n"
            "![Samples by class](classes.png)\n",
            "Random samples, each above the nearest training image:\n\n![Nearest training images](nearest.png)\n",
        ]
    return "\n".join(parts)


def _likeness(result: Mapping[str, Any], judge: str = "") -> list[str]:
    scored = any(found.get("log_likelihood") for found in result["sets"].values())
    rows, images = [], result["kind"] == "images"
    for name, found in result["sets"].items():
        cells = [NONE] * 4
        if name != TEST:
            kid = f"{found['kid']['mean']:.5f} ± {found['kid']['stderr']:.5f}".replace("-", "−")
            cells = [f"{found['frechet']:.4g}", kid, f"{found['precision']:.1%}", f"{found['recall']:.1%}"]
        classes = found["classes"]
        rows.append([_name(name, result), *cells, f"{classes['confident']:.1%}"])
        rows[-1] += [f"{classes['between']:.1%}"] if images else []
        rows[-1] += [f"{classes['min']:.1%}"]
        if scored:
            likelihood = found.get("log_likelihood")
            texts = [NONE if likelihood is None else f"{likelihood[mean]:.3f}" for mean in ("mean", "trimmed")]
            rows[-1] += [text.replace("-", "−") for text in texts]
    distance = result["judge"]["distance"]
    head = ["", "Fréchet", distance, "precision", "recall", f"label is confident (p > {result['confidence']:g})"]
    head += ["between classes (p ≤ 0.5)"] if images else []
    test = _name(TEST, result)
    count = f"{result['samples']:,} images of each set. " if judge else ""
    return [
        f"## Likeness to {test}{judge}\n",
        f"{count}Squared Fréchet distance, {distance} (mean ± standard error over blocks), precision and recall "
        f"({result['neighbour']} neighbours) with respect to the {test}, in {result['judge']['features']}. The "
        f"{_name(TRAINING, result)} give the values to aim for. Labels are by the {result['judge']['labels']}.\n",
        markdown_table([*head, "smallest class", *(LIKELIHOODS if scored else ())], rows),
    ]


def _classes(result: Mapping[str, Any]) -> list[str]:
    sets = result["sets"]
    rows = [
        [label, *(f"{found['classes']['shares'][c]:.1%}" for found in sets.values())]
        for c, label in enumerate(result["classes"])
    ]
    head = ["", *(_name(name, result) for name in sets)]
    return [f"\n## Classes, by the {result['judge']['labels']}\n", markdown_table(head, rows)]


def _privacy(result: Mapping[str, Any]) -> list[str]:
    things, few = result["kind"], result["privacy_samples"]
    training, test = result["training_points"], result["test_points"]
    share = training / (training + test)  # of samples that are closer to a training point, if nothing is copied
    rows = []
    for name, found in result["sets"].items():
        if name == TRAINING:
            continue
        cells = [NONE] * 3
        if "privacy" in found:
            low, median, high = found["privacy"]["quartiles"]
            cells = [f"{median:.3f} ({low:.3f} to {high:.3f})"]
            cells += [f"{x:.1%}" for x in (found["privacy"]["below_1"], found["nearer_to_training"])]
        distance = found["to_nearest_training_point"]
        rows.append([_name(name, result), *cells, f"{distance['median']:.3f}", f"{distance['min']:.3f}"])
    kind = things[:-1]
    head = ["", "d_train / d_test", "share below 1", f"nearest of all is a training {kind}", "d_train, all: median"]
    return [
        "\n## Privacy\n",
        f"Distances d in {'pixel space' if things == 'images' else 'the space of the columns'}, of {few:,} {things} of "
        f"each set. The ratio (median, quartiles) and the share of ratios below 1 are about the nearest of "
        f"{result['candidates']:,} training {things} and the nearest of as many test {things}. If nothing is copied, "
        f"that share is 50.0% ± {math.sqrt(0.25 / few):.1%} by chance, provided that training and test {things} are "
        f"alike. Among all {training:,} training and {test:,} test {things}, the nearest is then a training {kind} "
        f"for {share:.1%} ± {math.sqrt(share * (1 - share) / few):.1%}: this detects copies better, since it includes "
        "all originals.\n",
        markdown_table([*head, "smallest"], rows),
    ]


def _name(name: str, result: Mapping[str, Any]) -> str:
    """Return the name of a set in a table."""

    if name in (TRAINING, TEST):
        return f"{name} {result['kind']}"
    return result["generator"]["class"] if name == GENERATOR else name
