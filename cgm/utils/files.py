"""Atomic writes of files, and locks."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

_PART = re.compile(r"\..+\.[0-9a-f]{32}")  # names of files that are being written


class Locked(OSError):
    """Another process has a lock."""


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file atomically: a reader sees either the previous content or the new one, never a part.

    Arguments:
        path: The file, replaced if it exists; its folder is created if necessary.
        data: The content.

    Raises:
        OSError: If it cannot be written; the message names the file.
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
    except OSError as error:
        if error.errno is not None and error.filename is None:  # such as "No space left on device"
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def remove_parts(*folders: str | Path, min_age: float = 0.0) -> None:
    """Delete what `write_whole` has left in folders because its process was killed.

    Arguments:
        folders: The folders, which need not exist. Folders in them are not searched.
        min_age: The seconds since the last change of a file that is deleted. Other processes may be writing younger
            ones.
    """

    for path in (path for folder in folders for path in Path(folder).glob(".*")):
        with contextlib.suppress(OSError):  # another process was quicker
            if _PART.fullmatch(path.name) and path.is_file() and time.time() - path.stat().st_mtime >= min_age:
                path.unlink()


@contextlib.contextmanager
def locked(path: str | Path, wait: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold a lock that one process at a time can have, here or on other machines that share the folder.

    The lock ends with the process, however it ends. On a file system without locks, nothing is locked.

    Arguments:
        path: The file of the lock, which stays; its folder is created if necessary.
        wait: Called once before waiting for another process. Without it, an error is raised instead of waiting.

    Raises:
        Locked: If another process has the lock; the message names the folder and the process.
    """

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock.acquire(timeout=0))
        except Timeout:
            if wait is None:
                owner = path.read_text(encoding="utf-8").strip() or "another process"
                raise Locked(f"{path.parent}: in use by {owner}") from None
            wait()
            held.enter_context(lock.acquire())
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):  # of a file system without locks
                raise
        with contextlib.suppress(PermissionError):  # Windows: nobody else can read a locked file
            path.write_text(f"process {os.getpid()} on {platform.node()}\n", encoding="utf-8")
        yield


IGNORED = {".DS_Store", "Thumbs.db", "desktop.ini"}  # file managers leave these in folders that they show


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal digits."""

    return hashlib.sha256(data).hexdigest()


def folder_digest(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of some files: that of what `LC_ALL=C sha256sum *` prints for them.

    Arguments:
        files: The contents by name.

    Example:
        >>> folder_digest({"b.png": b"2", "a.png": b"1"})[:16]
        '70679c6136412b88'
    """

    return sha256("".join(f"{sha256(files[name])}  {name}\n" for name in sorted(files, key=str.encode)).encode())
