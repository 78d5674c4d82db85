"""Devices on which kernel sums are computed."""

from __future__ import annotations

from cgm.utils.lazy import torch


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
