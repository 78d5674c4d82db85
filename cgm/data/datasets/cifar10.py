"""CIFAR-10."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgm.data.datasets.base import OTHER_FOLDER, Dataset, data_folder, failure_of
from cgm.data.datasets.image_arrays import Arrays, image_dataset, read_npz
from cgm.utils.settings import Settings

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_FILES, TEST_FILES = tuple(f"data_batch_{k}.bin" for k in range(1, 6)), ("test_batch.bin",)
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"


@dataclass(frozen=True)
class CIFAR10(Settings):
    r"""The CIFAR-10 dataset: colour photographs of 10 kinds of objects.

    Images have the shape $(N, 3, 32, 32)$, with values in $[0, 1]$. Parties are made from the training images; the
    test images are held out. Two formats are searched for in the data folder, in this order:

    - the six files of the binary version, in the folder `cifar-10-batches-bin`;
    - one file `*train*.npz` and one file `*test*.npz` in the folder `CIFAR10`, each with the arrays `images`, of
      shape $(N, 32, 32, 3)$, and `labels`; these may be a part of the whole dataset.

    The data folder is `data_dir`; if that is `None`, the environment variable `CGM_DATA`; if that is not set, `data`.
    torchvision's own folder, `cifar-10-batches-py`, is not read: its files are pickled, and unpickling can run code
    that is contained in a file.

    Arguments:
        download: Whether to download the binary version (170 MB) into the data folder if both formats are missing.
            The download is checked against the published MD5 sum.

    Raises:
        ValueError: On loading, if a file is damaged or has unexpected content.
        FileNotFoundError: On loading, if the files are missing.

    References:
        Learning Multiple Layers of Features from Tiny Images (Krizhevsky, 2009),
        https://www.cs.toronto.edu/~kriz/cifar.html
    """

    section = "dataset"

    download: bool = False

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Read the files. The seed has no effect, because the test images are fixed."""

        root = data_folder(data_dir)
        binary, arrays = root / "cifar-10-batches-bin", root / "CIFAR10"
        found = [sorted(arrays.glob(f"*{part}*.npz")) for part in ("train", "test")]
        missing = not binary.is_dir() and not all(found)
        failed = failure_of(lambda: _download(root)) if self.download and missing else ""

        if binary.is_dir():
            train, test = (_read_binary(binary, names) for names in (TRAIN_FILES, TEST_FILES))
        elif all(found):
            for part, paths in zip(("train", "test"), found, strict=True):
                if len(paths) > 1:
                    names = ", ".join(path.name for path in paths)
                    raise ValueError(f"{arrays}: has several files *{part}*.npz ({names}); keep only one of them")
            train, test = (_read_arrays(path) for (path,) in found)
        else:
            pickled = root / "cifar-10-batches-py"
            note = f" {pickled.absolute()} exists, but pickled files are not read." if pickled.is_dir() else ""
            raise FileNotFoundError(
                f"dataset=cifar10: neither {binary.absolute()} nor *train*.npz and *test*.npz in "
                f"{arrays.absolute()}{failed}.{note} Set dataset.download=true; or download {URL} and unpack it in the "
                f"data folder; {OTHER_FOLDER}"
            )

        return image_dataset("cifar10", train, test, classes=CLASSES)


def _download(root: Path) -> None:
    from torchvision.datasets import utils  # takes a second to import

    utils.download_and_extract_archive(URL, str(root), md5=MD5)


def _read_binary(folder: Path, names: Sequence[str]) -> Arrays:
    """Read files of the binary version: for each image a byte of label, then 3 planes of 32 × 32 bytes."""

    parts = []
    for path in (folder / name for name in names):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; download {URL} and unpack it again")
        data = np.fromfile(path, np.uint8)
        if len(data) == 0 or len(data) % 3073:
            raise ValueError(f"{path}: contains {len(data)} bytes, not a multiple of 3073: damaged or truncated")
        parts.append(data.reshape(-1, 3073))
        if parts[-1][:, 0].max() > 9:
            raise ValueError(f"{path}: contains the label {parts[-1][:, 0].max()}, expected 0 to 9: damaged")
    rows = np.concatenate(parts)  # (N, 1 + 3 · 32 · 32)

    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]


def _read_arrays(path: Path) -> Arrays:
    """Read an `.npz` file, and check that it has images and labels of CIFAR-10's form."""

    x, y = read_npz(path)
    if x.shape[1:] != (3, 32, 32) or y.max() > 9:
        raise ValueError(
            f"{path}: contains images of shape {x.shape[1:]} and labels up to {y.max()}, "
            "expected 32 × 32 pixels in 3 colours and labels from 0 to 9"
        )

    return x, y
