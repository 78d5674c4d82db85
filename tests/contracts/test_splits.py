"""Properties of every split: each class in `cgm.data.splits`, and each file in `conf/split`."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

import cgm.data.splits
from cgm.data.splits import DEFAULT_MAX_POINTS, Split, counts
from tests.contracts.members import check_configuration, classes, configurations, required

CLASSES = classes(cgm.data.splits, lambda cls: issubclass(cls, Split))
FILES = configurations("split")


def values(m: int, n: int = 3) -> dict:
    """Values for settings without a default, for m classes and, where possible, n parties."""

    return {"matrix": np.random.default_rng(n).dirichlet([1.0] * m, size=n).tolist()}


def of_class(cls: type) -> Callable[..., Split]:
    return lambda m, n=3, **settings: cls(**(required(cls, values(m, n)) | settings))


def of_file(config) -> Callable[..., Split]:
    missing = required(get_class(config._target_), values(1)).keys()

    def make(m: int, n: int = 3, **settings) -> Split:
        return instantiate(config, _convert_="all", **({key: values(m, n)[key] for key in missing} | settings))

    return make


MAKERS = {name: of_class(cls) for name, cls in CLASSES.items()} | {
    f"split={name}": of_file(config) for name, config in FILES.items()
}
every_split = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def with_parties(make: Callable[..., Split], m: int, n: int, points: int | None) -> Split:
    """Make a split with n parties, or with its default number if it needs more."""

    split = make(m, n, points_per_party=points)
    if "n_parties" in {field.name for field in fields(split)}:
        with suppress(ValueError, InstantiationException):
            return make(m, n_parties=n, points_per_party=points)

    return split


def labels(*numbers: int) -> torch.Tensor:
    """Labels with the given number of points of each class, in a scrambled order."""

    y = torch.arange(len(numbers)).repeat_interleave(torch.tensor(numbers))
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]


def test_every_class_has_a_file():
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name):
    check_configuration(FILES[name], values(m=5))


@every_split
@given(n=st.integers(1, 12), m=st.integers(1, 12), seed=st.integers(0, 2**32))
@hypothesis(max_examples=60)
def test_shares(make, n, m, seed):
    split = with_parties(make, m, n, None)
    shares = split.shares(m, seed)

    assert shares.shape == (split.n_parties, m)
    assert shares.dtype == np.float64
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(split.shares(m, seed), shares)


@every_split
@pytest.mark.parametrize("ordered", [False, True])
@given(
    n=st.integers(1, 6),
    m=st.integers(1, 6),
    points=st.one_of(st.none(), st.integers(2, 40)),
    seed=st.integers(0, 99),
)
@hypothesis(max_examples=30)
def test_assigned_rows(make, ordered, n, m, points, seed):
    y = labels(*[250] * m)
    split = with_parties(make, m, n, points)
    parties = split.assign(y, m, seed, ordered)
    rows = torch.cat(parties)

    assert len(parties) == split.n_parties
    assert all(party.dtype == torch.int64 for party in parties)
    assert len(rows.unique()) == len(rows)  # disjoint
    assert int(rows.min()) >= 0
    assert int(rows.max()) < len(y)

    (size,) = {len(party) for party in parties}
    assert size == points if points is not None else 2 <= size <= DEFAULT_MAX_POINTS
    expected = counts(split.shares(m, seed), size)  # (n, m)
    for party, numbers in zip(parties, expected, strict=True):
        np.testing.assert_array_equal(np.bincount(y[party], minlength=m), numbers)

    again = split.assign(y, m, seed, ordered)
    assert all(torch.equal(*pair) for pair in zip(parties, again, strict=True))
    if ordered:  # the first unused rows of each class
        for c in range(m):
            used = torch.cat([party[y[party] == c] for party in parties])
            assert used.tolist() == torch.nonzero(y == c).flatten()[: len(used)].tolist()


@every_split
def test_another_seed_assigns_other_rows(make):
    y, split = labels(*[200] * 5), make(5, points_per_party=50)
    zero, one = (torch.cat(split.assign(y, 5, seed)) for seed in (0, 1))

    assert not torch.equal(zero, one)


@every_split
def test_the_seed_affects_ordered_rows_only_through_random_shares(make):
    y, split = labels(*[200] * 5), make(5, points_per_party=50)
    zero, one = (torch.cat(split.assign(y, 5, seed, ordered=True)) for seed in (0, 1))

    assert torch.equal(zero, one) == np.array_equal(split.shares(5, 0), split.shares(5, 1))


@every_split
@pytest.mark.parametrize("points", [900, None])
def test_too_few_points(make, points):
    y = labels(90, 35, 60) if points else torch.arange(3)
    message = rf"^split\.points_per_party={points or 'null'}: class \d \([abc]\) has"
    with pytest.raises(ValueError, match=message) as error:
        make(3, points_per_party=points).assign(y, 3, seed=3, classes=("a", "b", "c"))
    if points is None:
        assert "even 2 points per party are too many" in str(error.value)
        return

    largest = int(re.search(r"at most split\.points_per_party=(\d+) would fit$", str(error.value))[1])
    split = make(3, points_per_party=largest)
    assert [len(party) for party in split.assign(y, 3, seed=3)] == [largest] * split.n_parties
    with pytest.raises(ValueError, match=f"at most split.points_per_party={largest} would fit"):
        make(3, points_per_party=largest + 1).assign(y, 3, seed=3)


@every_split
def test_bad_labels(make):
    with pytest.raises(ValueError, match=r"split: class 1 \(b\) has no points"):
        make(3).assign(torch.tensor([0, 0, 2, 2]), 3, seed=0, classes=("a", "b", "c"))
    for y in (torch.tensor([0, 1, 2]), torch.tensor([-1, 0, 1]), torch.zeros(0).long(), torch.zeros(3, 1).long()):
        with pytest.raises(ValueError, match=r"split: expected labels of shape \(N,\) with values from 0 to 1"):
            make(2).assign(y, 2, seed=0)


@every_split
def test_global_random_streams_are_not_used(make):
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    make(3).assign(labels(*[300] * 3), 3, seed=0)

    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
