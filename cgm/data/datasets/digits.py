"""Handwritten digits that are part of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cgm.data.datasets.base import Dataset
from cgm.data.holdout import check_test_share, hold_out


@dataclass(frozen=True)
class Digits:
    r"""The 1,797 real images of handwritten digits that are part of scikit-learn.

    Images have the shape $(N, 1, 8, 8)$, with pixels in $[0, 1]$. There are 10 classes of about 180 images each;
    the test part has the same shares of classes.

    Arguments:
        test_share: The share of images that is held out.

    Raises:
        ValueError: If the share is not strictly between 0 and 1.

    References:
        Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998),
        https://archive.ics.uci.edu/dataset/80

    Example:
        >>> dataset = Digits().load(data_dir=None, seed=0)
        >>> dataset.x.shape, dataset.x_test.shape
        (torch.Size([1347, 1, 8, 8]), torch.Size([450, 1, 8, 8]))
    """

    test_share: float = 0.25

    def __post_init__(self) -> None:
        check_test_share(self.test_share)

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Load the dataset; `seed` draws the held-out part, and no data folder is needed."""

        from sklearn.datasets import load_digits

        images = load_digits()
        x = torch.from_numpy(images.images[:, None] / 16).float()  # (N, 1, 8, 8)
        y = torch.from_numpy(images.target).long()
        train, test = hold_out(images.target, self.test_share, seed)

        return Dataset(
            name="digits",
            x=x[train],
            y=y[train],
            x_test=x[test],
            y_test=y[test],
            classes=tuple(str(digit) for digit in range(10)),
        )
