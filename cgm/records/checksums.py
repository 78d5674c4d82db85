"""`SHA256SUMS`: the digests of the files of a run, so that no changed byte goes unnoticed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from cgm.utils.files import sha256

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  ([\w.]+)\n")


def dumps(files: Mapping[str, bytes]) -> bytes:
    """Return the text of `SHA256SUMS`, as `sha256sum --check SHA256SUMS` reads it.

    Arguments:
        files: The contents of the files, by name.
    """

    return "".join(f"{sha256(content)}  {name}\n" for name, content in files.items()).encode()


def check_sums(folder: Path, names: Iterable[str], known: Iterable[str]) -> None:
    """Compare files with their digests. A folder without `SHA256SUMS`, as older versions wrote it, is not checked.

    Arguments:
        folder: The folder.
        names: The files to compare, of those that `SHA256SUMS` names.
        known: All files that it may name.

    Raises:
        ValueError: If a file, or `SHA256SUMS` itself, is not as it was written; the message names it.
        OSError: If a file cannot be read.
    """

    path = folder / SUMS
    if not path.is_file():
        return
    lines = path.read_bytes().decode(errors="replace").splitlines(keepends=True)
    entries = {match[2]: match[1] for line in lines if (match := LINE.fullmatch(line))}
    if not entries or len(entries) != len(lines) or not entries.keys() <= set(known):
        raise ValueError(f"{SUMS} is damaged")
    for name in names:
        if name in entries and sha256((folder / name).read_bytes()) != entries[name]:
            raise ValueError(f"{name} is damaged or was changed: its SHA-256 is not that in {SUMS}")
