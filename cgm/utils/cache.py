"""Keeps on disk what takes long to compute, under a key made of everything that it depends on."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save as to_bytes
from torch import Tensor

from cgm.utils.files import write_whole
from cgm.utils.tensors import digest, read_tensors
from cgm.utils.version import __version__

log = logging.getLogger(__name__)


def cached(
    folder: str | Path | None, what: str, key: Mapping[str, Any], compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Takes tensors from a file if they were computed before; else computes them and writes the file.

    Each use is logged with the path. A file that is damaged is named and made anew. One that can't be written is
    named, and done without.

    Arguments:
        folder: Where the files are. `None`: nothing is read or written.
        what: What the tensors are, the first part of the file's name.
        key: Everything that they depend on; the versions of cgm and torch are added.
        compute: Computes them.
    """

    if folder is None:
        return compute()

    text = json.dumps({**key, "cgm": __version__, "torch": torch.__version__}, sort_keys=True)
    path = Path(folder) / f"{what}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"
    if path.exists():
        try:
            tensors = _read(path, text)
            log.info("cache: %s taken from %s (cache=false computes anew)", what, path)
            return tensors
        except ValueError as error:
            log.warning("cache: %s: %s; made anew", path, error)

    tensors = {name: x.contiguous() for name, x in compute().items()}
    try:
        write_whole(path, to_bytes(tensors, metadata={"key": text, "sha256": digest(tensors, text)}))
        log.info("cache: %s kept in %s", what, path)
    except OSError as error:
        log.warning("cache: %s could not be written (%s); going on without", path, error)

    return tensors


def _read(path: Path, key: str) -> dict[str, Tensor]:
    try:
        metadata, tensors = read_tensors(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"damaged ({error})") from error
    if metadata.get("key") != key:
        raise ValueError("an entry of another key")
    if metadata.get("sha256") != digest(tensors, key):
        raise ValueError("damaged (its checksum is another)")

    return tensors
