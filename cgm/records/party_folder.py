r"""The files that a party receives: its reward, its certificate, and a page that explains them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from cgm.records.certificate import contents
from cgm.records.digests import readable_json, seal, sha256
from cgm.records.mediator_folder import settings_file
from cgm.records.report.page import render
from cgm.records.report.words import beta_name
from cgm.records.reward_files import RewardFile, reward_file
from cgm.records.settled import Settled
from cgm.records.verification import CERTIFICATE, PAGE

REWARD = "reward"  # its file, with the ending of the party's own
README = "README.txt"


def certificate(
    settlement: Settled, party: int, disclose: Collection[str] = (), alternatives: bool = False
) -> dict[str, Any]:
    """Return the certificate of a party, the content of its `certificate.json`.

    Its `files` lists all other files of the party with their SHA-256, and its `sha256` is that of its own canonical
    JSON without this key.

    Arguments:
        settlement: The settlement.
        party: The party, from 0.
        disclose: What the party may know of all parties, see `cgm.records.certificate.contents`.
        alternatives: See `party_files`.

    Raises:
        ValueError: If the party does not exist, or `disclose` has an unknown name.
    """

    return json.loads(party_files(settlement, party, disclose, alternatives)[CERTIFICATE])


def party_files(
    settlement: Settled,
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
        disclose: What the party may know of all parties, see `cgm.records.certificate.contents`.
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
    settlement: Settled, party: int, folder: str = "", single: bool = False
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


def _betas(settlement: Settled, party: int) -> list[float]:
    return [chain.beta for chain in settlement.chains if chain.party == party]


def _listed(data: bytes) -> dict[str, Any]:
    return {"sha256": sha256(data), "bytes": len(data)}


def _readme(content: dict[str, Any], reward: str, settlement: Settled) -> str:
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
