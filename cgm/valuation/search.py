r"""Searches for the smallest number of a grid, and subsets of points for estimates."""

from __future__ import annotations

from collections.abc import Callable

import torch


def search(value: Callable[[int], float], estimate: Callable[[int], float], false: int, true: int, step: int) -> int:
    """Return the smallest k from `false` + 1 to `true` with value(k) >= 0, if all larger k have value(k) >= 0 too.

    Arguments:
        value: The function. It is computed between `false` and `true` only: it is assumed to be negative at `false`
            and non-negative at `true`.
        estimate: An estimate of the function that costs much less, with an error that changes slowly with k.
        false, true: The range of the search.
        step: The first k to try.
    """

    errors: list[tuple[int, float]] = []  # (k, error of the estimate at k), for all k tried so far
    while true - false > 1:
        step = min(max(step, false + 1), true - 1)
        v = value(step)
        false, true = (false, step) if v >= 0 else (step, true)
        errors.append((step, v - estimate(step)))
        if len(errors) > 8 and len(errors) % 2:  # the estimate does not help: bisect in every other step
            step = (false + true) // 2
        else:
            (a, error), (b, before) = errors[-1], errors[-2:][0]
            slope = (before - error) / (b - a) if a != b else 0.0

            def corrected(k: int, a: int = a, error: float = error, slope: float = slope) -> bool:
                return estimate(k) + error + slope * (k - a) >= 0

            step = first_true(corrected, false, true)

    return true


def first_true(predicate: Callable[[int], bool], false: int, true: int) -> int:
    """Return the smallest k from `false` + 1 to `true` with predicate(k), if all larger k satisfy it too.

    The predicate is assumed to hold at `true` and is not computed there.
    """

    while true - false > 1:
        middle = (false + true) // 2
        false, true = (false, middle) if predicate(middle) else (middle, true)
    return true


def thin(x: torch.Tensor, max_rows: int) -> torch.Tensor:
    """Return evenly spaced rows if there are more than `max_rows`, otherwise all rows."""

    rows = torch.linspace(0, len(x) - 1, min(len(x), max_rows), dtype=torch.float64, device=x.device).long()
    return x[rows]
