"""The folder of a settlement: the report, a folder for each party, and what stays with the mediator."""

from __future__ import annotations

import json
import os
import re
import shutil
import unicodedata
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from cgm.records.certificate import check_disclose
from cgm.records.mediator_folder import SETTINGS, mediator_files
from cgm.records.party_folder import alternative_files, party_files
from cgm.records.settled import Settled
from cgm.records.tables import csv_text
from cgm.records.verification import CERTIFICATE
from cgm.utils.files import write_whole

REPORT = "report.html"
RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.I)  # names of devices on Windows
MAX_NAME = 80  # characters


def check_folder(folder: str | Path) -> Path:
    """Check that a settlement can be written to a folder, before it is computed.

    Raises:
        ValueError: If the folder is not empty, or is a file.
    """

    folder = Path(folder)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"folder={folder}: expected a new or empty folder, found a file or a link")
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"folder={folder}: expected a new or empty folder, found files in it; name another one")

    return folder


def write_settlement(
    folder: str | Path,
    settlement: Settled,
    disclose: Collection[str] = (),
    alternatives: bool = False,
    seed: int = 0,
) -> Path:
    r"""Write a settlement to a folder, completely or not at all.

    | path | content |
    | --- | --- |
    | `report.html` | the report for the mediator |
    | `parties/NAME/` | what the party receives: `reward.csv`, `certificate.json`, `certificate.html`, `README.txt` |
    | `mediator/` | what stays with the mediator: result, settings, schema, pool, rewards for the other $\beta$ |

    Arguments:
        folder: The folder, new or empty.
        settlement: The settlement.
        disclose: What each party may know of all parties, see `cgm.records.certificate.contents`.
        alternatives: Whether a party also receives its rewards for the $\beta$ that are not recommended. With several
            rewards, it has more than the reward value: all its rewards together are worth up to $v(D_i \cup G)$.
        seed: The seed of the figures of the report.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder is not empty, or `disclose` has an unknown name.
        OSError: If the files cannot be written; then there is no folder.
    """

    from cgm.records.report.report import report

    folder = check_folder(folder)
    check_disclose(disclose)
    files = {f"mediator/{name}": data for name, data in mediator_files(settlement).items()}
    settings = files[f"mediator/{SETTINGS}"]
    for party, name in enumerate(safe_names(settlement.names)):
        own = party_files(settlement, party, disclose, alternatives, settings)
        files |= {f"parties/{name}/{file}": data for file, data in own.items()}
        if not alternatives:
            for _, other in alternative_files(settlement, party, f"mediator/alternatives/{name}/", single=True):
                files |= other.files
    names = safe_names(settlement.names)
    digests = [json.loads(files[f"parties/{name}/{CERTIFICATE}"])["sha256"] for name in names]
    files["mediator/certificates.csv"] = csv_text(
        ("party", "sha256"), zip(settlement.names, digests, strict=True)
    ).encode()
    files[REPORT] = report(settlement, seed)
    _write(folder, files)

    return folder


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files to a new folder beside the folder, and rename that when it is complete."""

    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    part = folder.absolute().with_name(f".{folder.absolute().name}.{uuid.uuid4().hex}")
    try:
        part.mkdir()
        for name, data in files.items():
            write_whole(part / name, data)
        if folder.is_dir():
            folder.rmdir()  # empty; os.replace would not replace it on Windows
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def safe_names(names: Sequence[str]) -> list[str]:
    """Return a name of a folder for each party, safe on every system and different also if case does not count.

    A name of letters, digits, spaces, `-`, `_` and `.` stays as it is. Other characters become `_`, and a name that was
    changed or that would occur twice ends with the number of the party, from 1.

    Example:
        >>> safe_names(["North Bank", "../x", "CON", "north bank"])
        ['North Bank', 'x-2', 'CON_-3', 'north bank-4']
    """

    safe: list[str] = []
    taken = {_folded(name) for name in names if name == _cleaned(name)}
    seen: set[str] = set()
    for i, name in enumerate(names):
        new = _cleaned(name)
        if not new or new != name or _folded(new) in seen:
            new = f"{new or 'party'}-{i + 1}"
            while _folded(new) in taken | seen:
                new += f"-{i + 1}"
        seen.add(_folded(new))
        safe.append(new)

    return safe


def _cleaned(name: str) -> str:
    """Return a name without characters that are not safe; it may be empty."""

    text = unicodedata.normalize("NFC", name)
    text = "".join(x if x.isalnum() or x in " -_." else "_" for x in text)[:MAX_NAME].strip(" -_.")
    return f"{text}_" if RESERVED.fullmatch(text) else text


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
