import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture as Mixture

from cgm.generators import GaussianMixture
from cgm.utils.random import random_state

MEANS = np.array([[0.0, 0.0], [6.0, 2.0], [1.0, 9.0]])
ROOTS = np.array([[[1.0, 0.0], [0.8, 0.3]], [[0.5, 0.0], [0.0, 0.5]], [[0.2, 0.0], [-0.5, 1.0]]])
WEIGHTS = np.array([0.5, 0.3, 0.2])


def planted(n, seed=0):
    rng = np.random.default_rng(seed)
    k = rng.choice(3, size=n, p=WEIGHTS)
    return torch.from_numpy(MEANS[k] + np.einsum("nij,nj->ni", ROOTS[k], rng.standard_normal((n, 2))))


def in_own_units(generator):
    """Weights, means and covariances of a fitted generator, in the units of its points."""

    state = {name: x.numpy() for name, x in generator.state.items()}
    scale = state["scale"]
    return (
        state["weights"],
        state["origin"] + scale * state["means"],
        state["covariances"] * scale[:, None] * scale,
    )


def test_finds_a_planted_mixture():
    weights, means, covariances = in_own_units(GaussianMixture(components=3).fit(planted(20_000), seed=0))
    order = [int(np.argmin(((means - mean) ** 2).sum(1))) for mean in MEANS]

    assert np.allclose(weights[order], WEIGHTS, atol=0.01)
    assert np.allclose(means[order], MEANS, atol=0.05)
    assert np.allclose(covariances[order], ROOTS @ ROOTS.transpose(0, 2, 1), atol=0.1)


def test_one_component_is_the_gaussian_fit():
    x = planted(500)
    _, means, covariances = in_own_units(GaussianMixture(components=1, regularization=1e-9).fit(x, seed=0))

    # In units of the sample standard deviation (N - 1), the variances of the fit (N) stay what they are
    assert np.allclose(means[0], x.mean(0).numpy())
    assert np.allclose(covariances[0], np.cov(x.T.numpy(), bias=True), rtol=1e-6)


def test_samples_what_it_has_fitted():
    generator = GaussianMixture(components=3).fit(planted(3000), seed=0)
    weights, means, covariances = in_own_units(generator)

    sample = generator.sample(100_000, seed=1).numpy()

    for j in range(2):

        def cdf(a, m=means[:, j], v=covariances[:, j, j]):
            grid = np.linspace(a.min(), a.max(), 5000)
            return np.interp(a, grid, norm.cdf((grid[:, None] - m) / np.sqrt(v)) @ weights)

        assert kstest(sample[:, j], cdf).pvalue > 0.01

    centre = weights @ means
    expected = np.einsum("k,kij->ij", weights, covariances + (means - centre)[:, :, None] * (means - centre)[:, None])
    assert np.allclose(np.cov(sample.T), expected, rtol=0.03)


def test_components_are_in_random_order():
    sample = GaussianMixture(components=3).fit(planted(3000), seed=0).sample(3000, seed=1)
    nearest = torch.cdist(sample, torch.from_numpy(MEANS)).argmin(1)

    for part in nearest.split(1000):
        assert np.allclose(part.bincount(minlength=3) / 1000, WEIGHTS, atol=0.05)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_agrees_with_scikit_learn(covariance):
    x = planted(400)
    low, scale = x.min(0).values, x.std(0)
    z = ((x - low) / scale).numpy()
    reference = Mixture(4, covariance_type=covariance, random_state=random_state(3), max_iter=500, n_init=2).fit(z)

    generator = GaussianMixture(components=4, covariance=covariance, restarts=2).fit(x, seed=3)
    expanded = Mixture(4, covariance_type="full", max_iter=1)
    expanded.weights_, expanded.means_ = generator.state["weights"].numpy(), generator.state["means"].numpy()
    expanded.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(generator.state["covariances"].numpy()))

    assert np.allclose(expanded.score_samples(z), reference.score_samples(z), rtol=1e-6)


def test_digits():
    x = torch.from_numpy(load_digits().data)

    sample = GaussianMixture().fit(x, seed=0).sample(2000, seed=1)

    assert ((sample.std(0) == 0) == (x.std(0) == 0)).all()
    assert ((sample.mean(0) - x.mean(0)).abs() <= 0.1 * x.std(0)).all()
    assert torch.isfinite(sample).all()


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scale_does_not_matter(scale):
    x = planted(200)

    sample = GaussianMixture(components=3).fit(x * scale, seed=0).sample(100, seed=1)

    expected = GaussianMixture(components=3).fit(x, seed=0).sample(100, seed=1)
    torch.testing.assert_close(sample / scale, expected, rtol=1e-6, atol=1e-6)


def test_seed_of_the_fit_matters():
    x = torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
    means = [GaussianMixture(components=8).fit(x, seed).state["means"] for seed in (0, 0, 1)]

    assert torch.equal(means[0], means[1])
    assert not torch.equal(means[0], means[2])


def test_too_few_points():
    x = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))

    GaussianMixture(components=5).fit(x, seed=0)
    with pytest.raises(ValueError, match=r"generator.components=6: more than the 5 different points"):
        GaussianMixture(components=6).fit(x.repeat(3, 1), seed=0)


def test_warns_when_it_has_not_converged():
    with pytest.warns(UserWarning, match="generator.iterations=1: the mixture has not converged") as warnings:
        GaussianMixture(components=5, iterations=1).fit(planted(500), seed=0)
    assert len(warnings) == 1


def test_files_without_a_mixture(tmp_path):
    for change, message in [
        ({"weights": lambda x: 2 * x}, "weights are not probabilities"),
        ({"weights": lambda x: x - 0.5}, "weights are not probabilities"),
        ({"covariances": lambda x: -x}, "not positive definite"),
        ({"covariances": lambda x: x + torch.tensor([[0.0, 1e-3], [0.0, 0.0]])}, "not positive definite"),
        ({"scale": lambda x: 0 * x}, "do not belong together"),
        ({"scale": lambda x: -x}, "do not belong together"),
        (dict.fromkeys(("weights", "means", "covariances"), lambda x: x[:1] * 2), "do not belong together"),
    ]:
        generator = GaussianMixture(components=2).fit(planted(100), seed=0)
        generator.state |= {name: function(generator.state[name]) for name, function in change.items()}
        generator.save(tmp_path / "mixture")

        with pytest.raises(ValueError, match=rf"{tmp_path}/mixture: .*{message}"):
            GaussianMixture(components=2).load(tmp_path / "mixture")
