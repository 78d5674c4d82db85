"""Tests of the metrics of all rewards, computed again from the points."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from cgm.evaluation.entries import MetricRow, Missing
from cgm.evaluation.measure import by_beta, measure, party_distances
from cgm.evaluation.metrics import paper_metrics
from cgm.evaluation.metrics.paper import neg_class_imbalance, neg_reverse_kl, neg_wasserstein2
from cgm.rewards.sampling import Reward, sample_rewards
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.mmd import mmd2_unbiased
from cgm.valuation.valuation import Valuation

BETAS = (1.0, math.inf)
METRICS = (
    "size",
    "value",
    "increasing",
    "neg_mmd2_unbiased",
    "neg_reverse_kl",
    "neg_wasserstein2",
    "neg_class_imbalance",
)


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def parties() -> list[torch.Tensor]:
    return [normal(20, 2, seed=0), normal(30, 2, seed=1) + 1]


@pytest.fixture(scope="module")
def pool() -> torch.Tensor:
    return normal(150, 2, seed=2) * 1.5


@pytest.fixture(scope="module")
def valuation(parties, pool) -> Valuation:
    return Valuation(SquaredExponential(1.0), parties, pool)


@pytest.fixture(scope="module")
def chains(valuation) -> list[Reward]:
    upper = valuation.with_synthetic
    return sample_rewards(valuation, valuation.party_values + 0.5 * (upper - valuation.party_values), BETAS, seed=0)


@pytest.fixture(scope="module")
def classes() -> list[torch.Tensor]:
    return [torch.arange(20) % 3, torch.arange(30) % 2]


@pytest.fixture(scope="module")
def labels() -> torch.Tensor:
    return torch.arange(150) % 3


def test_metrics_from_the_points(valuation, parties, pool, chains, classes, labels):
    table, missing = measure(valuation, chains, classes, labels, 3, paper_metrics())
    assert missing == []
    assert [row[:3] for row in table] == [(c.party, c.beta, metric) for c in chains for metric in METRICS]
    t = torch.cat([*parties, pool])
    for k, chain in enumerate(chains):
        values = {row.metric: row.value for row in table[len(METRICS) * k : len(METRICS) * (k + 1)]}
        s = torch.cat([parties[chain.party], pool[chain.indices]])
        y = torch.cat([classes[chain.party], labels[chain.indices]])
        assert values == {
            "size": len(s) - len(parties[chain.party]),
            "value": chain.value,
            "increasing": chain.increasing,
            "neg_mmd2_unbiased": pytest.approx(-mmd2_unbiased(valuation.kernel, s, t), rel=1e-9),
            "neg_reverse_kl": neg_reverse_kl(s, t),
            "neg_wasserstein2": neg_wasserstein2(s, t),
            "neg_class_imbalance": neg_class_imbalance(y, 3),
        }


def test_what_cannot_be_computed_has_a_reason(valuation, chains, classes):
    nothing = {name: getattr(chains[0], name)[:0] for name in ("indices", "values")}
    empty = replace(chains[0], size=0, increasing=None, **nothing)
    table, missing = measure(valuation, [empty], classes, None, 3, paper_metrics())
    assert missing == [
        Missing(empty.party, empty.beta, "increasing", "no point was accepted"),
        Missing(empty.party, empty.beta, "neg_class_imbalance", "the synthetic points have no labels (labeller=none)"),
    ]
    assert [row.metric for row in table if row.value is None] == ["increasing", "neg_class_imbalance"]


def test_too_few_distinct_points_for_neighbours():
    x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    valuation = Valuation(SquaredExponential(1.0), [x, x + 1], torch.zeros(2, 1, dtype=torch.float64))
    chain = Reward(0, 1.0, 1, 1.0, 0.0, 1.0, True, 1.0, torch.tensor([0]), torch.ones(1), 0.1, 0.2)
    _, missing = measure(
        valuation, [chain], [torch.arange(3)] * 2, torch.zeros(2, dtype=torch.int64), 3, paper_metrics()
    )
    assert [entry.metric for entry in missing] == ["neg_reverse_kl"]
    assert "7 or more distinct points, not 4" in missing[0].reason


def test_rows_are_arranged_by_beta_and_party():
    names = ["neg_kid", "size"]
    table = [
        MetricRow(party, beta, metric, 100 * k + 10 * beta + party)
        for k, metric in enumerate(names)
        for party in (1, 0, 2)
        for beta in (2.0, 1.0)
    ]
    arranged = by_beta([*table, MetricRow(0, 1.0, "value", None)], names, [1.0, 2.0], n=3)
    assert arranged == {
        metric: [[100 * k + 10 * beta + party for party in range(3)] for beta in (1, 2)]
        for k, metric in enumerate(names)
    }


def test_distances_of_the_parties_own_points(parties, pool, valuation):
    """Against sums over all pairs, and the distance of Gaussians by matrix square roots, in numpy."""

    points = torch.cat([*parties, pool]).numpy()
    found = party_distances(valuation)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(2) / 2)

    def unbiased(x: np.ndarray) -> float:
        k, n = kernel(x, x), len(x)
        return (k.sum() - np.trace(k)) / (n * (n - 1))

    for i, party in enumerate(parties):
        x = party.numpy()
        mmd2 = unbiased(x) - 2 * kernel(x, points).mean() + unbiased(points)
        assert found["mmd2_unbiased"][i] == pytest.approx(mmd2, rel=1e-10)
        a, b = np.cov(x.T), np.cov(points.T)
        cross = np.trace(sqrtm(a @ b).real)
        distance = ((x.mean(0) - points.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * cross
        assert found["wasserstein2"][i] == pytest.approx(distance, rel=1e-8)
