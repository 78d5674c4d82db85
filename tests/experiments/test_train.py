from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from cgm.networks import weights as pretrained
from experiments.generators import train

ROOT = Path(__file__).resolve().parents[2]
TINY = ["generator.steps=2", "generator.channels=2", "autoencoder.epochs=1", "autoencoder.width=2"]
TINY += ["encoder.epochs=1", "encoder.width=2"]
TINY += ["classifier.epochs=1", "classifier.width=2", "classifier.minutes=null"]


def composed(*overrides):
    with initialize_config_dir(str(ROOT / "experiments" / "generators"), version_base="1.3"):
        return compose("train", list(overrides))


def test_datasets_have_their_own_settings():
    mnist, cifar10, digits = (composed(f"dataset={dataset}") for dataset in ("mnist", "cifar10", "digits"))
    assert (mnist.classifier.width, cifar10.classifier.width, digits.classifier.width) == (12, 16, 16)
    assert (mnist.classifier.mirror, cifar10.classifier.mirror, digits.classifier.mirror) == (False, True, False)
    assert (mnist.generator.minutes, cifar10.generator.minutes, digits.generator.minutes) == (98, 135, None)
    for config in (mnist, cifar10, digits):
        assert (
            config.generator.pretrained
            is config.autoencoder.pretrained
            is config.encoder.pretrained
            is config.install
            is False
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "what", "figures"),
    [
        (train.train_generator, "mmd_gan", set()),
        (train.train_encoder, "encoder", {"test_accuracy_of_10_neighbours_pixels", "variance_of_the_code"}),
        (train.train_autoencoder, "autoencoder", {"test_mean_squared_error", "max_change_of_a_code_by_half_precision"}),
        (train.train_classifier, "classifier", {"test_accuracy", "test_labels_changed_by_half_precision"}),
    ],
)
def test_weights_are_written_with_their_settings(program, what, figures, tmp_path):
    config = composed("dataset=digits", f"folder={tmp_path}", *TINY)
    digits = instantiate(config.dataset).load(None, 0)
    dataset = replace(digits, x=digits.x[:80], y=digits.y[:80], x_test=digits.x_test[:40], y_test=digits.y_test[:40])

    weights = pretrained.read(program(config, dataset))

    assert weights.path == tmp_path / f"digits_{what}.safetensors"
    assert weights.info["image"] == [1, 8, 8]
    assert figures <= weights.info.get("figures", {}).keys()
    assert {"seed", "images", "steps", "torch"} <= weights.info["training"].keys()
    assert weights.info["settings"].get("checkpoint") is None
    assert str(tmp_path) not in weights.path.with_suffix(".json").read_text()


def test_the_default_folder_of_the_weights():
    config = composed("dataset=digits")
    assert train.target(config) == Path("outputs/training")
    config.install = True
    assert train.target(config) is None
