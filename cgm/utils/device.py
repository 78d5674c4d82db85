"""Devices on which kernel sums are computed."""

import torch


def resolve_device(name: str) -> torch.device:
    """Return a device by its name, `"auto"` for a GPU if there is one, and check that it works.

    Raises:
        ValueError: If it does not work on this machine.
    """

    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("only cpu and cuda are supported")
        torch.empty(0, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device={name}: not available on this machine ({error}); use 'cpu'") from error
    return device
