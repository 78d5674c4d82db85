"""Tensors in files, and their checksums."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from cgm import __version__
from cgm.utils.files import remove_parts, write_whole


def read_tensors(path: str | Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Read the metadata and the tensors of a safetensors file; no code is run.

    Raises:
        SafetensorError, OSError: If there is no such file, or if it is damaged or in another format.
    """

    if Path(path).exists() and not Path(path).is_file():
        raise OSError("not a plain file")  # reading a pipe would never end
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


log = logging.getLogger(__name__)


def cached(
    folder: str | Path | None, what: str, key: Mapping[str, Any], compute: Callable[[], dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """Read tensors from a file if they were computed before; otherwise compute them and write the file.

    Each use is logged with the path. A damaged file is reported and replaced. If the file cannot be written, this is
    reported, and the tensors are returned without it. A folder that other users can write to is not used, with a
    warning.

    Arguments:
        folder: The folder of the files. If `None`, nothing is read or written.
        what: The name of the tensors as a whole, the first part of the file's name.
        key: Everything that they depend on; the versions of cgm and torch are added.
        compute: Computes them.
    """

    from safetensors.torch import save as to_bytes

    if folder is not None and (reason := _others_write(Path(folder))):
        log.warning("cache: %s is not used: %s; others could put wrong numbers there", folder, reason)
        folder = None
    if folder is None:
        return compute()

    text = json.dumps({**key, "cgm": __version__, "torch": torch.__version__}, sort_keys=True)
    path = Path(folder) / f"{what}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"
    if os.path.lexists(path):
        try:
            tensors = _read(path, text)
            log.info("cache: %s read from %s (cache=false recomputes them)", what, path)
            return tensors
        except ValueError as error:
            log.warning("cache: %s: %s; recomputing", path, error)

    tensors = {name: x.contiguous() for name, x in compute().items()}
    try:
        write_whole(path, to_bytes(tensors, metadata={"key": text, "sha256": digest(tensors, text)}))
        log.info("cache: %s written to %s", what, path)
        remove_parts(path.parent, min_age=24 * 3600)
    except OSError as error:
        log.warning("cache: %s could not be written (%s); continuing without it", path, error)

    return tensors


def _others_write(path: Path) -> str:
    """Return why other users can write to a folder or file, or nothing if they cannot; on Windows, it is unknown."""

    if not hasattr(os, "getuid") or not path.exists():
        return ""
    status = path.stat()
    if status.st_uid not in (0, os.getuid()):
        return f"{path} belongs to another user"
    own_group = status.st_gid == os.getgid()  # on many systems a group of this user alone
    if status.st_mode & (stat.S_IWOTH | (0 if own_group else stat.S_IWGRP)):
        return f"other users can write to {path} (chmod go-w)"
    return ""


def _read(path: Path, key: str) -> dict[str, torch.Tensor]:
    if path.is_symlink():
        raise ValueError("a link")
    if reason := _others_write(path):
        raise ValueError(reason)
    try:
        metadata, tensors = read_tensors(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"damaged ({error})") from error
    if metadata.get("key") != key:
        raise ValueError("its key differs")
    if metadata.get("sha256") != digest(tensors, key):
        raise ValueError("damaged (its checksum differs)")

    return tensors
