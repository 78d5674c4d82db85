"""Writes files whole or not at all."""

import os
import uuid
from pathlib import Path


def write_whole(path: str | Path, data: bytes) -> None:
    """Writes a file, replacing one that is there; whoever reads it sees the old one or the new one, never a part.

    Arguments:
        path: The file; its folder is made if there is none.
        data: What it shall hold.
    """

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # same folder: a rename is atomic there only

    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
