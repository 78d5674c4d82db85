import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from cgm.data import Digits


def rows(x: torch.Tensor, y: torch.Tensor) -> list[tuple]:
    return sorted(map(tuple, torch.cat([x.flatten(1) * 16, y[:, None]], dim=1).tolist()))


def test_both_parts_make_the_whole():
    dataset = Digits().load(None, seed=0)
    images = load_digits()

    assert dataset.x.dtype == dataset.x_test.dtype == torch.float32
    assert dataset.x.shape[1:] == dataset.x_test.shape[1:] == (1, 8, 8)
    assert (float(dataset.x.min()), float(dataset.x.max())) == (0.0, 1.0)
    assert dataset.classes == tuple("0123456789")
    whole = rows(torch.cat([dataset.x, dataset.x_test]), torch.cat([dataset.y, dataset.y_test]))
    assert whole == sorted(map(tuple, np.column_stack([images.data, images.target]).tolist()))


def test_test_part_is_stratified_and_seeded():
    zero, again, one = (Digits(test_share=0.25).load(None, seed) for seed in (0, 0, 1))

    assert torch.equal(zero.x_test, again.x_test)
    assert rows(zero.x_test, zero.y_test) != rows(one.x_test, one.y_test)
    assert (np.abs(zero.y_test.bincount().numpy() - 0.25 * np.bincount(load_digits().target)) <= 1).all()


def test_share_too_small_for_the_classes():
    with pytest.raises(ValueError, match=r"dataset\.test_share=0.001: not possible for 1797 rows"):
        Digits(test_share=0.001).load(None, seed=0)
