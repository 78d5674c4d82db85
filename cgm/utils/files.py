"""Atomic writes of files."""

import os
import uuid
from pathlib import Path


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file atomically: a reader sees either the previous content or the new one, never a part.

    Arguments:
        path: The file, replaced if it exists; its folder is created if necessary.
        data: The content.
    """

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # same folder: a rename is atomic only within one

    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
