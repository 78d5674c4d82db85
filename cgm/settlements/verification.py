"""Signing of certificates, and verification of the folder that a party received."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgm.data.tables.dialects import decode
from cgm.data.tables.files import CSV, read_table, rows_digest, rows_of
from cgm.settlements.certificate import SEAL, readable_json, seal
from cgm.utils.files import IGNORED, folder_digest, sha256, write_whole

CERTIFICATE, PAGE, SIGNATURE = "certificate.json", "certificate.html", "certificate.sig"
OK, FAILED, OPEN = "ok", "FAILED", "open"
INSTALL = 'install cryptography, by pip install ".[sign]" in a checkout of cgm'
NO_TABLE = (csv.Error, OSError, EOFError, zlib.error, ValueError)  # of a file that is no CSV file

Finding = tuple[str, str]  # its state, one of the three above, and its text
OwnData = tuple[str, int | None, str, str]  # digest, rows if they were counted, text if it is the same, text if not


@dataclass(frozen=True)
class Verification:
    """What a party could verify.

    Attributes:
        lines: The findings in words, each after `ok`, `FAILED`, or `open` for what could not be verified.
        ok: Whether nothing failed.
    """

    lines: tuple[str, ...]
    ok: bool


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

    own, public = (None if path is None else Path(path) for path in (data, key))
    findings = list(_verify(Path(folder), own, public))
    lines = (f"{state:<6}  {printable(text)}" for state, text in findings)
    return Verification(tuple(lines), all(state != FAILED for state, _ in findings))


def _verify(folder: Path, data: Path | None, key: Path | None) -> Iterator[Finding]:
    """Yield the findings, in order."""

    try:
        text = (folder / CERTIFICATE).read_bytes()
        certificate = read_certificate(text)
    except OSError as error:
        yield FAILED, f"{folder / CERTIFICATE} cannot be read: {error.strerror or error}"
        return
    except (ValueError, RecursionError) as error:
        yield FAILED, f"{CERTIFICATE} was changed: {error}"
        return

    yield OK, f"{CERTIFICATE} agrees with its own digest; it is the certificate of {certificate['party']}"
    yield from _check_files(folder, certificate["files"], data)
    yield from _check_data(certificate["data"], data)
    yield _check_signature(folder, text, key)
    yield (
        OPEN,
        "values, contributions and the reward value cannot be computed from the files of one party: they depend on the "
        "data of all parties, which only the mediator has",
    )
    yield OPEN, f"ask the mediator whether the digest of your certificate is {certificate[SEAL]}"


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


def _check_files(folder: Path, listed: Mapping[str, Mapping[str, Any]], data: Path | None) -> Iterator[Finding]:
    """Compare the files of a folder with those that the certificate lists."""

    present = set(_walk(folder)) - {CERTIFICATE, SIGNATURE}
    for name, entry in listed.items():
        if entry.get("folder"):
            files = {file for file in present if file.startswith(f"{name}/") and Path(file).name not in IGNORED}
        else:
            files = {name} & present  # a name that leads out of the folder is not in it, and is never opened
        present -= files
        contents = read_files(folder, files)
        if not files:
            yield FAILED, f"{name} is missing"
        elif contents is None:
            yield FAILED, f"{name} cannot be read, or is not made of plain files"
        elif entry.get("folder"):
            yield _check_folder(name, contents, entry)
        else:
            yield _check_file(name, contents[name], entry)
    for name in sorted(present):
        if Path(name).name in IGNORED:
            yield OPEN, f"{name} is not part of the certificate; file managers create such files"
        elif data is None or not (data.exists() and data.samefile(folder / name)):
            yield FAILED, f"{name} is not part of the certificate: it was added"


def _check_file(name: str, content: bytes, entry: Mapping[str, Any]) -> Finding:
    """Compare a file with what the certificate says of it."""

    if sha256(content) != entry.get("sha256"):
        return FAILED, f"{name} was changed: its SHA-256 is not that of the certificate"
    if "rows" not in entry:
        return OK, f"{name} is as it was written"
    try:
        rows = _count_rows(name, content)
    except NO_TABLE as error:
        return FAILED, f"{name} is not a table, but the certificate says {entry['rows']} rows ({error})"
    if rows not in (None, entry["rows"]):
        return FAILED, f"{name} has {rows} rows, but the certificate says {entry['rows']}"
    return OK, f"{name} is as it was written, {entry['rows']:,} rows"


def _check_folder(name: str, contents: Mapping[str, bytes], entry: Mapping[str, Any]) -> Finding:
    """Compare the files in a folder of images with the digest that the certificate has of all of them."""

    if folder_digest({file.removeprefix(f"{name}/"): data for file, data in contents.items()}) == entry.get("sha256"):
        return OK, f"{name} is as it was written, {len(contents):,} images"
    more = len(contents) - int(entry.get("rows", 0))
    count = f": it has {len(contents)} files, but the certificate says {entry.get('rows')}" if more else ""
    return FAILED, f"{name} was changed: the SHA-256 of its files is not that of the certificate{count}"


def read_files(folder: Path, names: Iterable[str]) -> dict[str, bytes] | None:
    """Return the contents of plain files in a folder; `None` if one is a link or cannot be read."""

    paths = {name: folder / name for name in names}
    try:
        if any(path.is_symlink() or not path.is_file() for path in paths.values()):
            return None
        return {name: path.read_bytes() for name, path in paths.items()}
    except OSError:
        return None


def _walk(folder: Path) -> Iterator[str]:
    """List all files of a folder, and links and empty folders as well, by names with / as on Linux."""

    for path, folders, files in os.walk(folder):
        here = Path(path)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in [*files, *links]:
            yield (here / name).relative_to(folder).as_posix()
        if not folders and not files and here != folder:
            yield here.relative_to(folder).as_posix()


def _count_rows(name: str, content: bytes) -> int | None:
    """Count the rows of a CSV file without its header; `None` for other files, which are not read."""

    if name.endswith((".parquet", ".xlsx", ".npz")):
        return None
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    csv.field_size_limit(2**31 - 1)
    text, _ = decode(Path(name), content, "latin-1")  # in which all bytes are letters
    return sum(1 for row in csv.reader(io.StringIO(text.decode(), newline="")) if row) - 1


def _check_data(entry: Mapping[str, Any], data: Path | None) -> Iterator[Finding]:
    """Compare the party's own data with the digest of the certificate, and its rows with those that were used."""

    form = str(entry.get("digest_of", "file"))
    if data is None:
        verb = "were" if form == "rows" else "was"
        yield OPEN, f"your own {form} {verb} not given: that it is the one that was settled was not verified"
        return
    read = {"folder": _read_folder, "rows": _read_rows}.get(form, _read_file)
    try:
        digest, rows, same, other = read(data, entry)
    except (OSError, ValueError) as error:
        yield FAILED, f"{data} cannot be read: {getattr(error, 'strerror', None) or error}"
        return
    if digest != entry.get("sha256"):
        yield FAILED, f"{data} {other}"
        return
    yield OK, f"{data} {same}"

    valued, apart = entry.get("rows_valued"), entry.get("rows_held_out")
    unit = "images" if form == "folder" else "rows"
    if rows is None:
        yield (
            OPEN,
            f"the {unit} of your own {form} were not counted: it is neither a CSV file that reads by itself nor PNG",
        )
    elif rows == (valued or 0) + (apart or 0):
        yield OK, f"all of its {rows:,} {unit} are accounted for: {valued:,} valued, {apart:,} kept apart"
    else:
        yield FAILED, f"it has {rows:,} {unit}, but the certificate says {valued} valued and {apart} kept apart"


def _read_file(data: Path, entry: Mapping[str, Any]) -> OwnData:
    content = data.read_bytes()
    rows = None
    if data.name.lower().endswith(CSV):
        with suppress(ValueError):  # a file that is read with settings of the mediator, or no table
            rows = len(read_table(data, "latin-1")[0])
    other = (
        f"is not the file that was settled ({entry.get('file')}): its bytes differ. A program that saves a table anew "
        "changes them as well"
    )
    return sha256(content), rows, "is the file that was settled, with the same bytes", other


def _read_folder(data: Path, entry: Mapping[str, Any]) -> OwnData:
    names = [path.name for path in data.iterdir() if path.suffix.lower() in (".png", ".npz")] if data.is_dir() else []
    contents = read_files(data, names)
    if not contents:
        raise ValueError("expected a folder with files that end in .png or .npz")
    rows = len(contents) if all(name.lower().endswith(".png") for name in contents) else None
    same = f"is the folder that was settled, {len(contents):,} files with the same names and bytes"
    other = f"is not the folder that was settled ({entry.get('file')}): a file was changed, added, renamed or removed"
    return folder_digest(contents), rows, same, other


def _read_rows(data: Path, entry: Mapping[str, Any]) -> OwnData:
    column, party = str(entry.get("party_column")), str(entry.get("party"))
    table, _ = read_table(data, str(entry.get("encoding") or "utf-8"))
    rows = rows_of(table, column, party) if column in table else table
    same = f"has the rows of {party} that were settled, with the same cells"
    other = f"does not have the rows of {party} that were settled: a cell or a row was changed, added or removed"
    return rows_digest(rows), len(rows), same, other


def sign(folder: str | Path, key: str | Path) -> Path:
    """Sign the certificate in a folder, as `certificate.sig`, a detached Ed25519 signature. Needs the extra `sign`.

    The signature covers the bytes of `certificate.json`, which has the digests of all other files.

    Arguments:
        folder: The folder with `certificate.json`.
        key: The file of the mediator's private key, Ed25519 in PEM without a password, such as that of
            `openssl genpkey -algorithm ed25519 -out key.pem`. Its public key is that of
            `openssl pkey -in key.pem -pubout -out public.pem`.

    Returns:
        The path of the signature.

    Raises:
        ImportError: If cryptography is not installed.
        ValueError: If the key is not as described.
        OSError: If a file cannot be read or written.
    """

    serialization, ed25519 = _cryptography()
    try:
        private = serialization.load_pem_private_key(Path(key).read_bytes(), password=None)
    except (TypeError, ValueError) as error:
        raise ValueError(f"key={key}: expected an Ed25519 private key in PEM without a password ({error})") from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise ValueError(f"key={key}: expected an Ed25519 private key, got {type(private).__name__}")

    path = Path(folder) / SIGNATURE
    content = {
        "public_key": private.public_key().public_bytes_raw().hex(),
        "signature": private.sign((Path(folder) / CERTIFICATE).read_bytes()).hex(),
    }
    write_whole(path, readable_json(content))

    return path


def _check_signature(folder: Path, certificate: bytes, key: Path | None) -> Finding:
    """Check the signature of a certificate, by the key that it names itself if no public key is given."""

    path = folder / SIGNATURE
    if not path.is_file():
        if key is None:
            return OPEN, "the certificate is not signed"
        return FAILED, f"{SIGNATURE} is missing, although a key was given"
    try:
        serialization, ed25519 = _cryptography()
    except ImportError:
        return (OPEN if key is None else FAILED), f"{SIGNATURE} could not be verified: {INSTALL}"

    try:
        text = path.read_bytes()
        content = json.loads(text)
        named, signature = bytes.fromhex(content["public_key"]), bytes.fromhex(content["signature"])
        if readable_json({"public_key": named.hex(), "signature": signature.hex()}) != text:
            raise ValueError("its layout was changed")
        ed25519.Ed25519PublicKey.from_public_bytes(named).verify(signature, certificate)
    except Exception as error:  # cryptography has errors of its own, without a text
        return FAILED, f"{SIGNATURE} is not a signature of this certificate{f' ({error})' if str(error) else ''}"
    if key is None:
        return OPEN, f"signed with the key {sha256(named)[:16]}, but no public key was given to compare with (--key)"

    try:
        public = serialization.load_pem_public_key(key.read_bytes())
        given = public.public_bytes_raw() if isinstance(public, ed25519.Ed25519PublicKey) else b""
    except (OSError, ValueError) as error:
        return FAILED, f"key={key}: expected an Ed25519 public key in PEM ({error})"
    if given != named:
        return FAILED, f"{SIGNATURE} was made with another key than {key}"
    return OK, f"the certificate, and with it every file that it lists, is signed by {key}"


def _cryptography() -> tuple[Any, Any]:
    """Import the parts of cryptography that are used."""

    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ImportError(f"signatures need the extra sign: {INSTALL}") from error
    return serialization, ed25519
