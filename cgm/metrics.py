r"""Measures how close $D_i \cup G_i$ is to $T$, and whether that follows the contributions (Sec. 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from .checks import check_labels, check_points
from .mmd import mmd2_unbiased

if TYPE_CHECKING:
    from .kernels import Kernel

KS = (2, 3, 4, 5, 6)  # the neighbours over which Sec. 6 averages
LARGEST = 1e70  # fourth powers of larger coordinates come near the largest double
CLOSEST = 1e-150  # squares of smaller distances come near the smallest double
DIGITS = 12  # what differs beyond these digits of the largest value is taken for rounding


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


@dataclass(frozen=True)
class Correlation:
    """Holds a correlation, or else the reason why there is none.

    Attributes:
        value: The correlation, or `None`.
        reason: Why there is no value, or `None`.
    """

    value: float | None
    reason: str | None = None


def correlation(x: Sequence, y: Sequence, kind: str = "pearson") -> Correlation:
    r"""Computes the correlation of two sequences of numbers.

    There is none if an entry is missing (`None`, NaN or infinite), if there are fewer than three pairs (that
    of two is always $\pm 1$), or if one side does not vary. What differs only beyond the twelfth digit of a
    side's largest absolute value counts as rounding: it is no variation, and makes no difference in rank.

    Arguments:
        x: Numbers or `None`, of shape $(n)$.
        y: Numbers or `None`, of shape $(n)$.
        kind: `"pearson"` or `"spearman"`.

    Raises:
        ValueError: If the lengths differ, or the kind is another one.

    Example:
        >>> correlation([1, 2, 3], [2, 4, 9], kind="spearman")
        Correlation(value=1.0, reason=None)
        >>> correlation([1, 2, 3], [5, 5, 5])
        Correlation(value=None, reason='all 3 entries of y are 5')
    """

    if kind not in ("pearson", "spearman"):
        raise ValueError(f"correlation: kind={kind!r} is unknown, use 'pearson' or 'spearman'")
    if len(x) != len(y):
        raise ValueError(f"correlation: x has {len(x)} entries and y has {len(y)}, they must be as many")

    sides, rounded = [], []
    for name, side in (("x", x), ("y", y)):
        values = [_number(value) for value in side]
        missing = [i for i, value in enumerate(values) if value is None]
        if missing:
            return Correlation(None, f"{name} has no value at {', '.join(map(str, missing))} (counted from 0)")
        sides.append(np.array(values))
    if len(x) < 3:
        return Correlation(None, f"at least 3 pairs are needed, not {len(x)}")
    for name, side in zip("xy", sides, strict=True):
        rounded.append((side / (np.abs(side).max() or 1.0)).round(DIGITS))
        if np.ptp(rounded[-1]) == 0:
            return Correlation(None, f"all {len(side)} entries of {name} are {side[0]:g}")

    if kind == "spearman":
        return Correlation(float(spearmanr(*rounded).statistic))
    return Correlation(float(pearsonr(*sides).statistic))


@dataclass(frozen=True)
class Summary:
    r"""Holds the mean of values of which some may be missing.

    Attributes:
        mean: The mean of those that are there; `None` if none is.
        sem: Its standard error, $\text{std} / \sqrt{n}$ with $n - 1$ degrees of freedom; `None` if $n < 2$.
        n: How many are there.
        reason: What is missing, or `None`.
    """

    mean: float | None
    sem: float | None
    n: int
    reason: str | None = None


def summarise(values: Sequence[float | None]) -> Summary:
    r"""Computes mean and standard error of the values that are there.

    Arguments:
        values: Numbers or `None` (NaN and infinity count as `None`), of shape $(n)$.

    Example:
        >>> summarise([1.0, 3.0, None])
        Summary(mean=2.0, sem=1.0, n=2, reason='1 of 3 values is missing')
    """

    present = [number for value in values if (number := _number(value)) is not None]
    n, missing = len(present), len(values) - len(present)
    reasons = []
    if missing:
        reasons.append(f"{missing} of {len(values)} values {'is' if missing == 1 else 'are'} missing")
    if n < 2:
        reasons.append(f"a standard error needs 2 values, not {n}")

    return Summary(
        mean=float(np.mean(present)) if n else None,
        sem=float(np.std(present, ddof=1) / math.sqrt(n)) if n > 1 else None,
        n=n,
        reason="; ".join(reasons) or None,
    )


def alpha_correlations(alpha: Sequence, betas: Sequence[float], values: Mapping[str, Sequence]) -> dict[str, dict]:
    r"""Correlates the contributions with each metric for each $\beta$, and averages over $\beta$ (Fig. 2).

    Arguments:
        alpha: The normalised Shapley values $\alpha_i$, of shape $(n)$.
        betas: The inverse temperatures $\beta$, of shape $(b)$.
        values: For each metric its values, or `None` where there is none, of shape $(b, n)$.

    Returns:
        For each metric `mean`, `sem` and `n` over $\beta$, `by_beta`, a list of `reasons` for what is
        missing, and the same for Spearman's correlation under `spearman`. Plain numbers, lists and strings.

    Raises:
        ValueError: If a metric does not have a value (or `None`) for each $\beta$ and party.

    Example:
        >>> table = {"size": [[10, 20, 40], [5, 5, 5]]}
        >>> alpha_correlations([0.2, 0.4, 0.8], betas=[1, 2], values=table)["size"]["by_beta"]
        [1.0, None]
    """

    results = {}
    for metric, table in values.items():
        _check_table(metric, table, len(betas), len(alpha))
        kinds = []
        for kind in ("pearson", "spearman"):
            pairs = {f"beta={beta:g}": correlation(alpha, row, kind) for beta, row in zip(betas, table, strict=True)}
            kinds.append(_summary_of(pairs, "by_beta"))
        results[metric] = {**kinds[0], "spearman": kinds[1]}

    return results


def beta_correlations(betas: Sequence[float], values: Mapping[str, Sequence]) -> dict[str, dict]:
    r"""Correlates $\beta$ with each metric for each party, and averages over the parties (Sec. 6).

    $\beta = \infty$ (greedy) is left out of Pearson's correlation, which the reasons say, and is the greatest
    rank in Spearman's.

    Arguments:
        betas: The inverse temperatures $\beta$, of shape $(b)$.
        values: For each metric its values, or `None` where there is none, of shape $(b, n)$.

    Returns:
        For each metric `mean`, `sem` and `n` over the parties, `by_party`, a list of `reasons` for what is
        missing, and the same for Spearman's correlation under `spearman`. Plain numbers, lists and strings.

    Raises:
        ValueError: If a metric does not have a value (or `None`) for each $\beta$ and party.

    Example:
        >>> table = {"size": [[40, 10], [20, 20], [10, 30]]}
        >>> beta_correlations([1, 2, 4], table)["size"]["spearman"]["by_party"]
        [-1.0, 1.0]
    """

    finite = [i for i, beta in enumerate(betas) if math.isfinite(beta)]
    ranks = np.unique(np.array(betas, dtype=float), return_inverse=True)[1]
    results = {}
    for metric, table in values.items():
        n = len(table[0]) if len(table) else 0
        _check_table(metric, table, len(betas), n)
        columns = {f"party {i + 1}": [row[i] for row in table] for i in range(n)}
        pearson, spearman = {}, {}
        for party, column in columns.items():
            pearson[party] = correlation([betas[i] for i in finite], [column[i] for i in finite])
            spearman[party] = correlation(ranks, column, "spearman")
        pearson, spearman = _summary_of(pearson, "by_party"), _summary_of(spearman, "by_party")
        if len(finite) < len(betas):
            pearson["reasons"].append("beta=inf is left out of Pearson's correlation")
        results[metric] = {**pearson, "spearman": spearman}

    return results


def _array(x: Tensor, name: str, least: int = 1) -> NDArray:
    """Returns the points as a float64 array of shape (N, d)."""

    points = check_points(x, name, least=least).detach().flatten(1).double().cpu().numpy()
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


def _number(value: float | None) -> float | None:
    """Returns a finite number as a float, and anything that is not there as None."""

    return float(value) if value is not None and math.isfinite(value) else None


def _check_table(metric: str, table: Sequence, betas: int, parties: int) -> None:
    sizes = [len(row) for row in table]
    if sizes != [parties] * betas:
        raise ValueError(
            f"correlations: {metric} has rows of {sizes} values, expected {betas} rows (one for each beta) "
            f"of {parties} (one for each party)"
        )


def _summary_of(pairs: Mapping[str, Correlation], key: str) -> dict:
    by = [pair.value for pair in pairs.values()]
    summary = summarise(by)
    reasons = [f"{name}: {pair.reason}" for name, pair in pairs.items() if pair.reason is not None]
    if summary.reason is not None:
        reasons.append(summary.reason)

    return {"mean": summary.mean, "sem": summary.sem, "n": summary.n, key: by, "reasons": reasons}
