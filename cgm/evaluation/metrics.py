r"""Measures how close $D_i \cup G_i$ is to $T$ (Sec. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from cgm.utils.checks import check_labels, check_points
from cgm.valuation.mmd import mmd2_unbiased

if TYPE_CHECKING:
    from cgm.valuation.kernels.base import Kernel

KS = (2, 3, 4, 5, 6)  # the neighbours over which Sec. 6 averages
LARGEST = 1e70  # fourth powers of larger coordinates come near the largest double
CLOSEST = 1e-150  # squares of smaller distances come near the smallest double


def neg_mmd2_unbiased(kernel: Kernel, s: Tensor, t: Tensor) -> float:
    r"""Computes minus the unbiased estimate of the squared maximum mean discrepancy of two point sets.

    Arguments:
        kernel: The kernel $k$.
        s: The set $S$, of shape $(s, d)$, at least two points.
        t: The set $T$, of shape $(t, d)$, at least two points.

    References:
        Equation (1).
    """

    return -mmd2_unbiased(kernel, s, t)


def neg_reverse_kl(s: Tensor, t: Tensor, ks: Sequence[int] = KS) -> float:
    r"""Estimates minus the divergence $\text{KL}(S \| T)$ from distances to nearest neighbours.

    .. math:: \widehat{\text{KL}}_k = \frac{1}{N} \sum_{x \in S}
        \left( d \log \frac{\nu_k(x)}{\rho_k(x)} + \log \frac{M_x}{N - 1} \right)

    where $\rho_k(x)$ and $\nu_k(x)$ are the distances of $x$ to its $k$-th nearest neighbour among the
    $N - 1$ other points of $S$ and among the $M_x$ points of $T$ other than $x$. It is averaged over $k$.

    A density has no ties: each distinct point counts once, in $S$ and in $T$, so that no distance is zero. A
    point of $S$ that also stands in $T$ is not its own neighbour there: then $M_x$ is one less.

    Arguments:
        s: The set $S$, of shape $(N, d)$.
        t: The set $T$, of shape $(M, d)$.
        ks: The $k$'s to average over. There must be more distinct points than the largest.

    Raises:
        ValueError: If the widths differ, or one set has too few distinct points.

    References:
        Kullback-Leibler Divergence Estimation of Continuous Distributions (Pérez-Cruz, 2008).

    Example:
        >>> t = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
        >>> round(neg_reverse_kl(t[:500] + 1.0, t), 2)  # the divergence is 1
        -0.92
    """

    s, t = _distinct(_array(s, "reverse KL: s"))[0], _distinct(_array(t, "reverse KL: t"))[0]
    _check_same_width(s, t, "reverse KL")
    _check_ks(ks, s, t)
    nu, _ = cKDTree(t).query(s, k=max(ks) + 1, workers=-1)  # (N, max k + 1)
    inside = nu[:, :1] < CLOSEST  # (N, 1): x itself is the nearest point of T

    return _neg_kl(s, np.where(inside, nu[:, 1:], nu[:, :-1]), len(t) - inside, ks)


class Neighbours:
    r"""Holds the distances of the points of $T$ to their nearest neighbours in $T$, for many subsets $S$.

    `neighbours.neg_reverse_kl(rows)` is `neg_reverse_kl(t[rows], t, ks)`, but what concerns $T$ alone is
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

    def __init__(self, t: Tensor, ks: Sequence[int] = KS) -> None:
        """Finds the neighbours."""

        self._points, self._index = _distinct(_array(t, "reverse KL: t"))
        _check_ks(ks, self._points)
        self._ks = tuple(ks)
        self._nu = cKDTree(self._points).query(self._points, k=max(ks) + 1, workers=-1)[0][:, 1:]

    def neg_reverse_kl(self, rows: Tensor) -> float:
        r"""Estimates $-\text{KL}(S \| T)$ for the subset $S$ that the rows of $T$ make up.

        Arguments:
            rows: The row numbers of $S$ in $T$, of shape $(N)$.

        Raises:
            ValueError: If a row is not one of $T$, or the rows hold too few distinct points.
        """

        rows = torch.as_tensor(rows).cpu().numpy()
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(f"reverse KL: rows must be integers of shape (N), got {rows.dtype} of {rows.shape}")
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self._index):
            raise ValueError(
                f"reverse KL: rows run from {rows.min()} to {rows.max()}, "
                f"but those of T from 0 to {len(self._index) - 1}"
            )
        own = np.unique(self._index[rows])
        s = self._points[own]
        _check_ks(self._ks, s)

        return _neg_kl(s, self._nu[own], np.full((len(s), 1), len(self._points) - 1), self._ks)


class Gaussian(NamedTuple):
    r"""Holds the Gaussian that is fitted to a point set.

    Attributes:
        mean: The mean, of shape $(d)$.
        cov: The unbiased covariance, of shape $(d, d)$.
    """

    mean: NDArray
    cov: NDArray


def fit_gaussian(x: Tensor) -> Gaussian:
    r"""Fits a Gaussian to a point set.

    Arguments:
        x: The points, of shape $(N, d)$, at least two.
    """

    points = _array(x, "Gaussian fit", least=2)
    return Gaussian(points.mean(0), np.atleast_2d(np.cov(points, rowvar=False)))


def neg_wasserstein2(s: Tensor | Gaussian, t: Tensor | Gaussian) -> float:
    r"""Computes minus the squared Wasserstein-2 (Fréchet) distance of the Gaussians fitted to two point sets.

    .. math:: \| \mu_S - \mu_T \|^2 + \text{tr}(\Sigma_S) + \text{tr}(\Sigma_T)
        - 2 \, \text{tr} \left( (\Sigma_S^{1/2} \Sigma_T \Sigma_S^{1/2})^{1/2} \right)

    Arguments:
        s: The set $S$, of shape $(N, d)$, at least two points; or its Gaussian.
        t: The set $T$, of shape $(M, d)$, at least two points; or its Gaussian, which may serve many $S$.

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

    s, t = (x if isinstance(x, Gaussian) else fit_gaussian(x) for x in (s, t))
    _check_same_width(s.cov, t.cov, "Wasserstein-2")
    # The eigenvalues of S^(1/2) T S^(1/2) are the squares of the singular values of S^(1/2) T^(1/2): taking
    # these spares a square root of what may be rounding.
    cross = np.linalg.svd(_root(s.cov) @ _root(t.cov), compute_uv=False).sum()
    distance = ((s.mean - t.mean) ** 2).sum() + np.trace(s.cov) + np.trace(t.cov) - 2 * cross

    return 0.0 - max(float(distance), 0.0)  # rounding may turn a zero distance negative


def neg_class_imbalance(labels: Tensor, n_classes: int) -> float:
    r"""Computes minus the class imbalance $\frac{1}{m} \sum_{y=1}^m p_y^2$ of a labelled point set.

    The text of the paper has lost the square, without which the sum is always $1 / m$.

    Arguments:
        labels: The classes $0, \dots, m - 1$ of the points, of shape $(N)$.
        n_classes: The number of classes $m$.

    Raises:
        ValueError: If there is no label, or a label is not a class.

    Example:
        >>> neg_class_imbalance(torch.tensor([0, 0, 1, 1]), n_classes=2)
        -0.25
    """

    check_labels(labels, "class imbalance: labels", n_classes)
    p = labels.bincount(minlength=n_classes).double() / len(labels)

    return -float(p.square().sum()) / n_classes


def _array(x: Tensor, name: str, least: int = 1) -> NDArray:
    """Returns the points as a float64 array of shape (N, d)."""

    points = check_points(x, name, min=least).detach().flatten(1).double().cpu().numpy()
    if np.abs(points).max() > LARGEST:
        raise ValueError(f"{name}: holds numbers above {LARGEST:g}, standardise the points first")

    return points


def _check_same_width(s: NDArray, t: NDArray, name: str) -> None:
    if s.shape[1] != t.shape[1]:
        raise ValueError(f"{name}: s has {s.shape[1]} columns and t has {t.shape[1]}, they must have as many")


def _distinct(points: NDArray) -> tuple[NDArray, NDArray]:
    """Returns the distinct points and, for each point, its row among them."""

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
    """Averages over ks, given the distances nu in T, of shape (N, max k), and the M_x, of shape (N, 1)."""

    n, d = s.shape
    rho = cKDTree(s).query(s, k=nu.shape[1] + 1, workers=-1)[0][:, 1:]  # (N, max k), without itself
    rho, nu = (np.maximum(distances[:, [k - 1 for k in ks]], CLOSEST) for distances in (rho, nu))

    return 0.0 - float(d * np.log(nu / rho).mean() + np.log(m / (n - 1)).mean())


def _root(cov: NDArray) -> NDArray:
    """Returns the symmetric square root of a covariance."""

    eigenvalues, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(eigenvalues.clip(0)) @ vectors.T
