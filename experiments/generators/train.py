"""Training of a generator, an autoencoder, an encoder or a classifier on the training images of a dataset.

    python -m experiments.generators.train dataset=mnist what=generator
    python -m experiments.generators.train dataset=mnist what=autoencoder
    python -m experiments.generators.train dataset=mnist what=encoder
    python -m experiments.generators.train dataset=mnist what=classifier

The weights go to `folder`, from where `generator.pretrained=PATH` or `features.pretrained=PATH` loads them. With
`install=true` they go into the package and replace those that come with cgm.

A training ends when its minutes are over (`generator.minutes`, `encoder.minutes` and so on). The same
command resumes an interrupted training from its last checkpoint.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional

from cgm.data.datasets.base import Dataset
from cgm.data.features.autoencoder import Autoencoder
from cgm.data.features.base import Features
from cgm.data.features.linear import PCA
from cgm.networks import weights as pretrained
from cgm.networks.classifier import Classifier
from cgm.networks.fitted import Fitted
from experiments.settings import as_dict, program


@program("generators/train.yaml")
def main(config: DictConfig) -> None:
    """Train what the configuration asks for, and print the path of the weights."""

    trainings = {
        "generator": train_generator,
        "autoencoder": train_autoencoder,
        "encoder": train_encoder,
        "classifier": train_classifier,
    }
    try:
        if config.what not in trainings:
            raise ValueError(f"what={config.what}: expected one of {', '.join(trainings)}")
        dataset = instantiate(config.dataset).load(config.data_dir, config.seed)
        if dataset.x.dim() != 4:
            raise ValueError(f"dataset={dataset.name}: has no images; use mnist, cifar10, digits or npz")
        print(trainings[config.what](config, dataset))
    except (ValueError, OSError) as error:
        sys.exit(f"experiments.generators.train: error: {error}")


def train_generator(config: DictConfig, dataset: Dataset) -> Path:
    """Train the generator of images."""

    checkpoint = Path(config.folder) / f"{dataset.name}_generator.checkpoint"
    model = instantiate(config.generator, pretrained=False, checkpoint=str(checkpoint))
    model.fit(dataset.x, config.seed)
    settings = asdict(replace(model, checkpoint=None, minutes=None))  # do not publish paths or timings
    info = {"settings": settings, "training": training_of(config, model, dataset)}

    return pretrained.keep(model, "mmd_gan", dataset.name, dataset.x.shape[1:], info, target(config))


def train_autoencoder(config: DictConfig, dataset: Dataset) -> Path:
    """Train the autoencoder, and compare its code with the same number of principal components."""

    checkpoint = Path(config.folder) / f"{dataset.name}_autoencoder.checkpoint"
    model = instantiate(config.autoencoder, pretrained=False, checkpoint=str(checkpoint))
    model.fit(dataset.x, config.seed)
    change = halve_features(model, dataset.x_test)
    images = model.decode(model.transform(dataset.x_test))
    pca = PCA(model.components).fit(dataset.x, config.seed)
    figures = {
        "test_cross_entropy": float(functional.binary_cross_entropy(images, dataset.x_test)),
        "test_mean_squared_error": float(functional.mse_loss(images, dataset.x_test)),
        "test_accuracy_of_10_neighbours": neighbour_accuracy(model.transform, dataset),
        "test_accuracy_of_10_neighbours_pca": neighbour_accuracy(pca.transform, dataset),
        "max_change_of_a_code_by_half_precision": change,
    }

    return keep(config, "autoencoder", model, dataset, figures)


def train_encoder(config: DictConfig, dataset: Dataset) -> Path:
    """Train the encoder, and compare its features with pixels and with those of the other networks of cgm."""

    checkpoint = Path(config.folder) / f"{dataset.name}_encoder.checkpoint"
    model = instantiate(config.encoder, pretrained=False, checkpoint=str(checkpoint))
    model.fit(dataset.x, config.seed)
    change = halve_features(model, dataset.x_test)
    compared: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "": model.features,
        "_code": model.transform,
        "_pixels": lambda x: x.flatten(1),
    }
    autoencoder, classifier = (pretrained.find(what, dataset.x.shape[1:]) for what in ("autoencoder", "classifier"))
    if autoencoder is not None:
        compared["_autoencoder"] = Autoencoder(pretrained=str(autoencoder.path)).fit(dataset.x, config.seed).transform
    if classifier is not None:
        compared["_classifier"] = Classifier.of(classifier).features
    accuracies = {
        f"test_accuracy_of_10_neighbours{name}": neighbour_accuracy(features, dataset)
        for name, features in compared.items()
    }
    figures = {
        **accuracies,
        "variance_of_the_code": float(model.transform(dataset.x).var(0, correction=0).sum()),
        "max_change_of_a_code_by_half_precision": change,
    }

    return keep(config, "encoder", model, dataset, figures)


def train_classifier(config: DictConfig, dataset: Dataset) -> Path:
    """Train the classifier."""

    checkpoint = Path(config.folder) / f"{dataset.name}_classifier.checkpoint"
    model = instantiate(config.classifier, classes=len(dataset.classes), checkpoint=str(checkpoint))
    model.fit(dataset.x, dataset.y, config.seed)
    before = model.predict(dataset.x_test)
    halve(model)
    after = model.predict(dataset.x_test)
    figures = {
        "test_accuracy": float((after == dataset.y_test).double().mean()),
        "test_labels_changed_by_half_precision": int((after != before).sum()),
    }

    return keep(config, "classifier", model, dataset, figures)


def keep(config: DictConfig, name: str, model: Fitted, dataset: Dataset, figures: dict[str, float]) -> Path:
    """Write the weights with their settings and figures, and print the figures."""

    settings = {k: v for k, v in as_dict(config[name]).items() if k not in ("checkpoint", "pretrained")}
    info = {"settings": settings, "training": training_of(config, model, dataset), "figures": figures}
    print(*(f"{figure}: {value:.6g}" for figure, value in figures.items()), sep="\n")

    return pretrained.keep(model, name, dataset.name, dataset.x.shape[1:], info, target(config))


def training_of(config: DictConfig, model: Any, dataset: Dataset) -> dict[str, Any]:
    """Describe the training of a model."""

    return {"seed": config.seed, "images": len(dataset.x), **model.report, "torch": torch.__version__}


def target(config: DictConfig) -> Path | None:
    """Return the folder of the weights, or `None` for the package."""

    return None if config.install else Path(config.folder)


def halve(model: Fitted) -> None:
    """Convert the weights of a model to half precision."""

    model.state = {name: x.half() for name, x in model.fitted().items()}


def halve_features(model: Features, images: torch.Tensor) -> float:
    """Convert the weights of features to half precision, and return the largest change of a feature of some images."""

    before = model.transform(images)
    halve(model)

    return float((model.transform(images) - before).abs().max())


def neighbour_accuracy(features: Callable[[torch.Tensor], torch.Tensor], dataset: Dataset) -> float:
    """Return the accuracy on test images of a vote of the 10 nearest training images, in some features."""

    vote = KNeighborsClassifier(10).fit(features(dataset.x).float(), dataset.y)

    return float(vote.score(features(dataset.x_test).float(), dataset.y_test))


if __name__ == "__main__":
    main()
