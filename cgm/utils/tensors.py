"""What is fitted to data and kept in a file."""

import hashlib
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor


def read_tensors(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Reads a safetensors file, its text and its tensors; nothing in it is run.

    Raises:
        SafetensorError, OSError: If there is no such file, or it is damaged or something else.
    """

    with safe_open(path, framework="pt") as file:
        # A copy, because the tensors of an open file change when the file does
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return file.metadata() or {}, tensors


def digest(tensors: dict[str, Tensor], text: str = "") -> str:
    """Computes a checksum of tensors, by name, and of a text."""

    checksum = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        x = tensors[name].contiguous()
        checksum.update(f"{name} {x.dtype} {tuple(x.shape)}".encode())
        checksum.update(x.reshape(-1).view(torch.uint8).numpy())

    return checksum.hexdigest()
