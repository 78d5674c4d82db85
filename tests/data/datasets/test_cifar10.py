import re
from pathlib import Path

import numpy as np
import pytest
import torch

from cgm.data import CIFAR10
from tests.data.datasets.images import COLOUR, LABELS, write_cifar10, write_cifar10_arrays


@pytest.mark.parametrize("write", [write_cifar10, write_cifar10_arrays])
def test_cifar10_is_read_from_both_kinds_of_files(tmp_path, write):
    write(tmp_path)

    dataset = CIFAR10().load(str(tmp_path), seed=0)

    x, y = torch.cat([dataset.x, dataset.x_test]), torch.cat([dataset.y, dataset.y_test])
    assert (len(dataset.x), len(dataset.x_test), x.dtype) == (15, 5, torch.float32)
    for n, c, i, j in ((0, 0, 0, 0), (3, 1, 2, 30), (14, 2, 31, 31), (19, 1, 17, 5)):
        assert float(x[n, c, i, j]) == pytest.approx(COLOUR[n, i, j, c] / 255)
    assert np.allclose(x.permute(0, 2, 3, 1) * 255, COLOUR)
    assert y.tolist() == LABELS.tolist()
    assert dataset.classes[3] == "cat"


def test_cifar10_download_is_the_checked_binary_version(tmp_path, monkeypatch):
    calls = []

    def fetch(url, root, md5):
        calls.append((url.rsplit("/", 1)[1], md5))
        write_cifar10(Path(root))

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", fetch)

    for _ in range(2):
        assert len(CIFAR10(download=True).load(str(tmp_path), seed=0).x) == 15
    assert calls == [("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")]


def test_failed_download_is_reported(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", fail)

    with pytest.raises(FileNotFoundError, match=r"dataset.download=true was tried, but failed: no network"):
        CIFAR10(download=True).load(str(tmp_path), seed=0)


def test_damaged_cifar10(tmp_path):
    folder = write_cifar10(tmp_path)
    path = folder / "data_batch_2.bin"
    whole = path.read_bytes()

    for content, message in (
        (whole[:-1], "contains 9218 bytes, not a multiple of 3073"),
        (b"", "contains 0 bytes"),
        (b"\x0a" + whole[1:], "contains the label 10, expected 0 to 9"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}"):
            CIFAR10().load(str(tmp_path), seed=0)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(str(path))}: no such file"):
        CIFAR10().load(str(tmp_path), seed=0)


def test_bad_cifar10_arrays(tmp_path):
    folder = write_cifar10_arrays(tmp_path, test={"images": COLOUR[15:, :16]})
    with pytest.raises(ValueError, match=r"test_5k.npz: contains images of shape \(3, 16, 32\) and labels up to 9"):
        CIFAR10().load(str(tmp_path), seed=0)

    (folder / "another_test.npz").touch()
    with pytest.raises(ValueError, match=r"several files \*test\*.npz \(another_test.npz, cifar10_test_5k.npz\)"):
        CIFAR10().load(str(tmp_path), seed=0)


@pytest.mark.slow
def test_real_cifar10(data_dir):
    dataset = CIFAR10().load(str(data_dir), seed=0)

    assert (dataset.y.bincount() == len(dataset.y) // 10).all()
    # The published means and standard deviations of the complete training set
    mean, deviation = dataset.x.mean((0, 2, 3)), dataset.x.permute(1, 0, 2, 3).flatten(1).std(1)
    assert torch.allclose(mean, torch.tensor([0.4914, 0.4822, 0.4465]), atol=3e-3)
    assert torch.allclose(deviation, torch.tensor([0.2470, 0.2435, 0.2616]), atol=3e-3)
