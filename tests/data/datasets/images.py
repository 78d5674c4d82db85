"""Small files of images in the formats that the datasets read."""

import gzip
from pathlib import Path

import numpy as np

from cgm.data.datasets.mnist import FILES

RNG = np.random.default_rng(0)
GREY_TRAIN = RNG.integers(0, 256, (30, 28, 28), dtype=np.uint8), np.arange(30, dtype=np.uint8) % 10
GREY_TEST = RNG.integers(0, 256, (12, 28, 28), dtype=np.uint8), np.arange(12, dtype=np.uint8) % 10
COLOUR = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(20) % 10


def idx(array: np.ndarray) -> bytes:
    """Encode an array in the IDX format, independently of the reader."""

    head = b"\x00\x00\x08" + bytes([array.ndim])
    return head + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def write_mnist(data: Path, zipped: bool = True, **replaced: bytes) -> Path:
    folder = data / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, array in zip(FILES, (*GREY_TRAIN, *GREY_TEST), strict=True):
        content = replaced.get(name.split("-ubyte")[0].replace("-", "_"), idx(array))
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


def binary(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Encode images and labels in the format of CIFAR-10's binary version."""

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
