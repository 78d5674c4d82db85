"""Accounting of Gaussian releases against an independent implementation, and against known numbers."""

import math
import sys

import numpy as np
import pytest
from scipy.stats import norm

from cgm.privacy.accounting import Guarantee, compose, gaussian_delta, gaussian_epsilon, gaussian_mu

DELTA = 1e-5


def test_mu_is_that_of_the_analytic_gaussian_mechanism():
    for epsilon in (0.01, 0.5, 1.0, 3.0, 10.0, 60.0):
        for delta in (1e-12, 1e-5, 1e-2):
            mu = gaussian_mu(epsilon, delta)
            assert gaussian_delta(mu, epsilon) == pytest.approx(delta, rel=1e-7)
            assert gaussian_delta(mu, epsilon) <= delta  # never more than what is stated
            assert gaussian_epsilon(mu, delta) == pytest.approx(epsilon, rel=1e-8)
    # the definition, in plain numbers, where they are large enough
    for mu, epsilon in ((0.3, 0.5), (1.0, 1.0), (2.0, 3.0)):
        plain = norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu)
        assert gaussian_delta(mu, epsilon) == pytest.approx(plain, rel=1e-9)
    assert gaussian_delta(0.0, 1.0) == 0.0
    assert gaussian_epsilon(0.0, DELTA) == 0.0
    assert gaussian_epsilon(1e-6, DELTA) == 0.0  # δ alone is enough


def test_epsilon_is_that_of_dp_accounting():
    distribution = pytest.importorskip("dp_accounting.pld.privacy_loss_distribution")
    # absl would close what pytest captures, as soon as Hydra sets up logging in another test
    pytest.importorskip("absl.logging").get_absl_handler().python_handler.stream = sys.__stderr__
    for mu in (0.142, 0.719, 2.0):
        pld = distribution.from_gaussian_mechanism(1 / mu, value_discretization_interval=1e-3)
        for delta in (1e-8, 1e-5, 1e-3):
            assert gaussian_epsilon(mu, delta) == pytest.approx(pld.get_epsilon_for_delta(delta), abs=1e-3)
    composed = distribution.from_gaussian_mechanism(1 / 0.3, value_discretization_interval=1e-3)
    composed = composed.compose(distribution.from_gaussian_mechanism(1 / 0.4, value_discretization_interval=1e-3))
    assert gaussian_epsilon(compose([0.3, 0.4]), DELTA) == pytest.approx(
        composed.get_epsilon_for_delta(DELTA), abs=1e-3
    )


def test_bounds_of_attacks_are_those_of_two_normal_distributions():
    known = {0.5: (0.014, 0.540), 1.0: (0.020, 0.575), 3.0: (0.054, 0.694), 10.0: (0.37, 0.921)}
    for epsilon, (rate, auc) in known.items():
        guarantee = Guarantee.of(epsilon, DELTA)
        assert guarantee.epsilon == pytest.approx(epsilon, rel=1e-8)
        assert guarantee.true_positives(0.01) == pytest.approx(rate, abs=0.005 if epsilon == 10 else 0.0005)
        assert guarantee.auc == pytest.approx(auc, abs=0.0005)
    random = np.random.default_rng(0)
    guarantee, outside = Guarantee(1.3, DELTA), np.sort(random.standard_normal(400_000))
    inside = guarantee.mu + random.standard_normal(400_000)
    assert (inside > outside[-4000]).mean() == pytest.approx(guarantee.true_positives(0.01), abs=0.006)
    assert np.searchsorted(outside, inside).mean() / 400_000 == pytest.approx(guarantee.auc, abs=0.003)
    assert "at most 2 %" in Guarantee.of(1.0, DELTA).in_words()
    assert "0.575" in Guarantee.of(1.0, DELTA).in_words()


def test_what_is_out_of_range_is_refused():
    for epsilon, delta, named in (
        (0.0, DELTA, "epsilon=0"),
        (101.0, DELTA, "epsilon=101"),
        (math.inf, DELTA, "epsilon=inf"),
        (math.nan, DELTA, "epsilon=nan"),
        (1.0, 0.0, "delta=0"),
        (1.0, 1.0, "delta=1"),
    ):
        with pytest.raises(ValueError, match=named):
            gaussian_mu(epsilon, delta)
    with pytest.raises(ValueError, match="false positive rate=0"):
        Guarantee(1.0, DELTA).true_positives(0.0)
