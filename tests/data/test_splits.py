from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from cgm.data import Dirichlet, EqualDisjoint, Shares, Unequal
from cgm.data.holdout import hold_out
from cgm.data.splits.base import counts, most_points, own_classes

CONF = Path(__file__).parents[2] / "conf" / "split"

# The paper's matrices, as published.
UNEQUAL_5 = [
    [0.20, 0.20, 0.20, 0.20, 0.20],
    [0.20, 0.20, 0.20, 0.20, 0.20],
    [0.58, 0.39, 0.01, 0.01, 0.01],
    [0.01, 0.20, 0.58, 0.20, 0.01],
    [0.01, 0.01, 0.01, 0.39, 0.58],
]
UNEQUAL_10 = [
    [0.1] * 10,
    [0.1] * 10,
    [0.29, 0.29, 0.195, 0.195] + [0.005] * 6,
    [0.005, 0.005, 0.1, 0.1, 0.29, 0.29, 0.1, 0.1, 0.005, 0.005],
    [0.005] * 6 + [0.195, 0.195, 0.29, 0.29],
]
EQUAL_5 = [[0.96 if c == i else 0.01 for c in range(5)] for i in range(5)]
EQUAL_10 = [[0.48 if c // 2 == i else 0.005 for c in range(10)] for i in range(5)]

PAPER = [
    (EqualDisjoint(), EQUAL_5),
    (EqualDisjoint(), EQUAL_10),
    (Unequal(), UNEQUAL_5),
    (Unequal(), UNEQUAL_10),
]

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def labels(*numbers: int) -> torch.Tensor:
    """Labels with the given number of points of each class, in a scrambled order."""

    y = torch.arange(len(numbers)).repeat_interleave(torch.tensor(numbers))

    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]


def split_of(kind: str, n: int, points: int | None, n_classes: int):
    if kind == "shares":
        return Shares(np.random.default_rng(n).dirichlet([1.0] * n_classes, size=n), points_per_party=points)

    cls = {"equal_disjoint": EqualDisjoint, "unequal": Unequal, "dirichlet": Dirichlet}[kind]

    return cls(n_parties=max(n, 3) if cls is Unequal else n, points_per_party=points)


KINDS = ["equal_disjoint", "unequal", "shares", "dirichlet"]


@pytest.mark.parametrize(("split", "matrix"), PAPER)
def test_paper_matrices(split, matrix):
    np.testing.assert_allclose(split.shares(len(matrix[0])), matrix, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("split", "matrix"), PAPER)
@pytest.mark.parametrize("points", [1000, 5000])
def test_paper_counts(split, matrix, points):
    expected = [[int(share * points) for share in row] for row in matrix]

    np.testing.assert_array_equal(counts(split.shares(len(matrix[0])), points), expected)


@pytest.mark.parametrize("kind", KINDS)
@given(size=sizes, seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_shares_are_shares(kind, size, seed):
    n, m = size
    split = split_of(kind, n, None, m)
    shares = split.shares(m, seed)

    assert shares.shape == (split.n_parties, m)
    assert shares.dtype == np.float64
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-12)


@given(n=st.integers(1, 8), k=st.integers(1, 4), majority=st.floats(0.01, 1.0))
@settings(max_examples=60, deadline=None)
def test_equal_disjoint_balances_classes(n, k, majority):
    shares = EqualDisjoint(n_parties=n, majority=majority).shares(n * k)

    np.testing.assert_allclose(shares.sum(axis=0), 1 / k, rtol=0, atol=1e-12)
    if n > 1:
        own = np.kron(np.eye(n, dtype=bool), np.ones((1, k), dtype=bool))
        np.testing.assert_allclose(shares[own].reshape(n, k).sum(axis=1), majority, rtol=0, atol=1e-12)


@given(n=st.integers(3, 12), m=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_unequal_balances_classes(n, m):
    shares = Unequal(n_parties=n).shares(m)
    uniform = {3: 1, 4: 2, 5: 2, 6: 2, 7: 3, 8: 3, 9: 4, 10: 4, 11: 4, 12: 5}[n]

    np.testing.assert_allclose(shares.sum(axis=0), n / m, rtol=0, atol=1e-12)
    np.testing.assert_allclose(shares[:uniform], 1 / m, rtol=0, atol=1e-15)
    if m > 2:  # of two classes, the middle one of three windows has half each
        assert (shares[uniform:].max(axis=1) > 1 / m + 1e-9).all()


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
    # Exact in units of 0.01; products such as 0.29 * 100 are a bit less than whole numbers.
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
def test_most_points_by_trying_all(size, seed, limit):
    n, m = size
    rng = np.random.default_rng(seed)
    shares, available = rng.dirichlet([0.5] * m, size=n), rng.integers(1, 60, size=m)
    fitting = [p for p in range(2, limit + 1) if (counts(shares, p).sum(axis=0) <= available).all()]

    assert most_points(shares, available, limit) == (fitting[-1] if fitting else None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ordered", [False, True])
@given(
    n=st.integers(1, 6),
    m=st.integers(1, 6),
    points=st.one_of(st.none(), st.integers(2, 40)),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_deal(kind, ordered, n, m, points, seed):
    y = labels(*[250] * m)
    split = split_of(kind, n, points, m)
    parties = split.deal(y, m, seed, ordered)
    again = split.deal(y, m, seed, ordered)
    rows = torch.cat(parties)

    assert len(parties) == split.n_parties
    assert all(party.dtype == torch.int64 for party in parties)
    assert len(rows.unique()) == len(rows)
    assert all(torch.equal(*pair) for pair in zip(parties, again, strict=True))

    sizes = {len(party) for party in parties}
    assert len(sizes) == 1
    dealt = sizes.pop()
    assert dealt == points if points is not None else 2 <= dealt <= 500
    expected = counts(split.shares(m, seed), dealt)
    for party, wanted in zip(parties, expected, strict=True):
        np.testing.assert_array_equal(np.bincount(y[party], minlength=m), wanted)


def test_deal_takes_the_next_rows_in_order():
    y = torch.arange(2).repeat(10)  # 0, 1, 0, 1, ...
    first, second = Shares([[0.5, 0.5], [0.25, 0.75]], points_per_party=4).deal(y, 2, seed=5, ordered=True)

    assert first.tolist() == [0, 2, 1, 3]
    assert second.tolist() == [4, 5, 7, 9]


def test_deal_shuffles_by_seed():
    y = labels(100, 100)
    split = EqualDisjoint(n_parties=2, points_per_party=50)
    zero, one = (torch.cat(split.deal(y, 2, seed)) for seed in (0, 1))

    assert not torch.equal(zero, one)
    # Rows of a class are equally likely: over many seeds, each of 100 is dealt about as often.
    often = np.zeros(200)
    for seed in range(400):
        often[torch.cat(split.deal(y, 2, seed))] += 1
    assert np.abs(often / 400 - 0.5).max() < 0.12  # 4.8 standard errors


def test_deal_leaves_global_streams_alone():
    np.random.seed(0)  # noqa: NPY002
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    Dirichlet().deal(labels(*[300] * 3), 3, seed=0)

    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_open_number_of_points():
    assert len(EqualDisjoint().deal(labels(*[5000] * 5), 5, seed=0)[0]) == 500
    # Balanced: every class is wanted by the number of points of one party.
    assert len(EqualDisjoint().deal(labels(400, 300, 400, 400, 400), 5, seed=0)[0]) == 300


def test_dirichlet_follows_its_seed_and_concentration():
    split = Dirichlet(n_parties=400, concentration=2.0)
    shares = split.shares(4, seed=0)

    assert (shares == split.shares(4, seed=0)).all()
    assert (shares != split.shares(4, seed=1)).all()
    # Mean 1/m and variance (m - 1) / (m² (m c + 1)).
    assert np.abs(shares.mean(axis=0) - 0.25).max() < 0.03
    np.testing.assert_allclose(shares.var(axis=0), 3 / (16 * 9), rtol=0.2)
    assert Dirichlet(concentration=1e-6).shares(4, seed=0).max(axis=1).min() > 0.999


def test_shares_are_normalised():
    shares = Shares([[0.3333333, 0.3333333, 0.3333333]]).shares(3)

    np.testing.assert_allclose(shares, 1 / 3, rtol=0, atol=1e-16)


def test_too_few_points():
    split = EqualDisjoint(n_parties=2, points_per_party=100, majority=0.9)
    y = labels(500, 60)

    with pytest.raises(
        ValueError, match=r"points_per_party=100: class 1 \(rare\) has 60 points, .*want 100.*=60 would"
    ):
        split.deal(y, 2, seed=0, classes=("common", "rare"))
    with pytest.raises(ValueError, match=r"class 1 has 60 points"):
        split.deal(y, 2, seed=0)
    with pytest.raises(ValueError, match=r"null: class 0 has 1 points.* 2 parties want 3 of it; not even 2 points"):
        Shares([[1.0, 0.0], [0.5, 0.5]]).deal(labels(1, 9), 2, seed=0)


def test_the_number_that_fits_does_fit():
    y = labels(90, 35, 60)
    with pytest.raises(ValueError, match="at most") as caught:
        Dirichlet(n_parties=4, points_per_party=900).deal(y, 3, seed=3)
    fits = int(str(caught.value).split("points_per_party=")[-1].split()[0])

    assert len(Dirichlet(n_parties=4, points_per_party=fits).deal(y, 3, seed=3)) == 4
    with pytest.raises(ValueError, match="at most"):
        Dirichlet(n_parties=4, points_per_party=fits + 1).deal(y, 3, seed=3)


def test_bad_labels():
    split = EqualDisjoint(n_parties=2)

    with pytest.raises(ValueError, match=r"class 1 \(b\) has no points"):
        split.deal(torch.tensor([0, 0, 2, 2]), 3, seed=0, classes=("a", "b", "c"))
    for y in (
        torch.tensor([0, 1, 2]),
        torch.tensor([-1, 0, 1]),
        torch.zeros(0).long(),
        torch.zeros(3, 1).long(),
    ):
        with pytest.raises(ValueError, match="values from 0 to 1"):
            split.deal(y, 2, seed=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EqualDisjoint(n_parties=0), "split.n_parties=0"),
        (lambda: EqualDisjoint(n_parties=2.5), "split.n_parties=2.5"),
        (lambda: EqualDisjoint(points_per_party=1), "split.points_per_party=1"),
        (lambda: EqualDisjoint(points_per_party="many"), "split.points_per_party=many"),
        (lambda: EqualDisjoint(majority=0.0), "split.majority=0.0"),
        (lambda: EqualDisjoint(majority=1.1), "split.majority=1.1"),
        (lambda: EqualDisjoint(majority="most"), "split.majority=most"),
        (lambda: EqualDisjoint(majority=float("nan")), "split.majority=nan"),
        (lambda: Unequal(n_parties=2), "split.n_parties=2: .*from 3"),
        (lambda: Unequal(points_per_party=0), "split.points_per_party=0"),
        (lambda: Dirichlet(n_parties=-1), "split.n_parties=-1"),
        (lambda: Dirichlet(concentration=0.0), "split.concentration=0.0"),
        (lambda: Dirichlet(concentration=float("inf")), "split.concentration=inf"),
        (lambda: Dirichlet(concentration=float("nan")), "split.concentration=nan"),
        (lambda: Shares([]), "split.n_parties=0"),
        (lambda: Shares([[1.0]], points_per_party=1), "split.points_per_party=1"),
        (lambda: Shares([0.5, 0.5]), "split.matrix=.*rows of numbers"),
        (lambda: Shares([["a", "b"]]), "split.matrix=.*rows of numbers"),
        (lambda: Shares([[0.5, 0.5], [1.0]]), "split.matrix: row 1 has 1 entries, row 0 has 2"),
        (lambda: Shares([[1.5, -0.5]]), "split.matrix: row 0 .*negative"),
        (lambda: Shares([[float("nan"), 1.0]]), "split.matrix: row 0 .*NaN"),
        (lambda: Shares([[0.5, 0.5], [0.5, 0.49]]), "split.matrix: row 1 sums to 0.99"),
        (
            lambda: Shares([[0.5, 0.5]]).shares(3),
            "split.matrix: has 2 columns, but the dataset has 3 classes",
        ),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@given(share=st.floats(0.1, 0.9), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_hold_out(share, seed):
    y = labels(200, 100, 50).numpy()
    train, test = hold_out(y, share, seed)

    assert sorted([*train, *test]) == list(range(350))
    assert abs(len(test) - share * 350) <= 1
    assert (np.abs(np.bincount(y[test], minlength=3) - share * np.array([200, 100, 50])) <= 1.5).all()
    assert (hold_out(y, share, seed)[1] == test).all()
    assert len(test) != len(hold_out(y, share, seed + 1)[1]) or (hold_out(y, share, seed + 1)[1] != test).any()


def test_hold_out_needs_two_of_each_class():
    with pytest.raises(ValueError, match=r"^class 1 has one row only: .* needs two"):
        hold_out(np.array([0, 0, 0, 0, 1]), 0.5, seed=0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("equal_disjoint", EqualDisjoint()), ("unequal", Unequal()), ("dirichlet", Dirichlet())],
)
def test_conf(name, expected):
    config = OmegaConf.load(CONF / f"{name}.yaml")

    assert instantiate(config) == expected
    assert list(config)[1:] == [field.name for field in fields(expected)]


def test_conf_shares():
    config = OmegaConf.load(CONF / "shares.yaml")
    assert OmegaConf.is_missing(config, "matrix")
    config.matrix = [[0.25, 0.75], [0.5, 0.5]]

    assert instantiate(config) == Shares([[0.25, 0.75], [0.5, 0.5]])
    assert list(config)[1:] == [field.name for field in fields(Shares)]
