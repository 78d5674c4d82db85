"""Held-out parts of datasets."""

import numpy as np
from sklearn.model_selection import train_test_split

from cgm.utils.checks import check_number

HOLD_OUT = 101  # key of the random stream


def hold_out(y: np.ndarray, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Split rows into a training and a test part with the same shares of classes.

    Arguments:
        y: The classes of the rows, of shape $(N)$.
        test_share: The share of rows that is held out.
        seed: The seed by which the test part is drawn.

    Returns:
        The row indices of both parts, each in ascending order.

    Raises:
        ValueError: If a class has fewer than two rows, or there are too few rows for such a share.

    Example:
        >>> train, test = hold_out(np.repeat([0, 1], 10), test_share=0.2, seed=0)
        >>> len(train), len(test), int((test < 10).sum())
        (16, 4, 2)
    """

    classes, rows = np.unique(y, return_counts=True)
    if rows.min() < 2:
        raise ValueError(
            f"class {classes[rows.argmin()]} has only one row, but each class needs at least two: a share of it is "
            "held out"
        )
    state = np.random.SeedSequence(seed, spawn_key=(HOLD_OUT,)).generate_state(1)

    try:
        train, test = train_test_split(np.arange(len(y)), test_size=test_share, stratify=y, random_state=int(state[0]))
    except ValueError as error:
        raise ValueError(f"dataset.test_share={test_share}: not possible for {len(y)} rows: {error}") from error

    return np.sort(train), np.sort(test)


def check_test_share(test_share: float) -> None:
    """Check that the share of rows to hold out is strictly between 0 and 1.

    Raises:
        ValueError: If it is not.
    """

    check_number("dataset.test_share", test_share, min=0, max=1, open_min=True, open_max=True)
