"""Evaluation of the generators of a dataset: likeness to real points or images, classes, privacy.

    python -m experiments.generators dataset=mnist
    python -m experiments.generators dataset=cifar10 folder=outputs/cifar10_generator
    python -m experiments.generators dataset=credit_card generator=kde generator.bandwidth=adaptive

Writes result.json, README.md (tables) and, for images, figures. The generator and its peers are fitted to the training
points of the dataset; for images, the weights that come with cgm are loaded. Images are compared in the features of the
network that labels images (`cgm.networks.classifier`) and, with the extra `imagenet`, in those of a network that was
trained on ImageNet and that no generator has seen: such distances compare generators of the same images, but not with
published figures.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from cgm.cli.errors import explain
from cgm.cli.settings import drop_other_options
from cgm.data.datasets.base import Dataset
from cgm.evaluation.metrics.paper import fit_gaussian
from cgm.generators.base import Generator
from cgm.generators.copula import Copula
from cgm.generators.flow import Flow
from cgm.generators.gaussian_mixture import GaussianMixture, TrueMixture
from cgm.generators.kde import KDE, trimmed_mean
from cgm.networks import weights as pretrained
from cgm.networks.architectures import check_images
from cgm.utils.checks import check_integer, check_number
from cgm.utils.files import write_whole
from cgm.utils.plain import plain, versions
from cgm.utils.run import progress
from experiments.generators.judges import Judge, independent_judge, judge_of
from experiments.generators.measures import (
    class_shares,
    closeness,
    frechet,
    kernel_distance,
    nearest,
    precision_and_recall,
)
from experiments.generators.report import COLUMNS, GENERATOR, TEST, TRAINING, class_rows, paired_rows, png, tables
from experiments.settings import program

INDEPENDENT = 5000  # images of each set, at most, that the independent judge sees: it takes some milliseconds for each


@program("generators/evaluate.yaml")
def main(config: DictConfig) -> None:
    """Evaluate the generator that the configuration names, and print the tables."""

    drop_other_options(config, HydraConfig.get().overrides.task)
    kind = getattr(get_class(config.generator._target_), "kind", None)
    if config.generator.get("pretrained") == "auto" and kind is not None and pretrained.find(kind) is not None:
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
            neighbour=config.neighbour,
            privacy_samples=config.privacy_samples,
            peers=peers(dataset, config),
            judge=judge_of(dataset, config.classifier),
            independent=independent_judge(dataset, config.independent),
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
    neighbour: int = 3,
    privacy_samples: int = 1000,
    peers: Mapping[str, Generator] | None = None,
    judge: Judge | None = None,
    independent: Judge | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    r"""Fit generators to the training points of a dataset, measure them, and write numbers and figures to a folder.

    Arguments:
        generator: The generator whose samples are drawn in figures: for images, one whose space is `"data"`.
        dataset: The points or images.
        folder: The folder of the files.
        samples: The number of points in each set; if there are fewer test points, the number of these.
        kid_block: The number of points in a block of the KID.
        confidence: The probability of a class above which the label is confident.
        neighbour: The rank of the neighbour that sets the radii of precision and recall.
        privacy_samples: The number of samples whose nearest real points are searched.
        peers: Other generators, by name, which are fitted to flattened images.
        judge: Features and labels; `None` for those that come with cgm for the dataset.
        independent: Features and labels of a judge that has to do with no generator, which sees at most 5,000 points of
            each set; `None` for none.
        seed: The seed of everything random.

    Returns:
        The content of result.json.

    Raises:
        ValueError: If a setting is out of range, nothing labels the images, or the generator makes no images.
    """

    images = dataset.x.dim() == 4
    if images and generator.space != "data":
        raise ValueError(f"generator: {type(generator).__name__} makes no images; use generator=mmd_gan or one like it")
    judge = judge or judge_of(dataset)
    check_integer("samples", samples, min=COLUMNS)
    most = min(len(dataset.x), len(dataset.x_test))
    samples = min(samples, most)
    check_integer("kid_block", kid_block, min=2, max=samples // 2)
    check_integer("neighbour", neighbour, min=1, max=samples - 1)
    check_integer("privacy_samples", privacy_samples, min=COLUMNS, max=samples)
    check_integer("seed", seed, min=0)
    check_number("confidence", confidence, min=0, max=1, open_min=True, open_max=True)
    random = torch.Generator().manual_seed(seed)

    def some(n: int, x: torch.Tensor) -> torch.Tensor:
        return x[torch.randperm(len(x), generator=random)[:n]]

    drawn = generator.fit(dataset.x, seed).sample(samples, seed)
    if images:
        check_images(drawn, "samples of the generator", tuple(dataset.x.shape[1:]), min=samples)
    sets = {GENERATOR: some(samples, drawn), TRAINING: some(samples, dataset.x), TEST: some(samples, dataset.x_test)}
    likelihoods = {GENERATOR: log_likelihood(generator, dataset)}
    for name, peer in (peers or {}).items():
        points = peer.fit(dataset.x.flatten(1), seed).sample(samples, seed)
        sets[name] = points.clamp(0, 1).reshape(samples, *dataset.x.shape[1:]) if images else points
        likelihoods[name] = log_likelihood(peer, dataset)
        peer.state = None  # a KDE keeps a copy of all training points

    likeness, probabilities = judged(judge, sets, kid_block, confidence, neighbour)
    train_candidates, test_candidates = some(most, dataset.x), some(most, dataset.x_test)  # equally many

    measured: dict[str, dict[str, Any]] = {}
    for name, x in sets.items():
        few = x[:privacy_samples]
        found = likeness[name]
        if name != TEST:
            found["log_likelihood"] = likelihoods.get(name)
        if name != TRAINING:
            to_training, rows = nearest(few, dataset.x)
            found["to_nearest_training_point"] = {"min": to_training.min(), "median": to_training.median()}
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
            "kind": "images" if images else "points",
            "training_points": len(dataset.x),
            "test_points": len(dataset.x_test),
            "generator": {"class": type(generator).__name__, "settings": generator},
            "samples": samples,
            "kid_block": kid_block,
            "confidence": confidence,
            "neighbour": neighbour,
            "judge": description(judge),
            "privacy_samples": privacy_samples,
            "candidates": most,
            "seed": seed,
            "sets": measured,
            "versions": versions(),
        }
    )
    if independent is not None:
        firsts = {name: x[:INDEPENDENT] for name, x in sets.items()}
        count = len(firsts[TEST])
        found, _ = judged(independent, firsts, min(kid_block, count // 2), confidence, neighbour)
        result["independent"] = plain({"judge": description(independent), "samples": count, "sets": found})
    if images:
        labels = probabilities[GENERATOR].argmax(1)
        figures = {
            "samples": sets[GENERATOR][: COLUMNS**2],
            "classes": class_rows(sets[GENERATOR], labels, len(dataset.classes)),
            "nearest": paired_rows(sets[GENERATOR], neighbours),
        }
        for name, x in figures.items():
            write_whole(Path(folder) / f"{name}.png", png(x))
    write_whole(Path(folder) / "README.md", tables(result).encode())
    write_whole(Path(folder) / "result.json", (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())

    return result


def judged(
    judge: Judge, sets: Mapping[str, torch.Tensor], kid_block: int, confidence: float, neighbour: int
) -> tuple[dict[str, dict[str, Any]], dict[str, torch.Tensor]]:
    """Compare sets of points with the test points by a judge.

    Arguments:
        judge: Features and labels.
        sets: The points, by the name of the set.
        kid_block, confidence, neighbour: See `evaluate`.

    Returns:
        The measurements of each set, and the probabilities of the classes of its points.
    """

    features, probabilities = {}, {}
    with progress(len(sets), "features") as bar:
        for name, x in sets.items():
            features[name] = judge.features(x)
            probabilities[name] = judge.probabilities(features[name])
            bar.update()
    fits = {name: fit_gaussian(x) for name, x in features.items()}
    measured: dict[str, dict[str, Any]] = {}
    for name in sets:
        measured[name] = {"classes": class_shares(probabilities[name], confidence)}
        if name != TEST:
            mean, stderr = kernel_distance(features[name], features[TEST], kid_block, judge.kernel)
            precision, recall = precision_and_recall(features[name], features[TEST], neighbour)
            measured[name] |= {"frechet": frechet(fits[name], fits[TEST]), "kid": {"mean": mean, "stderr": stderr}}
            measured[name] |= {"precision": precision, "recall": recall}

    return measured, probabilities


def description(judge: Judge) -> dict[str, str]:
    """Describe a judge."""

    return {"features": judge.space, "labels": judge.label, "distance": judge.distance}


def peers(dataset: Dataset, config: DictConfig) -> dict[str, Generator]:
    """Return the generators that the one of the configuration is compared with.

    For images, these are KDEs of pixels; for points, further Gaussian mixtures, a copula, flows and, for the credit
    ratings, the distribution that they are drawn from.

    Arguments:
        dataset: The dataset.
        config: The configuration, with `bandwidths`, `mixtures` and `flows`.
    """

    if dataset.x.dim() == 4:
        return {f"KDE of pixels, h = {h}": KDE(h) for h in config.bandwidths.images}
    found: dict[str, Generator] = {f"KDE, h = {h}": KDE(h) for h in config.bandwidths.points}
    found |= {f"Gaussian mixture, {k} components": GaussianMixture(k) for k in config.mixtures}
    found["Gaussian copula"] = Copula()
    found |= {f"flow, {k} transforms": Flow(transforms=k) for k in config.flows}
    if dataset.name == "credit_ratings":
        found["true distribution"] = TrueMixture(config.dataset.mixture_seed)

    return found


def log_likelihood(generator: Generator, dataset: Dataset) -> dict[str, float] | None:
    """Compute the log-likelihood of test points, per point, of a generator of points with a density; otherwise `None`.

    Arguments:
        generator: The generator, fitted.
        dataset: The dataset.

    Returns:
        The mean over all points (`mean`), and that without the smallest values (`trimmed`): with a small width, a few
        outliers decide about the first.
    """

    if not isinstance(generator, KDE | Flow) or dataset.x.dim() != 2:
        return None
    values = generator.log_density(dataset.x_test).numpy()

    return {"mean": float(values.mean()), "trimmed": trimmed_mean(values)}
