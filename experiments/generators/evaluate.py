"""Evaluation of a generator of images: likeness to real images, classes, privacy.

    python -m experiments.generators dataset=mnist
    python -m experiments.generators dataset=cifar10 folder=outputs/cifar10_generator

Writes result.json, README.md (tables) and figures. The generator is fitted to the training images of the dataset, which
means that the weights that come with cgm are loaded. Distances are taken in the features of the network that labels
images (`cgm.utils.models.classifier`): they compare generators of the same images, but not with published figures.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from cgm.cli.errors import explain
from cgm.cli.settings import drop_other_options
from cgm.data.datasets.base import Dataset
from cgm.evaluation.metrics import fit_gaussian
from cgm.generators.base import Generator
from cgm.generators.kde import KDE
from cgm.records.plain import plain, versions
from cgm.utils.checks import check_integer, check_number
from cgm.utils.files import write_whole
from cgm.utils.models import pretrained
from cgm.utils.models.classifier import Classifier
from cgm.utils.models.networks import check_images
from cgm.utils.progress import progress
from experiments.generators.measures import class_shares, closeness, frechet, kernel_distance, nearest
from experiments.generators.report import COLUMNS, GENERATOR, TEST, TRAINING, class_rows, paired_rows, png, tables
from experiments.settings import program


@program("generators/evaluate.yaml")
def main(config: DictConfig) -> None:
    """Evaluate the generator that the configuration names, and print the tables."""

    drop_other_options(config, HydraConfig.get().overrides.task)
    if config.generator.get("pretrained") == "auto":
        config.generator.pretrained = True  # otherwise a missing file would start a training of an hour
    try:
        loader, generator = (instantiate(config[group]) for group in ("dataset", "generator"))
        dataset = loader.load(config.data_dir, config.seed)
        result = evaluate(
            generator,
            dataset,
            config.folder,
            samples=config.samples,
            kid_block=config.kid_block,
            confidence=config.confidence,
            privacy_samples=config.privacy_samples,
            bandwidths=config.bandwidths,
            classifier=Classifier.of(pretrained.read(config.classifier)) if config.classifier else None,
            seed=config.seed,
        )
    except (ValueError, OSError, InstantiationException) as error:
        sys.exit(f"experiments.generators: error: {explain(error)}")

    print(f"{tables(result)}\n{config.folder}")


def evaluate(
    generator: Generator,
    dataset: Dataset,
    folder: str | Path,
    samples: int = 10_000,
    kid_block: int = 1000,
    confidence: float = 0.9,
    privacy_samples: int = 1000,
    bandwidths: Sequence[str | float] = ("scott", 0.1),
    classifier: Classifier | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    r"""Fit a generator to the training images of a dataset, measure it, and write numbers and figures to a folder.

    Arguments:
        generator: A generator whose space is `"data"`.
        dataset: The images.
        folder: The folder of the files.
        samples: The number of images in each set; if there are fewer test images, the number of these.
        kid_block: The number of images in a block of the KID.
        confidence: The probability of a class above which the classifier is confident.
        privacy_samples: The number of samples whose nearest real images are searched.
        bandwidths: The bandwidths of the baselines, KDEs of pixels.
        classifier: The network that labels images; `None` for the one that comes with cgm for the dataset.
        seed: The seed of everything random.

    Returns:
        The content of result.json.

    Raises:
        ValueError: If a setting is out of range, there is no classifier, or the generator makes no images.
    """

    if generator.space != "data":
        raise ValueError(f"generator: {type(generator).__name__} makes no images; use generator=mmd_gan or one like it")
    classifier = classifier or _classifier(dataset)
    check_integer("samples", samples, min=COLUMNS)
    most = min(len(dataset.x), len(dataset.x_test))
    samples = min(samples, most)
    check_integer("kid_block", kid_block, min=2, max=samples // 2)
    check_integer("privacy_samples", privacy_samples, min=COLUMNS, max=samples)
    check_integer("seed", seed, min=0)
    check_number("confidence", confidence, min=0, max=1, open_min=True, open_max=True)
    baselines = {f"KDE, h = {h}": KDE(h) for h in bandwidths}
    random = torch.Generator().manual_seed(seed)

    def some(n: int, images: Tensor) -> Tensor:
        return images[torch.randperm(len(images), generator=random)[:n]]

    drawn = generator.fit(dataset.x, seed).sample(samples, seed)
    check_images(drawn, "samples of the generator", tuple(dataset.x.shape[1:]), min=samples)
    sets = {GENERATOR: some(samples, drawn), TRAINING: some(samples, dataset.x), TEST: some(samples, dataset.x_test)}
    for name, kde in baselines.items():
        pixels = kde.fit(dataset.x.flatten(1), seed).sample(samples, seed)
        sets[name] = pixels.clamp(0, 1).reshape(samples, *dataset.x.shape[1:])
        kde.state = None  # frees a copy of all training images

    with progress(len(sets), "features") as bar:
        features, probabilities = {}, {}
        for name, images in sets.items():
            features[name] = classifier.features(images)
            probabilities[name] = classifier.probabilities_of(features[name])
            bar.update()
    fits = {name: fit_gaussian(x) for name, x in features.items()}
    train_candidates, test_candidates = some(most, dataset.x), some(most, dataset.x_test)  # equally many

    measured: dict[str, dict[str, Any]] = {}
    for name, images in sets.items():
        few = images[:privacy_samples]
        found: dict[str, Any] = {"classes": class_shares(probabilities[name], confidence)}
        if name != TEST:
            mean, stderr = kernel_distance(features[name], features[TEST], kid_block)
            found |= {"frechet": frechet(fits[name], fits[TEST]), "kid": {"mean": mean, "stderr": stderr}}
        if name != TRAINING:
            to_training, rows = nearest(few, dataset.x)
            found["to_nearest_training_image"] = {"min": to_training.min(), "median": to_training.median()}
        if name not in (TRAINING, TEST):
            found["privacy"] = closeness(nearest(few, train_candidates)[0], nearest(few, test_candidates)[0])
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
            "confidence": confidence,
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
        "classes": class_rows(images, labels, len(dataset.classes)),
        "nearest": paired_rows(images, neighbours),
    }
    for name, images in figures.items():
        write_whole(Path(folder) / f"{name}.png", png(images))
    write_whole(Path(folder) / "README.md", tables(result).encode())
    write_whole(Path(folder) / "result.json", (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())

    return result


def _classifier(dataset: Dataset) -> Classifier:
    """Load the classifier that comes with cgm for a dataset."""

    weights = pretrained.find("classifier", tuple(dataset.x.shape[1:]), dataset.name)
    if weights is None:
        raise ValueError(
            f"dataset={dataset.name}: distances are taken in the features of a network that labels images; one comes "
            "with cgm for mnist and cifar10 only. Train one by python -m experiments.generators.train what=classifier, "
            "and name its weights by classifier=PATH"
        )
    return Classifier.of(weights)
