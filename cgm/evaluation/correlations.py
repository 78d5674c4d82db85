r"""Tells whether what parties get follows what they contribute: correlations with $\alpha$ and $\beta$ (Sec. 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import pearsonr, spearmanr

DIGITS = 12  # what differs beyond these digits of the largest value is taken for rounding


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
