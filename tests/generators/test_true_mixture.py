from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy.stats import chisquare, kstest, norm

from cgm.data.datasets.credit_ratings import mixture, reference_pool
from cgm.generators import TrueMixture

CONF = Path(__file__).parents[2] / "conf" / "generator" / "true_mixture.yaml"
X = torch.rand(10, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("mixture_seed", [2, 7])
def test_draws_from_the_mixture(mixture_seed):
    means, variance = mixture(mixture_seed)
    sample = TrueMixture(mixture_seed).fit(X, seed=0).sample(200_000, seed=1).numpy()

    # Under the density, the posterior of the components adds up to their probabilities, and in each
    # direction there is a mixture in one dimension
    squares = ((sample[:, None] - means) ** 2).sum(2) / (2 * variance)
    posterior = np.exp(squares.min(1, keepdims=True) - squares)
    posterior /= posterior.sum(1, keepdims=True)
    assert abs((posterior * squares).sum(1).mean() - 1) < 0.01  # a half for each of the two dimensions
    assert chisquare(posterior.sum(0)).pvalue > 0.01

    for direction in ([1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, -0.6]):
        a = sample @ direction
        grid = np.linspace(a.min(), a.max(), 5000)
        cdf = norm.cdf((grid[:, None] - means @ direction) / np.sqrt(variance)).mean(1)
        assert kstest(a, lambda a, grid=grid, cdf=cdf: np.interp(a, grid, cdf)).pvalue > 0.01


def test_reference_is_the_pool_for_every_seed():
    generator = TrueMixture(reference=True).fit(X, seed=0)

    assert generator.fixed
    assert not TrueMixture().fixed
    for seed in (0, 1):
        assert np.array_equal(generator.sample(200, seed).numpy(), reference_pool(200))


def test_points_of_other_dimensions():
    with pytest.raises(ValueError, match=r"generator=true_mixture .* dataset=credit_ratings .* points have d = 3"):
        TrueMixture().fit(torch.rand(5, 3), seed=0)


def test_the_reference_has_its_own_mixture():
    with pytest.raises(ValueError, match=r"generator.mixture_seed=3: the reference has mixture_seed=2"):
        TrueMixture(mixture_seed=3, reference=True)


@pytest.mark.parametrize(("seed", "reference"), [(5, False), (2, True)])
def test_the_configuration_follows_the_dataset(seed, reference):
    dataset = {"mixture_seed": seed, "reference": reference}
    config = OmegaConf.create({"generator": OmegaConf.load(CONF), "dataset": dataset})

    assert repr(instantiate(config.generator)) == repr(TrueMixture(mixture_seed=seed, reference=reference))
