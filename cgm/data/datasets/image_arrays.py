"""Files of images and labels, and the datasets made of them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.lib.npyio import NpzFile

from cgm.data.datasets.base import Dataset, data_folder, first_file, listed
from cgm.data.holdout import TestShare, hold_out
from cgm.utils.files import TooLarge, open_plain
from cgm.utils.settings import Settings, Text
from cgm.utils.untrusted import open_arrays

Arrays = tuple[np.ndarray, np.ndarray]
"""Images of shape $(N, C, H, W)$, uint8 or floating-point numbers in $[0, 1]$, and labels of shape $(N)$."""


def image_dataset(name: str, train: Arrays, test: Arrays, classes: Iterable[str]) -> Dataset:
    """Make a dataset of images: pixels in $[0, 1]$, float32."""

    (x, y), (x_test, y_test) = _tensors(*train), _tensors(*test)

    return Dataset(name=name, x=x, y=y, x_test=x_test, y_test=y_test, classes=tuple(classes))


def read_npz(path: Path, images: str = "images", labels: str = "labels") -> Arrays:
    """Read images and labels from an `.npz` file; nothing in it is unpickled.

    Arguments:
        path: The file.
        images: The name of the array of images, of shape $(N, H, W)$, $(N, H, W, C)$ or $(N, C, H, W)$.
        labels: The name of the array of labels, of shape $(N)$.

    Returns:
        The images, of shape $(N, C, H, W)$, and the labels.

    Raises:
        ValueError: If the file is damaged, or lacks such arrays.
    """

    with _opened(path, images, labels) as file:
        given, y = file[images], file[labels]
        if given.ndim == 2:
            raise ValueError(
                f"{images!r} has shape {given.shape}, expected images of shape (N, H, W), (N, H, W, C) or (N, C, H, W)"
                "; of points (N, d), make a cgm.data.Dataset in Python, or a class that loads one"
            )
        x = check_image_array(given, images)[0]
        if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer):
            raise ValueError(
                f"{labels!r} has the type {y.dtype} and the shape {y.shape}, expected an integer >= 0 for each of the "
                f"{len(x)} images"
            )
        if y.min() < 0:
            raise ValueError(f"{labels!r} contains {y.min()}, expected integers >= 0")
        return x, y


def names_in_npz(path: Path) -> list[str]:
    """Return the names of the arrays in an `.npz` file.

    Raises:
        ValueError: If the file is damaged.
    """

    with _opened(path) as file:
        return list(file.files)


@contextmanager
def _opened(path: Path, *names: str, links: bool = True) -> Iterator[NpzFile]:
    """Open an `.npz` file that has arrays of some names, and let each error in reading it name the file."""

    with open_plain(path, links) as file:
        is_zip, single = zipfile.is_zipfile(file), file.seek(0) or file.read(6) == b"\x93NUMPY"
    if not is_zip:
        what = "a single array (.npy)" if single else "not a file of arrays (.npz), or a damaged one"
        raise ValueError(f"{path}: {what}; write one with numpy.savez_compressed(path, images=..., labels=...)")
    try:
        with open_arrays(path, links) as arrays:
            for name in names:
                if name not in arrays.files:
                    raise ValueError(f"lacks the array {name!r}; it has {', '.join(arrays.files) or 'none'}")
            yield arrays
    except TooLarge:
        raise
    except OSError as error:
        raise ValueError(f"{path}: not a file of arrays (.npz), or a damaged one ({error})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_images(path: Path, images: str = "images") -> tuple[np.ndarray, str, list[str]]:
    """Read images without labels from an `.npz` file; nothing in it is unpickled.

    Returns:
        The images, of shape $(N, C, H, W)$; their layout in the file, `"NHW"`, `"NHWC"` or `"NCHW"`; and the names of
        the other arrays in the file.

    Raises:
        ValueError: If the file is damaged, or lacks such an array.
    """

    with _opened(path, images, links=False) as file:
        return (*check_image_array(file[images], images), [name for name in file.files if name != images])


def check_image_array(x: np.ndarray, images: str) -> tuple[np.ndarray, str]:
    """Return images of shape (N, C, H, W), and the layout that they had.

    Arguments:
        x: The images, of shape $(N, H, W)$, $(N, H, W, C)$ or $(N, C, H, W)$.
        images: Their name in an error.

    Raises:
        ValueError: If they have another shape, or pixels other than uint8 or numbers from 0 to 1.
    """

    layout = "NCHW"
    if x.ndim == 3:
        x, layout = x[:, None], "NHW"
    elif x.ndim == 4 and x.shape[3] in (1, 3):
        x, layout = x.transpose(0, 3, 1, 2), "NHWC"
    if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape:
        raise ValueError(
            f"{images!r} has shape {x.shape}, expected (N, H, W), (N, H, W, C) or (N, C, H, W), with C = 1 or 3 colours"
        )
    expected = "expected uint8, or floating-point numbers from 0 to 1"
    if x.dtype != np.uint8:
        if not np.issubdtype(x.dtype, np.floating):
            raise ValueError(f"{images!r} has the type {x.dtype}, {expected}")
        bad = int((~np.isfinite(x)).sum())
        if bad:
            raise ValueError(f"{images!r} contains {bad} values that are NaN or infinite, {expected}")
        if x.min() < 0 or x.max() > 1:
            raise ValueError(f"{images!r} contains values from {x.min():g} to {x.max():g}, {expected}")

    return x, layout


def _tensors(images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    divisor = np.float32(255 if images.dtype == np.uint8 else 1)

    return torch.from_numpy(images.astype(np.float32, order="C") / divisor), torch.from_numpy(labels.astype(np.int64))


@dataclass(frozen=True)
class ImageArrays(Settings):
    r"""Labelled images from a file of numpy arrays.

    The file contains `images`, of shape $(N, H, W)$, $(N, H, W, C)$ or $(N, C, H, W)$ with $C$ = 1 or 3, either
    uint8 or floating-point numbers in $[0, 1]$; and `labels`, of shape $(N)$, the integers $0, \dots, m - 1$.
    It may also contain `test_images` and `test_labels`; otherwise a part of the images is held out. Write such a
    file with `numpy.savez_compressed(path, images=images, labels=labels)`.

    Arguments:
        path: The file; absolute, or relative to the data folder or the working directory. The data folder is
            `data_dir`; if that is `None`, the environment variable `CGM_DATA`; if that is not set, `data`.
        test_share: The share of images that is held out, if the file has no `test_images`.

    Raises:
        ValueError: On loading, if the file is damaged or has unexpected content.
        FileNotFoundError: On loading, if there is no such file.
    """

    section = "dataset"

    path: Annotated[str, Text(path=True)]
    test_share: TestShare = 0.2

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Read the file; `seed` draws the held-out part, if the file has none."""

        places = [data_folder(data_dir) / self.path, Path(self.path)]
        path = first_file(places)
        if path is None:
            raise FileNotFoundError(
                f"dataset.path={self.path}: no file at {listed(places)}. Write one with "
                "numpy.savez_compressed(path, images=images, labels=labels)"
            )

        x, y = read_npz(path)
        m = int(y.max()) + 1
        if absent := sorted(set(range(m)) - set(np.unique(y).tolist())):
            raise ValueError(f"{path}: no image has the label {absent[0]}; number the classes from 0 without gaps")

        if {"test_images", "test_labels"} & set(names_in_npz(path)):
            train, test = (x, y), read_npz(path, "test_images", "test_labels")
            if test[0].shape[1:] != x.shape[1:]:
                raise ValueError(f"{path}: images of shape {x.shape[1:]}, but test_images of {test[0].shape[1:]}")
            if test[1].max() >= m:
                raise ValueError(f"{path}: a test label is {test[1].max()}, but labels run from 0 to {m - 1}")
        else:
            try:
                rows, test_rows = hold_out(y, self.test_share, seed)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            train, test = (x[rows], y[rows]), (x[test_rows], y[test_rows])

        return image_dataset(path.stem, train, test, map(str, range(m)))
