"""Labelled points as arrays, for scikit-learn and SciPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cgm.evaluation.entries import MetricRow, Missing
from cgm.rewards.sampling import Reward
from cgm.utils.checks import check_labels, check_points
from cgm.valuation.kernels import Kernel
from cgm.valuation.mmd import mmd2_unbiased
from cgm.valuation.valuation import Valuation

Labelled: TypeAlias = "tuple[torch.Tensor, torch.Tensor]"  # points (N, d) and their classes (N)
Arrays = tuple[NDArray, NDArray]  # the same as arrays


def flat_array(x: torch.Tensor) -> NDArray:
    """Return points as a float64 array of shape (N, d)."""

    return x.detach().flatten(1).double().cpu().numpy()


def labelled_arrays(x: torch.Tensor, y: torch.Tensor, name: str, width: Sequence[int] | None = None) -> Arrays:
    """Check labelled points and return them as arrays of shapes (N, d) and (N).

    Arguments:
        x: The points, of shape (N, d) or, for images, (N, C, H, W).
        y: Their classes, of shape (N).
        name: What the points are called in an error.
        width: The shape of a single point, such as (d,). Any, if `None`.

    Raises:
        ValueError: If points or classes are invalid, or do not fit each other or the width.
    """

    check_points(x, name)
    check_labels(y, f"{name}, labels")
    if len(x) != len(y):
        raise ValueError(f"{name}: {len(x)} points but {len(y)} labels, each point needs one")
    if width is not None and x.shape[1:] != torch.Size(width):
        raise ValueError(f"{name}: points of shape {tuple(x.shape[1:])} where {tuple(width)} is expected")

    return flat_array(x), y.detach().cpu().numpy()


KS = (2, 3, 4, 5, 6)  # the numbers of neighbours over which Sec. 6 averages
MAX_COORDINATE = 1e70  # the fourth powers of larger coordinates come near the largest double
MIN_DISTANCE = 1e-150  # the squares of smaller distances come near the smallest double


def neg_mmd2_unbiased(kernel: Kernel, s: torch.Tensor, t: torch.Tensor) -> float:
    r"""Compute minus the unbiased estimate of the squared maximum mean discrepancy of two point sets.

    Arguments:
        kernel: The kernel $k$.
        s: The set $S$, of shape $(s, d)$, at least two points.
        t: The set $T$, of shape $(t, d)$, at least two points.

    References:
        Equation (1).
    """

    return -mmd2_unbiased(kernel, s, t)


def neg_reverse_kl(s: torch.Tensor, t: torch.Tensor, ks: Sequence[int] = KS) -> float:
    r"""Estimate minus the divergence $\text{KL}(S \| T)$ from distances to nearest neighbours.

    .. math:: \widehat{\text{KL}}_k = \frac{1}{N} \sum_{x \in S}
        \left( d \log \frac{\nu_k(x)}{\rho_k(x)} + \log \frac{M_x}{N - 1} \right)

    where $\rho_k(x)$ and $\nu_k(x)$ are the distances of $x$ to its $k$-th nearest neighbour among the
    $N - 1$ other points of $S$ and among the $M_x$ points of $T$ other than $x$. It is averaged over $k$.

    A density has no ties: each distinct point counts once, in $S$ and in $T$, so that no distance is zero. A
    point of $S$ that is also in $T$ is not its own neighbour there: then $M_x$ is smaller by one.

    Arguments:
        s: The set $S$, of shape $(N, d)$.
        t: The set $T$, of shape $(M, d)$.
        ks: The $k$'s to average over. Each set needs more distinct points than the largest $k$.

    Raises:
        ValueError: If the widths differ, or one set has too few distinct points.

    References:
        Kullback-Leibler Divergence Estimation of Continuous Distributions (Pérez-Cruz, 2008).

    Example:
        >>> t = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
        >>> round(neg_reverse_kl(t[:500] + 1.0, t), 2)  # the divergence is 1
        -0.92
    """

    x, y = _distinct(_array(s, "reverse KL: s"))[0], _distinct(_array(t, "reverse KL: t"))[0]
    _check_same_width(x, y, "reverse KL")
    _check_ks(ks, x, y)
    nu, _ = cKDTree(y).query(x, k=max(ks) + 1, workers=-1)  # (N, max k + 1)
    inside = nu[:, :1] < MIN_DISTANCE  # (N, 1): x itself is the nearest point of T

    return _neg_kl(x, np.where(inside, nu[:, 1:], nu[:, :-1]), len(y) - inside, ks)


class Neighbours:
    r"""The distances of the points of $T$ to their nearest neighbours in $T$, for many subsets $S$.

    `neighbours.neg_reverse_kl(rows)` equals `neg_reverse_kl(t[rows], t, ks)`, but the distances within $T$ are
    computed once.

    Arguments:
        t: The set $T$, of shape $(M, d)$.
        ks: The $k$'s to average over.

    Raises:
        ValueError: If $T$ has too few distinct points.

    Example:
        >>> t = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
        >>> neighbours = Neighbours(t)
        >>> neighbours.neg_reverse_kl(torch.arange(500)) == neg_reverse_kl(t[:500], t)
        True
    """

    def __init__(self, t: torch.Tensor, ks: Sequence[int] = KS) -> None:
        self._points, self._index = _distinct(_array(t, "reverse KL: t"))
        _check_ks(ks, self._points)
        self._ks = tuple(ks)
        self._nu = cKDTree(self._points).query(self._points, k=max(ks) + 1, workers=-1)[0][:, 1:]

    def neg_reverse_kl(self, rows: torch.Tensor) -> float:
        r"""Estimate $-\text{KL}(S \| T)$ for a subset $S$ of $T$.

        Arguments:
            rows: The row numbers of $S$ in $T$, of shape $(N)$.

        Raises:
            ValueError: If a row is not in $T$, or there are too few distinct points.
        """

        index = torch.as_tensor(rows).cpu().numpy()
        if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
            raise ValueError(f"reverse KL: rows must be integers of shape (N), got {index.dtype} of {index.shape}")
        if index.size and not 0 <= index.min() <= index.max() < len(self._index):
            raise ValueError(
                f"reverse KL: rows run from {index.min()} to {index.max()}, "
                f"but those of T from 0 to {len(self._index) - 1}"
            )
        own = np.unique(self._index[index])
        s = self._points[own]
        _check_ks(self._ks, s)

        return _neg_kl(s, self._nu[own], np.full((len(s), 1), len(self._points) - 1), self._ks)


class Gaussian(NamedTuple):
    r"""The Gaussian fitted to a point set.

    Attributes:
        mean: The mean, of shape $(d)$.
        cov: The unbiased covariance, of shape $(d, d)$.
    """

    mean: NDArray
    cov: NDArray


def fit_gaussian(x: torch.Tensor) -> Gaussian:
    r"""Fit a Gaussian to a point set.

    Arguments:
        x: The points, of shape $(N, d)$, at least two.
    """

    points = _array(x, "Gaussian fit", min_points=2)
    return Gaussian(points.mean(0), np.atleast_2d(np.cov(points, rowvar=False)))


def neg_wasserstein2(s: torch.Tensor | Gaussian, t: torch.Tensor | Gaussian) -> float:
    r"""Compute minus the squared Wasserstein-2 (Fréchet) distance of the Gaussians fitted to two point sets.

    .. math:: \| \mu_S - \mu_T \|^2 + \text{tr}(\Sigma_S) + \text{tr}(\Sigma_T)
        - 2 \, \text{tr} \left( (\Sigma_S^{1/2} \Sigma_T \Sigma_S^{1/2})^{1/2} \right)

    Arguments:
        s: The set $S$, of shape $(N, d)$, at least two points; or its Gaussian.
        t: The set $T$, of shape $(M, d)$, at least two points; or its Gaussian, to be fitted once for many $S$.

    Raises:
        ValueError: If the widths differ, or one set has fewer than two points.

    References:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium
        (Heusel et al., 2017).

    Example:
        >>> t = torch.tensor([[0.0], [1.0], [2.0]])
        >>> neg_wasserstein2(t + 3.0, t)
        -9.0
    """

    p, q = (x if isinstance(x, Gaussian) else fit_gaussian(x) for x in (s, t))
    _check_same_width(p.cov, q.cov, "Wasserstein-2")
    # The eigenvalues of S^(1/2) T S^(1/2) are the squares of the singular values of S^(1/2) T^(1/2), which need no
    # square root of eigenvalues that may be zero but for rounding.
    cross = np.linalg.svd(_root(p.cov) @ _root(q.cov), compute_uv=False).sum()
    distance = ((p.mean - q.mean) ** 2).sum() + np.trace(p.cov) + np.trace(q.cov) - 2 * cross

    return 0.0 - max(float(distance), 0.0)  # rounding may turn a zero distance negative


def neg_class_imbalance(labels: torch.Tensor, n_classes: int) -> float:
    r"""Compute minus the class imbalance $\frac{1}{m} \sum_{y=1}^m p_y^2$ of a labelled point set.

    The paper's text omits the square, without which the result is always $1 / m$.

    Arguments:
        labels: The classes $0, \dots, m - 1$ of the points, of shape $(N)$.
        n_classes: The number of classes $m$.

    Raises:
        ValueError: If there are no labels, or a label is not a class.

    Example:
        >>> neg_class_imbalance(torch.tensor([0, 0, 1, 1]), n_classes=2)
        -0.25
    """

    check_labels(labels, "class imbalance: labels", n_classes)
    p = labels.bincount(minlength=n_classes).double() / len(labels)

    return -float(p.square().sum()) / n_classes


def _array(x: torch.Tensor, name: str, min_points: int = 1) -> NDArray:
    """Check points and return them as a float64 array of shape (N, d)."""

    points = flat_array(check_points(x, name, min=min_points))
    if np.abs(points).max() > MAX_COORDINATE:
        raise ValueError(f"{name}: has numbers above {MAX_COORDINATE:g}; standardise the points first")

    return points


def _check_same_width(s: NDArray, t: NDArray, name: str) -> None:
    if s.shape[1] != t.shape[1]:
        raise ValueError(f"{name}: s has {s.shape[1]} columns and t has {t.shape[1]}, expected the same number")


def _distinct(points: NDArray) -> tuple[NDArray, NDArray]:
    """Return the distinct points and, for each point, its row among them."""

    distinct, index = np.unique(points + 0.0, axis=0, return_inverse=True)  # + 0.0 turns -0.0 into 0.0
    return distinct, index.reshape(-1)


def _check_ks(ks: Sequence[int], *sets: NDArray) -> None:
    if len(ks) == 0 or min(ks) < 1:
        raise ValueError(f"reverse KL: ks={list(ks)} must be positive numbers of neighbours")
    for points in sets:
        if len(points) <= max(ks):
            raise ValueError(
                f"reverse KL: {max(ks)} neighbours need {max(ks) + 1} or more distinct points, not {len(points)}"
            )


def _neg_kl(s: NDArray, nu: NDArray, m: NDArray, ks: Sequence[int]) -> float:
    """Average over ks, given the distances nu in T, of shape (N, max k), and the M_x, of shape (N, 1)."""

    n, d = s.shape
    rho = cKDTree(s).query(s, k=nu.shape[1] + 1, workers=-1)[0][:, 1:]  # (N, max k), without itself
    rho, nu = (np.maximum(distances[:, [k - 1 for k in ks]], MIN_DISTANCE) for distances in (rho, nu))

    return 0.0 - float(d * np.log(nu / rho).mean() + np.log(m / (n - 1)).mean())


def _root(cov: NDArray) -> NDArray:
    """Return the symmetric square root of a covariance."""

    eigenvalues, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(eigenvalues.clip(0)) @ vectors.T


NO_LABELS = "the synthetic points have no labels (labeller=none)"
CORRELATED = (  # metrics that are correlated with α
    "neg_mmd2_unbiased",
    "neg_reverse_kl",
    "neg_wasserstein2",
    "neg_class_imbalance",
    "size",
    "accuracy",
)


def measure(
    valuation: Valuation,
    chains: Sequence[Reward],
    y: Sequence[torch.Tensor],
    labels: torch.Tensor | None,
    n_classes: int,
) -> tuple[list[MetricRow], list[Missing]]:
    r"""Measure how close each $D_i \cup G_i$ is to $T$ (Sec. 6), and its size and value.

    Arguments:
        valuation: The valuation of $T$.
        chains: The rewards.
        y: The classes of the parties' points, each of shape $(N_i)$.
        labels: The classes of the pool's points, of shape $(|G|)$; `None` if they have none.
        n_classes: The number of classes $m$.

    Returns:
        A row for each reward and metric, and an entry for each value that could not be computed.
    """

    points = valuation.points.cpu()
    gaussian = fit_gaussian(points)
    first = valuation.block(valuation.n).start
    neighbours: Neighbours | ValueError
    try:
        neighbours = Neighbours(points)
    except ValueError as error:
        neighbours = error

    def reverse_kl(rows: torch.Tensor) -> float:
        if isinstance(neighbours, ValueError):
            raise neighbours
        return neighbours.neg_reverse_kl(rows)

    def imbalance(chain: Reward) -> float:
        if labels is None:
            raise ValueError(NO_LABELS)
        return neg_class_imbalance(torch.cat([y[chain.party], labels[chain.indices]]), n_classes)

    def wasserstein2(rows: torch.Tensor) -> float:
        return neg_wasserstein2(points[rows], gaussian)

    metrics: dict[str, Callable[[Reward, torch.Tensor], float | None]] = {
        "size": lambda chain, rows: len(chain.indices),
        "value": lambda chain, rows: chain.value,
        "increasing": lambda chain, rows: chain.increasing,
        "neg_mmd2_unbiased": lambda chain, rows: -chain.mmd2_unbiased,
        "neg_reverse_kl": lambda chain, rows: reverse_kl(rows),
        "neg_wasserstein2": lambda chain, rows: wasserstein2(rows),
        "neg_class_imbalance": lambda chain, rows: imbalance(chain),
    }
    table, missing = [], []
    for chain in chains:
        block = valuation.block(chain.party)
        rows = torch.cat([torch.arange(block.start, block.stop), first + chain.indices])  # of D_i ∪ G_i in T
        for name, compute in metrics.items():
            reason = "no point was accepted"
            try:
                value = compute(chain, rows)
            except ValueError as error:
                value, reason = None, str(error)
            table.append(MetricRow(chain.party, chain.beta, name, value))
            if value is None:
                missing.append(Missing(chain.party, chain.beta, name, reason))

    return table, missing


def by_beta(table: Sequence[MetricRow], betas: Sequence[float], n: int) -> dict[str, list[list[float | None]]]:
    r"""Arrange the metrics that are correlated with $\alpha$ as a row for each $\beta$ and a value for each party.

    Arguments:
        table: The metrics of all parties and $\beta$.
        betas: The inverse temperatures $\beta$.
        n: The number of parties.
    """

    values = {(row.party, row.beta, row.metric): row.value for row in table}
    return {metric: [[values[i, beta, metric] for i in range(n)] for beta in betas] for metric in CORRELATED}
