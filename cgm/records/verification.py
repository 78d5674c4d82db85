"""Verification of the folder that a party received. Needs neither torch nor pandas, so that it starts at once."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgm.records.digests import SEAL, readable_json, seal, sha256
from cgm.records.signature import SIGNATURE, check_signature

CERTIFICATE, PAGE = "certificate.json", "certificate.html"
IGNORED = {".DS_Store", "Thumbs.db", "desktop.ini"}  # file managers leave these in folders that they show
OK, FAILED, OPEN = "ok", "FAILED", "open"


@dataclass(frozen=True)
class Verification:
    """What a party could verify.

    Attributes:
        lines: The findings in words, each after `ok`, `FAILED`, or `open` for what could not be verified.
        ok: Whether nothing failed.
    """

    lines: tuple[str, ...]
    ok: bool


class Findings:
    """Findings, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ok = True

    def add(self, state: str, text: str) -> None:
        """Add a finding."""

        self.ok = self.ok and state != FAILED
        self.lines.append(f"{state:<6}  {printable(text)}")


def verify(folder: str | Path, data: str | Path | None = None, key: str | Path | None = None) -> Verification:
    """Verify the files that a party received with its certificate.

    Any changed byte of any file is found, and so are missing and additional files. Whoever changes files can also
    compute their digests anew: only a signature, or comparing the digest of the certificate with the mediator, shows
    that it is the mediator's.

    Arguments:
        folder: The folder with `certificate.json`.
        data: The party's own file, as it was given to the mediator. Not verified, if `None`.
        key: The mediator's public key, for `certificate.sig`. Not verified, if `None`.
    """

    folder, found = Path(folder), Findings()
    try:
        text = (folder / CERTIFICATE).read_bytes()
    except OSError as error:
        found.add(FAILED, f"{folder / CERTIFICATE} cannot be read: {error.strerror or error}")
        return Verification(tuple(found.lines), found.ok)
    try:
        certificate = read_certificate(text)
    except (ValueError, RecursionError) as error:
        found.add(FAILED, f"{CERTIFICATE} was changed: {error}")
        return Verification(tuple(found.lines), found.ok)

    found.add(OK, f"{CERTIFICATE} agrees with its own digest; it is the certificate of {certificate['party']}")
    _check_files(folder, certificate["files"], None if data is None else Path(data), found)
    _check_data(certificate["data"], data, found)
    check_signature(folder, text, None if key is None else Path(key), found.add)
    found.add(
        OPEN,
        "values, contributions and the reward value cannot be computed from the files of one party: they depend on the "
        "data of all parties, which only the mediator has",
    )
    found.add(OPEN, f"ask the mediator whether the digest of your certificate is {certificate[SEAL]}")

    return Verification(tuple(found.lines), found.ok)


def read_certificate(text: bytes) -> dict[str, Any]:
    """Read a certificate that is exactly as it was written.

    Raises:
        ValueError: If it is not; the message says in which respect.
    """

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not a number that a certificate has")

    content = json.loads(text.decode(), parse_constant=refuse)
    if not isinstance(content, dict) or not isinstance(content.get(SEAL), str):
        raise ValueError(f"expected an object with the key {SEAL}")
    if seal(content)[SEAL] != content[SEAL]:
        raise ValueError("its content does not have the digest that it states")
    if readable_json(content) != text:
        raise ValueError("its content is the same, but not its layout")

    files, data = content.get("files"), content.get("data")
    described = isinstance(files, dict) and all(isinstance(entry, dict) for entry in files.values())
    if not described or not isinstance(data, dict) or not isinstance(content.get("party"), str):
        raise ValueError("expected the keys party, data and files")
    return content


def printable(text: str) -> str:
    """Return text without characters that control a terminal."""

    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _check_files(folder: Path, listed: Mapping[str, Mapping[str, Any]], data: Path | None, found: Findings) -> None:
    """Compare the files of a folder with those that the certificate lists."""

    present = set(_walk(folder)) - {CERTIFICATE, SIGNATURE}
    for name, expected in listed.items():
        if name not in present:  # also for a name that leads out of the folder, which is never opened
            found.add(FAILED, f"{name} is missing")
            continue
        path = folder / name
        try:
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        except OSError:
            content = None
        if content is None:
            found.add(FAILED, f"{name} cannot be read, or is not a plain file")
        elif sha256(content) != expected.get("sha256"):
            found.add(FAILED, f"{name} was changed: its SHA-256 is not that of the certificate")
        elif "rows" in expected and (rows := _rows(name, content)) not in (None, expected["rows"]):
            found.add(FAILED, f"{name} has {rows} rows, but the certificate says {expected['rows']}")
        else:
            counted = f", {expected['rows']:,} rows" if "rows" in expected else ""
            found.add(OK, f"{name} is as it was written{counted}")
    for name in sorted(present - listed.keys()):
        if Path(name).name in IGNORED:
            found.add(OPEN, f"{name} is not part of the certificate; file managers create such files")
        elif data is None or not (data.exists() and data.samefile(folder / name)):
            found.add(FAILED, f"{name} is not part of the certificate: it was added")


def _walk(folder: Path) -> Iterator[str]:
    """List all files of a folder, and links and empty folders as well, by names with / as on Linux."""

    for path, folders, files in os.walk(folder):
        here = Path(path)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in [*files, *links]:
            yield (here / name).relative_to(folder).as_posix()
        if not folders and not files and here != folder:
            yield here.relative_to(folder).as_posix()


def _rows(name: str, content: bytes) -> int | None:
    """Count the rows of a CSV file without its header; `None` for a Parquet file, which needs other packages."""

    if name.endswith(".parquet"):
        return None
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    csv.field_size_limit(2**31 - 1)
    return sum(1 for _ in csv.reader(io.StringIO(content.decode(), newline=""))) - 1


def _check_data(expected: Mapping[str, Any], data: str | Path | None, found: Findings) -> None:
    """Compare the party's own file with the digest of the certificate."""

    if data is None:
        found.add(OPEN, "your own file was not given: that it is the one that was settled was not verified")
        return
    try:
        digest = sha256(Path(data).read_bytes())
    except OSError as error:
        found.add(FAILED, f"{data} cannot be read: {error.strerror or error}")
        return
    if digest == expected.get("sha256"):
        found.add(OK, f"{data} is the file that was settled, with the same bytes")
    else:
        found.add(
            FAILED,
            f"{data} is not the file that was settled ({expected.get('file')}): its bytes differ. A program that saves "
            "a table anew changes them as well",
        )
