"""A Gaussian copula with the margins of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import scipy
import torch
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from cgm.generators.base import Generator
from cgm.generators.columns import MARGINS, Margin, check_margins, margin_state, margins_of
from cgm.utils.random import random_state
from cgm.utils.settings import Integer

TERMS = 256  # of Mehler's series, an even number
PAIRS = 5000  # of columns that are processed at once
GRID = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 201))  # correlations that are tried first
REFINEMENTS = 24  # steps that shorten an interval of correlations by a third each
TOLERANCE = 1e-10  # of the diagonal of a correlation matrix


def latent_correlation(x: NDArray) -> NDArray:
    r"""Estimate the correlations of a Gaussian copula, from continuous, discrete and mixed columns alike.

    A column is taken as an increasing function of a latent Gaussian $z_j$. Its score $g_j$ is the mean of the $z_j$
    that lead to the same value: the normal score of a continuous column, or the average normal score of a value that
    is repeated. With $a_{jm}$ the coefficients of $g_j$ in normalised Hermite polynomials, the correlation of scores
    that belongs to a latent correlation $\rho$ is

    .. math:: f_{jk}(\rho) = \sum_{m \geq 1} \frac{a_{jm} a_{km}}{\|g_j\| \|g_k\|} \rho^m

    (Mehler's series), which increases in $\rho$; it is $\rho$ itself for two continuous columns. The estimate is

    .. math:: \hat\rho_{jk} = \operatorname{argmin}_\rho \; N (r_{jk} - f_{jk}(\rho))^2 + \rho^2

    with $r_{jk}$ the correlation of the scores in the data. The last term, that of a standard normal prior, has a
    weight of $1 / N$; it matters where the data say little, as about two rare values that never occur together.

    Arguments:
        x: The points, of shape $(N, d)$.

    Returns:
        The correlations, of shape $(d, d)$; those of constant columns are 0. The matrix need not be positive
        semi-definite, see `nearest_correlation`.

    References:
        | High Dimensional Semiparametric Latent Graphical Model for Mixed Data (Fan, Liu, Ning & Zou, 2017), who solve
          the same kind of equation for ranks
        | The Nonparanormal (Liu, Lafferty & Wasserman, 2009)
    """

    n, d = x.shape
    scores, a = np.empty((n, d)), np.empty((TERMS, d))
    for k in range(d):
        scores[:, k], a[:, k] = normal_scores(x[:, k])
    norms = np.sqrt((scores**2).mean(0))
    norms[norms == 0] = 1.0
    scores, a = scores / norms, a / norms

    ordered = np.sort(scores, axis=0)
    found = scores.T @ scores / n
    maxima, minima = ordered.T @ ordered / n, ordered.T @ ordered[::-1] / n
    result = np.eye(d)
    rows, columns = np.triu_indices(d, 1)
    for start in range(0, len(rows), PAIRS):
        part = slice(start, start + PAIRS)
        i, j = rows[part], columns[part]
        series = mehler_series(a[:, i] * a[:, j], maxima[i, j], minima[i, j])
        result[i, j] = result[j, i] = _solve(series, found[i, j], n)
    varying = (a != 0).any(0)
    result *= np.outer(varying, varying)
    np.fill_diagonal(result, 1.0)

    return result


def normal_scores(x: NDArray) -> tuple[NDArray, NDArray]:
    r"""Compute the scores of a column, and their coefficients in normalised Hermite polynomials.

    With $t_i$ the limits of the $z$ of each value, and $s_i$ the score between $t_{i - 1}$ and $t_i$,

    .. math:: a_m = \int g(z) h_m(z) \varphi(z) dz
        = \frac{1}{\sqrt m} \sum_i (s_{i + 1} - s_i) h_{m - 1}(t_i) \varphi(t_i).

    Arguments:
        x: The column, of shape $(N)$.

    Returns:
        The scores, of shape $(N)$, and $a_1, \dots$, of shape $(\text{TERMS})$; all are 0 for a constant column.
    """

    _, index, counts = np.unique(x, return_inverse=True, return_counts=True)
    t = scipy.special.ndtri(np.cumsum(counts)[:-1] / len(x))
    density = np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
    edges = np.concatenate([[0.0], density, [0.0]])
    s = (edges[:-1] - edges[1:]) * len(x) / counts
    steps = np.diff(s)

    coefficients = np.empty(TERMS)
    before, current = np.zeros_like(t), density  # h_{m - 2} φ and h_{m - 1} φ
    for m in range(1, TERMS + 1):
        coefficients[m - 1] = steps @ current / np.sqrt(m)
        before, current = current, (t * current - np.sqrt(m - 1) * before) / np.sqrt(m)

    return s[index], coefficients


def mehler_series(products: NDArray, maxima: NDArray, minima: NDArray) -> NDArray:
    r"""Compute the coefficients of $f_{jk}$ as a polynomial.

    The terms that are left out have known sums for $\rho = 1$ and $\rho = -1$; these are added to the last two terms,
    so that the polynomial is exact there.

    Arguments:
        products: The products of the coefficients, of shape $(\text{TERMS}, r)$ for $r$ pairs of columns.
        maxima: The largest possible correlations of the scores, of shape $(r)$.
        minima: The smallest possible ones, of shape $(r)$.

    Returns:
        The coefficients from that of $\rho^0$ on, of shape $(\text{TERMS} + 3, r)$.
    """

    series = np.pad(products, ((1, 2), (0, 0)))
    series[-2] = (maxima - minima) / 2 - series[1::2].sum(0)
    series[-1] = (maxima + minima) / 2 - series[2::2].sum(0)

    return series


def _solve(series: NDArray, found: NDArray, n: int) -> NDArray:
    """Find the correlations, of shape (r), for polynomials of shape (k, r) and correlations of scores of shape (r)."""

    def loss(rho: NDArray) -> NDArray:
        return n * (found - polyval(rho, series, tensor=False)) ** 2 + rho**2

    grid = np.vander(GRID, len(series), increasing=True) @ series
    best = (n * (found - grid) ** 2 + GRID[:, None] ** 2).argmin(0)
    low, high = GRID[np.maximum(best - 1, 0)], GRID[np.minimum(best + 1, len(GRID) - 1)]
    for _ in range(REFINEMENTS):
        a, b = (2 * low + high) / 3, (low + 2 * high) / 3
        left = loss(a) < loss(b)
        low, high = np.where(left, low, a), np.where(left, b, high)

    return (low + high) / 2


def nearest_correlation(a: NDArray, max_steps: int = 1000) -> NDArray:
    """Compute the nearest positive semi-definite matrix with unit diagonal, in the Frobenius norm.

    Arguments:
        a: A symmetric matrix, of shape (d, d).
        max_steps: The maximum number of alternating projections; after the last one, the diagonal is scaled to 1.

    References:
        Computing the Nearest Correlation Matrix: a Problem from Finance (Higham, 2002), Algorithm 3.3

    Example:
        >>> a = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
        >>> nearest_correlation(a).round(3)
        array([[ 1. ,  0.5, -0.5],
               [ 0.5,  1. ,  0.5],
               [-0.5,  0.5,  1. ]])
    """

    y, correction = a, np.zeros_like(a)
    for _ in range(max_steps):
        r = y - correction
        values, vectors = np.linalg.eigh(r)
        x = (vectors * values.clip(min=0)) @ vectors.T
        correction = x - r
        if np.abs(np.diag(x) - 1).max() < TOLERANCE:
            break
        y = x.copy()
        np.fill_diagonal(y, 1.0)
    scale = np.sqrt(np.diag(x))
    x = x / np.outer(scale, scale)
    x = (x + x.T) / 2
    np.fill_diagonal(x, 1.0)

    return x


@dataclass(eq=False)
class Copula(Generator):
    r"""Gaussian copula with the empirical distribution of each column, for tables with columns of all kinds.

    A point has the coordinates $x_j = F_j^{-1}(\Phi(z_j))$ with $z \sim N(0, R)$. Each margin $F_j$ is that of the
    data: values of continuous columns are interpolated within their range; values that are repeated, such as zeros,
    integers and codes of categories, occur as often as in the data. See `cgm.generators.columns.Margin`.

    The correlations $R$ are those of the Gaussian $z$. They are estimated for each pair of columns in such a way that
    samples are as correlated as the data, whether columns are continuous, discrete or mixed (see
    `cgm.generators.copula.latent_correlation`); then the nearest correlation matrix is taken (Higham, 2002). A
    constant column stays constant.

    All dependence is that of a Gaussian: clusters and curves of the data are lost. Categories are taken in the order of
    their codes.

    Arguments:
        quantiles: The maximum number of values that are kept of each column.
        pretrained: A file that `save` has written, which is loaded instead of a fit; see `Generator`.

    References:
        | An Introduction to Copulas (Nelsen, 2006), Sec. 2.3
        | Computing the Nearest Correlation Matrix: a Problem from Finance (Higham, 2002)

    Example:
        >>> x = torch.tensor([[0.0, 1.5], [0.0, 2.5], [1.0, 3.5], [1.0, 9.5]])
        >>> sample = Copula().fit(x, seed=0).sample(1000, seed=0)
        >>> sample[:, 0].unique(), bool((sample[:, 1] >= 1.5).all() and (sample[:, 1] <= 9.5).all())
        (tensor([0., 1.]), True)
    """

    quantiles: Annotated[int, Integer(min=2)] = 10_000

    shapes: ClassVar = {**MARGINS, "correlation": ("d", "d")}  # the dtype of the values is that of the points

    def fit(self, x: torch.Tensor, seed: int) -> Copula:
        """Compute margins and correlations of points of shape (N, d); nothing is random."""

        points = self.check_fit(x)
        p = points.double().numpy()
        margins = [Margin.of(column, self.quantiles) for column in p.T]
        with threadpool_limits(1):  # sums depend on the number of threads
            correlation = nearest_correlation(latent_correlation(p))

        self.state = {
            **margin_state(margins, points.dtype),
            "correlation": torch.from_numpy(correlation),
        }

        return self

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check that the tensors describe margins and their correlations."""

        correlation = state["correlation"]
        check_margins(state)
        if not torch.equal(correlation, correlation.mT) or (correlation.diagonal() != 1).any():
            raise ValueError("correlation is not a correlation matrix")
        if float(torch.linalg.eigvalsh(correlation)[0]) < -1e-6:
            raise ValueError("correlation is not positive semi-definite")

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n points."""

        state = self.check_sample(n)
        with threadpool_limits(1):
            values, vectors = np.linalg.eigh(state["correlation"].numpy())
            root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
            levels = scipy.special.ndtr(random_state(seed).standard_normal((n, len(root))) @ root)
        columns = [margin.quantile(levels[:, j]) for j, margin in enumerate(margins_of(state))]

        return torch.from_numpy(np.stack(columns, 1)).to(state["values"].dtype)
