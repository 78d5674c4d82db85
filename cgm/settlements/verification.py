"""Signing of certificates, and verification of the folder that a party received."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import msgspec
import pandas as pd

from cgm.data.tables.dialects import Skip
from cgm.data.tables.files import open_workbook, read_content, rows_digest, rows_of
from cgm.settlements.certificate import FORMAT, OLDER, SEAL, readable_json, seal
from cgm.utils.files import IGNORED, check_bytes, folder_digest, gunzip, read_plain, sha256, write_whole
from cgm.utils.shown import Shown
from cgm.utils.signing import INSTALL, cryptography, public_key, read_key
from cgm.utils.text import printable
from cgm.utils.untrusted import array_shapes

if TYPE_CHECKING:
    import pandas as pd

CERTIFICATE, PAGE, SIGNATURE = "certificate.json", "certificate.html", "certificate.sig"
OK, FAILED, OPEN = "ok", "FAILED", "open"
COMPLETED, COMPLETED_NOTE = "completed.csv", "completed.json"  # what `cgm reward` adds to a folder
SKETCH = ".sketch"
STATE = 6  # characters of a line that have the state

Finding = tuple[str, str]  # its state, one of the three above, and its text
Count = Annotated[int, msgspec.Meta(ge=0)]
OwnData = tuple[str, int | None, str, str]  # digest, rows if they were counted, text if it is the same, text if not


class Listed(TypedDict, total=False):
    """What a certificate says of a file, or of a folder of images."""

    sha256: str
    bytes: Count
    rows: Count
    folder: bool


class Reading(TypedDict, total=False):
    """How the mediator read the party's own file."""

    encoding: str
    separator: Annotated[str, msgspec.Meta(min_length=1, max_length=1)]
    skip: Annotated[list[Count], msgspec.Meta(min_length=2, max_length=2)]


class Data(Reading):
    """What a certificate says of the party's own data."""

    sha256: str
    rows_valued: Count
    rows_held_out: Count


class Settled(TypedDict):
    """What tells a settlement from others."""

    name: str
    date: str


class OlderCertificate(TypedDict):
    """The parts of a certificate of the older format that are verified."""

    party: str
    data: Data
    files: dict[str, Listed]


class Certificate(OlderCertificate):
    """The parts of a certificate that are verified."""

    settlement: Settled


@dataclass(frozen=True, repr=False)
class Verification(Shown):
    """What a party could verify.

    Attributes:
        lines: The findings in words, each after `ok`, `FAILED`, or `open` for what could not be verified.
        ok: Whether nothing failed.
    """

    lines: tuple[str, ...]
    ok: bool

    def to_frame(self) -> pd.DataFrame:
        """Return the findings as a table of pandas: `state` and `finding`, what failed first."""

        import pandas as pd

        findings = [(line[:STATE].strip(), line[STATE:].strip()) for line in self.lines]
        return pd.DataFrame(sorted(findings, key=lambda finding: finding[0] != FAILED), columns=["state", "finding"])

    def _shown(self) -> tuple[str, pd.DataFrame, str]:
        failed = sum(line.startswith(FAILED) for line in self.lines)
        result = "nothing failed" if self.ok else f"{failed} of {len(self.lines)} findings FAILED"
        return f"Verification: {result}", self.to_frame(), ""


def verify(
    folder: str | Path,
    data: str | Path | None = None,
    key: str | Path | None = None,
    settlement: str | None = None,
) -> Verification:
    """Verify the files that a party received with its certificate.

    Any changed byte of any file is found, and so are missing and additional files. Whoever changes files can also
    compute their digests anew: only a signature, or comparing the digest of the certificate with the mediator, shows
    that it is the mediator's.

    Arguments:
        folder: The folder with `certificate.json`.
        data: The party's own file or folder, as it was given to the mediator; of one file for all parties, also the
            party's own rows in any order. Not verified, if `None`.
        key: The mediator's public key, for `certificate.sig`. Not verified, if `None`.
        settlement: The name of the settlement, or its date such as `2026-11-29`: files of an older one are unchanged as
            well, and may be signed. Not verified, if `None`.
    """

    own, public = (None if path is None else Path(path) for path in (data, key))
    findings: list[Finding] = []
    try:
        findings.extend(_verify(Path(folder), own, public, settlement))
    except Exception as error:  # whatever the files hold: a file that breaks the verification is not verified
        findings.append((FAILED, f"the verification could not be finished ({type(error).__name__}: {error})"))
    lines = (f"{state:<{STATE}}  {printable(text)}" for state, text in findings)
    return Verification(tuple(lines), all(state != FAILED for state, _ in findings))


def _verify(folder: Path, data: Path | None, key: Path | None, settlement: str | None) -> Iterator[Finding]:
    """Yield the findings, in order."""

    try:
        text = read_plain(folder / CERTIFICATE)
        certificate = read_certificate(text)
    except OSError as error:
        hint = f"; this is the folder of all parties: verify {folder / 'parties'}/NAME"
        is_of_all = isinstance(error, FileNotFoundError) and (folder / "parties").is_dir()
        yield FAILED, f"{folder / CERTIFICATE} cannot be read: {error.strerror or error}{hint if is_of_all else ''}"
        return
    except (ValueError, RecursionError) as error:
        yield FAILED, f"{CERTIFICATE} was changed: {error}"
        return

    yield OK, f"{CERTIFICATE} agrees with its own digest; it is the certificate of {certificate['party']}"
    yield _check_settlement(certificate, settlement)
    yield from _check_files(folder, certificate["files"], data)
    yield from _check_completed(folder, certificate[SEAL])
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
    if content.get("format") not in (FORMAT, OLDER):
        raise ValueError(f"its format is {content.get('format')!r}, this version of cgm knows {OLDER!r} and {FORMAT!r}")
    if seal(content)[SEAL] != content[SEAL]:
        raise ValueError("its content does not have the digest that it states")
    if readable_json(seal(content)) != text:
        raise ValueError("its content is the same, but not its layout")

    parts: Any = OlderCertificate if content["format"] == OLDER else Certificate
    try:
        msgspec.convert(content, parts)
    except msgspec.ValidationError as error:
        raise ValueError(f"expected other content ({error})") from None
    return content


def _check_settlement(certificate: Mapping[str, Any], settlement: str | None) -> Finding:
    """Compare the settlement of a certificate with the one that a party expects."""

    settled = certificate.get("settlement", {})
    name, date = settled.get("name"), settled.get("date")
    text = f"it is of the settlement {f'{name} ' if name else ''}of {date}"
    if not settled:
        text = "it does not say of which settlement it is"
    if settlement is None:
        return OPEN, f"{text}; that this is the one that you expect was not verified (--settlement)"
    if settled and (settlement == name or (len(settlement) >= 10 and date.startswith(settlement))):
        return OK, text
    return FAILED, f"{text}, but {settlement} is expected: is it an older one?"


def _check_files(folder: Path, listed: Mapping[str, Mapping[str, Any]], data: Path | None) -> Iterator[Finding]:
    """Compare the files of a folder with those that the certificate lists."""

    present = set(_walk(folder)) - {CERTIFICATE, SIGNATURE, COMPLETED, COMPLETED_NOTE}
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
        elif data is None or not _is_same(data, folder / name):
            yield FAILED, f"{name} is not part of the certificate: it was added"


def _check_completed(folder: Path, certificate: str) -> Iterator[Finding]:
    """Compare a reward that was completed at home with the note beside it, which names the certificate."""

    paths = folder / COMPLETED, folder / COMPLETED_NOTE
    if not any(map(os.path.lexists, paths)):
        return
    try:
        content, note = read_plain(paths[0]), json.loads(read_plain(paths[1]))
        same = (note["sha256"], note["certificate"]) == (sha256(content), certificate)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        same = False
    if same:
        yield OK, f"{COMPLETED} was completed from these files by cgm reward, on your side: no part of the certificate"
    else:
        yield FAILED, f"{COMPLETED} and {COMPLETED_NOTE} are not as cgm reward wrote them for this certificate"


def _is_same(a: Path, b: Path) -> bool:
    """Return whether two paths are one file; a link that leads nowhere is none."""

    try:
        return a.samefile(b)
    except OSError:
        return False


def _check_file(name: str, content: bytes, entry: Mapping[str, Any]) -> Finding:
    """Compare a file with what the certificate says of it."""

    if sha256(content) != entry.get("sha256"):
        return FAILED, f"{name} was changed: its SHA-256 is not that of the certificate"
    if len(content) != entry.get("bytes", len(content)):
        return FAILED, f"{name} has {len(content)} bytes, but the certificate says {entry['bytes']}"
    if "rows" not in entry:
        return OK, f"{name} is as it was written"
    try:
        rows = _count_rows(name, content, str(entry.get("encoding", "utf-8")))
    except Exception as error:  # of the libraries that read tables and arrays, of many classes
        return FAILED, f"{name} is not a table, but the certificate says {entry['rows']} rows ({error})"
    if rows not in (None, entry["rows"]):
        return FAILED, f"{name} has {rows} rows, but the certificate says {entry['rows']}"
    return OK, f"{name} is as it was written, {entry['rows']:,} rows"


def _check_folder(name: str, contents: Mapping[str, bytes], entry: Mapping[str, Any]) -> Finding:
    """Compare the files in a folder of images with the digest that the certificate has of all of them."""

    try:
        digest = folder_digest({file.removeprefix(f"{name}/"): data for file, data in contents.items()})
    except ValueError as error:
        return FAILED, f"{name} was changed: {error}"
    more = len(contents) != entry.get("rows", len(contents))
    count = f": it has {len(contents)} files, but the certificate says {entry.get('rows')}" if more else ""
    if digest != entry.get("sha256"):
        return FAILED, f"{name} was changed: the SHA-256 of its files is not that of the certificate{count}"
    if more:
        return FAILED, f"{name} has another number of files than the certificate says{count}"
    return OK, f"{name} is as it was written, {len(contents):,} images"


def read_files(folder: Path, names: Iterable[str]) -> dict[str, bytes] | None:
    """Return the contents of plain files in a folder; `None` if one is a link, cannot be read, or all are too large."""

    contents: dict[str, bytes] = {}
    size = 0
    try:
        for name in names:
            contents[name] = read_plain(folder / name)
            size += len(contents[name])
            check_bytes(folder, size)
    except (OSError, ValueError):
        return None
    return contents


def _walk(folder: Path) -> Iterator[str]:
    """List all files of a folder, and links, empty and unreadable folders as well, by names with / as on Linux."""

    unreadable: list[str] = []
    for path, folders, files in os.walk(folder, onerror=lambda error: unreadable.append(str(error.filename))):
        here = Path(path)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in [*files, *links]:
            yield (here / name).relative_to(folder).as_posix()
        if not folders and not files and here != folder:
            yield here.relative_to(folder).as_posix()
    for name in unreadable:
        yield Path(name).relative_to(folder).as_posix()


def _count_rows(name: str, content: bytes, encoding: str = "utf-8") -> int | None:
    """Count the rows of a table without its header, or the images of an array; `None` for Excel without openpyxl.

    Raises:
        Exception: Of many classes, if it is neither.
    """

    if name.endswith(".xlsx"):
        try:
            return sum(1 for _ in open_workbook(Path(name), content).worksheets[0].iter_rows()) - 1
        except ImportError:
            return None
    if name.endswith(".npz"):
        return array_shapes(name, io.BytesIO(content))["images"][0]
    if name.endswith(".parquet"):
        from pyarrow.parquet import ParquetFile

        return int(ParquetFile(io.BytesIO(content)).metadata.num_rows)
    if name.endswith(".gz"):
        content = gunzip(content, name)
    csv.field_size_limit(2**31 - 1)
    return sum(1 for row in csv.reader(io.StringIO(content.decode(encoding), newline="")) if row) - 1


def _check_data(entry: Mapping[str, Any], data: Path | None) -> Iterator[Finding]:
    """Compare the party's own data with the digest of the certificate, and its rows with those that were used."""

    form = str(entry.get("digest_of", "file"))
    if data is None:
        verb = "were" if form == "rows" else "was"
        yield OPEN, f"your own {form} {verb} not given: that it is the one that was settled was not verified"
        return
    settled = str(entry.get("file", ""))
    if settled.endswith(SKETCH) and data.suffix != SKETCH:
        yield OPEN, f"{data.name} was not compared: the mediator has seen no rows, but {settled}: say that file"
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
    if data.suffix == SKETCH:  # whose number of rows is the party's own statement
        return

    valued, apart = entry["rows_valued"], entry["rows_held_out"]
    unit = "images" if form == "folder" else "rows"
    if rows is None:
        yield (
            OPEN,
            f"the {unit} of your own {form} were not counted: it is neither a table nor PNG or npz, or Excel without "
            "openpyxl",
        )
    elif rows == valued + apart:
        yield OK, f"all of its {rows:,} {unit} are accounted for: {valued:,} valued, {apart:,} kept apart"
    else:
        yield FAILED, f"it has {rows:,} {unit}, but the certificate says {valued} valued and {apart} kept apart"


def _read_file(data: Path, entry: Mapping[str, Any]) -> OwnData:
    content = read_plain(data, links=True)
    rows = None
    with suppress(Exception):  # no table, or an array
        is_array = data.name.lower().endswith(".npz")
        rows = _count_rows(data.name.lower(), content) if is_array else len(_tables(data, content, entry)[0])
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
    try:
        lengths = [_count_rows(x.lower(), y) if x.lower().endswith(".npz") else 1 for x, y in contents.items()]
        rows = sum(length or 0 for length in lengths)
    except Exception:  # of a damaged file, which has another digest
        rows = None
    same = f"is the folder that was settled, {len(contents):,} files with the same names and bytes"
    other = f"is not the folder that was settled ({entry.get('file')}): a file was changed, added, renamed or removed"
    return folder_digest(contents), rows, same, other


def _read_rows(data: Path, entry: Mapping[str, Any]) -> OwnData:
    column, party = str(entry.get("party_column")), str(entry.get("party"))
    tables = _tables(data, read_plain(data, links=True), entry)
    parts = [rows_of(table, column, party) if column in table else table for table in tables]
    digests = [rows_digest(rows) for rows in parts]
    place = digests.index(entry["sha256"]) if entry["sha256"] in digests else 0
    same = f"has the rows of {party} that were settled, with the same cells"
    other = f"does not have the rows of {party} that were settled: a cell or a row was changed, added or removed"
    return digests[place], len(parts[place]), same, other


def _tables(data: Path, content: bytes, entry: Mapping[str, Any]) -> list[pd.DataFrame]:
    """Read a party's own file as the mediator read the one that it had, and as it is recognised.

    A file of the own rows may be written in another way than that of all parties.

    Raises:
        ValueError: If neither can be read.
    """

    encoding = str(entry.get("encoding") or "latin-1")
    skip = Skip(*entry["skip"]) if "skip" in entry else None
    tables, failed = [], ValueError()
    for separator, skipped in dict.fromkeys([(entry.get("separator"), skip), (None, None)]):
        try:
            tables.append(read_content(data, content, encoding, separator, skipped)[0])
        except ValueError as error:
            failed = error
    if not tables:
        raise failed
    return tables


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
        ValueError: If the key is not as described, or a file is not that of the certificate.
        OSError: If a file cannot be read or written.
    """

    private = read_key(key)
    path, text = Path(folder) / SIGNATURE, read_plain(Path(folder) / CERTIFICATE)
    try:
        states = _check_files(Path(folder), read_certificate(text)["files"], None)
        failed = [finding for state, finding in states if state == FAILED]
    except (ValueError, RecursionError) as error:
        failed = [f"{CERTIFICATE} was changed: {error}"]
    if failed:
        raise ValueError(printable(f"{folder}: not signed, since {failed[0]}"))
    content = {"public_key": public_key(private), "signature": private.sign(text).hex()}
    write_whole(path, readable_json(content))

    return path


def _check_signature(folder: Path, certificate: bytes, key: Path | None) -> Finding:
    """Check the signature of a certificate, by the key that it names itself if no public key is given."""

    path = folder / SIGNATURE
    if not os.path.lexists(path):
        if key is None:
            return OPEN, "the certificate is not signed"
        return FAILED, f"{SIGNATURE} is missing, although a key was given"
    try:
        serialization, ed25519 = cryptography()
    except ImportError:
        return (OPEN if key is None else FAILED), f"{SIGNATURE} could not be verified: {INSTALL}"

    try:
        text = read_plain(path)
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
        public = serialization.load_pem_public_key(read_plain(key, links=True))
        given = public.public_bytes_raw() if isinstance(public, ed25519.Ed25519PublicKey) else b""
    except Exception as error:
        return FAILED, f"key={key}: expected an Ed25519 public key in PEM ({error})"
    if given != named:
        return FAILED, f"{SIGNATURE} was made with another key than {key}"
    return OK, f"the certificate, and with it every file that it lists, is signed by {key}"
