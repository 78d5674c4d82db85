"""Labelled datasets with a held-out part, and the interface of what loads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from cgm.utils.checks import check_labels, check_points
from cgm.utils.shown import brief


@dataclass(frozen=True)
class Dataset:
    r"""Labelled real points, a part of them held out.

    The labels are for splitting and for evaluation only; they are never used for valuation. Points and labels may be
    numpy arrays, data frames and lists as well, and are tensors then.

    Arguments:
        name: The name of the dataset.
        x: The points from which parties are made, of shape $(N, d)$ or $(N, C, H, W)$.
        y: Their classes $0, \dots, m - 1$, of shape $(N)$, int64.
        x_test: Points that no party and no generator sees, of shape $(M, d)$ or $(M, C, H, W)$.
        y_test: Their classes, of shape $(M)$, int64.
        classes: The names of the $m$ classes. By default `"0"`, `"1"`, ... up to the largest label.
        ordered: Whether splits take the rows in their given order instead of a random one.

    Raises:
        ValueError: If points are not finite, or labels are not classes.
    """

    name: str
    x: torch.Tensor
    y: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    classes: tuple[str, ...] = ()
    ordered: bool = False

    def __repr__(self) -> str:
        return brief(self)

    def __post_init__(self) -> None:
        x = check_points(self.x, f"dataset {self.name}", min=2)
        x_test = check_points(self.x_test, f"dataset {self.name}, test part", width=x.shape[1], min=2)
        if not len(self.classes):
            last = max(int(check_labels(part, f"dataset {self.name}: labels").max()) for part in (self.y, self.y_test))
            object.__setattr__(self, "classes", range(last + 1))
        y, y_test = (
            check_labels(y, f"dataset {self.name}: {part} labels", n_classes=len(self.classes))
            for y, part in ((self.y, "training"), (self.y_test, "test"))
        )
        for points, labels, part in ((x, y, "training"), (x_test, y_test, "test")):
            if len(points) != len(labels):
                shape = tuple(labels.shape)
                raise ValueError(f"dataset {self.name}: {len(points)} {part} points but labels of shape {shape}")
        for name, tensor in {"x": x, "y": y, "x_test": x_test, "y_test": y_test}.items():
            object.__setattr__(self, name, tensor)
        object.__setattr__(self, "classes", tuple(map(str, self.classes)))


class DatasetLoader(Protocol):
    """Interface of the group `dataset`: any object that loads a `Dataset`."""

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Load the dataset.

        Arguments:
            data_dir: The data folder, for datasets that read files. If `None`, the environment variable `CGM_DATA`;
                if that is not set, `data`.
            seed: The seed of everything random, such as the held-out part.
        """
        ...


OTHER_FOLDER = "or set another data folder with data_dir=... or the environment variable CGM_DATA"
"""Advice for the error of a missing file."""


def data_folder(data_dir: str | None) -> Path:
    """Return `data_dir` or, if it is not given, the environment variable `CGM_DATA` or, if it is not set, `data`."""

    return Path(data_dir or os.environ.get("CGM_DATA") or "data")


def failure_of(download: Callable[[], object]) -> str:
    """Download files, and return a note for the error message of missing files; empty, if there was no error."""

    try:
        download()
    except (RuntimeError, OSError) as error:
        return f" (dataset.download=true was tried, but failed: {error})"

    return ""


def first_file(paths: Sequence[Path]) -> Path | None:
    """Return the first path that is a file, or `None` if there is none."""

    return next((path for path in paths if path.is_file()), None)


def listed(paths: Sequence[Path]) -> str:
    """Return the absolute paths, each once, as a list for an error message."""

    return ", ".join(dict.fromkeys(str(path.absolute()) for path in paths))
