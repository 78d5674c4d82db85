"""Refuses bad input early, with errors that name the setting, the value and the remedy."""

import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real

import torch
from torch import Tensor


def check_points(x: Tensor, name: str, width: int | None = None, min: int = 1) -> Tensor:
    r"""Checks that $x$ is a set of finite points and returns it.

    Arguments:
        x: The points, of shape $(N, d)$ or, for images, $(N, C, H, W)$.
        name: What the points are called in an error.
        width: The $d$ that is expected. Any, if `None`.
        min: The smallest allowed $N$.

    Raises:
        ValueError: If $x$ has another shape, too few points, or holds NaN or infinity.
    """

    if not isinstance(x, Tensor):
        raise ValueError(f"{name}: expected a torch tensor of shape (N, d), got {type(x).__name__}")
    if x.dim() < 2 or x.shape[1] == 0:
        raise ValueError(f"{name}: expected shape (N, d), got {tuple(x.shape)}; use x.reshape(N, d)")
    if not x.is_floating_point():
        raise ValueError(f"{name}: expected floating-point numbers, got {x.dtype}; use x.double()")
    if width is not None and x.shape[1] != width:
        raise ValueError(f"{name}: has {x.shape[1]} columns where {width} are expected")
    if len(x) < min:
        raise ValueError(f"{name}: has {len(x)} points, at least {min} are needed")
    # in parts: of a gigabyte of images, the masks and what they are made of are some more
    if not all(torch.isfinite(part).all() for part in x.split(1000)):
        row = int(torch.nonzero(~torch.isfinite(x).flatten(1).all(1))[0])
        raise ValueError(f"{name}: row {row} holds NaN or infinity; drop or impute such rows first")

    return x


def check_parties(parties: Sequence[Tensor], synthetic: Tensor) -> None:
    r"""Refuses parties and pools that cannot be valued.

    Arguments:
        parties: The parties' points $D_1, \dots, D_n$, each of shape $(N_i, d)$.
        synthetic: The synthetic pool $G$, of shape $(|G|, d)$.

    Raises:
        ValueError: If a set of points is empty, not finite, or of another width, or if a party has fewer than
            two points or only copies of one.
    """

    if not parties:
        raise ValueError("parties: there are none; at least one is needed")

    width = check_points(parties[0], "party 1", min=2).shape[1]
    for i, x in enumerate(parties):
        check_points(x, f"party {i + 1}", width=width, min=2)
        if bool((x == x[0]).all()):
            raise ValueError(f"party {i + 1}: all its {len(x)} points are equal; such data cannot be valued")
    check_points(synthetic, "synthetic pool (synthetic_size)", width=width)


def check_labels(y: Tensor, name: str, n_classes: int | None = None) -> Tensor:
    r"""Checks that $y$ holds classes $0, \dots, m - 1$ and returns it.

    Arguments:
        y: The classes, of shape $(N)$, $N \geq 1$.
        name: What the labels are called in an error.
        n_classes: The number of classes $m$. Any, if `None`.

    Raises:
        ValueError: If $y$ is empty, has another shape, or holds anything but classes.
    """

    if not isinstance(y, Tensor) or y.dim() != 1 or y.is_floating_point() or y.dtype == torch.bool:
        got = f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"{name}: expected a tensor of integers of shape (N), got {got}")
    if len(y) == 0:
        raise ValueError(f"{name}: has no labels, at least 1 is needed")
    low, high = int(y.min()), int(y.max())
    if low < 0 or (n_classes is not None and high >= n_classes):
        last = "" if n_classes is None else f" to {n_classes - 1}"
        raise ValueError(f"{name}: run from {low} to {high}, but classes are numbered from 0{last}")

    return y


def check_integer(setting: str, value: object, min: int, max: int | None = None, *, optional: bool = False) -> None:
    """Check that a setting is an integer from `min` to `max`.

    Arguments:
        setting: The name of the setting, for the error.
        value: Its value.
        min: The smallest allowed value.
        max: The largest allowed value. No limit, if `None`.
        optional: Whether `None` is allowed as well.

    Raises:
        ValueError: If the value is anything else; a bool is not an integer here.
    """

    if optional and value is None:
        return
    integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not integer or value < min or (max is not None and value > max):
        limits = f">= {min}" if max is None else f"from {min} to {max}"
        raise ValueError(f"{setting}={value}: expected an integer {limits}{' or null' if optional else ''}")


def check_number(
    setting: str,
    value: object,
    min: float = -math.inf,
    max: float = math.inf,
    *,
    open_min: bool = False,
    open_max: bool = False,
    optional: bool = False,
) -> None:
    """Check that a setting is a real number in an interval.

    Arguments:
        setting: The name of the setting, for the error.
        value: Its value.
        min, max: The ends of the interval. An infinite end is never allowed as a value.
        open_min, open_max: Whether the ends themselves are excluded.
        optional: Whether `None` is allowed as well.

    Raises:
        ValueError: If the value is anything else, NaN and bools included.
    """

    if optional and value is None:
        return
    open_min, open_max = open_min or min == -math.inf, open_max or max == math.inf
    if isinstance(value, Real) and not isinstance(value, bool):
        above = min < value if open_min else min <= value
        below = value < max if open_max else value <= max
        if above and below:
            return
    interval = f"{'(' if open_min else '['}{min:g}, {max:g}{')' if open_max else ']'}"
    raise ValueError(f"{setting}={value}: expected a number in {interval}{' or null' if optional else ''}")


def check_choice(setting: str, value: object, choices: Collection[str]) -> None:
    """Check that a setting is one of some names.

    Raises:
        ValueError: If it is not.
    """

    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{setting}={value}: expected one of {', '.join(choices)}")
