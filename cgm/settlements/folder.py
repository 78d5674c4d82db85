"""The files that stay with the mediator: the result, the pool, the schema, the settings."""

from __future__ import annotations

import json
import os
import re
import shutil
import unicodedata
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from cgm.settlements.certificate import check_disclose, contents
from cgm.settlements.files import RewardFile, pool_file, readable_json, reward_file, seal, sha256
from cgm.settlements.report.page import render
from cgm.settlements.report.words import beta_name
from cgm.settlements.settlement import PartySettlement
from cgm.settlements.verification import CERTIFICATE, PAGE
from cgm.utils.files import write_whole
from cgm.utils.plain import plain, versions
from cgm.utils.text import csv_text

RESULT, SETTINGS = "result.json", "settings.json"


def mediator_files(settlement: PartySettlement) -> dict[str, bytes]:
    """Return the files that stay with the mediator by name.

    `pool.csv` (or `pool.npz`, of images) is the synthetic pool, and `rewards.csv` has the rows of it, from 0, that each
    reward consists of.

    Arguments:
        settlement: The settlement.
    """

    name, pool = pool_file(settlement)
    schema = {} if settlement.schema is None else {"schema.yaml": plain(settlement.schema.to_dict())}
    return {
        RESULT: readable_json(_result(settlement)),
        SETTINGS: _settings(settlement, pool),
        name: pool,
        "rewards.csv": csv_text(
            ("party", "beta", "pool_row"),
            (
                (str(chain.party), beta_name(chain.beta), str(row))
                for chain in settlement.drawn.values()
                for row in chain.indices.tolist()
            ),
        ).encode(),
        **{file: yaml.safe_dump(x, sort_keys=False, allow_unicode=True).encode() for file, x in schema.items()},
    }


def settings_file(settlement: PartySettlement) -> bytes:
    """Return `settings.json`: all settings, and the SHA-256 of the file of the pool.

    Certificates have the SHA-256 of this file. The pool makes it impossible to find the settings by trying.
    """

    return _settings(settlement, pool_file(settlement)[1])


def _settings(settlement: PartySettlement, pool: bytes) -> bytes:
    return readable_json({"settings": plain(settlement.settings), "pool_sha256": sha256(pool)})


def _result(settlement: PartySettlement) -> dict[str, Any]:
    """Return all numbers of a settlement."""

    contributions, rewards, game = settlement.contributions, settlement.rewards, settlement.game
    return plain(
        {
            "format": "cgm settlement 1",
            "parties": [
                {
                    "name": name,
                    **asdict(settlement.sources[i]),
                    "rows_valued": len(settlement.tables[i]),
                    "rows_held_out": len(settlement.held_out[i]) if len(settlement.held_out) else 0,
                    "own_data": game.party_values[i],
                    "contribution": contributions.phi[i],
                    "contribution_stderr": contributions.stderr[i],
                    "alpha": contributions.alpha[i],
                    "reward": rewards.values[i],
                    "lower": rewards.lower[i],
                    "limit": rewards.upper[i],
                    "recommended": settlement.recommended[i],
                }
                for i, name in enumerate(settlement.names)
            ],
            "grand_value": game.grand_value,
            "synthetic_size": len(settlement.pool.points),
            "kernel": {"name": type(game.kernel).__name__, "lengthscale": game.kernel.lengthscale},
            "contributions": {"method": contributions.method, "details": contributions.details},
            "scheme": rewards.details,
            "incentives": plain(settlement.incentives, classes=False),
            "sampling": [
                {
                    "party": chain.party,
                    "beta": chain.beta,
                    "rows": len(chain.indices),
                    "target": chain.target,
                    "value": chain.value,
                    "reached": chain.reached,
                }
                for chain in settlement.drawn.values()
            ],
            "sensitivity": settlement.sensitivity,
            "accuracies": list(settlement.accuracies),
            "audits": list(settlement.audits),
            "warnings": list(settlement.warnings),
            "seconds": settlement.seconds,
            "versions": versions(),
        }
    )


REWARD = "reward"  # its file, with the ending of the party's own
README = "README.txt"


def certificate(
    settlement: PartySettlement, party: int, disclose: Collection[str] = (), alternatives: bool = False
) -> dict[str, Any]:
    """Return the certificate of a party, the content of its `certificate.json`.

    Its `files` lists all other files of the party with their SHA-256, and its `sha256` is that of its own canonical
    JSON without this key.

    Arguments:
        settlement: The settlement.
        party: The party, from 0.
        disclose: What the party may know of all parties, see `cgm.settlements.certificate.contents`.
        alternatives: See `party_files`.

    Raises:
        ValueError: If the party does not exist, or `disclose` has an unknown name.
    """

    return json.loads(party_files(settlement, party, disclose, alternatives)[CERTIFICATE])


def party_files(
    settlement: PartySettlement,
    party: int,
    disclose: Collection[str] = (),
    alternatives: bool = False,
    settings: bytes | None = None,
) -> dict[str, bytes]:
    r"""Return the files of a party by name: `reward.csv`, `certificate.json`, `certificate.html`, `README.txt`.

    A reward of images is `reward.npz` or, if the party gave PNG files, the files in `reward/`.

    `reward.csv` is the reward for the recommended $\beta$. Rewards for other $\beta$ are alternatives to it: each is
    worth $r_i$ with the party's own data, and together they are worth more, up to $v(D_i \cup G)$.

    Arguments:
        settlement: The settlement.
        party: The party, from 0.
        disclose: What the party may know of all parties, see `cgm.settlements.certificate.contents`.
        alternatives: Whether the rewards for the other $\beta$ are added, as `alternatives/reward-beta-4.csv`.
        settings: The mediator's `settings.json`, which is made for each call, if `None`.

    Raises:
        ValueError: If the party does not exist, or `disclose` has an unknown name.
    """

    settings = settings_file(settlement) if settings is None else settings
    content = contents(settlement, party, sha256(settings), disclose)
    recommended, betas = settlement.recommended[party], _betas(settlement, party)
    if recommended not in betas:
        raise ValueError(f"recommended[{party}]={recommended:g}: expected one of {', '.join(map(beta_name, betas))}")
    best = reward_file(settlement, party, recommended, REWARD)
    tables = {best.name: (recommended, best)}
    if alternatives:
        tables |= {file.name: (beta, file) for beta, file in alternative_files(settlement, party, "alternatives/")}
    names = {beta: name for name, (beta, _) in tables.items()}
    for entry in content["rewards"]:
        name = names.get(float(entry["beta"]))
        entry["file"] = name
        entry["escaped_cells"] = None if name is None else tables[name][1].escaped

    files = {path: data for _, table in tables.values() for path, data in table.files.items()}
    files[README] = _readme(content, best.name, settlement).encode()
    listed = {name: table.entry for name, (_, table) in tables.items()}
    listed[README] = _listed(files[README])
    files[PAGE] = render("certificate", certificate=content, files=listed)
    listed[PAGE] = _listed(files[PAGE])

    return {CERTIFICATE: readable_json(seal(content | {"files": listed})), **files}


def alternative_files(
    settlement: PartySettlement, party: int, folder: str = "", single: bool = False
) -> Iterator[tuple[float, RewardFile]]:
    r"""Yield the rewards of a party that are not recommended, each with its $\beta$.

    Arguments:
        settlement: The settlement.
        party: The party, from 0.
        folder: What the names of the files begin with.
        single: Whether images are one file in any case.
    """

    for beta in _betas(settlement, party):
        if beta != settlement.recommended[party]:
            yield beta, reward_file(settlement, party, beta, f"{folder}{REWARD}-beta-{beta_name(beta)}", single)


def _betas(settlement: PartySettlement, party: int) -> list[float]:
    return [chain.beta for chain in settlement.drawn.values() if chain.party == party]


def _listed(data: bytes) -> dict[str, Any]:
    return {"sha256": sha256(data), "bytes": len(data)}


def _readme(content: dict[str, Any], reward: str, settlement: PartySettlement) -> str:
    """Return the text that says what the files are."""

    rewards = {entry["file"]: entry for entry in content["rewards"] if entry["file"]}
    best = rewards.pop(reward)
    tables = settlement.schema is not None
    dropped = settlement.schema.dropped if settlement.schema is not None else ()
    left_out = [f"Columns left out: {', '.join(dropped)}."] * bool(dropped)
    what = "rows of synthetic data, with columns of your own file" if tables else "synthetic images, like your own"
    lines = [
        f"{reward} is your reward: {best['rows']:,} {what}.",
        *left_out,
        "Use it together with your own data: its value is that of both together.",
        "",
        f"{PAGE} says what it is worth and why. Open it in a browser.",
        f"{CERTIFICATE} says the same for programs, with the SHA-256 of all files.",
    ]
    if rewards:
        lines += [
            "",
            "alternatives/ has the rewards for other values of β, the setting that trades fewer rows against rows that",
            "resemble your own data more. Use one reward, either this one or an alternative: each is worth your reward",
            "value with your own data.",
        ]
    lines += [
        "",
        "To check that no file was changed, install cgm and run in this folder:",
        "",
        f"    cgm verify . YOUR_{'FILE' if tables else 'FOLDER'}",
        "",
    ]
    if tables:
        lines += [content["method"]["cells"], ""]

    return "\n".join(lines)


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
        disclose: What each party may know of all parties, see `cgm.settlements.certificate.contents`.
        alternatives: Whether a party also receives its rewards for the $\beta$ that are not recommended. With several
            rewards, it has more than the reward value: all its rewards together are worth up to $v(D_i \cup G)$.
        seed: The seed of the figures of the report.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder is not empty, or `disclose` has an unknown name.
        OSError: If the files cannot be written; then there is no folder.
    """

    from cgm.settlements.report.report import report

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
