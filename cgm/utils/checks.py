"""Checks of points, labels and settings, with errors that name the setting, its value and the remedy."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, cast

import torch

from cgm.utils.convert import (
    is_frame,
    label_of,
    parties_by_name,
    same_columns,
    to_frame,
    to_labels,
    to_numbers,
    to_tensor,
)
from cgm.utils.text import choice_error, printable, shortened, suggestion


def check_points(x: Any, name: str, width: int | None = None, min: int = 1) -> torch.Tensor:
    r"""Check that $x$ is a set of finite points, and return it as a tensor, see `cgm.utils.convert`.

    Arguments:
        x: The points, of shape $(N, d)$ or, for images, $(N, C, H, W)$; a tensor of floating-point numbers is returned
            as it is.
        name: The name of the points in an error message.
        width: The expected $d$, or $C$ for images. No expectation, if `None`.
        min: The minimum $N$.

    Raises:
        ValueError: If $x$ has another shape or type, too few points, or values that are not finite.
    """

    x = to_tensor(x, name)
    if x.dim() < 2 or x.shape[1] == 0:
        raise ValueError(f"{name}: expected shape (N, d), got {tuple(x.shape)}; use x.reshape(-1, d)")
    if width is not None and x.shape[1] != width:
        raise ValueError(f"{name}: has {x.shape[1]} columns where {width} are expected")
    if len(x) < min:
        raise ValueError(f"{name}: has {len(x)} points, at least {min} are needed")
    # In parts, because the masks for a gigabyte of images would take about as much memory again
    if not all(torch.isfinite(part).all() for part in x.split(1000)):
        row = int(torch.nonzero(~torch.isfinite(x).flatten(1).all(1))[0])
        raise ValueError(f"{name}: row {row} holds NaN or infinity; drop or impute such rows first")

    return x


def check_parties(parties: Any) -> list[torch.Tensor]:
    r"""Check that parties can be valued, and return their points as tensors, see `cgm.utils.convert`.

    Arguments:
        parties: The parties' points $D_1, \dots, D_n$, each of shape $(N_i, d)$ or, for images, $(N_i, C, H, W)$: a
            list, or a dictionary from names to points. Columns of data frames are matched by their names.

    Raises:
        ValueError: If there is no party, if a set of points is empty, not finite, or of another shape, or if a
            party has fewer than two points or only copies of a single one; the message names the party.
    """

    named = parties_by_name(parties)
    if all(map(is_frame, named.values())):
        named = same_columns({name: to_frame(table) for name, table in named.items()})
    checked: list[torch.Tensor] = []
    for party, data in named.items():
        name, shape = label_of(party), checked[0].shape[1:] if checked else None
        x = check_points(data, name, width=None if shape is None else shape[0], min=2)
        if shape is not None and x.shape[1:] != shape:
            raise ValueError(f"{name}: has points of shape {tuple(x.shape[1:])} where {tuple(shape)} is expected")
        if bool((x == x[0]).all()):
            raise ValueError(f"{name}: all its {len(x)} points are equal; such data cannot be valued")
        checked.append(x)
    return checked


def check_pool(synthetic: Any, parties: Sequence[torch.Tensor]) -> torch.Tensor:
    r"""Check that a synthetic pool $G$, of shape $(|G|, d)$, can be valued with parties, and return it as a tensor.

    Raises:
        ValueError: If it cannot.
    """

    return check_points(synthetic, "synthetic pool (synthetic_size)", width=parties[0].shape[1])


def check_labels(y: Any, name: str, n_classes: int | None = None) -> torch.Tensor:
    r"""Check that $y$ is a set of classes $0, \dots, m - 1$, and return it as a tensor, see `cgm.utils.convert`.

    Arguments:
        y: The classes, of shape $(N)$, $N \geq 1$.
        name: The name of the labels in an error message.
        n_classes: The number of classes $m$. Any number, if `None`.

    Raises:
        ValueError: If $y$ is empty, has another shape or type, or values that are not classes.
    """

    y = to_labels(y, name)
    if y.dim() != 1 or y.is_floating_point() or y.dtype == torch.bool:
        raise ValueError(f"{name}: expected integers of shape (N), got {y.dtype} of shape {tuple(y.shape)}")
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
        setting: The name of the setting, for the error message.
        value: Its value.
        min: The minimum value.
        max: The maximum value. No limit, if `None`.
        optional: Whether `None` is allowed as well.

    Raises:
        ValueError: If the value is anything else; bools are not accepted as integers.

    Example:
        >>> check_integer("seed", -1, min=0)
        Traceback (most recent call last):
        ValueError: seed=-1: expected an integer >= 0
    """

    if optional and value is None:
        return
    if isinstance(value, Integral) and not isinstance(value, bool):
        integer = cast(int, value)
        if min <= integer and (max is None or integer <= max):
            return
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
        setting: The name of the setting, for the error message.
        value: Its value.
        min, max: The ends of the interval. The value must be finite, even if an end is infinite.
        open_min, open_max: Whether the ends themselves are excluded.
        optional: Whether `None` is allowed as well.

    Raises:
        ValueError: If the value is anything else; NaN and bools are never accepted.

    Example:
        >>> check_number("scheme.rho", 1.5, min=0, max=1, open_min=True)
        Traceback (most recent call last):
        ValueError: scheme.rho=1.5: expected a number in (0, 1]
    """

    if optional and value is None:
        return
    open_min, open_max = open_min or min == -math.inf, open_max or max == math.inf
    if isinstance(value, Real) and not isinstance(value, bool):
        number = cast(float, value)
        above = min < number if open_min else min <= number
        below = number < max if open_max else number <= max
        if above and below:
            return
    interval = f"{'(' if open_min else '['}{min:g}, {max:g}{')' if open_max else ']'}"
    raise ValueError(f"{setting}={value}: expected a number in {interval}{' or null' if optional else ''}")


def check_choice(setting: str, value: object, choices: Collection[str], other: str | None = None) -> None:
    """Check that a setting is one of several names.

    Arguments:
        setting: The name of the setting.
        value: Its value.
        choices: The names.
        other: What else it may be, for the error.

    Raises:
        ValueError: If it is not.

    Example:
        >>> check_choice("precision", "half", ("auto", "float32", "float64"))
        Traceback (most recent call last):
        ValueError: precision=half: expected one of auto, float32, float64
    """

    if not isinstance(value, str) or value not in choices:
        raise ValueError(choice_error(f"{setting}={value}", str(value), choices, other))


def party_number(party: object, names: Sequence[str]) -> int:
    """Return the number, from 0, of a party that is given by its name or by this number.

    Arguments:
        party: The party.
        names: The names of all parties.

    Raises:
        ValueError: If there is no such party.

    Example:
        >>> party_number("west", ["north", "west"]), party_number(1, ["north", "west"])
        (1, 1)
    """

    if isinstance(party, str) and party in names:
        return list(names).index(party)
    if isinstance(party, Integral) and not isinstance(party, bool) and 0 <= int(party) < len(names):
        return int(party)
    shown = shortened(", ".join(map(printable, names)), 300)
    near = suggestion(party, names) if isinstance(party, str) else ""
    raise ValueError(f"party={party}: expected an integer from 0 to {len(names) - 1}, or one of {shown}{near}")


def check_bool(setting: str, value: object) -> None:
    """Check that a setting is true or false.

    Raises:
        ValueError: If it is not.
    """

    if not isinstance(value, bool):
        raise ValueError(f"{setting}={value}: expected true or false")


def check_party(setting: str, party: int, n: int) -> None:
    """Check that a setting names one of the parties 1 to `n`, if it is a number from 1.

    Raises:
        ValueError: If it does not.
    """

    if party > n:
        raise ValueError(f"{setting}={party}: there are {n} parties")


def check_instance(setting: str, value: object, *kinds: type) -> None:
    """Check that a setting is an object of some classes.

    Raises:
        ValueError: If it is not.
    """

    if not isinstance(value, kinds):
        found = f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{setting}: expected {'an' if names[0] in 'AEIOU' else 'a'} {names}, got {found}")


def check_values(name: str, values: object, n: int | None = None) -> torch.Tensor:
    """Check that values are finite numbers, one for each party, and return them as a float64 tensor of shape (n).

    Arguments:
        name: The name of the values, for the error.
        values: A tensor, an array or a list.
        n: The expected number of values. Any number from 1, if `None`.

    Raises:
        ValueError: If they are not.
    """

    x = to_numbers(values, name)
    if x.dim() != 1 or len(x) == 0 or (n is not None and len(x) != n):
        wanted = "(n,)" if n is None else f"({n},)"
        raise ValueError(f"{name}: has shape {tuple(x.shape)} where {wanted} is expected")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name}: expected finite numbers, got {x.tolist()}")

    return x


def check_details(name: str, details: object) -> None:
    """Check that details can be written to JSON: finite numbers, strings, booleans, `None`, lists and dictionaries.

    Raises:
        ValueError: If they cannot; the message names the key.
    """

    if isinstance(details, Mapping):
        for key, value in details.items():
            check_details(f"{name}.{key}", value)
    elif isinstance(details, list | tuple):
        for i, value in enumerate(details):
            check_details(f"{name}[{i}]", value)
    elif isinstance(details, float) and not math.isfinite(details):
        raise ValueError(f"{name}={details}: expected a finite number")
    elif not (details is None or isinstance(details, bool | int | float | str)):
        raise ValueError(f"{name}: expected a number, string, list or dictionary, got {type(details).__name__}")
