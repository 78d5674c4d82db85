"""The discrete Gaussian noise: its distribution, and that nothing repeats it."""

import random

import numpy as np
import pytest
import torch
from scipy.stats import chi2, kstest, norm

from cgm.privacy.noise import bernoulli_exp, noise

RARE = 1e-7  # probability with which a test of right noise fails


def test_small_scales_have_exactly_the_probabilities_of_the_definition():
    for sigma in (1, 2, 5):
        draws, reach = np.array(noise(15_000, sigma)), 4 * sigma
        support = np.arange(-60 * sigma, 60 * sigma + 1)
        weights = np.exp(-(support**2) / (2 * sigma**2))
        expected = len(draws) * weights / weights.sum()
        inner = np.abs(support) <= reach
        counts = np.array([(draws == y).sum() for y in support[inner]])
        tails = len(draws) - counts.sum(), expected[~inner].sum()
        enough = expected[inner] >= 5
        statistic = ((counts - expected[inner])[enough] ** 2 / expected[inner][enough]).sum()
        assert statistic < chi2.ppf(1 - RARE, enough.sum())
        assert tails[0] < 10 * tails[1] + 20


def test_large_scales_are_gaussian_with_the_stated_deviation_and_independent():
    sigma = 5_600_000
    draws = np.array(noise(40_000, sigma), dtype=float)
    assert (draws == np.rint(draws)).all()
    z = draws / sigma
    assert kstest(z, norm.cdf).pvalue > RARE
    deviation = norm.isf(RARE)
    assert abs(z.mean()) < deviation / np.sqrt(len(z))
    assert abs((z**2).mean() - 1) < deviation * np.sqrt(2 / len(z))
    for lag in (1, 2, 7):
        assert abs((z[lag:] * z[:-lag]).mean()) < deviation / np.sqrt(len(z) - lag)
    assert abs((z[1:] ** 2 - 1) @ (z[:-1] ** 2 - 1) / (2 * len(z))) < deviation / np.sqrt(len(z))
    last = np.bincount((draws.astype(np.int64) % 16), minlength=16)  # the last bits say nothing
    assert ((last - len(z) / 16) ** 2 / (len(z) / 16)).sum() < chi2.ppf(1 - RARE, 15)


def test_no_seed_repeats_the_noise():
    def seeded():
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - the global state, which must have no effect
        torch.manual_seed(0)
        return noise(8, 10**6)

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        assert seeded() != seeded()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def test_exponential_probabilities():
    for numerator, denominator in ((0, 1), (1, 2), (1, 1), (7, 2)):
        share = np.mean([bernoulli_exp(numerator, denominator) for _ in range(20_000)])
        p = np.exp(-numerator / denominator)
        assert abs(share - p) <= norm.isf(RARE) * np.sqrt(p * (1 - p) / 20_000)
    with pytest.raises(ValueError, match="sigma=0"):
        noise(1, 0)
