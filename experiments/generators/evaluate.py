"""Measures how good a generator of images is: how like real ones its images are, of which classes, and how private.

    python experiments/evaluate_generator.py dataset=mnist
    python experiments/evaluate_generator.py dataset=cifar10 folder=outputs/cifar10_generator

Writes result.json, README.md (tables) and figures. The generator is fitted to the dataset's training images, that is,
the weights that come with cgm are loaded. Distances are taken in the features of the network that labels images
(`cgm.classifier`): good for comparing generators of the same images, not for comparison with published figures.
"""

import io
import json
import math
import sys
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional
from torchvision.utils import make_grid, save_image

from cgm.cli.jobs import explain
from cgm.cli.settings import keep_own_options
from cgm.data import Dataset
from cgm.evaluation.metrics import Gaussian, fit_gaussian, neg_wasserstein2
from cgm.generators import KDE, Generator
from cgm.records.collect import markdown_table
from cgm.records.plain import plain, versions
from cgm.utils.checks import check_integer
from cgm.utils.files import write_whole
from cgm.utils.models import pretrained
from cgm.utils.models.classifier import Classifier
from cgm.utils.models.networks import check_images
from cgm.utils.progress import progress
from cgm.valuation.mmd import unbiased

CONF = Path(__file__).resolve().parents[1] / "conf"
TILE = 2000  # candidates whose distances are computed at once
COLUMNS = 10  # images in a row of a figure
GENERATOR, TRAINING, TEST = "generator", "training images", "test images"


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="evaluate_generator")
def main(config: DictConfig) -> None:
    """Measures what the configuration says, and prints it."""

    keep_own_options(config, HydraConfig.get().overrides.task)
    if config.generator.get("pretrained") == "auto":
        config.generator.pretrained = True  # a training of an hour is started on demand only
    try:
        loader, generator = (hydra.utils.instantiate(config[group]) for group in ("dataset", "generator"))
        dataset = loader.load(config.data_dir, config.seed)
        result = evaluate(
            generator,
            dataset,
            config.folder,
            samples=config.samples,
            kid_block=config.kid_block,
            sure=config.sure,
            privacy_samples=config.privacy_samples,
            bandwidths=config.bandwidths,
            classifier=Classifier.of(pretrained.read(config.classifier)) if config.classifier else None,
            seed=config.seed,
        )
    except (ValueError, OSError, InstantiationException) as error:
        sys.exit(f"evaluate_generator: error: {explain(error)}")

    print(f"{tables(result)}\n{config.folder}")


def evaluate(
    generator: Generator,
    dataset: Dataset,
    folder: str | Path,
    samples: int = 10_000,
    kid_block: int = 1000,
    sure: float = 0.9,
    privacy_samples: int = 1000,
    bandwidths: Sequence[str | float] = ("scott", 0.1),
    classifier: Classifier | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    r"""Fits a generator to a dataset's training images, measures it, and writes numbers and figures to a folder.

    Arguments:
        generator: Any generator whose space is `"data"`.
        dataset: The images.
        folder: Where the files go.
        samples: The number of images in each set; the number of test images, if those are fewer.
        kid_block: The number of images in a block of the KID.
        sure: The probability of a class above which the classifier is sure.
        privacy_samples: The number of samples whose nearest real images are looked for.
        bandwidths: Those of the straw men.
        classifier: The network that labels images; the one that comes with cgm for the dataset, if `None`.
        seed: The seed of everything random.

    Returns:
        What result.json holds.

    Raises:
        ValueError: If a setting is out of range, there is no classifier, or the generator makes no images.
    """

    if generator.space != "data":
        raise ValueError(f"generator: {type(generator).__name__} makes no images; use generator=mmd_gan or one like it")
    if classifier is None:
        weights = pretrained.find("classifier", tuple(dataset.x.shape[1:]), dataset.name)
        if weights is None:
            raise ValueError(
                f"dataset={dataset.name}: distances are taken in the features of a network that labels images; one "
                "comes with cgm for mnist and cifar10 only. Train one by experiments/pretrain.py what=classifier, and "
                "name its weights by classifier=PATH"
            )
        classifier = Classifier.of(weights)
    check_integer("samples", samples, min=COLUMNS)
    most = min(len(dataset.x), len(dataset.x_test))
    samples = min(samples, most)
    check_integer("kid_block", kid_block, min=2, max=samples // 2)
    check_integer("privacy_samples", privacy_samples, min=COLUMNS, max=samples)
    check_integer("seed", seed, min=0)
    if not (isinstance(sure, Real) and 0 < sure < 1):
        raise ValueError(f"sure={sure}: expected a probability between 0 and 1")
    straw_men = {f"KDE, h = {h}": KDE(h) for h in bandwidths}
    random = torch.Generator().manual_seed(seed)

    def some(n: int, images: Tensor) -> Tensor:
        return images[torch.randperm(len(images), generator=random)[:n]]

    drawn = generator.fit(dataset.x, seed).sample(samples, seed)
    check_images(drawn, "samples of the generator", tuple(dataset.x.shape[1:]), least=samples)
    sets = {GENERATOR: some(samples, drawn), TRAINING: some(samples, dataset.x), TEST: some(samples, dataset.x_test)}
    for name, kde in straw_men.items():
        pixels = kde.fit(dataset.x.flatten(1), seed).sample(samples, seed)
        sets[name] = pixels.clamp(0, 1).reshape(samples, *dataset.x.shape[1:])
        kde.state = None  # a copy of all training images

    with progress(len(sets), "features") as bar:
        features, probabilities = {}, {}
        for name, images in sets.items():
            features[name] = classifier.features(images)
            probabilities[name] = classifier.probabilities_of(features[name])
            bar.update()
    fits = {name: fit_gaussian(x) for name, x in features.items()}
    like, rivals = some(most, dataset.x), some(most, dataset.x_test)  # as many of either

    measured: dict[str, dict[str, Any]] = {}
    for name, images in sets.items():
        few = images[:privacy_samples]
        found = {"classes": class_shares(probabilities[name], sure)}
        if name != TEST:
            found["frechet"] = frechet(fits[name], fits[TEST])
            found["kid"] = dict(zip(("mean", "stderr"), kid(features[name], features[TEST], kid_block), strict=True))
        if name != TRAINING:
            to_training, rows = nearest(few, dataset.x)
            found["to_nearest_training_image"] = {"least": to_training.min(), "median": to_training.median()}
        if name not in (TRAINING, TEST):
            found["privacy"] = closeness(nearest(few, like)[0], nearest(few, rivals)[0])
            found["nearer_to_training"] = (to_training < nearest(few, dataset.x_test)[0]).double().mean()
        if name == GENERATOR:
            neighbours = dataset.x[rows]
        measured[name] = found

    result = plain(
        {
            "dataset": dataset.name,
            "classes": dataset.classes,
            "training_images": len(dataset.x),
            "test_images": len(dataset.x_test),
            "generator": {"class": type(generator).__name__, "settings": generator},
            "samples": samples,
            "kid_block": kid_block,
            "sure": sure,
            "privacy_samples": privacy_samples,
            "candidates": most,
            "seed": seed,
            "sets": measured,
            "versions": versions(),
        }
    )
    images, labels = sets[GENERATOR], probabilities[GENERATOR].argmax(1)
    figures = {
        "samples": images[: COLUMNS**2],
        "classes": one_row_a_class(images, labels, len(dataset.classes)),
        "nearest": one_above_the_other(images, neighbours),
    }
    for name, images in figures.items():
        write_whole(Path(folder) / f"{name}.png", png(images))
    write_whole(Path(folder) / "README.md", tables(result).encode())
    write_whole(Path(folder) / "result.json", (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())

    return result


def frechet(s: Tensor | Gaussian, t: Tensor | Gaussian) -> float:
    """Computes the squared Fréchet distance of the Gaussians fitted to two sets of features, of shape (N, d)."""

    return 0.0 - neg_wasserstein2(s, t)


def kid(s: Tensor, t: Tensor, size: int) -> tuple[float, float]:
    r"""Computes the kernel inception distance, $\text{MMD}_u^2$ with the kernel $(x \cdot x' / d + 1)^3$.

    Arguments:
        s: Features of shape $(N, d)$, in random order.
        t: Features to compare with, of shape $(M, d)$, in random order.
        size: The number of points of either set in a block; those that fill no block are left out.

    Returns:
        The mean over blocks, and its standard error.

    Raises:
        ValueError: If there are less than two blocks.

    References:
        Demystifying MMD GANs (Bińkowski et al., 2018), Sec. 4.
    """

    blocks = min(len(s), len(t)) // size
    if blocks < 2:
        raise ValueError(f"kid_block={size}: a standard error needs two blocks, of {min(len(s), len(t))} images in all")

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    values = []
    for x, y in zip(s.double().split(size)[:blocks], t.double().split(size)[:blocks], strict=True):
        # the kernel's diagonal is not constant: it is taken out here
        xx, yy = (float(k.sum() - k.trace()) for k in (kernel(x, x), kernel(y, y)))
        values.append(unbiased(xx, float(kernel(x, y).sum()), yy, size, size, diagonal=0.0))

    return float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(blocks)


def class_shares(probabilities: Tensor, sure: float) -> dict[str, Any]:
    """Counts images by their most probable class.

    Arguments:
        probabilities: Those of the classes, of shape (N, m).
        sure: The probability above which the class of an image is beyond doubt.

    Returns:
        The share of each class (`shares`), the least of them (`least`), the share of images beyond doubt (`sure`).
    """

    n, classes = probabilities.shape
    most, labels = probabilities.max(1)
    shares = labels.bincount(minlength=classes).double() / n

    return {"shares": shares.tolist(), "least": float(shares.min()), "sure": float((most > sure).double().mean())}


def nearest(x: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the candidate that is nearest to each image, by Euclidean distance of the pixels.

    Arguments:
        x: Images of shape (N, C, H, W).
        candidates: Images of shape (M, C, H, W).

    Returns:
        The distances and the rows of the candidates, each of shape (N); the distances float64.
    """

    points = x.flatten(1).double()
    least, rows = torch.full((len(x),), math.inf, dtype=torch.float64), torch.zeros(len(x), dtype=torch.long)

    with progress(len(candidates), "nearest images") as bar:
        for start in range(0, len(candidates), TILE):
            tile = candidates[start : start + TILE].flatten(1).double()
            # less |x|², which all candidates have in common
            distances, best = torch.addmm(tile.square().sum(1), points, tile.T, alpha=-2).min(1)
            rows = torch.where(distances < least, start + best, rows)
            least = torch.minimum(distances, least)
            bar.update(len(tile))

    # differences are exact where a copy would make the above cancel
    return torch.linalg.vector_norm(points - candidates[rows].flatten(1).double(), dim=1), rows


def closeness(to_training: Tensor, to_test: Tensor) -> dict[str, Any]:
    r"""Compares the distances of samples to training images with those to test images, of which there are as many.

    Arguments:
        to_training: The distance $d_\text{train}$ of each sample to the nearest training image, of shape $(N)$.
        to_test: The distance $d_\text{test}$ of each sample to the nearest test image, of shape $(N)$.

    Returns:
        The quartiles of $d_\text{train} / d_\text{test}$ (`quartiles`, the second is the median) and the share of
        samples where it is below 1 (`below_1`): about one half, if training images are not copied.
    """

    ratios = torch.where(to_training == to_test, 1.0, to_training / to_test.clamp(min=1e-12))  # 0 / 0 tells nothing
    quartiles = np.quantile(ratios.numpy(), (0.25, 0.5, 0.75)).tolist()

    return {"quartiles": quartiles, "below_1": float((ratios < 1).double().mean())}


def one_row_a_class(images: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Takes the first images of each class, a row a class; grey where there are too few."""

    rows = torch.full((classes, COLUMNS, *images.shape[1:]), 0.5)
    for c in range(classes):
        those = images[labels == c][:COLUMNS]
        rows[c, : len(those)] = those

    return rows.flatten(0, 1)


def one_above_the_other(above: Tensor, below: Tensor) -> Tensor:
    """Takes up to five full rows of either set of images in turns."""

    rows = min(len(above), len(below)) // COLUMNS
    turns = [x[: rows * COLUMNS].unflatten(0, (rows, COLUMNS))[: COLUMNS // 2] for x in (above, below)]

    return torch.stack(turns, 1).flatten(0, 2)


def png(images: Tensor) -> bytes:
    """Draws images of shape (N, C, H, W), in rows of ten, each pixel as 3 x 3 of them."""

    file = io.BytesIO()
    large = functional.interpolate(images.float(), scale_factor=3, mode="nearest")
    save_image(make_grid(large, nrow=COLUMNS, padding=3, pad_value=0.5), file, format="png")

    return file.getvalue()


def tables(result: dict[str, Any]) -> str:
    """Writes the numbers of a result as Markdown."""

    sets, n, few = result["sets"], result["samples"], result["privacy_samples"]
    training, test = result["training_images"], result["test_images"]
    share = training / (training + test)  # of samples that are nearer to a training image, if nothing is copied

    quality = []
    for name, found in sets.items():
        kid = "–" if name == TEST else f"{found['kid']['mean']:.4f} ± {found['kid']['stderr']:.4f}"
        distance = "–" if name == TEST else f"{found['frechet']:.4g}"
        quality.append([name, distance, kid, f"{found['classes']['sure']:.1%}", f"{found['classes']['least']:.1%}"])

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
        privacy.append([name, *row, f"{distance['median']:.3f}", f"{distance['least']:.3f}"])

    return "\n".join(
        [
            f"# {result['generator']['class']}, images of {result['dataset']}\n",
            f"{n:,} images of each set; seed {result['seed']}. Written by `experiments/evaluate_generator.py`.\n",
            "## Likeness to test images\n",
            "Squared Fréchet distance and KID (mean ± standard error over blocks) to the test images, in the features "
            "of the network that labels images. Training images are the floor; a KDE of pixels with bandwidth h is "
            "the straw man.\n",
            markdown_table(["", "Fréchet", "KID", f"network is sure (p > {result['sure']:g})", "least class"], quality),
            "\n## Classes, by the network\n",
            markdown_table(["", *sets], shares),
            "\n## Privacy\n",
            f"Distances d in pixel space, of {few:,} images of each set. The ratio (median, quartiles) and its share "
            f"below 1 are to the nearest of {result['candidates']:,} training and of as many test images. If nothing "
            f"is copied, that share is 50.0% ± {math.sqrt(0.25 / few):.1%} by chance, provided that training and test "
            f"images are alike. Among all {training:,} training and {test:,} test images, the nearest is then a "
            f"training image for {share:.1%} ± {math.sqrt(share * (1 - share) / few):.1%}: this tells copies better, "
            "since none of the originals are left out.\n",
            markdown_table(
                [
                    "",
                    "d_train / d_test",
                    "share below 1",
                    "nearest of all is a training image",
                    "d_train, all: median",
                    "smallest",
                ],
                privacy,
            ),
            "\n## Figures\n",
            "Random samples:\n\n![Random samples](samples.png)\n",
            f"A row a class ({', '.join(result['classes'])}), by the network:\n\n![Samples by class](classes.png)\n",
            "Random samples, each above the nearest training image:\n\n![Nearest training images](nearest.png)\n",
        ]
    )


if __name__ == "__main__":
    main()
