"""The folder of a settlement: the report, what each party receives, and what stays with the mediator."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import unicodedata
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cgm.records.html import render
from cgm.settlements.certificate import SEAL, check_disclose, contents, readable_json, seal
from cgm.settlements.files import RewardFile, pool_file, reward_file
from cgm.settlements.report import TEMPLATES, report
from cgm.settlements.settlement import PartySettlement
from cgm.settlements.verification import CERTIFICATE, PAGE
from cgm.settlements.view import describe
from cgm.utils.files import Locked, locked, sha256, write_whole
from cgm.utils.plain import plain
from cgm.utils.text import beta_name, csv_text

RESULT, SETTINGS, REPORT = "result.json", "settings.json", "report.html"
ELSEWHERE = ("unit", "columns", "features", "settings")  # of a view, in settings.json and schema.yaml
REWARD = "reward"  # its file, with the ending of the party's own
README = "README.txt"
PRIVATE = 0o700  # permissions of a folder for its owner alone
RESERVED = re.compile(r"(con|prn|aux|nul|conin|conout|(com|lpt)[0-9¹²³])(?= *(\.|$))", re.I)  # devices on Windows
MAX_NAME, MAX_NAME_BYTES = 80, 150  # of a party's folder: characters, and bytes in UTF-8, of which systems allow 255
MAX_PART = 255 - 34  # bytes of the folder's own name, since its name while it is written has 34 more
EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO")  # scripts that one name mixes
ODD_LATIN = "ıĸŉſ"  # letters that look like others
SIMILAR = str.maketrans("01i", "oll")  # signs that some fonts show alike, in lower case


def mediator_files(settlement: PartySettlement) -> dict[str, bytes]:
    """Return the files that stay with the mediator by name.

    `pool.csv` (or `pool.npz`, of images) is the synthetic pool, and `rewards.csv` has the rows of it, from 0, that each
    reward consists of.

    Arguments:
        settlement: The settlement.
    """

    name, pool = pool_file(settlement)
    rows = (
        (str(party), beta_name(beta), str(row))
        for party, beta in settlement.drawn
        for row in settlement.rows(party, beta).tolist()
    )
    files = {
        RESULT: readable_json({key: x for key, x in describe(settlement).items() if key not in ELSEWHERE}),
        SETTINGS: settings_file(settlement, pool),
        name: pool,
        "rewards.csv": csv_text(("party", "beta", "pool_row"), rows).encode(),
    }
    if settlement.schema is not None:
        schema = plain(settlement.schema.to_dict())
        files["schema.yaml"] = yaml.safe_dump(schema, sort_keys=False, allow_unicode=True).encode()
    return files


def settings_file(settlement: PartySettlement, pool: bytes | None = None) -> bytes:
    """Return `settings.json`: all settings, and the SHA-256 of the file of the pool.

    Certificates have the SHA-256 of this file. The pool makes it impossible to find the settings by trying.

    Arguments:
        settlement: The settlement.
        pool: The file of the pool, which is made again, if `None`.
    """

    pool = pool_file(settlement)[1] if pool is None else pool
    return readable_json({"settings": plain(settlement.settings), "pool_sha256": sha256(pool)})


def certificate(
    settlement: PartySettlement, party: int, disclose: Collection[str] = (), alternatives: bool = False, name: str = ""
) -> dict[str, Any]:
    """Return the certificate of a party, the content of its `certificate.json`; arguments as of `party_files`.

    Its `files` lists all other files of the party with their SHA-256, and its `sha256` is that of its own text without
    this key, see `seal`.
    """

    return json.loads(party_files(settlement, party, disclose, alternatives, name)[CERTIFICATE])


def party_files(
    settlement: PartySettlement,
    party: int,
    disclose: Collection[str] = (),
    alternatives: bool = False,
    name: str = "",
    settings: bytes | None = None,
) -> dict[str, bytes]:
    r"""Return the files of a party by name: `reward.csv`, `certificate.json`, `certificate.html`, `README.txt`.

    A reward of images is `reward.npz` or, if the party gave PNG files, the files in `reward/`.

    `reward.csv` is the reward for the recommended $\beta$. Rewards for other $\beta$ are alternatives to it: each is
    worth $r_i$ with the party's own data, and together they are worth more, up to $v(D_i \cup G)$.

    Arguments:
        settlement: The settlement.
        party: The party, from 0.
        disclose: What the party may know of all parties: any key of `DISCLOSED`.
        alternatives: Whether the rewards for the other $\beta$ are added, as `alternatives/reward-beta-4.csv`.
        name: The name of the settlement.
        settings: The mediator's `settings.json`, which is made for each call, if `None`.

    Raises:
        ValueError: If the party or its recommended reward does not exist, or `disclose` has an unknown name.
    """

    settings = settings_file(settlement) if settings is None else settings
    view = describe(settlement)
    content = contents(view, party, sha256(settings), disclose, alternatives, name)
    recommended = settlement.recommended[party]
    rewards = {recommended: reward_file(settlement, party, recommended, REWARD)}
    if alternatives:
        rewards |= alternative_files(settlement, party, "alternatives/")
    for entry in content["rewards"]:
        reward = rewards[float(entry["beta"])]
        entry |= {"file": reward.name, "escaped_cells": reward.escaped}

    files = {path: data for reward in rewards.values() for path, data in reward.files.items()}
    shown = {"certificate": content, "alternatives": len(rewards) > 1}
    files[README] = render(TEMPLATES / README, **shown)
    listed = {reward.name: reward.entry for reward in rewards.values()} | {README: _listed(files[README])}
    files[PAGE] = render(TEMPLATES / PAGE, certificate=content, files=listed)
    listed[PAGE] = _listed(files[PAGE])

    return {CERTIFICATE: readable_json(seal(content | {"files": listed})), **files}


def alternative_files(
    settlement: PartySettlement, party: int, folder: str, single: bool = False
) -> dict[float, RewardFile]:
    r"""Return the rewards of a party that are not recommended, by $\beta$.

    Arguments:
        settlement: The settlement.
        party: The party, from 0.
        folder: What the names of the files begin with.
        single: Whether images are one file in any case.
    """

    return {
        beta: reward_file(settlement, party, beta, f"{folder}{REWARD}-beta-{beta_name(beta)}", single)
        for beta in settlement.betas
        if beta != settlement.recommended[party]
    }


def _listed(data: bytes) -> dict[str, Any]:
    return {"sha256": sha256(data), "bytes": len(data)}


def check_folder(folder: str | Path) -> Path:
    """Check that a settlement can be written to a folder, before it is computed.

    What a run that was killed while it wrote to this folder has left beside it is deleted.

    Raises:
        ValueError: If the folder is not empty, is a file, or cannot be created.
    """

    folder = Path(folder)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"folder={folder}: expected a new or empty folder, found a file or a link")
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"folder={folder}: expected a new or empty folder, found files in it; name another one")
    above = next(path for path in folder.absolute().parents if os.path.lexists(path))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(f"folder={folder}: no folder can be created in {above}")
    if long := [part for part in folder.absolute().parts if len(os.fsencode(part)) > MAX_PART]:
        raise ValueError(f"folder={folder}: {long[0][:20]}... is too long a name, of at most {MAX_PART} bytes")
    _remove_leftovers(folder)

    return folder


def write_settlement(
    folder: str | Path,
    settlement: PartySettlement,
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
        disclose, alternatives: See `party_files`. The settlement has the name of the folder.
        seed: The seed of the figures of the report.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder is not empty, or `disclose` has an unknown name.
        OSError: If the files cannot be written; then there is no folder.
    """

    folder = check_folder(folder)
    check_disclose(disclose)
    files = {f"mediator/{name}": data for name, data in mediator_files(settlement).items()}
    title = folder.absolute().name
    digests = []
    for party, name in enumerate(safe_names(settlement.names)):
        own = party_files(settlement, party, disclose, alternatives, title, files[f"mediator/{SETTINGS}"])
        files |= {f"parties/{name}/{file}": data for file, data in own.items()}
        digests.append(json.loads(own[CERTIFICATE])[SEAL])
        if not alternatives:
            for other in alternative_files(settlement, party, f"mediator/alternatives/{name}/", single=True).values():
                files |= other.files
    rows = zip(settlement.names, digests, strict=True)
    files["mediator/certificates.csv"] = csv_text(("party", "sha256"), rows).encode()
    files[REPORT] = report(settlement, seed, alternatives)
    write_files(folder, files)

    return folder


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files to a new folder beside the folder, and rename that when it is complete.

    Nobody else may read what stays with the mediator, or see all parties together; a party's own folder is handed over.
    Of a folder that exists, the permissions stay.
    """

    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    part = folder.absolute().with_name(f".{folder.absolute().name}.{uuid.uuid4().hex}")
    with _writing(folder):
        try:
            for private in (part, part / "mediator", part / "parties"):
                private.mkdir(mode=PRIVATE)
            for name, data in files.items():
                write_whole(part / name, data)
            for name in files:
                if "/" not in name:  # the report
                    (part / name).chmod(PRIVATE & 0o666)
            if folder.is_dir():
                part.chmod(stat.S_IMODE(folder.stat().st_mode))
                folder.rmdir()  # empty; os.replace would not replace it on Windows
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Hold the lock of those who write to a folder, so that what they have left can be told from what they write."""

    lock = folder.absolute().with_name(f".{folder.absolute().name}.lock")
    held = False
    try:
        with locked(lock):
            held = True
            yield
    finally:
        if held:
            with contextlib.suppress(OSError):
                lock.unlink()


def _remove_leftovers(folder: Path) -> None:
    """Delete what `write_files` has left beside a folder because its process was killed: the seed, the pool."""

    name = re.compile(re.escape(f".{folder.absolute().name}.") + "[0-9a-f]{32}")
    beside = folder.absolute().parent
    left = [path for path in (beside.iterdir() if beside.is_dir() else ()) if name.fullmatch(path.name)]
    if left:
        with contextlib.suppress(Locked), _writing(folder):
            for path in left:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)


def safe_names(names: Sequence[str]) -> list[str]:
    """Return a name of a folder for each party, safe on every system and different at a glance, also without case.

    A name of letters, digits, spaces, `-`, `_` and `.` stays as it is. Other characters become `_`, and a name ends
    with the number of the party, from 1, if it was changed, or if it looks like another one: also with letters of
    another script than that of the other names, since many look alike.

    Example:
        >>> safe_names(["North Bank", "../x", "CON", "north bank"])
        ['North Bank', 'x-2', 'CON_-3', 'north bank-4']
    """

    scripts = [_scripts(name) for name in names]
    mixed = len(set().union(*scripts)) > 1
    plain = [
        name == _cleaned(name) and "" not in script and not (mixed and script - {"LATIN"})
        for name, script in zip(names, scripts, strict=True)
    ]
    safe: list[str] = []
    taken = {_folded(name) for name, stays in zip(names, plain, strict=True) if stays}
    seen: set[str] = set()
    for i, name in enumerate(names):
        new = _cleaned(name)
        if not new or not plain[i] or _folded(new) in seen:
            new = f"{new or 'party'}-{i + 1}"
            while _folded(new) in taken | seen:
                new += f"-{i + 1}"
        seen.add(_folded(new))
        safe.append(new)

    return safe


def _cleaned(name: str) -> str:
    """Return a name without characters that are not safe, and not too long; it may be empty."""

    text = unicodedata.normalize("NFC", name)
    text = "".join(x if x.isalnum() or x in " -_." else "_" for x in text)[:MAX_NAME]
    text = text.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip(" -_.")
    return RESERVED.sub(r"\1_", text, count=1) if RESERVED.match(text) else text


def _scripts(name: str) -> set[str]:
    """Return the scripts of the letters of a name; an empty name for signs that look like letters."""

    def script(x: str) -> str:
        if x.isascii() or ("À" <= x <= "ſ" and x not in ODD_LATIN):  # the letters of European languages
            return "LATIN"
        first = unicodedata.name(x, "").split(" ")[0]
        return "EAST ASIAN" if first in EAST_ASIAN else "" if first in ("LATIN", "FULLWIDTH", "MATHEMATICAL") else first

    return {script(x) for x in unicodedata.normalize("NFC", name) if x.isalpha() or (x.isalnum() and not x.isascii())}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().translate(SIMILAR)
