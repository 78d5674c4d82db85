from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from cgm.generators import KDE, GaussianMixture, TrueMixture

CONF = Path(__file__).parents[2] / "conf" / "generator"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("kde", KDE()), ("gaussian_mixture", GaussianMixture()), ("true_mixture", TrueMixture())],
)
def test_builds_the_generator_with_its_defaults_visible(name, expected):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    generator = instantiate(OmegaConf.create({"generator": config}).generator)

    assert type(generator) is type(expected)
    assert repr(generator) == repr(expected)
    assert set(config) == {"_target_", *vars(expected)} - {"fixed"}


@pytest.mark.parametrize(("seed", "reference"), [(5, False), (2, True)])
def test_true_mixture_follows_the_dataset(seed, reference):
    config = OmegaConf.load(CONF / "true_mixture.yaml")
    config = OmegaConf.create({"generator": config, "dataset": {"mixture_seed": seed, "reference": reference}})

    assert repr(instantiate(config.generator)) == repr(TrueMixture(mixture_seed=seed, reference=reference))
