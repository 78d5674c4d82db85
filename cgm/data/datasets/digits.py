"""Handwritten digits that are part of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

from cgm.data.datasets.base import Dataset
from cgm.data.datasets.image_arrays import image_dataset
from cgm.data.holdout import TestShare, hold_out
from cgm.utils.settings import Settings


@dataclass(frozen=True)
class Digits(Settings):
    r"""The 1,797 real images of handwritten digits that are part of scikit-learn.

    Images have the shape $(N, 1, 8, 8)$, with pixels in $[0, 1]$. There are 10 classes of about 180 images each;
    the test part has the same shares of classes.

    Arguments:
        test_share: The share of images that is held out.

    References:
        Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998),
        https://archive.ics.uci.edu/dataset/80

    Example:
        >>> dataset = Digits().load(data_dir=None, seed=0)
        >>> dataset.x.shape, dataset.x_test.shape
        (torch.Size([1347, 1, 8, 8]), torch.Size([450, 1, 8, 8]))
    """

    section = "dataset"

    test_share: TestShare = 0.25

    def load(self, data_dir: str | None, seed: int) -> Dataset:
        """Load the dataset; `seed` draws the held-out part, and no data folder is needed."""

        from sklearn.datasets import load_digits

        digits = load_digits()
        x, y = digits.images[:, None] / 16, digits.target  # (N, 1, 8, 8), (N)
        train, test = hold_out(y, self.test_share, seed)

        return image_dataset("digits", (x[train], y[train]), (x[test], y[test]), map(str, range(10)))
