r"""What a release with Gaussian noise reveals: $\mu$, from $(\varepsilon, \delta)$ and for several releases.

A release with the noise $N(0, (\Delta \sigma)^2 I)$, where $\Delta$ is the largest distance that another row can make,
has $\mu = 1 / \sigma$: whoever sees it can tell two data sets that differ in one row apart as well as $N(0, 1)$ and
$N(\mu, 1)$, and no better. All its pairs $(\varepsilon, \delta)$ follow from $\mu$, and so do bounds on attacks.

References:
    | Improving the Gaussian Mechanism for Differential Privacy: Analytical Calibration and Optimal Denoising (Balle &
      Wang, 2018)
    | Gaussian Differential Privacy (Dong, Roth & Su, 2022)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from cgm.utils.checks import check_number

MAX_EPSILON = 100.0  # beyond, nothing is private
UNIT = "one row replaced by another, with the number of rows known"
RATES = (0.001, 0.01, 0.05, 0.1)  # of false positives, at which the true positives are stated


def gaussian_delta(mu: float, epsilon: float) -> float:
    r"""Compute the smallest $\delta$ with which a release with $\mu$ is $(\varepsilon, \delta)$-private.

    .. math:: \delta = \Phi\left(\frac{\mu}{2} - \frac{\varepsilon}{\mu}\right)
        - e^\varepsilon \Phi\left(-\frac{\mu}{2} - \frac{\varepsilon}{\mu}\right)

    Arguments:
        mu: The parameter $\mu$ of the release.
        epsilon: $\varepsilon \geq 0$.
    """

    from scipy.special import log_ndtr

    if mu == 0:
        return 0.0
    first = float(log_ndtr(mu / 2 - epsilon / mu))
    second = epsilon + float(log_ndtr(-mu / 2 - epsilon / mu))
    return -math.exp(first) * math.expm1(min(second - first, 0.0))


@cache
def gaussian_mu(epsilon: float, delta: float) -> float:
    r"""Compute the $\mu$ of a Gaussian release that is exactly $(\varepsilon, \delta)$-private; the noise is $1 / \mu$.

    Arguments:
        epsilon: $\varepsilon$, above 0 and at most 100.
        delta: $\delta$, between 0 and 1.

    Raises:
        ValueError: If one of them is out of range.

    Example:
        >>> round(gaussian_mu(1.0, 1e-5), 4)
        0.2681
    """

    from scipy.optimize import brentq

    check_number("epsilon", epsilon, 0.0, MAX_EPSILON, open_min=True)
    check_number("delta", delta, 0.0, 1.0, open_min=True, open_max=True)
    high = 1.0
    while gaussian_delta(high, epsilon) < delta:
        high *= 2
    low = high / 2
    while gaussian_delta(low, epsilon) >= delta:
        low /= 2
    root = float(brentq(lambda mu: gaussian_delta(mu, epsilon) - delta, low, high, xtol=1e-14, rtol=1e-13))
    return root * (1 - 1e-10)  # so that the error of the root does not count


def gaussian_epsilon(mu: float, delta: float) -> float:
    r"""Compute the smallest $\varepsilon$ with which a release with $\mu$ is $(\varepsilon, \delta)$-private.

    Example:
        >>> round(gaussian_epsilon(gaussian_mu(1.0, 1e-5), 1e-5), 6)
        1.0
    """

    from scipy.optimize import brentq

    check_number("mu", mu, 0.0)
    check_number("delta", delta, 0.0, 1.0, open_min=True, open_max=True)
    if gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    high = 1.0
    while gaussian_delta(mu, high) > delta:
        high *= 2
    return float(brentq(lambda epsilon: gaussian_delta(mu, epsilon) - delta, 0.0, high, xtol=1e-12))


def compose(mus: Iterable[float]) -> float:
    r"""Return the $\mu$ of several releases of the same rows together, $\sqrt{\sum_k \mu_k^2}$.

    Example:
        >>> compose([0.3, 0.4])
        0.5
    """

    return math.hypot(*mus)


@dataclass(frozen=True)
class Guarantee:
    r"""What is guaranteed to a party whose rows were released once or several times, with Gaussian noise.

    Attributes:
        mu: The parameter $\mu$ of all releases together.
        delta: $\delta$.
    """

    mu: float
    delta: float

    @classmethod
    def of(cls, epsilon: float, delta: float) -> Guarantee:
        r"""Return the guarantee of one release that is $(\varepsilon, \delta)$-private."""

        return cls(gaussian_mu(epsilon, delta), delta)

    @property
    def epsilon(self) -> float:
        r"""The smallest $\varepsilon$, for $\delta$."""

        return gaussian_epsilon(self.mu, self.delta)

    @property
    def auc(self) -> float:
        r"""The largest area under the ROC curve that an attack can have, $\Phi(\mu / \sqrt 2)$."""

        from scipy.special import ndtr

        return float(ndtr(self.mu / math.sqrt(2)))

    def true_positives(self, false_positives: float) -> float:
        r"""Return the largest true positive rate of an attack at a false positive rate, $\Phi(\Phi^{-1}(f) + \mu)$.

        An attack says of a row whether it is in the data or another one in its place.

        Example:
            >>> round(Guarantee.of(1.0, 1e-5).true_positives(0.01), 3)
            0.02
        """

        from scipy.special import ndtr, ndtri

        check_number("false positive rate", false_positives, 0.0, 1.0, open_min=True, open_max=True)
        return float(ndtr(ndtri(false_positives) + self.mu))

    def in_words(self) -> str:
        """Say in a sentence how well an attack can do at best."""

        rate = 100 * self.true_positives(0.01)
        share = f"{rate:.2g}" if rate < 99 else f"{rate:.0f}"  # not 1e+02
        return (
            f"whoever guesses whether a given row is in the data, and is wrong for 1 % of the rows that are not, is "
            f"right for at most {share} % of those that are (guessing: 1 %); the area under the ROC curve is at "
            f"most {self.auc:.3f} (guessing: 0.5)"
        )
