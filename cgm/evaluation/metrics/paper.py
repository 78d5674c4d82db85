r"""The metrics of the paper (Sec. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cgm.evaluation.labelled import NO_LABELS, flat_array
from cgm.evaluation.metrics.base import MaxPoints, Metric, PointSet, thinned
from cgm.utils.checks import check_labels, check_points
from cgm.utils.settings import Integer, Listed
from cgm.valuation.kernels import Kernel
from cgm.valuation.lengthscale import median_distance
from cgm.valuation.mmd import block_sums, cross_sums, mmd2_unbiased, unbiased

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

    labels = check_labels(labels, "class imbalance: labels", n_classes)
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

    order = np.lexsort(points.T[::-1])  # a fraction of the time of np.unique
    ordered = points[order] + 0.0  # turns -0.0 into 0.0
    first = np.append(True, (ordered[1:] != ordered[:-1]).any(1))
    index = np.empty(len(points), dtype=np.int64)
    index[order] = np.cumsum(first) - 1
    return ordered[first], index


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


@dataclass(frozen=True)
class MMD2Unbiased(Metric):
    r"""The unbiased estimate of the squared maximum mean discrepancy, equation (1).

    Arguments:
        kernel: The kernel. `None`: that of the valuation, with its length-scale. The length-scale of another kernel is
            a number or `"median"`, the median distance of the points of $T$.
        max_points: With another kernel, the number of points of each set that are used at most; if there are more,
            evenly spaced ones. No limit, if `None`.

    Raises:
        ValueError: If a setting is out of range.

    References:
        A Kernel Two-Sample Test (Gretton et al., 2012).
    """

    higher_is_better: ClassVar[bool] = False
    kernel: Kernel | None = None
    max_points: MaxPoints = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel is not None and self.kernel.lengthscale in ("fit", "fit_monotone"):
            raise ValueError(
                f"metric.kernel.lengthscale={self.kernel.lengthscale}: expected a number or median; the rule is for "
                "the kernel of the valuation"
            )

    def measure(self, s: PointSet, t: PointSet) -> float:
        """Estimate the discrepancy; with the kernel of the valuation, the sampling of the reward has computed it."""

        if self.kernel is None:
            return mmd2_unbiased(t.kernel, s.x, t.x) if s.reward is None else s.reward.mmd2_unbiased
        kernel, points, tt = t.once(self._prepare)
        x = thinned(check_points(s.x, "MMD: s", min=2), self.max_points)
        ss, st = float(block_sums(kernel, x, [len(x)]).sum()), float(cross_sums(kernel, x, points).sum())
        return unbiased(ss, st, tt, len(x), len(points), kernel.diagonal)

    def _prepare(self, t: PointSet) -> tuple[Kernel, torch.Tensor, float]:
        """Return the kernel with its length-scale, the points of T that are used, and the kernel's sum over them."""

        assert self.kernel is not None
        kernel = self.kernel
        if kernel.lengthscale == "median":
            kernel = kernel.with_lengthscale(median_distance(t.x))
        x = thinned(check_points(t.x, "MMD: t", min=2), self.max_points)
        return kernel, x, float(block_sums(kernel, x, [len(x)]).sum())


@dataclass(frozen=True)
class ReverseKL(Metric):
    r"""The divergence $\text{KL}(S \| T)$, estimated from distances to nearest neighbours, see `neg_reverse_kl`.

    Arguments:
        ks: The numbers of neighbours over which the estimate is averaged. There must be more distinct points than the
            largest.

    Raises:
        ValueError: If a setting is out of range.
    """

    higher_is_better: ClassVar[bool] = False
    ks: Annotated[Sequence[int], Listed(Integer(min=1), min=1)] = KS

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "ks", tuple(self.ks))  # a list, if it comes from a file

    def measure(self, s: PointSet, t: PointSet) -> float:
        """Estimate the divergence."""

        return 0.0 - t.once(self._neighbours).neg_reverse_kl(s.rows)

    def _neighbours(self, t: PointSet) -> Neighbours:
        return Neighbours(t.x, self.ks)


@dataclass(frozen=True)
class Wasserstein2(Metric):
    """The squared Wasserstein-2 (Fréchet) distance of the Gaussians fitted to both sets, see `neg_wasserstein2`."""

    higher_is_better: ClassVar[bool] = False

    def measure(self, s: PointSet, t: PointSet) -> float:
        """Compute the distance."""

        return 0.0 - neg_wasserstein2(s.x, t.once(_gaussian))


@dataclass(frozen=True)
class ClassImbalance(Metric):
    r"""The class imbalance of $S$, $\frac{1}{m} \sum_{y=1}^m p_y^2$, see `neg_class_imbalance`."""

    higher_is_better: ClassVar[bool] = False

    def measure(self, s: PointSet, t: PointSet) -> float:
        """Compute the imbalance."""

        if s.y is None:
            raise ValueError(NO_LABELS)
        return 0.0 - neg_class_imbalance(s.y, s.n_classes)


def paper_metrics() -> dict[str, Metric]:
    """Return the metrics of the paper, by their names."""

    return {
        "mmd2_unbiased": MMD2Unbiased(),
        "reverse_kl": ReverseKL(),
        "wasserstein2": Wasserstein2(),
        "class_imbalance": ClassImbalance(),
    }


def _gaussian(t: PointSet) -> Gaussian:
    return fit_gaussian(t.x)
