"""Tables and figures of the evaluation of a generator."""

import io
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.utils import make_grid, save_image

from cgm.records.tables import markdown_table

GENERATOR, TRAINING, TEST = "generator", "training images", "test images"
COLUMNS = 10  # images in a row of a figure


def class_rows(images: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Arrange the first images of each class in rows, one row per class; missing images are grey."""

    rows = torch.full((classes, COLUMNS, *images.shape[1:]), 0.5)
    for c in range(classes):
        members = images[labels == c][:COLUMNS]
        rows[c, : len(members)] = members

    return rows.flatten(0, 1)


def paired_rows(above: Tensor, below: Tensor) -> Tensor:
    """Arrange up to five full rows of each of two sets of images, in turns."""

    rows = min(len(above), len(below)) // COLUMNS
    pairs = [x[: rows * COLUMNS].unflatten(0, (rows, COLUMNS))[: COLUMNS // 2] for x in (above, below)]

    return torch.stack(pairs, 1).flatten(0, 2)


def png(images: Tensor) -> bytes:
    """Draw images of shape (N, C, H, W) in rows of ten, three times as large."""

    file = io.BytesIO()
    large = functional.interpolate(images.float(), scale_factor=3, mode="nearest")
    save_image(make_grid(large, nrow=COLUMNS, padding=3, pad_value=0.5), file, format="png")

    return file.getvalue()


def tables(result: Mapping[str, Any]) -> str:
    """Write the numbers of a result as Markdown."""

    sets, n, few = result["sets"], result["samples"], result["privacy_samples"]
    training, test = result["training_images"], result["test_images"]
    share = training / (training + test)  # of samples that are closer to a training image, if nothing is copied

    quality = []
    for name, found in sets.items():
        kid = "–" if name == TEST else f"{found['kid']['mean']:.4f} ± {found['kid']['stderr']:.4f}"
        distance = "–" if name == TEST else f"{found['frechet']:.4g}"
        classes = found["classes"]
        quality.append([name, distance, kid, f"{classes['confident']:.1%}", f"{classes['min']:.1%}"])
    confidence = f"network is confident (p > {result['confidence']:g})"

    shares = [
        [label, *(f"{found['classes']['shares'][c]:.1%}" for found in sets.values())]
        for c, label in enumerate(result["classes"])
    ]

    privacy = []
    for name, found in sets.items():
        if name == TRAINING:
            continue
        row = ["–"] * 3
        if "privacy" in found:
            low, median, high = found["privacy"]["quartiles"]
            row = [f"{median:.3f} ({low:.3f} to {high:.3f})"]
            row += [f"{share:.1%}" for share in (found["privacy"]["below_1"], found["nearer_to_training"])]
        distance = found["to_nearest_training_image"]
        privacy.append([name, *row, f"{distance['median']:.3f}", f"{distance['min']:.3f}"])
    columns = ["d_train / d_test", "share below 1", "nearest of all is a training image"]

    return "\n".join(
        [
            f"# {result['generator']['class']}, images of {result['dataset']}\n",
            f"{n:,} images of each set; seed {result['seed']}. Written by `python -m experiments.generators`.\n",
            "## Likeness to test images\n",
            "Squared Fréchet distance and KID (mean ± standard error over blocks) to the test images, in the features "
            "of the network that labels images. Training images give the values to aim for; a KDE of pixels with "
            "bandwidth h is the baseline.\n",
            markdown_table(["", "Fréchet", "KID", confidence, "smallest class"], quality),
            "\n## Classes, by the network\n",
            markdown_table(["", *sets], shares),
            "\n## Privacy\n",
            f"Distances d in pixel space, of {few:,} images of each set. The ratio (median, quartiles) and the share "
            f"of ratios below 1 are about the nearest of {result['candidates']:,} training images and the nearest of "
            f"as many test images. If nothing is copied, that share is 50.0% ± {math.sqrt(0.25 / few):.1%} by chance, "
            f"provided that training and test images are alike. Among all {training:,} training and {test:,} test "
            f"images, the nearest is then a training image for {share:.1%} ± "
            f"{math.sqrt(share * (1 - share) / few):.1%}: this detects copies better, since it includes all "
            "originals.\n",
            markdown_table(["", *columns, "d_train, all: median", "smallest"], privacy),
            "\n## Figures\n",
            "Random samples:\n\n![Random samples](samples.png)\n",
            f"One row per class ({', '.join(result['classes'])}), by the network:\n\n"
            "![Samples by class](classes.png)\n",
            "Random samples, each above the nearest training image:\n\n![Nearest training images](nearest.png)\n",
        ]
    )
