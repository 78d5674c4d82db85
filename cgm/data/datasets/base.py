"""What a dataset is."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from cgm.utils.checks import check_points


@dataclass(frozen=True)
class Dataset:
    r"""Holds labelled real points, a part of them held out.

    The labels are for splitting and for judging; the framework never values with them.

    Arguments:
        name: The dataset's name.
        x: The points from which parties are made, of shape $(N, d)$ or $(N, C, H, W)$.
        y: Their classes $0, \dots, m - 1$, of shape $(N)$, int64.
        x_test: Points that no party and no generator sees, of shape $(M, d)$ or $(M, C, H, W)$.
        y_test: Their classes, of shape $(M)$, int64.
        classes: The names of the $m$ classes.
        ordered: Whether splits take the rows in this very order, instead of a random one.
    """

    name: str
    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: tuple[str, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        """Refuses points that are not finite and labels that are not classes."""

        check_points(self.x, f"dataset {self.name}", min=2)
        check_points(self.x_test, f"dataset {self.name}, test part", width=self.x.shape[1], min=2)
        for x, y, part in ((self.x, self.y, "training"), (self.x_test, self.y_test, "test")):
            if y.shape != x.shape[:1]:
                raise ValueError(f"dataset {self.name}: {len(x)} {part} points but labels of shape {tuple(y.shape)}")
            if int(y.min()) < 0 or int(y.max()) >= len(self.classes):
                raise ValueError(
                    f"dataset {self.name}: {part} labels run from {int(y.min())} to {int(y.max())}, "
                    f"but its {len(self.classes)} classes are numbered 0 to {len(self.classes) - 1}"
                )


class DatasetLoader(Protocol):
    """Says what `conf/dataset` may name: anything that loads a `Dataset`."""

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Loads the dataset from a data folder (where it needs one); `seed` draws its held-out part."""
        ...
