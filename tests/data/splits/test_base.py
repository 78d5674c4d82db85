import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgm.data import EqualDisjoint, Shares, Split
from cgm.data.splits import counts, max_points, own_classes

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def labels(*numbers: int) -> torch.Tensor:
    """Labels with the given number of points of each class, in a scrambled order."""

    y = torch.arange(len(numbers)).repeat_interleave(torch.tensor(numbers))

    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]


@given(size=sizes)
def test_own_classes_are_even_runs(size):
    n, m = size
    own = own_classes(n, m)

    assert len(own) == n
    if m >= n:
        assert [c for classes in own for c in classes] == list(range(m))
        assert {len(classes) for classes in own} <= {m // n, -(-m // n)}
    else:
        owners = [sum(classes == [c] for classes in own) for c in range(m)]
        assert own == sorted(own)
        assert sum(owners) == n
        assert set(owners) <= {n // m, -(-n // m)}


@given(size=sizes, points=st.integers(2, 3000), seed=st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_counts_are_exact_and_near(size, points, seed):
    n, m = size
    shares = np.random.default_rng(seed).dirichlet([0.3] * m, size=n)
    result = counts(shares, points)

    assert (result.sum(axis=1) == points).all()
    assert (result >= 0).all()
    assert (np.abs(result - shares * points) < 1).all()


@pytest.mark.parametrize("points", [10, 50, 100, 700])
def test_counts_survive_rounding_errors(points):
    # Exact in units of 0.01; products such as 0.29 * 100 are slightly less than integers.
    hundredths = np.array([[29, 57, 14], [58, 28, 14], [7, 36, 57]])
    result = counts(hundredths / 100, points)

    assert (result >= hundredths * points // 100).all()
    assert (
        result[hundredths * points % 100 == 0] == (hundredths * points // 100)[hundredths * points % 100 == 0]
    ).all()


def test_counts_spread_the_rounding():
    assert counts(np.full((3, 3), 1 / 3), 10).sum(axis=0).tolist() == [10, 10, 10]


@given(size=sizes, seed=st.integers(0, 1000), limit=st.integers(2, 60))
@settings(max_examples=100, deadline=None)
def test_max_points_by_trying_all(size, seed, limit):
    n, m = size
    rng = np.random.default_rng(seed)
    shares, available = rng.dirichlet([0.5] * m, size=n), rng.integers(1, 60, size=m)
    fitting = [p for p in range(2, limit + 1) if (counts(shares, p).sum(axis=0) <= available).all()]

    assert max_points(shares, available, limit) == (fitting[-1] if fitting else None)


class FirstClass(Split):
    """A split without settings, as a user may write one: one party, all points in the first class."""

    points_per_party = None

    def shares(self, n_classes, seed=0):
        return np.eye(1, n_classes)


def test_user_defined_split():
    (rows,) = FirstClass().assign(torch.tensor([1, 0, 1, 0, 0]), 2, seed=0, ordered=True)
    assert rows.tolist() == [1, 3, 4]


def test_assign_takes_the_next_rows_in_order():
    y = torch.arange(2).repeat(10)  # 0, 1, 0, 1, ...
    first, second = Shares([[0.5, 0.5], [0.25, 0.75]], points_per_party=4).assign(y, 2, seed=5, ordered=True)

    assert first.tolist() == [0, 2, 1, 3]
    assert second.tolist() == [4, 5, 7, 9]


def test_assign_shuffles_by_seed():
    y = labels(100, 100)
    split = EqualDisjoint(n_parties=2, points_per_party=50)
    zero, one = (torch.cat(split.assign(y, 2, seed)) for seed in (0, 1))

    assert not torch.equal(zero, one)
    # Rows of a class are equally likely: over many seeds, each of 100 is assigned about as often.
    often = np.zeros(200)
    for seed in range(400):
        often[torch.cat(split.assign(y, 2, seed))] += 1
    assert np.abs(often / 400 - 0.5).max() < 0.12  # 4.8 standard errors


def test_open_number_of_points():
    assert len(EqualDisjoint().assign(labels(*[5000] * 5), 5, seed=0)[0]) == 500
    # The classes are balanced, so each must have at least as many points as a party.
    assert len(EqualDisjoint().assign(labels(400, 300, 400, 400, 400), 5, seed=0)[0]) == 300


def test_too_few_points():
    split = EqualDisjoint(n_parties=2, points_per_party=100, majority=0.9)
    y = labels(500, 60)

    with pytest.raises(
        ValueError, match=r"points_per_party=100: class 1 \(rare\) has 60 points, .*need 100; .*=60 would"
    ):
        split.assign(y, 2, seed=0, classes=("common", "rare"))
    with pytest.raises(ValueError, match=r"class 1 has 60 points"):
        split.assign(y, 2, seed=0)
    with pytest.raises(ValueError, match=r"null: class 0 has 1 points.* 2 parties need 3; even 2 points"):
        Shares([[1.0, 0.0], [0.5, 0.5]]).assign(labels(1, 9), 2, seed=0)
