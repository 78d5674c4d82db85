"""Devices on which kernel sums are computed and networks are trained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_TRAINING: ContextVar[torch.device | None] = ContextVar("training", default=None)


def check_device(name: object) -> None:
    """Check the name of a device. Whether it is available depends on the machine, see `resolve_device`.

    Raises:
        ValueError: If it is neither a CPU nor a CUDA device.
    """

    if not (isinstance(name, str) and re.fullmatch(r"auto|cpu|cuda(:\d+)?", name)):
        raise ValueError(f"device={name}: expected cpu, cuda, cuda:0 (or another number), or auto")


@contextmanager
def training_on(device: torch.device) -> Iterator[None]:
    """Train networks of generators on a device. Their weights are on the CPU before and after.

    Example:
        >>> import torch
        >>> with training_on(torch.device("cpu")):
        ...     training_device()
        device(type='cpu')
    """

    token = _TRAINING.set(device)
    try:
        yield
    finally:
        _TRAINING.reset(token)


def training_device() -> torch.device:
    """Return the device of `training_on`; outside of it, the CPU."""

    return _TRAINING.get() or torch.device("cpu")


def resolve_device(name: str) -> torch.device:
    """Return a device by its name, and check that it is available.

    Arguments:
        name: `"cpu"`, `"cuda"`, `"cuda:0"`, ..., or `"auto"` for a GPU if there is one, otherwise the CPU.

    Raises:
        ValueError: If the device is not available on this machine, or is neither a CPU nor a CUDA device.
    """

    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("only cpu and cuda are supported")
        torch.empty(0, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device={name}: not available on this machine ({error}); use 'cpu'") from error

    return device
