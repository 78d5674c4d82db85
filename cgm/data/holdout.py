"""Held-out parts of datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import numpy as np
import torch

from cgm.utils.convert import to_labels
from cgm.utils.random import Stream
from cgm.utils.settings import Number

TestShare: TypeAlias = Annotated[float, Number(min=0, max=1, open_min=True, open_max=True)]  # a setting of datasets


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

    from sklearn.model_selection import train_test_split

    y = np.asarray(y)
    classes, rows = np.unique(y, return_counts=True)
    if rows.min() < 2:
        raise ValueError(
            f"class {classes[rows.argmin()]} has only one row, but each class needs at least two: a share of it is "
            "held out"
        )
    state = np.random.SeedSequence(seed, spawn_key=(Stream.HOLD_OUT,)).generate_state(1)

    try:
        train, test = train_test_split(np.arange(len(y)), test_size=test_share, stratify=y, random_state=int(state[0]))
    except ValueError as error:
        raise ValueError(f"dataset.test_share={test_share}: not possible for {len(y)} rows: {error}") from error

    return np.sort(train), np.sort(test)


def match_parties(y: torch.Tensor, parties: Sequence[torch.Tensor], seed: int) -> list[torch.Tensor]:
    r"""Assign held-out rows to parties, so that each party's have the same shares of classes as its own rows.

    As many rows are assigned as possible; each is assigned to at most one party. The numbers of a party's rows and
    of its held-out rows have the same ratio for all parties and classes, up to rounding.

    Arguments:
        y: The classes of the held-out rows, of shape $(M)$.
        parties: The classes of the parties' rows, each of shape $(N_i)$.
        seed: The seed by which rows are drawn.

    Returns:
        For each party the indices of its held-out rows, in ascending order. There are none for any party if a class of
        theirs has no held-out row.

    Example:
        >>> parties = [torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([1, 1])]
        >>> [len(rows) for rows in match_parties(torch.tensor([0, 0, 1, 1, 1]), parties, seed=0)]
        [3, 1]
    """

    y, parties = to_labels(y, "held-out classes"), [to_labels(labels, "classes of a party") for labels in parties]
    classes = int(torch.cat([y, *parties]).max()) + 1
    sizes = torch.stack([labels.bincount(minlength=classes) for labels in parties]).double()  # (n, m)
    there, needed = y.bincount(minlength=classes).double(), sizes.sum(0)
    ratio = float((there / needed)[needed > 0].min())  # held-out rows for each row of a party
    ends = (ratio * sizes).cumsum(0).round().long()  # (n, m): so that errors of rounding do not add up

    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(Stream.MATCH_PARTIES,)))
    chosen: list[list[torch.Tensor]] = [[] for _ in parties]
    for c in range(classes):
        rows = (y == c).nonzero()[:, 0]
        rows = rows[torch.from_numpy(random.permutation(len(rows)))]
        for i, end in enumerate(ends[:, c].tolist()):
            chosen[i].append(rows[int(ends[i - 1, c]) if i else 0 : end])

    return [torch.cat(rows).sort().values for rows in chosen]
