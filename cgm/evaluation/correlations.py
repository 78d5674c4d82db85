r"""Correlations of metrics with $\alpha$ and $\beta$: whether rewards follow contributions (Sec. 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgm.evaluation.entries import AlphaCorrelation, BetaCorrelation, MeanOverBetas, MeanOverParties
from cgm.utils.checks import check_choice

DIGITS = 12  # differences beyond these digits of the largest value count as rounding
Numbers = Sequence | NDArray


@dataclass(frozen=True)
class Correlation:
    """A correlation, or the reason why there is none.

    Attributes:
        value: The correlation, or `None`.
        reason: Why there is no value, or `None`.
    """

    value: float | None
    reason: str | None = None


def correlation(x: Numbers, y: Numbers, kind: str = "pearson") -> Correlation:
    r"""Compute the correlation of two sequences of numbers.

    There is none if an entry is missing (`None`, NaN or infinite), if there are fewer than three pairs (that
    of two is always $\pm 1$), or if one side does not vary. Differences beyond the twelfth digit of a side's
    largest absolute value count as rounding: they are not variation, and do not change ranks.

    Arguments:
        x: Numbers or `None`, of shape $(n)$.
        y: Numbers or `None`, of shape $(n)$.
        kind: `"pearson"` or `"spearman"`.

    Raises:
        ValueError: If the lengths differ, or the kind is unknown.

    Example:
        >>> correlation([1, 2, 3], [2, 4, 9], kind="spearman")
        Correlation(value=1.0, reason=None)
        >>> correlation([1, 2, 3], [5, 5, 5])
        Correlation(value=None, reason='all 3 entries of y are 5')
    """

    check_choice("kind", kind, ("pearson", "spearman"))
    if len(x) != len(y):
        raise ValueError(f"correlation: x has {len(x)} entries and y has {len(y)}, expected the same number")

    sides, rounded = [], []
    for name, side in (("x", x), ("y", y)):
        values = [_number(value) for value in side]
        missing = [i for i, value in enumerate(values) if value is None]
        if missing:
            return Correlation(None, f"{name} has no value at {', '.join(map(str, missing))} (counted from 0)")
        sides.append(np.array(values))
    if len(x) < 3:
        return Correlation(None, f"at least 3 pairs are needed, not {len(x)}")
    for name, known in zip("xy", sides, strict=True):
        rounded.append((known / (np.abs(known).max() or 1.0)).round(DIGITS))
        if np.ptp(rounded[-1]) == 0:
            return Correlation(None, f"all {len(known)} entries of {name} are {known[0]:g}")

    from scipy.stats import pearsonr, spearmanr  # takes half a second to import

    if kind == "spearman":
        return Correlation(float(spearmanr(*rounded).statistic))
    return Correlation(float(pearsonr(*sides).statistic))


@dataclass(frozen=True)
class Summary:
    r"""The mean of values, some of which may be missing.

    Attributes:
        mean: The mean of the values that are known; `None` if there are none.
        sem: Its standard error, $\text{std} / \sqrt{n}$ with $n - 1$ degrees of freedom; `None` if $n < 2$.
        n: The number of values that are known.
        reason: What is missing, or `None`.
    """

    mean: float | None
    sem: float | None
    n: int
    reason: str | None = None


def summarise(values: Sequence[float | None]) -> Summary:
    r"""Compute the mean and the standard error of the values that are known.

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


def alpha_correlations(
    alpha: Numbers, betas: Sequence[float], values: Mapping[str, Sequence]
) -> dict[str, AlphaCorrelation]:
    r"""Correlate the contributions with each metric for each $\beta$, and average over $\beta$ (Fig. 2).

    Arguments:
        alpha: The normalised contributions $\alpha_i$, of shape $(n)$.
        betas: The inverse temperatures $\beta$, of shape $(b)$.
        values: For each metric its values, or `None` where there is none, of shape $(b, n)$.

    Raises:
        ValueError: If a metric does not have a value (or `None`) for each $\beta$ and party.

    Example:
        >>> table = {"size": [[10, 20, 40], [5, 5, 5]]}
        >>> alpha_correlations([0.2, 0.4, 0.8], betas=[1, 2], values=table)["size"].by_beta
        [1.0, None]
    """

    results = {}
    for metric, table in values.items():
        _check_table(metric, table, len(betas), len(alpha))
        pearson, spearman = (
            {f"beta={beta:g}": correlation(alpha, row, kind) for beta, row in zip(betas, table, strict=True)}
            for kind in ("pearson", "spearman")
        )
        results[metric] = AlphaCorrelation(
            **_mean(pearson),
            by_beta=_values(pearson),
            spearman=MeanOverBetas(**_mean(spearman), by_beta=_values(spearman)),
        )

    return results


def beta_correlations(betas: Sequence[float], values: Mapping[str, Sequence]) -> dict[str, BetaCorrelation]:
    r"""Correlate $\beta$ with each metric for each party, and average over the parties (Sec. 6).

    $\beta = \infty$ (greedy) is left out of Pearson's correlation, as its reasons state, and has the largest
    rank in Spearman's.

    Arguments:
        betas: The inverse temperatures $\beta$, of shape $(b)$.
        values: For each metric its values, or `None` where there is none, of shape $(b, n)$.

    Raises:
        ValueError: If a metric does not have a value (or `None`) for each $\beta$ and party.

    Example:
        >>> table = {"size": [[40, 10], [20, 20], [10, 30]]}
        >>> beta_correlations([1, 2, 4], table)["size"].spearman.by_party
        [-1.0, 1.0]
    """

    finite = [i for i, beta in enumerate(betas) if math.isfinite(beta)]
    left_out = ["beta=inf is left out of Pearson's correlation"] if len(finite) < len(betas) else []
    ranks = np.unique(np.array(betas, dtype=float), return_inverse=True)[1]
    results = {}
    for metric, table in values.items():
        n = len(table[0]) if len(table) else 0
        _check_table(metric, table, len(betas), n)
        pearson, spearman = {}, {}
        for i in range(n):
            column = [row[i] for row in table]
            pearson[f"party {i + 1}"] = correlation([betas[k] for k in finite], [column[k] for k in finite])
            spearman[f"party {i + 1}"] = correlation(ranks, column, "spearman")
        results[metric] = BetaCorrelation(
            **_mean(pearson, left_out),
            by_party=_values(pearson),
            spearman=MeanOverParties(**_mean(spearman), by_party=_values(spearman)),
        )

    return results


def _number(value: float | None) -> float | None:
    """Return a finite number as a float, and anything else as `None`."""

    return float(value) if value is not None and math.isfinite(value) else None


def _check_table(metric: str, table: Sequence, betas: int, parties: int) -> None:
    sizes = [len(row) for row in table]
    if sizes != [parties] * betas:
        raise ValueError(
            f"correlations: {metric} has rows of {sizes} values, expected {betas} rows (one for each beta) "
            f"of {parties} (one for each party)"
        )


def _values(correlations: Mapping[str, Correlation]) -> list[float | None]:
    return [entry.value for entry in correlations.values()]


def _mean(correlations: Mapping[str, Correlation], more: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields of a `MeanCorrelation`; `more` reasons are appended."""

    summary = summarise(_values(correlations))
    reasons = [f"{name}: {entry.reason}" for name, entry in correlations.items() if entry.reason is not None]
    if summary.reason is not None:
        reasons.append(summary.reason)

    return {"mean": summary.mean, "sem": summary.sem, "n": summary.n, "reasons": [*reasons, *more]}
