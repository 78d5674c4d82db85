"""Tests of the metrics against their definitions."""

import math
from collections import Counter

import numpy as np
import pytest
import scipy.linalg
import torch

from cgm.evaluation.metrics.paper import (
    Neighbours,
    fit_gaussian,
    neg_class_imbalance,
    neg_mmd2_unbiased,
    neg_reverse_kl,
    neg_wasserstein2,
)
from cgm.utils.checks import check_labels
from cgm.valuation.kernels import SquaredExponential


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_kl(s: torch.Tensor, t: torch.Tensor, ks: tuple[int, ...]) -> float:
    """Compute the estimate by its definition, on sets of tuples."""

    s, t = ({tuple(point) for point in (x + 0.0).tolist()} for x in (s, t))
    terms = []
    for k in ks:
        for x in s:
            rho = sorted(math.dist(x, other) for other in s - {x})
            nu = sorted(math.dist(x, other) for other in t - {x})
            terms.append(len(x) * math.log(nu[k - 1] / rho[k - 1]) + math.log(len(nu) / len(rho)))

    return sum(terms) / len(terms)


def test_mmd_from_full_matrices() -> None:
    s, t = normal(7, 3), normal(11, 3, seed=1) + 0.5
    k = lambda x, y: torch.exp(-((x[:, None] - y[None]) ** 2).sum(-1) / (2 * 0.8**2))  # noqa: E731
    expected = (k(s, s).sum() - 7) / 42 - 2 * k(s, t).mean() + (k(t, t).sum() - 11) / 110
    assert neg_mmd2_unbiased(SquaredExponential(0.8), s, t) == pytest.approx(-float(expected), rel=1e-12)


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("overlap", ["subset", "part", "none", "all"])
@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize("ks", [(2, 3, 4, 5, 6), (1,), (3,)])
def test_kl_from_its_definition(d: int, overlap: str, duplicates: bool, ks: tuple[int, ...]) -> None:
    t = normal(40, d)
    s = {
        "subset": t[5:25],
        "part": torch.cat([t[:10], normal(10, d, seed=1)]),
        "none": normal(20, d, seed=1),
        "all": t,
    }[overlap]
    if duplicates:
        s, t = torch.cat([s, s[3:7], s[3:4]]), torch.cat([t, t[2:9]])
    value = neg_reverse_kl(s, t, ks)
    assert value == pytest.approx(-plain_kl(s, t, ks), rel=1e-10, abs=1e-12)
    if overlap == "all":
        assert value == 0


def test_kl_of_gaussians() -> None:
    t = normal(8000, 2)
    for s, kl in (
        (normal(8000, 2, seed=1) + torch.tensor([1.0, 0.0]), 0.5),
        (normal(8000, 2, seed=2) / 2, 0.636),
    ):
        assert neg_reverse_kl(s, t) == pytest.approx(-kl, abs=0.06)  # log 4 + (1/4 - 1) for half the scale


def test_kl_counts_distinct_points_once() -> None:
    t = normal(60, 2)
    twice = torch.cat([t, t])
    assert neg_reverse_kl(twice[10:100], twice) == neg_reverse_kl(torch.cat([t[10:], t[:40]]), t)
    assert neg_reverse_kl(twice, twice[:90]) == 0
    zero = torch.tensor([[0.0, 0.0]])
    assert neg_reverse_kl(torch.cat([t, zero, -zero]), t) == neg_reverse_kl(torch.cat([t, zero]), t)


def test_kl_of_points_too_close_for_a_distance() -> None:
    tiny = torch.arange(10, dtype=torch.float64)[:, None] * 1e-200
    for s, t in ((tiny, torch.cat([tiny, normal(10, 1)])), (normal(10, 1), torch.cat([tiny, normal(10, 1)]))):
        assert math.isfinite(neg_reverse_kl(s, t))


@pytest.mark.parametrize("ks", [(2, 3, 4, 5, 6), (1, 4)])
def test_neighbours_of_subsets(ks: tuple[int, ...]) -> None:
    t = torch.cat([normal(150, 3), normal(20, 3), normal(30, 3, seed=2)])  # the first 20 points stand in it twice
    neighbours = Neighbours(t, ks)
    for seed in range(5):
        rows = torch.randperm(200, generator=torch.Generator().manual_seed(seed))[: 30 * (seed + 1)]
        expected = -plain_kl(t[rows], t, ks)
        assert neighbours.neg_reverse_kl(rows) == pytest.approx(expected, rel=1e-10)
        assert neighbours.neg_reverse_kl(rows) == neg_reverse_kl(t[rows], t, ks)


def test_kl_refuses() -> None:
    t = normal(20, 2)
    with pytest.raises(ValueError, match=r"6 neighbours need 7 or more distinct points, not 6"):
        neg_reverse_kl(torch.cat([t[:6], t[:6]]), t)
    with pytest.raises(ValueError, match="distinct points, not 6"):
        Neighbours(t[:6])
    with pytest.raises(ValueError, match="distinct points, not 3"):
        Neighbours(t).neg_reverse_kl(torch.tensor([1, 2, 3, 3, 3, 3, 3]))
    with pytest.raises(ValueError, match="s has 2 columns and t has 3"):
        neg_reverse_kl(t, normal(20, 3))
    with pytest.raises(ValueError, match="positive numbers of neighbours"):
        neg_reverse_kl(t, t, ks=(0, 1))
    with pytest.raises(ValueError, match="row 0 holds NaN"):
        neg_reverse_kl(t * math.nan, t)
    with pytest.raises(ValueError, match="standardise"):
        neg_reverse_kl(t * 1e200, t)
    with pytest.raises(ValueError, match=r"rows run from -1 to 20, but those of T from 0 to 19"):
        Neighbours(t).neg_reverse_kl(torch.tensor([-1, 20]))
    with pytest.raises(ValueError, match="must be integers"):
        Neighbours(t).neg_reverse_kl(torch.ones(20, dtype=torch.bool))


@pytest.mark.parametrize("d", [1, 2, 6])
def test_wasserstein_from_matrix_square_roots(d: int) -> None:
    s, t = normal(30, d) @ normal(d, d, seed=1), normal(50, d, seed=2) @ normal(d, d, seed=3) + 1.0
    a, b = (np.atleast_2d(np.cov(x.numpy().T)) for x in (s, t))
    root = scipy.linalg.sqrtm(a)
    cross = scipy.linalg.sqrtm(root @ b @ root).real
    expected = float(((s.mean(0) - t.mean(0)) ** 2).sum()) + np.trace(a + b - 2 * cross)
    assert neg_wasserstein2(s, t) == pytest.approx(-expected, rel=1e-9)
    assert neg_wasserstein2(t, s) == pytest.approx(-expected, rel=1e-9)
    assert neg_wasserstein2(s, fit_gaussian(t)) == neg_wasserstein2(s, t)


def test_wasserstein_in_closed_form() -> None:
    x = normal(100, 1)
    assert neg_wasserstein2(3 * x + 2, x) == pytest.approx(-float((2 * x.mean() + 2) ** 2 + 4 * x.var()), rel=1e-12)
    assert neg_wasserstein2(x, x) == pytest.approx(0, abs=1e-14)
    assert neg_wasserstein2(x, x) <= 0


def test_wasserstein_of_degenerate_sets() -> None:
    square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # covariance 4/3 I
    s, t = square * torch.tensor([1.0, 0.0]), square * torch.tensor([2.0, 3.0])
    assert neg_wasserstein2(s, t) == pytest.approx(-4 / 3 * (1 + 9), rel=1e-12)
    x = normal(50, 3)
    flat = x * torch.tensor([1.0, 1.0, 0.0])
    assert neg_wasserstein2(flat, flat) == pytest.approx(0, abs=1e-12)
    point = torch.ones(5, 3, dtype=torch.float64)
    assert neg_wasserstein2(point, point + 2) == -12
    with pytest.raises(ValueError, match="has 1 points, at least 2"):
        neg_wasserstein2(x[:1], x)
    with pytest.raises(ValueError, match="s has 2 columns and t has 3"):
        neg_wasserstein2(x[:, :2], x)


def test_class_imbalance() -> None:
    labels = torch.randint(4, (100,), generator=torch.Generator().manual_seed(0))
    counts = Counter(labels.tolist())
    assert neg_class_imbalance(labels, 6) == pytest.approx(-sum((n / 100) ** 2 for n in counts.values()) / 6)
    assert neg_class_imbalance(torch.arange(10), 10) == pytest.approx(-1 / 100)  # the smallest imbalance, 1 / m^2
    assert neg_class_imbalance(torch.full((7,), 3), 5) == -1 / 5  # the largest


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 5]), r"run from 0 to 5, but classes are numbered from 0 to 4"),
        (torch.tensor([-1, 2]), "run from -1 to 2"),
        (torch.tensor([], dtype=torch.int64), "has no labels"),
        (torch.tensor([0.0, 1.0]), r"got torch.float32 of shape \(2,\)"),
        (torch.zeros(2, 1, dtype=torch.int64), r"of shape \(2, 1\)"),
        ("01", "got text"),
    ],
)
def test_labels_refused(labels: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"class imbalance: labels.*{message}"):
        neg_class_imbalance(labels, 5)


def test_labels_of_any_number_of_classes() -> None:
    labels = torch.tensor([0, 900])
    assert check_labels(labels, "labels") is labels
    assert neg_class_imbalance([0, 1, 1, 0], 2) == -0.25
