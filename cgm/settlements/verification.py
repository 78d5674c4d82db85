"""Verification of the folder that a party received. Needs neither torch nor pandas, so that it starts at once."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgm.settlements.files import SEAL, readable_json, seal, sha256
from cgm.settlements.signature import SIGNATURE, check_signature
from cgm.utils.files import IGNORED, folder_digest

CERTIFICATE, PAGE = "certificate.json", "certificate.html"
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
        data: The party's own file or folder, as it was given to the mediator; of one file for all parties, also the
            party's own rows in any order. Not verified, if `None`.
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
        if expected.get("folder"):
            inside = {file for file in present if file.startswith(f"{name}/") and Path(file).name not in IGNORED}
            present -= inside
            _check_folder(folder, name, inside, expected, found)
            continue
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


def _check_folder(folder: Path, name: str, inside: set[str], expected: Mapping[str, Any], found: Findings) -> None:
    """Compare the files in a folder of images with the digest that the certificate has of all of them."""

    if not inside:
        found.add(FAILED, f"{name} is missing, or has no files")
        return
    contents = read_files(folder / name, {file.removeprefix(f"{name}/") for file in inside})
    if contents is None:
        found.add(FAILED, f"{name} has files that cannot be read, or are not plain files")
    elif folder_digest(contents) != expected.get("sha256"):
        more = len(inside) - int(expected.get("rows", 0))
        count = f": it has {len(inside)} files, but the certificate says {expected.get('rows')}" if more else ""
        found.add(FAILED, f"{name} was changed: the SHA-256 of its files is not that of the certificate{count}")
    else:
        found.add(OK, f"{name} is as it was written, {len(inside):,} images")


def read_files(folder: Path, names: Iterable[str]) -> dict[str, bytes] | None:
    """Return the contents of plain files in a folder; `None` if one is a link or cannot be read."""

    contents = {}
    for name in names:
        path = folder / name
        try:
            if path.is_symlink() or not path.is_file():
                return None
            contents[name] = path.read_bytes()
        except OSError:
            return None
    return contents


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
    """Count the rows of a CSV file without its header; `None` for other files, which need other packages."""

    if name.endswith((".parquet", ".npz")):
        return None
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    csv.field_size_limit(2**31 - 1)
    return sum(1 for row in csv.reader(io.StringIO(content.decode(), newline="")) if row) - 1


def _check_rows_used(expected: Mapping[str, Any], rows: int | None, found: Findings) -> None:
    """Compare the number of a party's own rows with those that were valued and kept apart."""

    valued, apart = expected.get("rows_valued"), expected.get("rows_held_out")
    unit = "images" if expected.get("digest_of") == "folder" else "rows"
    if rows is None:
        found.add(OPEN, "the rows of your own file were not counted: it is no CSV file in UTF-8")
    elif rows == (valued or 0) + (apart or 0):
        found.add(OK, f"all of its {rows:,} {unit} are accounted for: {valued:,} valued, {apart:,} kept apart")
    else:
        found.add(FAILED, f"it has {rows:,} {unit}, but the certificate says {valued} valued and {apart} kept apart")


def _check_data(expected: Mapping[str, Any], data: str | Path | None, found: Findings) -> None:
    """Compare the party's own file with the digest of the certificate."""

    if data is None:
        what = {"folder": "folder was", "rows": "rows were"}.get(str(expected.get("digest_of")), "file was")
        found.add(OPEN, f"your own {what} not given: that it is the one that was settled was not verified")
        return
    if expected.get("digest_of") == "folder":
        _check_images(expected, Path(data), found)
        return
    if expected.get("digest_of") == "rows":
        _check_rows(expected, Path(data), found)
        return
    try:
        content = Path(data).read_bytes()
    except OSError as error:
        found.add(FAILED, f"{data} cannot be read: {error.strerror or error}")
        return
    if sha256(content) == expected.get("sha256"):
        found.add(OK, f"{data} is the file that was settled, with the same bytes")
        try:
            _check_rows_used(expected, _rows(Path(data).name.lower(), content), found)
        except (csv.Error, OSError, EOFError, UnicodeDecodeError):  # another encoding, or no table
            _check_rows_used(expected, None, found)
    else:
        found.add(
            FAILED,
            f"{data} is not the file that was settled ({expected.get('file')}): its bytes differ. A program that saves "
            "a table anew changes them as well",
        )


def _check_images(expected: Mapping[str, Any], data: Path, found: Findings) -> None:
    """Compare the party's own folder of images with the digest of the certificate."""

    names = [path.name for path in data.iterdir() if path.suffix.lower() in (".png", ".npz")] if data.is_dir() else []
    contents = read_files(data, names)
    if not contents:
        found.add(FAILED, f"{data} cannot be read, or is not a folder with files that end in .png or .npz")
    elif folder_digest(contents) == expected.get("sha256"):
        found.add(OK, f"{data} is the folder that was settled, {len(contents):,} files with the same names and bytes")
        if all(name.lower().endswith(".png") for name in contents):
            _check_rows_used(expected, len(contents), found)
    else:
        found.add(
            FAILED,
            f"{data} is not the folder that was settled ({expected.get('file')}): a file was changed, added, renamed "
            "or removed",
        )


def _check_rows(expected: Mapping[str, Any], data: Path, found: Findings) -> None:
    """Compare the party's rows, alone or in the file of all parties, with the digest of the certificate."""

    from cgm.data.tables.files import read_table, rows_digest, rows_of  # pandas, which nothing else needs

    column, party = str(expected.get("party_column")), str(expected.get("party"))
    try:
        table, _ = read_table(data, str(expected.get("encoding") or "utf-8"))
        rows = rows_of(table, column, party) if column in table else table
        digest = rows_digest(rows)
    except (OSError, ValueError) as error:
        found.add(FAILED, f"{data} cannot be read: {error}")
        return
    if digest == expected.get("sha256"):
        found.add(OK, f"{data} has the rows of {party} that were settled, with the same cells")
        _check_rows_used(expected, len(rows), found)
    else:
        found.add(
            FAILED,
            f"{data} does not have the rows of {party} that were settled: a cell or a row was changed, added or "
            "removed",
        )
