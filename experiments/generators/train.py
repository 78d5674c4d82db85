"""Trains a generator, an autoencoder or a classifier on a dataset's training images, and writes the weights.

    python experiments/pretrain.py dataset=mnist what=generator
    python experiments/pretrain.py dataset=mnist what=features
    python experiments/pretrain.py dataset=mnist what=classifier

The weights go to `folder`, from where `generator.pretrained=PATH` or `features.pretrained=PATH` takes them. With
`install=true` they go into the package, in place of those that come with cgm.

A training stops when its minutes are spent (`generator.minutes`, `features.minutes`, `classifier.minutes`). One that
was interrupted goes on from its last checkpoint when the same command is given again.
"""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional

from cgm.data import Dataset
from cgm.data.features.base import Features
from cgm.data.features.pca import PCA
from cgm.utils.models import pretrained
from cgm.utils.models.fitted import Fitted

CONF = Path(__file__).resolve().parents[1] / "conf"


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="pretrain")
def main(config: DictConfig) -> None:
    """Trains what the configuration says."""

    trainings = {"generator": train_generator, "features": train_features, "classifier": train_classifier}
    if config.what not in trainings:
        sys.exit(f"pretrain: error: what={config.what}: use {', '.join(trainings)}")
    try:
        dataset = hydra.utils.instantiate(config.dataset).load(config.data_dir, config.seed)
        if dataset.x.dim() != 4:
            sys.exit(f"pretrain: error: dataset={dataset.name}: holds no images; use mnist, cifar10, digits or npz")
        print(trainings[config.what](config, dataset))
    except (ValueError, OSError) as error:
        sys.exit(f"pretrain: error: {error}")


def train_generator(config: DictConfig, dataset: Dataset) -> Path:
    """Trains the generator of images."""

    checkpoint = str(Path(config.folder) / f"{dataset.name}_generator")
    model = hydra.utils.instantiate(config.generator, pretrained=False, checkpoint=checkpoint)
    model.fit(dataset.x, config.seed)
    # where and how long the training ran is nobody else's business
    plain = replace(model, pretrained=False, checkpoint=None, minutes=None)
    plain.state = model.fitted()
    training = {"seed": config.seed, "images": len(dataset.x), **model.report, "torch": torch.__version__}

    info = {"settings": asdict(plain), "training": training}

    return pretrained.keep(plain, "mmd_gan", dataset.name, dataset.x.shape[1:], info, place(config))


def train_features(config: DictConfig, dataset: Dataset) -> Path:
    """Trains the autoencoder, and compares its code with as many principal components."""

    checkpoint = Path(config.folder) / f"{dataset.name}_autoencoder.checkpoint"
    model = hydra.utils.instantiate(config.features, pretrained=False, checkpoint=str(checkpoint))
    model.fit(dataset.x, config.seed)
    code = model.transform(dataset.x_test)
    halve(model)
    images = model.decode(model.transform(dataset.x_test))
    pca = PCA(model.components).fit(dataset.x, config.seed)
    figures = {
        "test_cross_entropy": float(functional.binary_cross_entropy(images, dataset.x_test)),
        "test_mean_squared_error": float(functional.mse_loss(images, dataset.x_test)),
        "test_accuracy_of_10_neighbours": neighbours(model, dataset),
        "test_accuracy_of_10_neighbours_pca": neighbours(pca, dataset),
        "greatest_change_of_a_code_by_half_precision": float((model.transform(dataset.x_test) - code).abs().max()),
    }

    return pretrained.keep(
        model, "autoencoder", *facts(config, "features", dataset, checkpoint, figures), place(config)
    )


def train_classifier(config: DictConfig, dataset: Dataset) -> Path:
    """Trains the classifier."""

    checkpoint = Path(config.folder) / f"{dataset.name}_classifier.checkpoint"
    model = hydra.utils.instantiate(config.classifier, classes=len(dataset.classes), checkpoint=str(checkpoint))
    model.fit(dataset.x, dataset.y, config.seed)
    before = model.predict(dataset.x_test)
    halve(model)
    after = model.predict(dataset.x_test)
    figures = {
        "test_accuracy": float((after == dataset.y_test).double().mean()),
        "test_images_labelled_otherwise_by_half_precision": int((after != before).sum()),
    }

    return pretrained.keep(
        model, "classifier", *facts(config, "classifier", dataset, checkpoint, figures), place(config)
    )


def place(config: DictConfig) -> Path | None:
    """Tells where the weights go: the folder of the training, or `None` for the package."""

    return None if config.install else Path(config.folder)


def halve(model: Fitted) -> None:
    """Puts what has been trained into half precision."""

    model.state = {name: x.half() for name, x in model.fitted().items()}


def neighbours(features: Features, dataset: Dataset) -> float:
    """Measures how many test images get their class from a vote of the 10 nearest training images, by features."""

    vote = KNeighborsClassifier(10).fit(features.transform(dataset.x), dataset.y)

    return float(vote.score(features.transform(dataset.x_test), dataset.y_test))


def facts(
    config: DictConfig, group: str, dataset: Dataset, checkpoint: Path, figures: dict[str, float]
) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """Returns what `cgm.pretrained.keep` is to write down, and prints the figures."""

    settings = OmegaConf.to_container(config[group], resolve=True)
    settings = {name: value for name, value in settings.items() if name not in ("checkpoint", "pretrained")}
    end = torch.load(checkpoint, weights_only=True)
    training = {
        "seed": config.seed,
        "images": len(dataset.x),
        "steps": end["step"],
        "seconds": round(end["seconds"]),
        "torch": torch.__version__,
    }
    print(*(f"{name}: {value:.6g}" for name, value in figures.items()), sep="\n")

    return dataset.name, tuple(dataset.x.shape[1:]), {"settings": settings, "training": training, "figures": figures}


if __name__ == "__main__":
    main()
