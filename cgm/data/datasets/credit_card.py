"""Real credit card transactions."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch

from cgm.data.datasets.base import OTHER_FOLDER, Dataset, data_folder, first_file, listed
from cgm.data.holdout import TestShare, hold_out
from cgm.utils.settings import Integer, Settings, Text


@dataclass(frozen=True)
class CreditCard(Settings):
    r"""Real credit card transactions, with classes by amount (Sec. 6b).

    Points are the first principal components `V1`, `V2`, ... of a transaction, standardised by the mean and
    standard deviation of the training part. Classes are ranges of `Amount`, cut at its percentiles in the
    training part (see `amount_edges`). The held-out part has the same shares of classes. Exact copies of rows
    in the file are kept, so a held-out row may have a copy in the training part.

    The file `creditcard.csv.gz` or `creditcard.csv` is searched for first in the subfolder `creditcard` of the
    data folder, then in the data folder itself. The data folder is `data_dir`; if that is `None`, the environment
    variable `CGM_DATA`; if that is not set, `data`.

    Arguments:
        path: Another file to read instead; absolute, or relative to the data folder or the working directory.
        components: The number $d$ of principal components, 1 to 28.
        classes: The number $m$ of classes.
        download: Whether to download the data (150 MB) from OpenML if there is no file. scikit-learn stores it in
            the data folder.
        test_share: The share of rows that is held out.

    Raises:
        ValueError: On loading, if the file is damaged, lacks columns, contains values that are not finite numbers, or
            has too few rows or amounts for the classes.
        FileNotFoundError: On loading, if there is no file.

    References:
        Calibrating Probability with Undersampling for Unbalanced Classification (Dal Pozzolo et al., 2015),
        https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud
    """

    section = "dataset"

    path: Annotated[str, Text(path=True)] | None = None
    components: Annotated[int, Integer(min=1, max=28)] = 4
    classes: Annotated[int, Integer(min=2)] = 5
    download: bool = False
    test_share: TestShare = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path is not None and self.download:
            raise ValueError(f"dataset.path={self.path}: cannot be combined with dataset.download=true")

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Read the file, or download the data; `seed` draws the held-out part."""

        columns = [f"V{k + 1}" for k in range(self.components)]
        source, table = self._read(data_folder(data_dir), columns)
        components, amount = table[:, :-1], table[:, -1]  # (N, d), (N)

        try:
            # The held-out rows are drawn within ranges of amount; the final edges depend on the training rows only.
            train, test = hold_out(np.searchsorted(amount_edges(amount, self.classes), amount), self.test_share, seed)
            edges = amount_edges(amount[train], self.classes)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        y = torch.from_numpy(np.searchsorted(edges, amount))  # the number of edges below the amount

        spread = np.ptp(components[train], axis=0)  # (d)
        if (spread == 0).any():
            raise ValueError(f"{source}: column {columns[int(spread.argmin())]} has the same value in all rows")
        mean, deviation = components[train].mean(axis=0), components[train].std(axis=0)  # (d), (d)
        x = torch.from_numpy((components - mean) / deviation)

        return Dataset(
            name="credit_card",
            x=x[train],
            y=y[train],
            x_test=x[test],
            y_test=y[test],
            classes=_class_names(edges),
        )

    def _read(self, folder: Path, columns: list[str]) -> tuple[str, np.ndarray]:
        """Return the source of the data, and its columns and amounts, of shape (N, d + 1)."""

        if self.path is None:
            names = ("creditcard.csv.gz", "creditcard.csv")
            places = [place / name for place in (folder / "creditcard", folder) for name in names]
        else:
            places = [folder / self.path, Path(self.path)]

        if file := first_file(places):
            return str(file), _numbers(_read_csv(file), str(file), columns)

        failed = ""
        if self.download:
            from sklearn.datasets import fetch_openml

            try:
                # Number 1597 is "creditcard", version 1: the same rows, without the column Time.
                bunch = fetch_openml(data_id=1597, as_frame=True, parser="pandas", data_home=str(folder))
            except (OSError, HTTPException, ValueError) as error:
                failed = f" (dataset.download=true was tried, but failed: {error})"
            else:
                source = "creditcard from OpenML"
                return source, _numbers(bunch.frame, source, columns)

        here = (folder / "creditcard" / "creditcard.csv").absolute()
        raise FileNotFoundError(
            f"dataset=credit_card: no file at {listed(places)}{failed}. Download creditcard.csv from "
            f"https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud and put it at {here}; {OTHER_FOLDER}; "
            f"or set the file with dataset.path=...; or set dataset.download=true"
        )


def amount_edges(amount: np.ndarray, classes: int) -> np.ndarray:
    r"""Return the amounts at which to separate the classes, so that these are as even as ties allow.

    Equal amounts belong to one class. Therefore the edge between class $k$ and the next is the amount for which
    the number of rows up to and including it is closest to $k/m$ of all; of two equally close, the smaller one.

    Arguments:
        amount: The amounts, of shape $(N)$.
        classes: The number $m$ of classes.

    Returns:
        The largest amount of each class except the last, of shape $(m - 1)$, strictly ascending.

    Raises:
        ValueError: If there are too few different amounts, so that a class would be empty.

    Example:
        >>> amount_edges(np.array([1.0, 1.0, 1.0, 2.0, 3.0, 4.0]), classes=3)
        array([1., 2.])
    """

    values, repeats = np.unique(amount, return_counts=True)
    below = repeats.cumsum()[:-1]  # (cuts), rows on the lower side of each possible cut
    targets = len(amount) * np.arange(1, classes) / classes  # (m - 1)

    if len(below) == 0:
        raise ValueError(f"dataset.classes={classes}: every Amount is {values[0]:g}, which allows only one class")

    edges = values[np.abs(below - targets[:, None]).argmin(axis=1)]  # (m - 1, cuts) -> (m - 1)
    if (np.diff(edges) <= 0).any():
        raise ValueError(f"dataset.classes={classes}: the {len(amount)} amounts have too many ties for this number")

    return edges


def _class_names(edges: np.ndarray) -> tuple[str, ...]:
    """Return the name of each class, its range of amounts."""

    inner = [f"{low:g} < Amount <= {high:g}" for low, high in pairwise(edges)]

    return (f"Amount <= {edges[0]:g}", *inner, f"Amount > {edges[-1]:g}")


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file, and check that it is complete."""

    try:
        # All columns, because with `usecols` pandas accepts rows with too many fields.
        frame = pd.read_csv(path, low_memory=False)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: damaged or truncated ({error}); download it again") from error
    except ValueError as error:  # pandas' own errors are ValueErrors, too
        raise ValueError(f"{path}: not a CSV file with columns V1, V2, ..., Amount ({error})") from error

    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError(f"{path}: its rows have more fields than its header")
    # Class, the last column, is not used, but it is missing in the last row of a truncated file.
    if "Class" in frame and frame["Class"].isna().any():
        line = int(frame["Class"].isna().argmax()) + 2
        raise ValueError(f"{path}: line {line} has no Class; the file may be truncated, download it again")

    return frame


def _numbers(frame: pd.DataFrame, source: str, columns: list[str]) -> np.ndarray:
    """Return the columns and the amounts, of shape (N, d + 1), and check that all are finite numbers."""

    required = [*columns, "Amount"]
    missing = [column for column in required if column not in frame]

    if missing:
        raise ValueError(f"{source}: lacks the columns {', '.join(missing)}; expected {', '.join(required)}")
    if len(frame) == 0:
        raise ValueError(f"{source}: has a header but no rows")

    frame = frame[required]
    numbers = frame.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"{source}: row {row} (from 0, without the header) has {frame.iat[row, column]} in column "
            f"{required[column]}, expected a finite number; drop or fix such rows ({len(wrong)} invalid entries)"
        )

    return numbers
