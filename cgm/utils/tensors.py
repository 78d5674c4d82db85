"""Tensors in files, and their checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import safe_open


def read_tensors(path: str | Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Read the metadata and the tensors of a safetensors file; no code is run.

    Raises:
        SafetensorError, OSError: If there is no such file, or if it is damaged or in another format.
    """

    with safe_open(path, framework="pt") as file:
        # A copy, because the tensors of an open file change when the file does
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return file.metadata() or {}, tensors


def digest(tensors: dict[str, torch.Tensor], text: str = "") -> str:
    """Compute a checksum of named tensors, in whatever order, and of a text.

    Example:
        >>> x, y = torch.zeros(2), torch.ones(3)
        >>> digest({"x": x, "y": y}) == digest({"y": y, "x": x})
        True
    """

    checksum = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        x = tensors[name].contiguous()
        checksum.update(f"{name} {x.dtype} {tuple(x.shape)}".encode())
        checksum.update(x.reshape(-1).view(torch.uint8).numpy().data)

    return checksum.hexdigest()
