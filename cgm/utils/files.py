"""Files: atomic writes, locks, and reading of what comes from outside within limits."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import os
import platform
import re
import stat
import time
import unicodedata
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from cgm.utils.text import printable

_PART = re.compile(r"\..+\.[0-9a-f]{32}")  # names of files that are being written


class Locked(OSError):
    """Another process has a lock."""


class TooLarge(ValueError):
    """An input would take too much memory."""


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


MAX_GIB = 2.0  # of memory for one input, without the environment variable
LIMIT = "CGM_MAX_GIB"  # an environment variable with another maximum
CELL_BYTES = 64  # memory that a cell of a table takes at least
MAX_COLUMNS = 10_000  # of a table; the work grows with their square


def max_bytes() -> int:
    """Return the maximum number of bytes that one input may take in memory, see `LIMIT`.

    Raises:
        ValueError: If the environment variable is not a positive number.
    """

    text = os.environ.get(LIMIT) or str(MAX_GIB)
    try:
        limit = float(text)
        if not 0 < limit < 1e6:
            raise ValueError
    except ValueError:
        raise ValueError(f"{LIMIT}={text}: expected a number of GiB, such as 8") from None
    return int(limit * 2**30)


def check_bytes(name: object, size: int, what: str = "takes") -> None:
    """Check that an input does not take more memory than `max_bytes` allows.

    Arguments:
        name: Its name in an error.
        size: The bytes that it takes.
        what: What takes them, with a verb.

    Raises:
        TooLarge: If it does.
    """

    if size > max_bytes():
        raise TooLarge(
            f"{name}: {what} {size / 2**30:.3g} GiB of memory or more, the limit is {max_bytes() / 2**30:g} GiB; the "
            f"environment variable {LIMIT} sets another one"
        )


def check_cells(name: object, rows: int, columns: int) -> None:
    """Check that a table has few enough cells, before they are read.

    Raises:
        TooLarge: If it has too many columns, or cells that take more memory than `max_bytes` allows.
    """

    if columns > MAX_COLUMNS:
        raise TooLarge(f"{name}: has {columns:,} columns, at most {MAX_COLUMNS:,} are possible; leave some out")
    check_bytes(name, rows * columns * CELL_BYTES, f"{rows:,} rows of {columns:,} columns take")


def open_plain(path: str | Path, links: bool = False) -> BinaryIO:
    """Open a plain file of at most `max_bytes` for reading. Pipes, devices and folders are refused without waiting.

    Arguments:
        path: The file.
        links: Whether it may be a link. In what a party delivers, a link could lead to a file of somebody else.

    Raises:
        ValueError: If it is not a plain file, or too large.
        OSError: If it cannot be opened.
    """

    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    if not links and os.path.islink(path):
        raise ValueError(f"{path}: a link; expected the file itself, a copy of what the link leads to")
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):  # opening some devices does something
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise ValueError(f"{path}: {kind}; expected a plain file")
    file = os.fdopen(os.open(path, flags | (0 if links else getattr(os, "O_NOFOLLOW", 0))), "rb")
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):  # it was exchanged meanwhile
            raise ValueError(f"{path}: expected a plain file")
        check_bytes(path, status.st_size)
    except BaseException:
        file.close()
        raise
    return file


def read_plain(path: str | Path, links: bool = False) -> bytes:
    """Return the content of a plain file, see `open_plain`, which may grow meanwhile.

    Raises:
        ValueError: If it is not a plain file, or too large.
        OSError: If it cannot be read.
    """

    with open_plain(path, links) as file:
        content = file.read(max_bytes() + 1)
    check_bytes(path, len(content))
    return content


def gunzip(content: bytes, name: object) -> bytes:
    """Decompress a gzip file, if the result is not larger than `max_bytes`, which is measured before.

    Arguments:
        content: The file.
        name: Its name in an error.

    Raises:
        ValueError: If it is damaged or too large.
    """

    size = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            while part := file.read(2**20):
                size += len(part)
                if size > max_bytes():
                    break
        check_bytes(name, size, "is decompressed to")
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{name}: not a gzip file, or a truncated one ({error})") from error


IGNORED = {".DS_Store", "Thumbs.db", "desktop.ini"}  # file managers leave these in folders that they show


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal digits."""

    return hashlib.sha256(data).hexdigest()


def folder_digest(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of some files: that of what `LC_ALL=C sha256sum *` prints for them.

    Arguments:
        files: The contents by name.

    Raises:
        ValueError: If a name could stand for other files in this list, see `check_file_name`.

    Example:
        >>> folder_digest({"b.png": b"2", "a.png": b"1"})[:16]
        '70679c6136412b88'
    """

    for name in files:
        check_file_name(name)
    return sha256("".join(f"{sha256(files[name])}  {name}\n" for name in sorted(files, key=str.encode)).encode())


def check_file_name(name: str) -> None:
    """Check that a name of a file can stand in a list of files: a line break in it would look like another file.

    Raises:
        ValueError: If it has a control character or a backslash, or is not valid Unicode.
    """

    if any(x == "\\" or unicodedata.category(x) in ("Cc", "Cs", "Zl", "Zp") for x in name):
        raise ValueError(f"{printable(name)}: a name with a control character or a backslash; rename the file")
