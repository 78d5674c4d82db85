import numpy as np
import pytest
import torch

from cgm.data import CreditRatings, EqualDisjoint
from cgm.data.datasets.credit_ratings import mixture, reference_pool


@pytest.fixture(scope="module")
def replay():
    """The paper's stream, drawn call by call by numpy itself: points by class, 400 of the pool."""

    stream = np.random.RandomState(2)
    means = stream.uniform(size=(5, 2))
    points = [stream.multivariate_normal(mean, np.eye(2) / 200, 1000) for mean in means]
    for party in range(5):
        shares = [0.96 if c == party else 0.01 for c in range(5)]
        stream.permutation(np.concatenate([points[c][: int(shares[c] * 1000)] for c in range(5)]))
    pool = [stream.multivariate_normal(means[stream.randint(5)], np.eye(2) / 200) for _ in range(400)]

    return means, points, np.array(pool)


def test_mixture(replay):
    means, variance = mixture()

    np.testing.assert_array_equal(means, replay[0])
    assert variance == 0.005
    assert (mixture(3)[0] != means).all()


def test_points_follow_the_mixture():
    dataset = CreditRatings(points_per_class=4000, test_points_per_class=3000).load(None, seed=1)
    means, variance = mixture()

    assert dataset.x.dtype == torch.float64
    assert not dataset.ordered
    assert len(dataset.classes) == 5
    for x, y, n in ((dataset.x, dataset.y, 4000), (dataset.x_test, dataset.y_test, 3000)):
        assert y.bincount().tolist() == [n] * 5
        for c in range(5):
            points = x[y == c].numpy()
            np.testing.assert_allclose(points.mean(axis=0), means[c], atol=5 * (variance / n) ** 0.5)
            np.testing.assert_allclose(np.cov(points.T), variance * np.eye(2), atol=5 * variance * (2 / n) ** 0.5)


def test_seed_draws_points_and_parts_are_independent():
    zero, again, one = (CreditRatings(points_per_class=50).load(None, seed) for seed in (0, 0, 1))

    assert torch.equal(zero.x, again.x)
    assert torch.equal(zero.x_test, again.x_test)
    assert (zero.x != one.x).all()
    assert (zero.x_test != one.x_test).all()
    # A larger test part leaves the training part as it is; no point is in both.
    more = CreditRatings(points_per_class=50, test_points_per_class=50).load(None, 0)
    assert torch.equal(more.x, zero.x)
    assert torch.cdist(more.x, more.x_test).min() > 0


def test_reference_points(replay):
    zero, one = (CreditRatings(reference=True).load(None, seed) for seed in (0, 1))

    np.testing.assert_array_equal(zero.x, np.concatenate(replay[1]))
    assert zero.y.tolist() == [c for c in range(5) for _ in range(1000)]
    assert zero.ordered
    assert torch.equal(zero.x, one.x)
    assert (zero.x_test != one.x_test).all()


def test_reference_parties(replay):
    dataset = CreditRatings(reference=True).load(None, seed=0)
    parties = EqualDisjoint(points_per_party=1000).assign(dataset.y, 5, seed=7, ordered=dataset.ordered)

    taken = [0] * 5
    for i, party in enumerate(parties):
        rows = []
        for c in range(5):
            n = 960 if c == i else 10
            rows.append(replay[1][c][taken[c] : taken[c] + n])
            taken[c] += n
        np.testing.assert_array_equal(dataset.x[party], np.concatenate(rows))


def test_reference_pool_equals_numpy_call_by_call(replay):
    np.testing.assert_array_equal(reference_pool(400), replay[2])
    np.testing.assert_array_equal(reference_pool(7), replay[2][:7])


def test_the_reference_has_its_own_settings():
    for settings, found in (({"points_per_class": 999}, "999 and 2"), ({"mixture_seed": 3}, "1000 and 3")):
        with pytest.raises(ValueError, match=f"dataset.reference=true: .*got {found}"):
            CreditRatings(reference=True, **settings)


def test_empty_pool():
    with pytest.raises(ValueError, match="synthetic_size=0"):
        reference_pool(0)
