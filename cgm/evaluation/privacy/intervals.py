r"""How well scores separate members from non-members, with confidence intervals."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy  # its subpackages are imported when they are first used
from numpy.typing import NDArray

NEGLIGIBLE = 1e-12  # probability of counts that are left out of a mixture


class Estimate(NamedTuple):
    """A number and its confidence interval.

    Attributes:
        value: The number.
        low, high: The ends of the interval.
    """

    value: float
    low: float
    high: float


def auc(members: NDArray, others: NDArray, confidence: float) -> Estimate:
    r"""Estimate the area under the ROC curve: the probability that a member has a larger score than a non-member.

    Ties count one half. The interval is that of DeLong's variance on the scale of the logit; for areas above 0.99, it
    covers somewhat less than `confidence`. If the variance is zero, as for scores that separate the rows perfectly, it
    is Wilson's for $\min(m, n)$ pairs of a member and a non-member that have no row in common, which is wide.

    Arguments:
        members: The scores of members, of shape $(m)$, $m \geq 2$.
        others: The scores of non-members, of shape $(n)$, $n \geq 2$.
        confidence: The probability with which the interval contains the area.

    References:
        | Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves (DeLong, DeLong &
          Clarke-Pearson, 1988)
        | Fast Implementation of DeLong's Algorithm (Sun & Xu, 2014)

    Example:
        >>> estimate = auc(np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.5]), confidence=0.95)
        >>> round(estimate.value, 4), round(estimate.low, 2), round(estimate.high, 2)
        (0.8889, 0.26, 0.99)
    """

    m, n = len(members), len(others)
    ranks = scipy.stats.rankdata(np.concatenate([members, others]))
    below = (
        ranks[:m] - scipy.stats.rankdata(members)
    ) / n  # (m): for each member the share of non-members with smaller scores
    above = (
        1 - (ranks[m:] - scipy.stats.rankdata(others)) / m
    )  # (n): for each non-member the share of members with larger scores
    value = float(below.mean())
    variance = float(below.var(ddof=1) / m + above.var(ddof=1) / n)
    z = float(scipy.stats.norm.isf((1 - confidence) / 2))
    pairs = min(m, n)
    if variance == 0 and value == 0.5:  # all scores are equal; `binomtest` takes no half counts
        half = z / (2 * math.sqrt(pairs + z**2))
        return Estimate(value, value - half, value + half)
    if variance == 0 or not 0 < value < 1:
        return Estimate(value, *scipy.stats.binomtest(round(value * pairs), pairs).proportion_ci(confidence, "wilson"))

    half = z * math.sqrt(variance) / (value * (1 - value))  # the derivative of the logit is 1 / (p (1 - p))
    return Estimate(
        value,
        float(scipy.special.expit(scipy.special.logit(value) - half)),
        float(scipy.special.expit(scipy.special.logit(value) + half)),
    )


def true_positive_rate(members: NDArray, others: NDArray, rate: float, confidence: float) -> Estimate:
    r"""Estimate the share of members that an attacker finds whose share of false alarms is at most `rate`.

    The attacker guesses that scores above a threshold are members. The threshold of the estimate is the smallest score
    for which at most that share of the non-members is above it.

    The interval accounts for both samples. Of $n$ non-members, the number $K$ whose scores are above the true
    threshold, the $(1 - \text{rate})$-quantile of their distribution, is binomial. The true threshold is then between
    the $K$-th and the $(K + 1)$-th largest score. The numbers of members above these two yield the lower and the upper
    limit of Clopper and Pearson, and the ends of the interval are quantiles of the limits' distributions, mixed over
    $K$: a bootstrap of the threshold that is computed instead of drawn. It covers a little more than `confidence`.
    If there are so few non-members that $K = 0$ is likely (fewer than 370 for a rate of 1 % and a confidence of 95 %),
    no score is known to be above the true threshold, and the lower end is zero.

    Arguments:
        members: The scores of members, of shape $(m)$.
        others: The scores of non-members, of shape $(n)$.
        rate: The false positive rate.
        confidence: The probability with which the interval contains the rate.

    References:
        | Membership Inference Attacks from First Principles (Carlini et al., 2022), for the measure
        | The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial (Clopper & Pearson, 1934)

    Example:
        >>> estimate = true_positive_rate(np.arange(500, 1500), np.arange(1000), rate=0.01, confidence=0.95)
        >>> round(estimate.value, 3), round(estimate.low, 3), round(estimate.high, 3)
        (0.51, 0.477, 0.542)
    """

    m, n = len(members), len(others)
    largest = np.concatenate([[np.inf], -np.sort(-others.astype(np.float64)), [-np.inf]])  # (n + 2), infinity first
    above = m - np.searchsorted(np.sort(members), largest, side="right")  # (n + 2): members above each of them
    value = above[math.floor(rate * n + 1e-9) + 1] / m  # 1e-9: 0.29 * 100 is below 29

    k = np.arange(n + 1)
    weights = scipy.stats.binom.pmf(k, n, rate)
    k = k[weights > NEGLIGIBLE]
    weights = weights[k] / weights[k].sum()
    tail = (1 - confidence) / 2
    low = _mixture_quantile(tail, weights, above[k], m - above[k] + 1)
    high = _mixture_quantile(1 - tail, weights, above[k + 1] + 1, m - above[k + 1])

    return Estimate(float(value), min(low, float(value)), max(high, float(value)))


def _mixture_quantile(q: float, weights: NDArray, a: NDArray, b: NDArray) -> float:
    """Return the q-quantile of a mixture of beta distributions; a = 0 is all mass at 0, and b = 0 all mass at 1."""

    at_0, at_1 = float(weights[a == 0].sum()), float(weights[b == 0].sum())
    if q <= at_0:
        return 0.0
    if q >= 1 - at_1:
        return 1.0
    inner = (a > 0) & (b > 0)
    a, b, weights = a[inner], b[inner], weights[inner]

    return float(
        scipy.optimize.brentq(lambda p: at_0 + weights @ scipy.special.betainc(a, b, p) - q, 0.0, 1.0, xtol=1e-10)
    )


def difference_of_shares(a: NDArray, b: NDArray, confidence: float) -> tuple[float, float]:
    r"""Return the ends of the interval of a difference of two shares, from Wilson's intervals of both.

    Arguments:
        a, b: The outcomes, of shapes $(m)$ and $(n)$, bool; of none, nothing is known.
        confidence: The probability with which the interval contains the difference.

    References:
        Interval Estimation for the Difference between Independent Proportions (Newcombe, 1998), method 10

    Example:
        >>> a, b = np.arange(70) < 56, np.arange(80) < 48  # the example of the paper: 56 of 70 and 48 of 80
        >>> tuple(round(end, 4) for end in difference_of_shares(a, b, confidence=0.95))
        (0.0524, 0.3339)
    """

    if not len(a) or not len(b):
        return -1.0, 1.0
    (p, low_p, high_p), (q, low_q, high_q) = (
        (float(x.mean()), *scipy.stats.binomtest(int(x.sum()), len(x)).proportion_ci(confidence, "wilson"))
        for x in (a, b)
    )
    return (
        float(p - q - math.hypot(p - low_p, high_q - q)),
        float(p - q + math.hypot(high_p - p, q - low_q)),
    )
