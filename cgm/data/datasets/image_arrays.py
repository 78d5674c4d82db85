"""Images from a user's own file of arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgm.data.datasets.base import Dataset
from cgm.data.datasets.folder import data_folder, first_file, listed
from cgm.data.datasets.image_files import image_dataset, names_in_npz, read_npz
from cgm.data.holdout import check_test_share, hold_out
from cgm.utils.checks import check_text


@dataclass(frozen=True)
class ImageArrays:
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
        ValueError: If the share is not strictly between 0 and 1. On loading, if the file is damaged or has
            unexpected content.
        FileNotFoundError: On loading, if there is no such file.
    """

    path: str
    test_share: float = 0.2

    def __post_init__(self) -> None:
        check_text("dataset.path", self.path, path=True)
        check_test_share(self.test_share)

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

        return image_dataset(path.stem, train, test, classes=[str(label) for label in range(m)])
