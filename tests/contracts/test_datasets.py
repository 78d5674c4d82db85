"""Properties of every dataset: each class in `cgm.data.datasets` by its file in `conf/dataset`.

A dataset that reads files is skipped unless the environment variable CGM_DATA names a folder that has them.
"""

import os
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import get_class, instantiate

import cgm.data.datasets
from cgm.data import Dataset, EqualDisjoint
from tests.contracts.members import check_configuration, classes, configurations, required

CLASSES = classes(cgm.data.datasets, lambda cls: hasattr(cls, "load") and not getattr(cls, "_is_protocol", False))
FILES = configurations("dataset")
LARGE = {"mnist", "cifar10"}
COPIES = {"credit_card"}
"""Datasets with identical rows, of which one may be in the training part and another in the test part."""


@pytest.fixture(scope="module")
def values(tmp_path_factory) -> dict:
    """Values for settings without a default."""

    path, rng = tmp_path_factory.mktemp("own") / "own.npz", np.random.default_rng(0)
    np.savez_compressed(path, images=rng.integers(0, 256, (60, 6, 5), dtype=np.uint8), labels=np.arange(60) % 4)

    return {"path": str(path)}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in FILES]
)
def loader(request, values):
    """The dataset of each file; `test_every_class_has_a_file` ensures that no class is left out."""

    config = FILES[request.param]

    return instantiate(config, _convert_="all", **required(get_class(config._target_), values))


@pytest.fixture(scope="module")
def dataset(loader) -> Dataset:
    """The dataset, loaded with the seed 0."""

    try:
        return loader.load(os.environ.get("CGM_DATA"), 0)
    except FileNotFoundError:
        pytest.skip(f"the files of {type(loader).__name__} are not in a folder CGM_DATA")


def parts(dataset: Dataset) -> tuple[torch.Tensor, ...]:
    return dataset.x, dataset.y, dataset.x_test, dataset.y_test


def rows(x: torch.Tensor) -> set[int]:
    return {hash(row.tobytes()) for row in x.numpy()}


def test_every_class_has_a_file():
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name, values):
    check_configuration(FILES[name], values)


def test_points(dataset):
    assert isinstance(dataset, Dataset)
    assert dataset.name
    assert dataset.x.dim() in (2, 4)
    assert dataset.x.shape[1:] == dataset.x_test.shape[1:]
    assert dataset.x.dtype == dataset.x_test.dtype
    for x in (dataset.x, dataset.x_test):
        assert x.dtype in (torch.float32, torch.float64)
        assert bool(torch.isfinite(x).all())
        if x.dim() == 4:
            assert x.shape[1] in (1, 3)
            assert float(x.min()) >= 0
            assert float(x.max()) <= 1


def test_labels(dataset):
    assert len(set(dataset.classes)) == len(dataset.classes) >= 2
    for x, y in ((dataset.x, dataset.y), (dataset.x_test, dataset.y_test)):
        assert y.dtype == torch.int64
        assert y.shape == x.shape[:1]
        assert y.unique().tolist() == list(range(len(dataset.classes)))  # all classes are present


def test_parts_are_disjoint(dataset):
    if dataset.name in COPIES:
        pytest.skip("the dataset has identical rows, so rows cannot be identified")

    assert not rows(dataset.x) & rows(dataset.x_test)


def test_seed(loader, dataset):
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    other = loader.load(os.environ.get("CGM_DATA"), 1)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)

    assert (other.name, other.ordered) == (dataset.name, dataset.ordered)
    assert len(other.classes) == len(dataset.classes)
    assert [x.shape for x in parts(other)] == [x.shape for x in parts(dataset)]
    if all(torch.equal(*pair) for pair in zip(parts(other), parts(dataset), strict=True)):
        return  # the seed has no effect

    again = loader.load(os.environ.get("CGM_DATA"), 0)
    assert again.classes == dataset.classes
    assert all(torch.equal(*pair) for pair in zip(parts(again), parts(dataset), strict=True))
    assert len(rows(other.x_test) & rows(dataset.x_test)) < 0.5 * len(dataset.x_test)


def test_rows_can_be_split(dataset):
    m = len(dataset.classes)
    parties = EqualDisjoint(n_parties=2, points_per_party=4).assign(dataset.y, m, 0, dataset.ordered, dataset.classes)

    assert [len(party) for party in parties] == [4, 4]


def test_missing_files_are_reported(loader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CGM_DATA", raising=False)
    if "path" in {field.name for field in fields(loader)}:
        loader = replace(loader, path="own.npz")
    with suppress(FileNotFoundError):
        loader.load(None, 0)
        return  # the dataset reads no files

    with pytest.raises(FileNotFoundError) as error:
        loader.load(None, 0)
    assert "dataset" in str(error.value)
    assert str(tmp_path / "data") in str(error.value)  # where the files were searched for
    assert not list(Path().iterdir())
