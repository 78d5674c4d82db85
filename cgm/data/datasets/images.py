"""Images: MNIST, CIFAR-10, and arrays of one's own."""

import gzip
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cgm.data.datasets.base import Dataset
from cgm.data.holdout import check_test_share, hold_out

MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_BINARY = ([f"data_batch_{k}.bin" for k in range(1, 6)], ["test_batch.bin"])
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"


@dataclass(frozen=True)
class MNIST:
    r"""Loads the 70,000 images of handwritten digits, 28 × 28 pixels in $[0, 1]$, of shape $(N, 1, 28, 28)$.

    Parties are made from the 60,000 training images; the 10,000 test images are held out. The four files, in
    the IDX format, gzipped or not, are looked for in the folder `MNIST/raw` of the data folder, which is
    where torchvision has them. The data folder is `data_dir`; if that is `None`, the environment variable
    `CGM_DATA`; if that is not set, `data`. Nothing is unpacked into it.

    Arguments:
        download: Whether to fetch the files (12 MB) by torchvision if they are not there.

    Raises:
        ValueError: On loading, if a file is damaged or holds something else.
        FileNotFoundError: On loading, if there are no files.

    References:
        Gradient-Based Learning Applied to Document Recognition (LeCun et al., 1998)
    """

    download: bool = False

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Reads the files; the seed has no say, since the test images are fixed."""

        root = _root(data_dir)
        folder = root / "MNIST" / "raw"
        failed = ""
        if self.download and _missing(folder):
            from torchvision import datasets  # takes a second to import

            try:
                datasets.MNIST(str(root), download=True)
            except (RuntimeError, OSError) as error:
                failed = f" (dataset.download=true was tried, but failed: {error})"
        if missing := _missing(folder):
            raise FileNotFoundError(
                f"dataset=mnist: no {missing[0]} or {missing[0]}.gz in {folder.absolute()}{failed}. Set "
                f"dataset.download=true; or put the files {', '.join(MNIST_FILES)}, gzipped or not, into that "
                f"folder (they are at https://ossci-datasets.s3.amazonaws.com/mnist/); or name another data "
                f"folder by data_dir=... or the environment variable CGM_DATA"
            )

        parts = []
        for images, labels in (MNIST_FILES[:2], MNIST_FILES[2:]):
            x, x_path = _read_idx(folder, images, dims=3)
            y, y_path = _read_idx(folder, labels, dims=1)
            if x.shape[1:] != (28, 28):
                raise ValueError(f"{x_path}: holds images of {x.shape[1]} × {x.shape[2]} pixels, expected 28 × 28")
            if len(x) != len(y) or len(x) == 0:
                raise ValueError(f"{y_path}: holds {len(y)} labels for the {len(x)} images of {x_path.name}")
            if y.max() > 9:
                raise ValueError(f"{y_path}: holds the label {y.max()}, expected digits from 0 to 9")
            parts.append((x[:, None], y))

        return _dataset("mnist", *parts, classes=[str(digit) for digit in range(10)])


@dataclass(frozen=True)
class CIFAR10:
    r"""Loads CIFAR-10: colour photographs of 10 kinds of things, in $[0, 1]$, of shape $(N, 3, 32, 32)$.

    Parties are made from the training images; the test images are held out. In the data folder are looked for,
    in this order, and read in full: the six files of the binary version, in the folder
    `cifar-10-batches-bin`; arrays `images`, of shape $(N, 32, 32, 3)$, and `labels` in the folder `CIFAR10`, in
    one file `*train*.npz` and one file `*test*.npz`, which may be a part of the whole. The data folder is
    `data_dir`; if that is `None`, the environment variable `CGM_DATA`; if that is not set, `data`.

    torchvision's own folder, `cifar-10-batches-py`, is not read: its files are pickled, and unpickling can run
    code that a file holds.

    Arguments:
        download: Whether to fetch the binary version (170 MB), checked by its published MD5 sum, into the data
            folder if neither is there.

    Raises:
        ValueError: On loading, if a file is damaged or holds something else.
        FileNotFoundError: On loading, if there are no files.

    References:
        Learning Multiple Layers of Features from Tiny Images (Krizhevsky, 2009),
        https://www.cs.toronto.edu/~kriz/cifar.html
    """

    download: bool = False

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Reads the files; the seed has no say, since the test images are fixed."""

        root = _root(data_dir)
        binary, arrays = root / "cifar-10-batches-bin", root / "CIFAR10"
        found = {part: sorted(arrays.glob(f"*{part}*.npz")) for part in ("train", "test")}
        failed = ""
        if self.download and not binary.is_dir() and not all(found.values()):
            from torchvision.datasets import utils  # takes a second to import

            try:
                utils.download_and_extract_archive(CIFAR10_URL, str(root), md5=CIFAR10_MD5)
            except (RuntimeError, OSError) as error:
                failed = f" (dataset.download=true was tried, but failed: {error})"

        if binary.is_dir():
            parts = [_read_cifar10_binary(binary, names) for names in CIFAR10_BINARY]
        elif all(found.values()):
            for part, paths in found.items():
                if len(paths) > 1:
                    names = ", ".join(path.name for path in paths)
                    raise ValueError(f"{arrays}: has several files *{part}*.npz ({names}), leave just one there")
            parts = []
            for (path,) in found.values():
                x, y = _read_npz(path, ("images", "labels"))
                if x.shape[1:] != (3, 32, 32) or y.max() > 9:
                    raise ValueError(
                        f"{path}: holds images of shape {x.shape[1:]} and labels up to {y.max()}, "
                        "expected 32 × 32 pixels in 3 colours and labels from 0 to 9"
                    )
                parts.append((x, y))
        else:
            pickled = root / "cifar-10-batches-py"
            note = f" {pickled.absolute()} is there, but pickled files are not read." if pickled.is_dir() else ""
            raise FileNotFoundError(
                f"dataset=cifar10: neither {binary.absolute()} nor *train*.npz and *test*.npz in "
                f"{arrays.absolute()}{failed}.{note} Set dataset.download=true; or get {CIFAR10_URL} and unpack it "
                "in the data folder; or name another data folder by data_dir=... or the environment variable CGM_DATA"
            )

        return _dataset("cifar10", *parts, classes=CIFAR10_CLASSES)


@dataclass(frozen=True)
class ImageArrays:
    r"""Loads labelled images of one's own from a file of numpy arrays.

    The file holds `images`, of shape $(N, H, W)$, $(N, H, W, C)$ or $(N, C, H, W)$ with $C$ = 1 or 3, either
    uint8, or floating-point numbers in $[0, 1]$; and `labels`, of shape $(N)$, the integers $0, \dots, m - 1$.
    It may hold `test_images` and `test_labels` as well; else a part of the images is held out. It is written by
    `numpy.savez_compressed(path, images=images, labels=labels)`.

    Arguments:
        path: The file; absolute, or relative to the data folder or the working directory. The data folder is
            `data_dir`; if that is `None`, the environment variable `CGM_DATA`; if that is not set, `data`.
        test_share: The share of images that is held out, if the file has no `test_images`.

    Raises:
        ValueError: If the share is not between 0 and 1. On loading: if the file is damaged or holds something
            else.
        FileNotFoundError: On loading, if there is no such file.
    """

    path: str
    test_share: float = 0.2

    def __post_init__(self) -> None:
        """Refuses a share that leaves nothing."""

        check_test_share(self.test_share)

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Reads the file; `seed` draws the held-out part, where the file has none."""

        places = [_root(data_dir) / self.path, Path(self.path)]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            looked = ", ".join(dict.fromkeys(str(place.absolute()) for place in places))
            raise FileNotFoundError(
                f"dataset.path={self.path}: no file at {looked}. Write one by "
                "numpy.savez_compressed(path, images=images, labels=labels)"
            )

        x, y = _read_npz(path, ("images", "labels"))
        tested = _read_npz(path, ("test_images", "test_labels"), optional=True)
        classes = int(y.max()) + 1
        absent = sorted(set(range(classes)) - set(np.unique(y).tolist()))
        if absent:
            raise ValueError(f"{path}: no image has the label {absent[0]}; number the classes from 0 on")

        if tested is None:
            try:
                train, test = hold_out(y, self.test_share, seed)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            parts = (x[train], y[train]), (x[test], y[test])
        else:
            parts = (x, y), tested
            if tested[0].shape[1:] != x.shape[1:]:
                raise ValueError(f"{path}: images of shape {x.shape[1:]}, but test_images of {tested[0].shape[1:]}")
            if tested[1].max() >= classes:
                raise ValueError(f"{path}: a test label is {tested[1].max()}, but labels run from 0 to {classes - 1}")

        return _dataset(path.stem, *parts, classes=[str(label) for label in range(classes)])


def _root(data_dir: str | None) -> Path:
    return Path(data_dir or os.environ.get("CGM_DATA") or "data")


def _missing(folder: Path) -> list[str]:
    return [name for name in MNIST_FILES if not any((folder / file).is_file() for file in (name, f"{name}.gz"))]


def _read_idx(folder: Path, name: str, dims: int) -> tuple[np.ndarray, Path]:
    """Reads an IDX file of bytes, gzipped or not; returns its array and where it was."""

    path = folder / name
    if not path.is_file():
        path = folder / f"{name}.gz"
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read()
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: is damaged or cut short ({error}); delete it and get it again") from error

    # Two zero bytes, 8 for bytes as the type, the number of dimensions; then the dimensions, big-endian
    magic = bytes([0, 0, 8, dims])
    if data[:4] != magic:
        raise ValueError(
            f"{path}: begins with the bytes {data[:4].hex(' ')} where {magic.hex(' ')} are expected: not the IDX "
            f"file {name}; get it again"
        )
    head = 4 + 4 * dims
    shape = tuple(int(size) for size in np.frombuffer(data[4:head], ">u4")) if len(data) >= head else (0,) * dims
    if len(shape) != dims or len(data) - head != int(np.prod(shape, dtype=object)):
        raise ValueError(
            f"{path}: holds {max(len(data) - head, 0)} bytes of data, but its header says "
            f"{' × '.join(map(str, shape))}; delete it and get it again"
        )

    return np.frombuffer(data, np.uint8, offset=head).reshape(shape), path


def _read_cifar10_binary(folder: Path, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Reads files of the binary version: for each image a byte of label, then 3 planes of 32 × 32 bytes."""

    rows = []
    for path in (folder / name for name in names):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file; get {CIFAR10_URL} and unpack it again")
        data = np.fromfile(path, np.uint8)
        if len(data) == 0 or len(data) % 3073:
            raise ValueError(f"{path}: holds {len(data)} bytes, not a multiple of 3073: damaged or cut short")
        rows.append(data.reshape(-1, 3073))
        if rows[-1][:, 0].max() > 9:
            raise ValueError(f"{path}: holds the label {rows[-1][:, 0].max()}, expected 0 to 9: damaged")
    rows = np.concatenate(rows)

    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]


def _read_npz(path: Path, names: tuple[str, str], optional: bool = False) -> tuple[np.ndarray, np.ndarray] | None:
    """Reads images, as (N, C, H, W), and labels; `None` if the file has neither and need not have them."""

    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            single = file.read(6) == b"\x93NUMPY"
        what = "a single array (.npy)" if single else "not a file of arrays (.npz), or a damaged one"
        raise ValueError(f"{path}: {what}; write one by numpy.savez_compressed(path, {names[0]}=..., {names[1]}=...)")
    try:
        with np.load(path, allow_pickle=False) as file:
            there = list(file.files)
            if optional and not set(names) & set(there):
                return None
            lacking = [name for name in names if name not in there]
            if lacking:
                raise ValueError(f"lacks the array {lacking[0]!r}; it has {', '.join(there) or 'none'}")
            x, y = (file[name] for name in names)
        return _check_arrays(x, y, *names)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, AttributeError, TypeError, NotImplementedError) as error:
        raise ValueError(f"{path}: not a file of arrays (.npz), or a damaged one ({error})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_arrays(x: np.ndarray, y: np.ndarray, images: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Brings images to shape (N, C, H, W), and refuses what are no labelled images."""

    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape:
        raise ValueError(
            f"{images!r} has shape {x.shape}, expected (N, H, W), (N, H, W, C) or (N, C, H, W), with 1 or 3 colours C"
        )
    wanted = "expected uint8, or floating-point numbers from 0 to 1"
    if x.dtype != np.uint8:
        if not np.issubdtype(x.dtype, np.floating):
            raise ValueError(f"{images!r} holds {x.dtype}, {wanted}")
        bad = int((~np.isfinite(x)).sum())
        if bad:
            raise ValueError(f"{images!r} holds {bad} values that are NaN or infinite, {wanted}")
        if x.min() < 0 or x.max() > 1:
            raise ValueError(f"{images!r} holds values from {x.min():g} to {x.max():g}, {wanted}")
    if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"{labels!r} holds {y.dtype} of shape {y.shape}, expected a whole number from 0 for each of the "
            f"{len(x)} images"
        )
    if y.min() < 0:
        raise ValueError(f"{labels!r} holds {y.min()}, expected the classes' numbers from 0 on")

    return x, y


def _dataset(
    name: str, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], classes: Sequence[str]
) -> Dataset:
    (x, y), (x_test, y_test) = (
        (
            torch.from_numpy(images.astype(np.float32, order="C") / np.float32(255 if images.dtype == np.uint8 else 1)),
            torch.from_numpy(labels.astype(np.int64)),
        )
        for images, labels in (train, test)
    )

    return Dataset(name=name, x=x, y=y, x_test=x_test, y_test=y_test, classes=tuple(classes))
