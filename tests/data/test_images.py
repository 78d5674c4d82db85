import gzip
import hashlib
import os
import pickle
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from cgm.data import CIFAR10, MNIST, ImageArrays
from cgm.data.datasets.images import MNIST_FILES

CONF = Path(__file__).parents[2] / "conf" / "dataset"
RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (30, 28, 28), dtype=np.uint8), np.arange(30, dtype=np.uint8) % 10
TEST = RNG.integers(0, 256, (12, 28, 28), dtype=np.uint8), np.arange(12, dtype=np.uint8) % 10
COLOUR = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(20) % 10


def idx(array: np.ndarray) -> bytes:
    """Writes the IDX format, entry by entry, from its description."""

    head = b"\x00\x00\x08" + bytes([array.ndim])
    return head + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def write_mnist(data: Path, zipped: bool = True, **replaced: bytes) -> Path:
    folder = data / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, array in zip(MNIST_FILES, (*TRAIN, *TEST), strict=True):
        content = replaced.get(name.split("-ubyte")[0].replace("-", "_"), idx(array))
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


def binary(images: np.ndarray, labels: np.ndarray) -> bytes:
    return b"".join(bytes([int(y)]) + x.transpose(2, 0, 1).tobytes() for x, y in zip(images, labels, strict=True))


def write_cifar10(data: Path) -> Path:
    folder = data / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for k in range(5):
        rows = slice(3 * k, 3 * k + 3)
        (folder / f"data_batch_{k + 1}.bin").write_bytes(binary(COLOUR[rows], LABELS[rows]))
    (folder / "test_batch.bin").write_bytes(binary(COLOUR[15:], LABELS[15:]))
    return folder


def write_cifar10_arrays(data: Path, **replaced: dict) -> Path:
    folder = data / "CIFAR10"
    folder.mkdir(parents=True)
    for part, rows in (("train_30k", slice(15)), ("test_5k", slice(15, 20))):
        arrays = {"images": COLOUR[rows], "labels": LABELS[rows], **replaced.get(part.split("_")[0], {})}
        np.savez_compressed(folder / f"cifar10_{part}.npz", **arrays)
    return folder


def state_of(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("zipped", [True, False])
def test_mnist_is_read_gzipped_or_not_and_nothing_is_unpacked(tmp_path, zipped):
    write_mnist(tmp_path, zipped)
    before = state_of(tmp_path)

    dataset = MNIST().load(str(tmp_path), seed=0)

    for x, y, (images, labels) in ((dataset.x, dataset.y, TRAIN), (dataset.x_test, dataset.y_test, TEST)):
        assert x.dtype == torch.float32
        assert x.shape[1:] == (1, 28, 28)
        assert np.array_equal(x.double().numpy()[:, 0], (images.astype(np.float32) / np.float32(255)).astype(float))
        assert y.tolist() == labels.tolist()
    assert dataset.classes == tuple("0123456789")
    assert state_of(tmp_path) == before


def test_unpacked_files_come_first(tmp_path):
    folder = write_mnist(tmp_path)
    (folder / MNIST_FILES[0]).write_bytes(idx(255 - TRAIN[0]))

    assert np.allclose(MNIST().load(str(tmp_path), seed=0).x[:, 0] * 255, 255 - TRAIN[0])


def test_data_folder_from_the_environment(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    monkeypatch.setenv("CGM_DATA", str(tmp_path))

    assert len(MNIST().load(None, seed=0).x) == 30


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_images_idx3", idx(TRAIN[0])[:-1], "holds 23519 bytes of data, but its header says 30 × 28 × 28"),
        ("train_images_idx3", idx(TRAIN[0]) + b"0", "holds 23521 bytes of data"),
        ("train_images_idx3", idx(TRAIN[0])[:9], "holds 0 bytes of data"),
        ("train_images_idx3", b"", "begins with the bytes  where 00 00 08 03 are expected"),
        ("train_images_idx3", idx(TRAIN[1]), "begins with the bytes 00 00 08 01 where 00 00 08 03 are expected"),
        ("train_images_idx3", idx(TRAIN[0][:, :20]), "holds images of 20 × 28 pixels, expected 28 × 28"),
        ("t10k_labels_idx1", idx(TRAIN[1]), "holds 30 labels for the 12 images of t10k-images-idx3-ubyte"),
        ("t10k_labels_idx1", idx(TEST[1] + 1), "holds the label 10, expected digits from 0 to 9"),
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
    path = write_mnist(tmp_path) / f"{MNIST_FILES[2]}.gz"
    if damage is None:
        path.write_bytes(b"")
    else:
        path.write_bytes(damage(path.read_bytes()))

    message = "begins with the bytes" if damage is None else "is damaged or cut short"
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}"):
        MNIST().load(str(tmp_path), seed=0)


def test_missing_mnist_says_what_where_and_how(tmp_path):
    folder = write_mnist(tmp_path)
    (folder / f"{MNIST_FILES[3]}.gz").unlink()

    with pytest.raises(FileNotFoundError) as error:
        MNIST().load(str(tmp_path), seed=0)
    for part in (f"no {MNIST_FILES[3]} or {MNIST_FILES[3]}.gz", str(folder), "dataset.download=true", "CGM_DATA"):
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


def test_failed_downloads_are_told(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no network")

    monkeypatch.setattr("torchvision.datasets.MNIST", fail)
    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", fail)

    for dataset in (MNIST(download=True), CIFAR10(download=True)):
        with pytest.raises(FileNotFoundError, match=r"dataset.download=true was tried, but failed: no network"):
            dataset.load(str(tmp_path), seed=0)


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


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "test_batch"):
        (folder / name).write_bytes(pickle.dumps(Trap()))
    trap = np.array([Trap()], dtype=object)

    with pytest.raises(FileNotFoundError, match="cifar-10-batches-py is there, but pickled files are not read"):
        CIFAR10().load(str(tmp_path), seed=0)
    write_cifar10_arrays(tmp_path, train={"images": trap})
    with pytest.raises(ValueError, match=r"cifar10_train_30k.npz: "):
        CIFAR10().load(str(tmp_path), seed=0)
    np.savez("own.npz", images=COLOUR, labels=trap)
    with pytest.raises(ValueError, match=r"own.npz: "):
        ImageArrays("own.npz").load(None, seed=0)
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"pickle.npz: "):
        ImageArrays("pickle.npz").load(None, seed=0)
    assert not Path("sprung").exists()


def test_damaged_cifar10(tmp_path):
    folder = write_cifar10(tmp_path)
    path = folder / "data_batch_2.bin"
    whole = path.read_bytes()

    for content, message in (
        (whole[:-1], "holds 9218 bytes, not a multiple of 3073"),
        (b"", "holds 0 bytes"),
        (b"\x0a" + whole[1:], "holds the label 10, expected 0 to 9"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}"):
            CIFAR10().load(str(tmp_path), seed=0)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(str(path))}: there is no such file"):
        CIFAR10().load(str(tmp_path), seed=0)


def test_bad_cifar10_arrays(tmp_path):
    folder = write_cifar10_arrays(tmp_path, test={"images": COLOUR[15:, :16]})
    with pytest.raises(ValueError, match=r"test_5k.npz: holds images of shape \(3, 16, 32\) and labels up to 9"):
        CIFAR10().load(str(tmp_path), seed=0)

    (folder / "another_test.npz").touch()
    with pytest.raises(ValueError, match=r"several files \*test\*.npz \(another_test.npz, cifar10_test_5k.npz\)"):
        CIFAR10().load(str(tmp_path), seed=0)


@pytest.mark.parametrize(
    "images",
    [
        COLOUR,
        COLOUR.transpose(0, 3, 1, 2),
        (COLOUR / 255).astype(np.float32),
        COLOUR / 255,
    ],
)
def test_own_arrays_with_a_test_part(tmp_path, images):
    np.savez(
        tmp_path / "own.npz", images=images[:15], labels=LABELS[:15], test_images=images[15:], test_labels=LABELS[15:]
    )

    dataset = ImageArrays("own.npz").load(str(tmp_path), seed=0)

    assert dataset.name == "own"
    assert dataset.x.dtype == torch.float32
    assert np.allclose(torch.cat([dataset.x, dataset.x_test]).permute(0, 2, 3, 1) * 255, COLOUR, atol=1e-4)
    assert torch.cat([dataset.y, dataset.y_test]).tolist() == LABELS.tolist()
    assert dataset.classes == tuple("0123456789")


def test_own_arrays_without_a_test_part(tmp_path):
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
        ({"images": COLOUR[0, 0], "labels": LABELS}, r"'images' has shape \(32, 3\)"),
        ({"images": np.zeros((20, 4, 5, 6)), "labels": LABELS}, r"'images' has shape \(20, 4, 5, 6\)"),
        ({"images": COLOUR[:0], "labels": LABELS[:0]}, r"'images' has shape \(0, 3, 32, 32\)"),
        ({"images": COLOUR.astype(float), "labels": LABELS}, "'images' holds values from 0 to 25[0-9], expected uint8"),
        ({"images": COLOUR.astype(int), "labels": LABELS}, "'images' holds int64, expected uint8"),
        ({"images": COLOUR * np.nan, "labels": LABELS}, "'images' holds 61440 values that are NaN or infinite"),
        ({"images": COLOUR, "labels": LABELS[:9]}, r"'labels' holds int64 of shape \(9,\)"),
        ({"images": COLOUR, "labels": LABELS + 0.5}, "'labels' holds float64"),
        ({"images": COLOUR, "labels": LABELS - 1}, "'labels' holds -1, expected the classes' numbers from 0 on"),
        ({"images": COLOUR, "labels": LABELS + 1}, "no image has the label 0"),
        ({"images": COLOUR, "labels": LABELS, "test_images": COLOUR[:, 1:], "test_labels": LABELS}, "but test_images"),
        (
            {"images": COLOUR, "labels": LABELS, "test_images": COLOUR, "test_labels": LABELS + 1},
            "a test label is 10, but labels run from 0 to 9",
        ),
        ({"images": COLOUR, "labels": np.arange(20)}, "class 0 has one row only: .* each needs two"),
        ({"images": COLOUR, "labels": np.arange(20) // 2}, "dataset.test_share=0.2: won't do for 20 rows"),
    ],
)
def test_bad_own_arrays(tmp_path, arrays, message):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)

    with pytest.raises(ValueError, match=f"{message}") as error:
        ImageArrays(str(path)).load(None, seed=0)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[:200] + b"!!!!" + b[204:], lambda b: b"", None])
def test_damaged_own_arrays(tmp_path, damage):
    path = tmp_path / "own.npz"
    np.savez_compressed(path, images=COLOUR, labels=LABELS)
    if damage is None:
        with path.open("wb") as file:
            np.save(file, COLOUR)  # one array, without an archive
    else:
        path.write_bytes(damage(path.read_bytes()))

    what = "a single array" if damage is None else "not a file of arrays"
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {what}"):
        ImageArrays(str(path)).load(None, seed=0)


def test_missing_own_arrays(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dataset.path=none.npz: no file at .*none.npz"):
        ImageArrays("none.npz").load(str(tmp_path), seed=0)


def test_bad_share():
    with pytest.raises(ValueError, match=r"dataset.test_share=1: expected"):
        ImageArrays("own.npz", test_share=1)


@pytest.mark.parametrize(
    ("name", "expected"), [("mnist", MNIST()), ("cifar10", CIFAR10()), ("npz", ImageArrays("own.npz"))]
)
def test_conf(name, expected):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    options = {"path": "own.npz"} if name == "npz" else {}

    assert instantiate(config, **options) == expected
    assert list(config)[1:] == [field.name for field in fields(expected)]


needs_data = pytest.mark.skipif(not os.environ.get("CGM_DATA"), reason="CGM_DATA names no folder with the real files")


@needs_data
@pytest.mark.slow
def test_real_mnist():
    dataset = MNIST().load(None, seed=0)

    assert (dataset.x.shape, dataset.x_test.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    assert dataset.y.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert dataset.y_test.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = (dataset.x * 255).round().to(torch.uint8).numpy()
    header = bytes.fromhex("00000803 0000ea60 0000001c 0000001c")
    assert hashlib.md5(header + pixels.tobytes()).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"


@needs_data
@pytest.mark.slow
def test_real_cifar10():
    dataset = CIFAR10().load(None, seed=0)

    assert (dataset.y.bincount() == len(dataset.y) // 10).all()
    # The published means and standard deviations of the complete training set
    mean, deviation = dataset.x.mean((0, 2, 3)), dataset.x.permute(1, 0, 2, 3).flatten(1).std(1)
    assert torch.allclose(mean, torch.tensor([0.4914, 0.4822, 0.4465]), atol=3e-3)
    assert torch.allclose(deviation, torch.tensor([0.2470, 0.2435, 0.2616]), atol=3e-3)
