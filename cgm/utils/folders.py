"""Digests of folders. Needs neither torch nor pandas."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

IGNORED = {".DS_Store", "Thumbs.db", "desktop.ini"}  # file managers leave these in folders that they show


def folder_digest(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of some files: that of what `LC_ALL=C sha256sum *` prints for them.

    Arguments:
        files: The contents by name.

    Example:
        >>> folder_digest({"b.png": b"2", "a.png": b"1"})[:16]
        '70679c6136412b88'
    """

    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files, key=str.encode))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
