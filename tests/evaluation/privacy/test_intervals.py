"""Tests of areas under ROC curves, true positive rates and their intervals."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm
from sklearn.metrics import roc_auc_score, roc_curve

from cgm.evaluation.privacy.intervals import Estimate, auc, true_positive_rate

Z = 1.959963984540054
scores = st.lists(st.integers(-5, 5), min_size=2, max_size=30).map(lambda x: np.array(x, dtype=float))
levels = st.floats(0.01, 0.99)


def delong(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The area and DeLong's variance, from the kernel of all pairs (eq. 2 to 5 of DeLong et al.)."""

    psi = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x])
    by_member, by_other = psi.mean(1), psi.mean(0)
    theta = psi.mean()
    s10 = sum((v - theta) ** 2 for v in by_member) / (len(x) - 1)
    s01 = sum((v - theta) ** 2 for v in by_other) / (len(y) - 1)
    return theta, s10 / len(x) + s01 / len(y)


@given(scores, scores)
def test_auc_and_its_interval_from_all_pairs(x, y):
    theta, variance = delong(x, y)
    found = auc(x, y, 0.95)
    assert found.value == pytest.approx(theta, abs=1e-12)
    assert found.value == pytest.approx(roc_auc_score(np.repeat([1, 0], [len(x), len(y)]), np.concatenate([x, y])))
    assert 0 <= found.low <= found.value <= found.high <= 1
    if variance > 1e-12 and 0 < theta < 1:
        half = Z * math.sqrt(variance) / (theta * (1 - theta))
        for end, sign in ((found.low, -1), (found.high, 1)):
            assert math.log(end / (1 - end)) == pytest.approx(math.log(theta / (1 - theta)) + sign * half, abs=1e-6)


@given(scores, scores)
def test_exchanging_members_and_others_reflects_the_auc(x, y):
    a, b = auc(x, y, 0.9), auc(y, x, 0.9)
    assert (1 - b.value, 1 - b.high, 1 - b.low) == pytest.approx(a, abs=1e-9)


def test_scores_that_separate_perfectly_have_the_interval_of_wilson():
    found = auc(np.arange(10.0, 60.0), np.arange(10.0), 0.95)
    assert found == (1.0, pytest.approx(10 / (10 + Z**2)), 1.0)  # p = 1 of 10 pairs
    for n in (40, 41):
        constant = auc(np.zeros(n), np.zeros(50), 0.95)
        denominator = 1 + Z**2 / n
        half = Z / denominator * math.sqrt(0.25 / n + Z**2 / (4 * n**2))
        assert constant == pytest.approx((0.5, 0.5 - half, 0.5 + half), abs=1e-12)


def slow_rate(x: np.ndarray, y: np.ndarray, rate: float) -> float:
    """The largest share of members above a threshold that at most this share of the others is above."""

    thresholds = [-math.inf, *x, *y]
    return max(np.mean(x > t) for t in thresholds if np.mean(y > t) <= rate + 1e-12)


@given(scores, scores, levels, levels)
def test_true_positive_rate_from_all_thresholds(x, y, rate, confidence):
    found = true_positive_rate(x, y, rate, confidence)
    assert found.value == pytest.approx(slow_rate(x, y, rate), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    fpr, tpr, _ = roc_curve(np.repeat([1, 0], [len(x), len(y)]), np.concatenate([x, y]), drop_intermediate=False)
    assert found.value == pytest.approx(tpr[fpr <= rate + 1e-12].max())


def test_ends_are_quantiles_of_a_mixture():
    """The distribution functions of both limits, from the beta distributions of scipy, at the ends."""

    rng = np.random.default_rng(0)
    x, y, rate = rng.normal(1.0, 1.0, 60), rng.normal(size=50), 0.1
    found = true_positive_rate(x, y, rate, 0.9)
    top = [math.inf, *sorted(y, reverse=True), -math.inf]
    lower = upper = 0.0
    for k in range(51):
        s, t = (x > top[k]).sum(), (x > top[k + 1]).sum()  # the threshold is between the k-th and the next score
        lower += binom.pmf(k, 50, rate) * (1.0 if s == 0 else beta.cdf(found.low, s, 61 - s))
        upper += binom.pmf(k, 50, rate) * (0.0 if t == 60 else beta.cdf(found.high, t + 1, 60 - t))
    assert lower == pytest.approx(0.05, abs=1e-6)
    assert upper == pytest.approx(0.95, abs=1e-6)


def test_few_others_say_nothing_about_a_small_rate():
    x = np.arange(1000.0, 2000.0)
    assert true_positive_rate(x, np.arange(300.0), 0.01, 0.95) == (1.0, 0.0, 1.0)
    assert true_positive_rate(x, np.arange(400.0), 0.01, 0.95).low > 0.99
    assert true_positive_rate(np.arange(300.0), x, 0.01, 0.95).value == 0.0


DISTRIBUTIONS = [(0.0, 1.0), (1.0, 1.0), (2.5, 1.0), (1.0, 3.0)]  # of members; others are standard Gaussian


@pytest.mark.parametrize(("mean", "deviation"), DISTRIBUTIONS)
def test_intervals_cover_the_truth(mean, deviation):
    """In at least 95 % of 300 samples, up to three standard errors of that share."""

    rng, repetitions = np.random.default_rng(1), 300
    area = norm.cdf(mean / math.hypot(1, deviation))
    rate = norm.sf((norm.isf(0.01) - mean) / deviation)
    slack = 3 * math.sqrt(0.05 * 0.95 / repetitions)
    for m, n in ((60, 100), (400, 500)):
        covered = np.zeros(2)
        for _ in range(repetitions):
            x, y = rng.normal(mean, deviation, m), rng.normal(size=n)
            estimates = auc(x, y, 0.95), true_positive_rate(x, y, 0.01, 0.95)
            covered += [each.low <= truth <= each.high for each, truth in zip(estimates, (area, rate), strict=True)]
        assert (covered / repetitions >= 0.95 - slack).all()
        assert covered[0] / repetitions < 1  # and not because they are endless


def test_a_threshold_from_the_sample_widens_the_interval():
    """An interval that takes the threshold as known, such as Wilson's, misses the truth more often."""

    rng, rate, naive, ours = np.random.default_rng(2), norm.sf(norm.isf(0.01) - 2.5), 0, 0
    for _ in range(200):
        x, y = rng.normal(2.5, 1, 1000), rng.normal(size=500)
        found = true_positive_rate(x, y, 0.01, 0.95)
        ours += found.low <= rate <= found.high
        naive += abs(found.value - rate) <= Z * math.sqrt(found.value * (1 - found.value) / 1000)
    assert ours >= 188
    assert naive < 150


def test_rates_that_are_not_exact_in_binary():
    x, y = np.arange(100.0) + 0.5, np.arange(100.0)
    for percent in (7, 29, 57):
        assert true_positive_rate(x, y, percent / 100, 0.95).value == pytest.approx(slow_rate(x, y, percent / 100))


def test_wider_for_more_confidence():
    rng = np.random.default_rng(3)
    x, y = rng.normal(1, 1, 200), rng.normal(size=300)
    for estimate in (lambda c: auc(x, y, c), lambda c: true_positive_rate(x, y, 0.05, c)):
        found: list[Estimate] = [estimate(c) for c in (0.5, 0.9, 0.99)]
        assert all(a.low > b.low and a.high < b.high for a, b in itertools.pairwise(found))
