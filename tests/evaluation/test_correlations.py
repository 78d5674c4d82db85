"""Tests of correlations against their definitions."""

import dataclasses
import json
import math
import re
import statistics

import numpy as np
import pytest
import torch

from cgm.evaluation.correlations import Correlation, alpha_correlations, beta_correlations, correlation, summarise


def test_correlation_from_its_definition() -> None:
    x, y = (torch.randint(6, (9,), generator=torch.Generator().manual_seed(seed)).tolist() for seed in (0, 1))
    assert correlation(x, y).value == pytest.approx(statistics.correlation(x, y), rel=1e-12)
    ranks = lambda side: [sum(b < a for b in side) + sum(b == a for b in side) / 2 for a in side]  # noqa: E731
    expected = statistics.correlation(ranks(x), ranks(y))
    assert correlation(x, y, kind="spearman").value == pytest.approx(expected, rel=1e-12)
    assert correlation(torch.tensor([1.0, 2.0, 4.0]), np.array([1, 3, 7])).value == pytest.approx(1)
    assert correlation([1.0, 2.0, 4.0], [-1e-9, -3e-9, -7e-9]).value == pytest.approx(-1)


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
@pytest.mark.parametrize(
    ("y", "reason"),
    [
        ([0.1 + 0.2, 0.3, 0.3, 0.3], "all 4 entries of y are 0.3"),
        ([0.0, 0.0, 0.0, 0.0], "all 4 entries of y are 0"),
        ([1.0, None, 3.0, math.nan], "y has no value at 1, 3 (counted from 0)"),
        ([1.0, 2.0, 3.0, -math.inf], "y has no value at 3 (counted from 0)"),
    ],
)
def test_no_correlation(kind: str, y: list, reason: str) -> None:
    assert correlation([1, 2, 3, 5], y, kind) == Correlation(None, reason)
    assert correlation(y, [1, 2, 3, 5], kind) == Correlation(None, re.sub(r"\by\b", "x", reason))
    assert correlation([1, 2], [3, 4], kind) == Correlation(None, "at least 3 pairs are needed, not 2")
    assert correlation([], [], kind).value is None


def test_ranks_are_blind_to_rounding() -> None:
    x, y = [1, 2, 3, 4], [0.1 + 0.2, 0.3, 0.8, 0.9]
    assert correlation(x, y, "spearman").value == correlation(x, [0.3, 0.3, 0.8, 0.9], "spearman").value < 1


def test_correlation_refuses() -> None:
    with pytest.raises(ValueError, match="x has 3 entries and y has 2"):
        correlation([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="kind=kendall: expected one of pearson, spearman"):
        correlation([1, 2, 3], [1, 2, 3], "kendall")


def test_summary() -> None:
    values = [0.5, -0.25, 0.125, 0.9]
    summary = summarise([*values, None, math.nan])
    assert summary.mean == pytest.approx(statistics.mean(values), rel=1e-12)
    assert summary.sem == pytest.approx(statistics.stdev(values) / 2, rel=1e-12)
    assert (summary.n, summary.reason) == (4, "2 of 6 values are missing")
    assert summarise(values).reason is None
    one, none = summarise([0.5, None]), summarise([None])
    assert (one.mean, one.sem, one.n) == (0.5, None, 1)
    assert (none.mean, none.sem, none.n) == (None, None, 0)
    assert "a standard error needs 2 values, not 1" in one.reason
    assert "1 of 1 values is missing" in none.reason


def test_correlations_of_alpha() -> None:
    alpha, betas = torch.tensor([0.2, 0.5, 1.0, 0.9]), [1, 2.0, math.inf]
    size = torch.tensor([[10, 20, 40, 30], [9, 12, 12, 13], [1, 2, 9, 3]])
    accuracy = [[0.4, 0.5, None, 0.7], [0.5, 0.5, 0.5, 0.5], [0.1, 0.4, 0.5, 0.6]]
    result = alpha_correlations(alpha, betas, {"size": size, "accuracy": accuracy})
    for entry in result.values():
        plain = dataclasses.asdict(entry)
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain

    by_beta = [statistics.correlation(alpha.tolist(), row) for row in size.tolist()]
    assert result["size"].by_beta == pytest.approx(by_beta)
    assert result["size"].mean == pytest.approx(statistics.mean(by_beta))
    assert result["size"].sem == pytest.approx(statistics.stdev(by_beta) / math.sqrt(3))
    assert result["size"].reasons == []
    assert result["size"].spearman.by_beta[0] == 1

    accuracy = result["accuracy"]
    assert accuracy.by_beta[:2] == [None, None]
    assert accuracy.mean == accuracy.by_beta[2]
    assert (accuracy.sem, accuracy.n) == (None, 1)
    assert accuracy.reasons[0] == "beta=1: y has no value at 2 (counted from 0)"
    assert accuracy.reasons[1] == "beta=2: all 4 entries of y are 0.5"
    assert accuracy.spearman.by_beta == [None, None, pytest.approx(0.8)]


def test_correlations_of_beta() -> None:
    betas = [1, 2, 4, math.inf]
    size = [[40, 7], [30, 7], [15, 7], [5, 7]]
    result = beta_correlations(betas, {"size": size})["size"]
    assert json.loads(json.dumps(dataclasses.asdict(result), allow_nan=False)) == dataclasses.asdict(result)
    pearson = statistics.correlation([1, 2, 4], [40, 30, 15])
    assert result.by_party == [pytest.approx(pearson), None]
    assert result.mean == result.by_party[0]
    assert "party 2: all 3 entries of y are 7" in result.reasons
    assert "beta=inf is left out of Pearson's correlation" in result.reasons
    assert result.spearman.by_party == [pytest.approx(-1), None]

    few = beta_correlations([1, math.inf], {"size": [[1, 2], [3, 4]]})["size"]
    assert few.by_party == [None, None]
    assert few.mean is None
    assert "party 1: at least 3 pairs are needed, not 1" in few.reasons


def test_tables_refused() -> None:
    for table in ([[1, 2, 3]], [[1, 2, 3], [1, 2]]):
        with pytest.raises(ValueError, match=r"correlations: size has rows of .* expected 2 rows"):
            alpha_correlations([1, 2, 3], [1, 2], {"size": table})
    with pytest.raises(ValueError, match=r"expected 2 rows .* of 2"):
        beta_correlations([1, 2], {"size": [[1, 2], [1, 2, 3]]})
