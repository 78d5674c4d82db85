import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from cgm.data import MNIST
from cgm.data.datasets.mnist import FILES
from tests.data.datasets.images import GREY_TEST, GREY_TRAIN, idx, write_mnist


def state_of(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("zipped", [True, False])
def test_mnist_is_read_gzipped_or_not_and_nothing_is_unpacked(tmp_path, zipped):
    write_mnist(tmp_path, zipped)
    before = state_of(tmp_path)

    dataset = MNIST().load(str(tmp_path), seed=0)

    for x, y, (images, labels) in ((dataset.x, dataset.y, GREY_TRAIN), (dataset.x_test, dataset.y_test, GREY_TEST)):
        assert x.dtype == torch.float32
        assert x.shape[1:] == (1, 28, 28)
        assert np.array_equal(x.double().numpy()[:, 0], (images.astype(np.float32) / np.float32(255)).astype(float))
        assert y.tolist() == labels.tolist()
    assert dataset.classes == tuple("0123456789")
    assert state_of(tmp_path) == before


def test_unpacked_files_come_first(tmp_path):
    folder = write_mnist(tmp_path)
    (folder / FILES[0]).write_bytes(idx(255 - GREY_TRAIN[0]))

    assert np.allclose(MNIST().load(str(tmp_path), seed=0).x[:, 0] * 255, 255 - GREY_TRAIN[0])


def test_data_folder_from_the_environment(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    monkeypatch.setenv("CGM_DATA", str(tmp_path))

    assert len(MNIST().load(None, seed=0).x) == 30


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train_images_idx3",
            idx(GREY_TRAIN[0])[:-1],
            "contains 23519 bytes of data, but its header states 30 × 28 × 28",
        ),
        ("train_images_idx3", idx(GREY_TRAIN[0]) + b"0", "contains 23521 bytes of data"),
        ("train_images_idx3", idx(GREY_TRAIN[0])[:9], "contains 0 bytes of data"),
        ("train_images_idx3", b"", "starts with the bytes , expected 00 00 08 03"),
        ("train_images_idx3", idx(GREY_TRAIN[1]), "starts with the bytes 00 00 08 01, expected 00 00 08 03"),
        ("train_images_idx3", idx(GREY_TRAIN[0][:, :20]), "contains images of 20 × 28 pixels, expected 28 × 28"),
        ("t10k_labels_idx1", idx(GREY_TRAIN[1]), "contains 30 labels for the 12 images of t10k-images-idx3-ubyte"),
        ("t10k_labels_idx1", idx(GREY_TEST[1] + 1), "contains the label 10, expected digits from 0 to 9"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_mnist(tmp_path, name, content, message, zipped):
    folder = write_mnist(tmp_path, zipped, **{name: content})
    path = folder / (name.replace("_", "-") + ("-ubyte.gz" if zipped else "-ubyte"))

    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}"):
        MNIST().load(str(tmp_path), seed=0)


@pytest.mark.parametrize("damage", [lambda b: b[:-30], lambda b: b[:40] + b"!" + b[41:], lambda b: b"no gzip", None])
def test_damaged_gzip(tmp_path, damage):
    path = write_mnist(tmp_path) / f"{FILES[2]}.gz"
    if damage is None:
        path.write_bytes(b"")
    else:
        path.write_bytes(damage(path.read_bytes()))

    message = "starts with the bytes" if damage is None else "damaged or truncated"
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}"):
        MNIST().load(str(tmp_path), seed=0)


def test_missing_mnist_says_what_where_and_how(tmp_path):
    folder = write_mnist(tmp_path)
    (folder / f"{FILES[3]}.gz").unlink()

    with pytest.raises(FileNotFoundError) as error:
        MNIST().load(str(tmp_path), seed=0)
    for part in (f"no {FILES[3]} or {FILES[3]}.gz", str(folder), "dataset.download=true", "CGM_DATA"):
        assert part in str(error.value)


def test_mnist_is_downloaded_by_torchvision_only_if_it_is_not_there(tmp_path, monkeypatch):
    calls = []

    def fetch(root, download):
        calls.append((root, download))
        write_mnist(tmp_path, zipped=False)

    monkeypatch.setattr("torchvision.datasets.MNIST", fetch)

    assert len(MNIST(download=True).load(str(tmp_path), seed=0).x) == 30
    assert len(MNIST(download=True).load(str(tmp_path), seed=0).x) == 30
    assert calls == [(str(tmp_path), True)]


def test_failed_download_is_reported(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no network")

    monkeypatch.setattr("torchvision.datasets.MNIST", fail)

    with pytest.raises(FileNotFoundError, match=r"dataset.download=true was tried, but failed: no network"):
        MNIST(download=True).load(str(tmp_path), seed=0)


@pytest.mark.slow
def test_real_mnist(data_dir):
    dataset = MNIST().load(str(data_dir), seed=0)

    assert (dataset.x.shape, dataset.x_test.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    assert dataset.y.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert dataset.y_test.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = (dataset.x * 255).round().to(torch.uint8).numpy()
    header = bytes.fromhex("00000803 0000ea60 0000001c 0000001c")
    assert hashlib.md5(header + pixels.tobytes()).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
