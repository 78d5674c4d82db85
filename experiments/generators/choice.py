"""Which generator for what: the generators of cgm on points, images and tables, measured alike.

    python -m experiments.generators.choice
    python -m experiments.generators.choice --data penguins digits --generators kde vae --seeds 1
    python -m experiments.generators.choice --report

Points and images are compared with test points in the features of `experiments.generators.judges`, images of MNIST and
CIFAR-10 also in those of a network that was trained on ImageNet (extra `imagenet`); of tables, classifiers are trained
on samples and tested on real rows. Tables need the packages `pydataset` and `palmerpenguins`.
Each measurement is appended to `runs.jsonl`; those that are there are not repeated. Trainings are resumed from
checkpoints in the folder.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgm.data.datasets.base import Dataset
from cgm.data.datasets.cifar10 import CIFAR10
from cgm.data.datasets.credit_card import CreditCard
from cgm.data.datasets.digits import Digits
from cgm.data.datasets.mnist import MNIST
from cgm.generators.base import Generator
from cgm.generators.copula import Copula
from cgm.generators.flow import Flow
from cgm.generators.flow_matching import FlowMatching
from cgm.generators.gaussian_mixture import GaussianMixture
from cgm.generators.kde import KDE
from cgm.generators.mmd_gan.generator import MMDGAN
from cgm.generators.vae import VAE
from cgm.networks.classifier import Classifier
from cgm.settlements.tables import Rows
from cgm.utils.files import write_whole
from cgm.utils.text import markdown_table
from experiments.generators.evaluate import judged
from experiments.generators.judges import Judge, NetworkJudge, independent_judge, judge_of
from experiments.generators.measures import nearest
from experiments.generators.report import GENERATOR, TEST
from experiments.lengthscales.deals import TABLES, Table
from experiments.lengthscales.study import accuracy, prepare

SAMPLES = 5000  # compared with as many test points, or with all of them; of a table, at least 2000 rows
MAX_TRAINING = 20_000  # points that generators are fitted to, a random part
NEIGHBOUR = 3  # whose distance sets the radii of precision and recall
CONFIDENCE = 0.9  # for a share that is not reported
TEST_SHARE = 0.3  # of the rows of a table

DATASETS = {"credit_card": CreditCard, "digits": Digits, "mnist": MNIST, "cifar10": CIFAR10}
DOWNLOADED = ("mnist", "cifar10")  # images that the independent judge sees, too
IMAGES = ("digits", *DOWNLOADED)
NAMES = ("penguins", "Hdma", "Pima", "Chile")  # tables
GENERATORS: dict[str, Callable[[], Generator]] = {
    "kde": KDE,
    "kde_adaptive": lambda: KDE("adaptive"),
    "gaussian_mixture": GaussianMixture,
    "copula": Copula,
    "flow": Flow,
    "vae": VAE,
    "flow_matching": FlowMatching,
    "mmd_gan": MMDGAN,
}
REAL = "real data"
INDEPENDENT = ("imagenet_frechet", "imagenet_precision", "imagenet_recall", "imagenet_min", "imagenet_between")
COLUMNS = {
    "points": ("frechet", "precision", "recall", "copies", "seconds"),
    "images": ("frechet", "precision", "recall", *INDEPENDENT, "copies", "seconds"),
    "tables": ("logistic", "forest", "copies", "seconds"),
}
HEADS = {
    "frechet": "Fréchet",
    "precision": "precision",
    "recall": "recall",
    "imagenet_frechet": "Fréchet (ImageNet)",
    "imagenet_precision": "precision (ImageNet)",
    "imagenet_recall": "recall (ImageNet)",
    "imagenet_min": "smallest class (ImageNet)",
    "imagenet_between": "between classes (ImageNet)",
    "copies": "nearer to training",
    "logistic": "logistic regression",
    "forest": "random forest",
    "seconds": "seconds",
}


def measure(name: str, data: str, seed: int, folder: Path) -> dict[str, float]:
    """Fit a generator to a dataset or a table, and measure it."""

    table = next((table for table in TABLES if table.name == data), None)
    generator = None if name == REAL else with_checkpoint(GENERATORS[name](), folder / f"{data}-{name}-{seed}")

    return of_dataset(generator, data, seed) if table is None else of_table(generator, table, seed)


def with_checkpoint(generator: Generator, path: Path) -> Generator:
    """Return a generator that is trained with checkpoints, if it is trained."""

    if isinstance(generator, Flow):
        return replace(generator, checkpoint=str(path.with_suffix(".pt")))
    return replace(generator, checkpoint=str(path)) if isinstance(generator, VAE | FlowMatching) else generator


def of_dataset(generator: Generator | None, data: str, seed: int) -> dict[str, float]:
    """Measure a generator of points or images: likeness to test points, and nearness to training points."""

    dataset = DATASETS[data]().load(None, 0)
    random = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(dataset.x), generator=random)[:MAX_TRAINING]
    training = dataset.x[rows]
    size = min(SAMPLES, len(dataset.x_test))
    test = dataset.x_test[torch.randperm(len(dataset.x_test), generator=random)[:size]]  # the first of MNIST are easier
    start = time.perf_counter()
    if generator is None:
        drawn = dataset.x[torch.randperm(len(dataset.x), generator=random)[:size]]
    else:
        points = training if generator.space == "data" else training.flatten(1)
        drawn = generator.fit(points, seed).sample(size, seed)
    seconds = time.perf_counter() - start
    if training.dim() == 4:
        drawn = drawn.clamp(0, 1).reshape(size, *training.shape[1:])
    sets = {GENERATOR: drawn, TEST: test}
    likeness = by_judge(judge_for(dataset), sets)
    measured = {name: likeness[name] for name in ("frechet", "precision", "recall")}
    independent = independent_for(data)
    if independent is not None:
        measured |= {f"imagenet_{name}": value for name, value in by_judge(independent, sets).items()}
    if generator is None:
        return measured

    return measured | {"copies": copies(drawn, training, dataset.x_test), "seconds": seconds}


def judge_for(dataset: Dataset) -> Judge:
    """Return the judge of a dataset; for the digits, a network is trained to label them."""

    if dataset.name != "digits":
        return judge_of(dataset)
    return NetworkJudge(Classifier(classes=10, width=8, epochs=20, shift=1).fit(dataset.x, dataset.y, seed=0))


@cache
def independent_for(data: str) -> Judge | None:
    """Return the independent judge of the images of MNIST and CIFAR-10, if its extra is installed."""

    return independent_judge(DATASETS[data]().load(None, 0)) if data in DOWNLOADED else None


def by_judge(judge: Judge, sets: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Compare samples with test points by a judge."""

    found = judged(judge, sets, len(sets[TEST]) // 2, CONFIDENCE, NEIGHBOUR)[0][GENERATOR]
    shares = {name: found["classes"][name] for name in ("min", "between")}

    return shares | {name: found[name] for name in ("frechet", "precision", "recall")}


def copies(drawn: torch.Tensor, training: torch.Tensor, test: torch.Tensor) -> float:
    """Return the share of samples that are nearer to one of k training points than to one of k test points."""

    k, random = min(len(training), len(test)), torch.Generator().manual_seed(0)
    few, others = (x[torch.randperm(len(x), generator=random)[:k]] for x in (training, test))
    to_training, to_test = nearest(drawn, few)[0], nearest(drawn, others)[0]

    return float(((to_training < to_test).double() + (to_training == to_test).double() / 2).mean())


def of_table(generator: Generator | None, table: Table, seed: int) -> dict[str, float]:
    """Measure a generator of tables: the test accuracy of classifiers of its samples, and nearness to training rows."""

    rows = table.rows()
    held_out = np.random.default_rng([seed, 99]).random(len(rows)) < TEST_SHARE
    training, test = rows[~held_out].reset_index(drop=True), rows[held_out].reset_index(drop=True)
    sample, found = training, {}
    if generator is not None:
        start = time.perf_counter()
        prepared = prepare([training], seed, len(training))
        codes = torch.cat(list(prepared.codes))
        drawn = Rows(generator, prepared.encoding).fit(codes, seed).sample(max(2000, len(training)), seed)
        found["seconds"] = time.perf_counter() - start
        sample = prepared.schema.to_table(drawn)
        encode = prepared.encoding.transform
        of_test = prepared.schema.filled(prepared.schema.to_codes(test[[c.name for c in prepared.schema.columns]]))
        found["copies"] = copies(encode(drawn), encode(codes), encode(of_test))

    return {kind: accuracy(kind, sample, test, table.label) for kind in ("logistic", "forest")} | found


def report(records: list[dict[str, Any]]) -> str:
    """Write the means over seeds as tables, one for each dataset."""

    parts = [
        "# Generators, measured alike\n\nWritten by `python -m experiments.generators.choice`; read "
        "[Which generator for what](../../../docs/how_to/generators.md)."
    ]
    for data in dict.fromkeys(record["data"] for record in records):
        columns = COLUMNS["tables" if data in NAMES else "images" if data in DOWNLOADED else "points"]
        found: dict[str, list[Mapping[str, float]]] = {}
        for record in records:
            if record["data"] == data:
                found.setdefault(record["generator"], []).append(record)
        order = [name for name in (REAL, *GENERATORS) if name in found]
        rows = [[name, *(cell(column, found[name]) for column in columns)] for name in order]
        parts.append(f"## {data}\n\n{markdown_table(['', *(HEADS[column] for column in columns)], rows)}")

    return "\n\n".join(parts) + "\n"


def cell(column: str, records: list[Mapping[str, float]]) -> str:
    """Write the mean of a column over the records that have it."""

    values = [record[column] for record in records if column in record]
    if not values:
        return "–"
    if column == "seconds":
        return f"{np.mean(values):.0f}"
    if "frechet" in column:
        return f"{np.mean(values):.3g}"
    return f"{100 * np.mean(values):.1f} %"


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and write the report."""

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = (*DATASETS, *NAMES)
    parser.add_argument("--data", nargs="+", default=everything, choices=everything, metavar="DATA")
    parser.add_argument("--generators", nargs="+", default=(REAL, *GENERATORS), choices=(REAL, *GENERATORS))
    parser.add_argument("--seeds", type=int, default=3, help="of tables; other data have one")
    parser.add_argument("--folder", type=Path, default=Path("outputs/generators/choice"))
    parser.add_argument("--report", action="store_true", help="write the report from the measurements that there are")
    given = parser.parse_args(arguments)
    logging.getLogger("cgm").setLevel(logging.ERROR)
    path = given.folder / "runs.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    records = [json.loads(line) for line in lines]
    done = {(record["data"], record["generator"], record["seed"]) for record in records}
    for data, seed, name in product(given.data, range(given.seeds), given.generators):
        skipped = (seed > 0 and data in DATASETS) or (name == "mmd_gan" and data not in IMAGES)
        skipped = skipped or (data in IMAGES and name in ("kde_adaptive", "flow", "copula"))
        if given.report or skipped or (data, name, seed) in done:
            continue
        try:
            record = {"data": data, "generator": name, "seed": seed, **measure(name, data, seed, given.folder)}
        except ModuleNotFoundError as error:
            parser.error(f"{data}: pip install {error.name}")
        records.append(copy.copy(record))
        given.folder.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(record, flush=True)
    if not records:
        parser.error(f"{path}: there are no measurements")
    write_whole(given.folder / "README.md", report(records).encode())
    print(given.folder / "README.md")


if __name__ == "__main__":
    main()
