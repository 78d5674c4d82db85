"""Real credit card transactions."""

import os
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import fetch_openml

from cgm.data.datasets.base import Dataset
from cgm.data.holdout import check_test_share, hold_out
from cgm.utils.checks import check_integer


@dataclass(frozen=True)
class CreditCard:
    r"""Loads real credit card transactions, with classes by amount (Sec. 6b).

    Points are the first principal components `V1`, `V2`, ... of a transaction, standardised by the mean and
    standard deviation of the training part. Classes are ranges of `Amount`, cut at its percentiles in the
    training part (see `amount_edges`). The held-out part has the same shares of classes. Exact copies of rows
    are kept as the file has them, so a held-out row may have a copy in the training part.

    The file `creditcard.csv.gz` or `creditcard.csv` is looked for in the data folder and, before that, in its
    subfolder `creditcard`. The data folder is `data_dir`; if that is `None`, the environment variable
    `CGM_DATA`; if that is not set, `data`.

    Arguments:
        path: The file, instead of those; absolute, or relative to the data folder or the working directory.
        components: The number $d$ of principal components, 1 to 28.
        classes: The number $m$ of classes.
        download: Whether to fetch the data (150 MB) from OpenML if there is no file. scikit-learn keeps it in
            the data folder.
        test_share: The share of rows that is held out.

    Raises:
        ValueError: If a setting is out of range. On loading: if the file is damaged, lacks columns, holds
            something that is not a finite number, or has too few rows or amounts for such classes.
        FileNotFoundError: On loading, if there is no file.

    References:
        Calibrating Probability with Undersampling for Unbalanced Classification (Dal Pozzolo et al., 2015),
        https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud
    """

    path: str | None = None
    components: int = 4
    classes: int = 5
    download: bool = False
    test_share: float = 0.2

    def __post_init__(self) -> None:
        """Refuses settings that make no dataset."""

        check_integer("dataset.components", self.components, min=1, max=28)
        check_integer("dataset.classes", self.classes, min=2)
        check_test_share(self.test_share)
        if self.path is not None and self.download:
            raise ValueError(f"dataset.path={self.path}: excludes dataset.download=true; set just one of the two")

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Reads the file (or fetches the data) and makes the dataset; `seed` draws the held-out part."""

        columns = [f"V{k + 1}" for k in range(self.components)]
        source, table = self._read(Path(data_dir or os.environ.get("CGM_DATA") or "data"), columns)
        x, amount = table[:, :-1], table[:, -1]  # (N, d), (N)

        try:
            # The rows to hold out are drawn within ranges of amount; they then have no say in the edges.
            train, test = hold_out(np.searchsorted(amount_edges(amount, self.classes), amount), self.test_share, seed)
            edges = amount_edges(amount[train], self.classes)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        y = torch.from_numpy(np.searchsorted(edges, amount))  # the number of edges below the amount

        spread = np.ptp(x[train], axis=0)  # (d)
        if (spread == 0).any():
            raise ValueError(f"{source}: column {columns[int(spread.argmin())]} has the same value in all rows")
        x = torch.from_numpy((x - x[train].mean(axis=0)) / x[train].std(axis=0))

        return Dataset(
            name="credit_card",
            x=x[train],
            y=y[train],
            x_test=x[test],
            y_test=y[test],
            classes=_class_names(edges),
        )

    def _read(self, folder: Path, columns: list[str]) -> tuple[str, np.ndarray]:
        """Returns where the data come from, and the columns and the amount, of shape (N, d + 1)."""

        if self.path is None:
            names = ("creditcard.csv.gz", "creditcard.csv")
            places = [place / name for place in (folder / "creditcard", folder) for name in names]
        else:
            places = [folder / self.path, Path(self.path)]

        for place in places:
            if place.is_file():
                return str(place), _numbers(_read_csv(place), str(place), columns)

        failed = ""
        if self.download:
            try:
                # Number 1597 is "creditcard", version 1: the same rows, without the column Time.
                bunch = fetch_openml(data_id=1597, as_frame=True, parser="pandas", data_home=str(folder))
            except (OSError, HTTPException, ValueError) as error:
                failed = f" (dataset.download=true was tried, but failed: {error})"
            else:
                source = "creditcard from OpenML"
                return source, _numbers(bunch.frame, source, columns)

        looked = ", ".join(dict.fromkeys(str(place.absolute()) for place in places))
        here = (folder / "creditcard" / "creditcard.csv").absolute()
        raise FileNotFoundError(
            f"dataset=credit_card: no file at {looked}{failed}. Get creditcard.csv from "
            f"https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud and put it at {here}; or name another "
            f"data folder by data_dir=... or the environment variable CGM_DATA, or the file by "
            f"dataset.path=...; or set dataset.download=true"
        )


def amount_edges(amount: np.ndarray, classes: int) -> np.ndarray:
    r"""Cuts amounts into classes as even as ties allow.

    Equal amounts belong to one class. So the edge between class $k$ and the next is the amount for which the
    number of rows up to and with it comes closest to $k/m$ of all; of two as close, the smaller one.

    Arguments:
        amount: The amounts, of shape $(N)$.
        classes: The number $m$ of classes.

    Returns:
        The greatest amount of each class but the last, of shape $(m - 1)$, strictly ascending.

    Raises:
        ValueError: If the amounts have too few values, so that a class would be empty.

    Example:
        >>> amount_edges(np.array([1.0, 1.0, 1.0, 2.0, 3.0, 4.0]), classes=3)
        array([1., 2.])
    """

    values, repeats = np.unique(amount, return_counts=True)
    upto = repeats.cumsum()[:-1]  # rows on the lower side of each possible cut
    goals = len(amount) * np.arange(1, classes) / classes  # (m - 1)

    if len(upto) == 0:
        raise ValueError(f"dataset.classes={classes}: every Amount is {values[0]:g}, which makes one class")

    edges = values[np.abs(upto - goals[:, None]).argmin(axis=1)]  # (m - 1, cuts) -> (m - 1)
    if (np.diff(edges) <= 0).any():
        raise ValueError(f"dataset.classes={classes}: the {len(amount)} amounts have too many ties for so many classes")

    return edges


def _class_names(edges: np.ndarray) -> tuple[str, ...]:
    """Names each class by its range of amounts."""

    inner = [f"{low:g} < Amount <= {high:g}" for low, high in pairwise(edges)]

    return (f"Amount <= {edges[0]:g}", *inner, f"Amount > {edges[-1]:g}")


def _read_csv(path: Path) -> pd.DataFrame:
    """Reads a file, and refuses one that is damaged."""

    try:
        # All columns, since with `usecols` pandas lets rows with too many fields pass.
        frame = pd.read_csv(path, low_memory=False)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: is damaged or cut short ({error}); get the file again") from error
    except ValueError as error:  # pandas' own errors are such
        raise ValueError(f"{path}: is not a CSV file with columns V1, V2, ..., Amount ({error})") from error

    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError(f"{path}: its rows have more fields than its header")
    # Class, the last column, is not used, but a file that was cut short lacks it in its last row.
    if "Class" in frame and frame["Class"].isna().any():
        line = int(frame["Class"].isna().argmax()) + 2
        raise ValueError(f"{path}: line {line} has no Class; the file may be cut short, get it again")

    return frame


def _numbers(frame: pd.DataFrame, source: str, columns: list[str]) -> np.ndarray:
    """Returns the columns and the amount, of shape (N, d + 1), and refuses all but finite numbers."""

    wanted = [*columns, "Amount"]
    missing = [column for column in wanted if column not in frame]

    if missing:
        raise ValueError(f"{source}: lacks the columns {', '.join(missing)}; expected {', '.join(wanted)}")
    if len(frame) == 0:
        raise ValueError(f"{source}: has a header but no rows")

    frame = frame[wanted]
    numbers = frame.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"{source}: row {row} (from 0, without the header) has {frame.iat[row, column]} in column "
            f"{wanted[column]}, expected a finite number; drop or mend such rows ({len(wrong)} wrong entries)"
        )

    return numbers
