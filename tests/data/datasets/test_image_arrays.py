import re

import numpy as np
import pytest
import torch

from cgm.data import ImageArrays
from tests.data.datasets.images import COLOUR, LABELS


@pytest.mark.parametrize(
    "images",
    [
        COLOUR,
        COLOUR.transpose(0, 3, 1, 2),
        (COLOUR / 255).astype(np.float32),
        COLOUR / 255,
    ],
)
def test_arrays_with_a_test_part(tmp_path, images):
    np.savez(
        tmp_path / "own.npz", images=images[:15], labels=LABELS[:15], test_images=images[15:], test_labels=LABELS[15:]
    )

    dataset = ImageArrays("own.npz").load(str(tmp_path), seed=0)

    assert dataset.name == "own"
    assert dataset.x.dtype == torch.float32
    assert np.allclose(torch.cat([dataset.x, dataset.x_test]).permute(0, 2, 3, 1) * 255, COLOUR, atol=1e-4)
    assert torch.cat([dataset.y, dataset.y_test]).tolist() == LABELS.tolist()
    assert dataset.classes == tuple("0123456789")


def test_arrays_without_a_test_part(tmp_path):
    path = tmp_path / "grey.npz"
    np.savez(path, images=COLOUR[..., 0], labels=LABELS)

    zero, again, one = (ImageArrays(str(path), test_share=0.5).load(None, seed) for seed in (0, 0, 1))

    assert zero.x.shape == zero.x_test.shape == (10, 1, 32, 32)
    assert sorted(zero.y.tolist()) == sorted(zero.y_test.tolist()) == list(range(10))
    assert torch.equal(zero.x_test, again.x_test)
    assert not torch.equal(zero.x_test, one.x_test)
    both = torch.cat([zero.x, zero.x_test])[:, 0] * 255
    assert sorted(both.flatten(1).sum(1).round().tolist()) == sorted(COLOUR[..., 0].reshape(20, -1).sum(1).tolist())


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": LABELS}, "lacks the array 'images'; it has labels"),
        ({"images": COLOUR}, "lacks the array 'labels'"),
        ({"images": COLOUR, "labels": LABELS, "test_images": COLOUR}, "lacks the array 'test_labels'"),
        (
            {"images": COLOUR[0, 0], "labels": LABELS},
            r"'images' has shape \(32, 3\), .*make a cgm\.data\.Dataset",
        ),
        ({"images": np.zeros((20, 4, 5, 6)), "labels": LABELS}, r"'images' has shape \(20, 4, 5, 6\)"),
        ({"images": COLOUR[:0], "labels": LABELS[:0]}, r"'images' has shape \(0, 3, 32, 32\)"),
        (
            {"images": COLOUR.astype(float), "labels": LABELS},
            "'images' contains values from 0 to 25[0-9], expected uint8",
        ),
        ({"images": COLOUR.astype(int), "labels": LABELS}, "'images' has the type int64, expected uint8"),
        ({"images": COLOUR * np.nan, "labels": LABELS}, "'images' contains 61440 values that are NaN or infinite"),
        ({"images": COLOUR, "labels": LABELS[:9]}, r"'labels' has the type int64 and the shape \(9,\)"),
        ({"images": COLOUR, "labels": LABELS + 0.5}, "'labels' has the type float64"),
        ({"images": COLOUR, "labels": LABELS - 1}, "'labels' contains -1, expected integers >= 0"),
        ({"images": COLOUR, "labels": LABELS + 1}, "no image has the label 0"),
        ({"images": COLOUR, "labels": LABELS, "test_images": COLOUR[:, 1:], "test_labels": LABELS}, "but test_images"),
        (
            {"images": COLOUR, "labels": LABELS, "test_images": COLOUR, "test_labels": LABELS + 1},
            "a test label is 10, but labels run from 0 to 9",
        ),
        ({"images": COLOUR, "labels": np.arange(20)}, "class 0 has only one row, but each class needs at least two"),
        ({"images": COLOUR, "labels": np.arange(20) // 2}, "dataset.test_share=0.2: not possible for 20 rows"),
    ],
)
def test_bad_arrays(tmp_path, arrays, message):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)

    with pytest.raises(ValueError, match=f"{message}") as error:
        ImageArrays(str(path)).load(None, seed=0)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[:200] + b"!!!!" + b[204:], lambda b: b"", None])
def test_damaged_file(tmp_path, damage):
    path = tmp_path / "own.npz"
    np.savez_compressed(path, images=COLOUR, labels=LABELS)
    if damage is None:
        with path.open("wb") as file:
            np.save(file, COLOUR)  # a single array, without an archive
    else:
        path.write_bytes(damage(path.read_bytes()))

    what = "a single array" if damage is None else "not a file of arrays"
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {what}"):
        ImageArrays(str(path)).load(None, seed=0)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dataset.path=none.npz: no file at .*none.npz"):
        ImageArrays("none.npz").load(str(tmp_path), seed=0)
