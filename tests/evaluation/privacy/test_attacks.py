"""Tests of attacks, each against a slow computation of its scores."""

import inspect
import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import ensemble

from cgm.evaluation.privacy import attacks
from cgm.evaluation.privacy.attacks import ATTACKS, NEIGHBOURS, Target, nearest_rows, neighbour_distances, subsample

every_attack = pytest.mark.parametrize("name", ATTACKS)


def make_target(d: int, k: int = 120, n: int = 80, c: int = 60, seed: int = 0) -> Target:
    rng = np.random.default_rng(seed)
    rows, reward, own = rng.normal(size=(c, d)), rng.normal(size=(k, d)) + 0.5, rng.normal(size=(n, d))
    return Target(rows, reward, own, neighbour_distances(reward, rows), neighbour_distances(own, rows))


def distances(x, y) -> list[float]:
    """The distances of a point to points, in ascending order, by plain sums."""

    return sorted(math.sqrt(sum((a - b) ** 2 for a, b in zip(x, row, strict=True))) for row in y)


@pytest.mark.parametrize("d", [1, 2, 5, 6, 20])  # trees and all distances
def test_distances_from_plain_loops(d):
    target = make_target(d)
    for row, to_reward, to_own in zip(target.rows, target.to_reward, target.to_own, strict=True):
        assert to_reward == pytest.approx(distances(row, target.reward)[:NEIGHBOURS], abs=1e-9)
        assert to_own == pytest.approx(distances(row, target.own)[:NEIGHBOURS], abs=1e-9)
    expected = [min(range(60), key=lambda i: distances(g, target.rows[i : i + 1])) for g in target.reward]
    assert nearest_rows(target.rows, target.reward).tolist() == expected
    few = neighbour_distances(target.reward[:2], target.rows)
    assert few.shape == (60, 2)


@pytest.mark.parametrize("d", [1, 3, 8])
def test_scores_from_plain_loops(d):
    target = make_target(d)
    first = [distances(x, target.reward)[0] for x in target.rows]
    radius = sorted(first)[29] / 2 + sorted(first)[30] / 2  # the median of 60
    for i, x in enumerate(target.rows):
        to_reward, to_own = distances(x, target.reward), distances(x, target.own)
        assert ATTACKS["nearest"](target, 0)[i] == pytest.approx(-to_reward[0], abs=1e-9)
        log_p = [-d * math.log(r[NEIGHBOURS - 1]) for r in (to_reward, to_own)]  # up to constants
        assert d * ATTACKS["density_ratio"](target, 0)[i] == pytest.approx(log_p[0] - log_p[1], abs=1e-7)
        inside = sum(r <= radius for r in to_reward)
        assert ATTACKS["neighbourhood"](target, 0)[i] == pytest.approx(inside / len(target.reward))


def test_the_classifier_estimates_the_ratio_of_densities():
    """For two Gaussians, the log odds are linear; boosted trees follow them by rank."""

    rng = np.random.default_rng(0)
    own, reward, rows = rng.normal(size=(900, 2)), rng.normal([1.0, 0.0], 1.0, (700, 2)), rng.normal(size=(300, 2))
    target = Target(rows, reward, own, rows, rows)
    scores = ATTACKS["classifier"](target, 0)
    assert ((scores > 0) & (scores < 1)).all()
    assert spearmanr(scores, rows[:, 0] - 0.5)[0] > 0.9


def test_the_classifier_is_trained_on_a_part(monkeypatch):
    seen = []

    class Machine(ensemble.HistGradientBoostingClassifier):
        def fit(self, x, y):
            seen.append((x, y))
            return super().fit(x, y)

    monkeypatch.setattr(ensemble, "HistGradientBoostingClassifier", Machine)
    monkeypatch.setattr(attacks, "TRAINING_POINTS", 50)
    target = make_target(2, k=120, n=40)
    ATTACKS["classifier"](target, 0)
    ((x, y),) = seen
    assert y.tolist() == [0] * 40 + [1] * 50
    assert np.array_equal(x[:40], target.own)
    assert {tuple(row) for row in x[40:]} <= {tuple(row) for row in target.reward}


@every_attack
def test_few_points_have_scores(name):
    for k, n in ((1, 1), (1, 50), (3, 2), (200, 1)):
        scores = ATTACKS[name](make_target(2, k, n), 0)
        assert scores.shape == (60,)
        assert np.isfinite(scores).all()


@every_attack
def test_copies_have_the_largest_scores(name):
    """Half of the rows are in the reward, and far from the attacker's own points."""

    rng = np.random.default_rng(0)
    rows, own = rng.normal(size=(400, 2)) * 10, rng.normal(size=(300, 2)) + 100
    for reward in (rows[:200], np.repeat(rows[:200], 6, axis=0)):
        target = Target(rows, reward, own, neighbour_distances(reward, rows), neighbour_distances(own, rows))
        scores = ATTACKS[name](target, 0)
        assert np.isfinite(scores).all()
        if name in ("nearest", "neighbourhood"):
            assert scores[:200].min() > scores[200:].max()
        if name == "density_ratio" and len(reward) > 200:  # all k neighbours are copies
            assert scores[:200].min() > scores[200:].max()


@every_attack
def test_same_scores_each_time_and_nothing_changed(name):
    target = make_target(3)
    before = [x.copy() for x in target]
    scores = ATTACKS[name](target, 7)
    assert np.array_equal(scores, ATTACKS[name](target, 7))
    assert all(np.array_equal(x, y) for x, y in zip(before, target, strict=True))
    assert "References:" in inspect.getdoc(ATTACKS[name])


def test_subsamples():
    x = np.arange(20.0)[:, None]
    assert subsample(x, 20, np.random.default_rng(0)) is x
    draws = [subsample(x, 5, np.random.default_rng(seed))[:, 0] for seed in range(300)]
    assert all(len(set(draw)) == 5 and (np.diff(draw) > 0).all() for draw in draws)
    counts = np.bincount(np.concatenate(draws).astype(int), minlength=20)
    assert ((counts > 40) & (counts < 115)).all()  # 75 on average, with a standard deviation of 7.5
