r"""The certificate of a party: what it receives and why, without what would tell it about the others.

A certificate holds the party's own numbers. It leaves out, unless the mediator discloses it:

- the names, sizes, values, contributions and rewards of the others;
- the party's own $\phi_i$, since $\phi_i / \alpha_i$ is the contribution of another party. It has $\alpha_i$, which
  says how far it is from the largest contribution, but neither how large that is nor whose, and the relative standard
  error;
- $v^*$ and $\rho$: from $r_i = \alpha_i^\rho v^*$, either of them gives the other, and $v^*$ is the reward of another
  party. A party that guesses $\rho$ has the largest reward value, but not whose it is;
- the margins of R3, R5 and R6, which are differences to values of others;
- the number of all points $t$ and the numbers of rows that were attacked in the audit, which are sums of the others'
  sizes. Values have six significant digits, results of the audit three decimals: an exact share of rows would give the
  number of rows away;
- the seed and all other settings: with the seed, who receives a reward can subtract the noise of a kernel density
  estimate from it, which leaves real rows of other parties. The certificate has the SHA-256 of the mediator's
  `settings.json` in their place. That file contains the SHA-256 of the synthetic pool, which a party does not know, so
  that settings cannot be found by trying.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PureWindowsPath
from typing import Any

from cgm.data.tables.files import Source
from cgm.settlements.report.contents import unit
from cgm.settlements.report.words import INCENTIVES, rounded, threat_model
from cgm.settlements.settlement import PartySettlement
from cgm.utils.checks import check_choice
from cgm.utils.plain import plain, versions

FORMAT = "cgm certificate 1"
DISCLOSURES = ("names", "sizes", "contributions", "values", "rewards")
OWN_SLACK = ("R1", "R2", "R4")  # incentives that compare nothing but numbers of the same party
ATTACK = ("auc", "auc_low", "auc_high", "tpr", "tpr_low", "tpr_high")
CELLS = (
    "Text that begins with = + - @, a tab or a line break has a leading apostrophe in the files, so that spreadsheets "
    "do not run it as a formula. Numbers are as they are."
)


def check_disclose(disclose: Collection[str]) -> None:
    """Check what a mediator wants to disclose.

    Raises:
        ValueError: If it is not a list of names from `DISCLOSURES`.
    """

    if isinstance(disclose, str):
        raise ValueError(f"disclose={disclose!r}: expected a list, for example [contributions]")
    for entry in disclose:
        check_choice("disclose", entry, DISCLOSURES)


def contents(
    settlement: PartySettlement, party: int, settings_sha256: str, disclose: Collection[str] = ()
) -> dict[str, Any]:
    r"""Return what the certificate of a party says, without the digests of its files.

    Arguments:
        settlement: The settlement.
        party: The party, from 0.
        settings_sha256: The SHA-256 of the mediator's `settings.json`.
        disclose: What the party may know of all parties: any of `names`, `sizes`, `contributions`, `values`, `rewards`.

    Raises:
        ValueError: If the party does not exist, or `disclose` is not as described.
    """

    check_disclose(disclose)
    if not 0 <= party < len(settlement.names):
        raise ValueError(f"party={party}: expected an integer from 0 to {len(settlement.names) - 1}")

    contributions, rewards = settlement.contributions, settlement.rewards
    source, phi = settlement.sources[party], contributions.phi[party]
    held_out = len(settlement.held_out[party]) if len(settlement.held_out) else 0
    content = {
        "format": FORMAT,
        "party": settlement.names[party],
        "parties": len(settlement.names),
        "data": {
            "file": PureWindowsPath(source.file).name,  # its folder, with / or \\, is the mediator's
            "sha256": source.sha256,
            "rows_valued": len(settlement.tables[party]),
            "rows_held_out": held_out,
            **_form(source),
        },
        "value": {
            "own_data": rounded(settlement.game.party_values[party]),
            "alpha": rounded(contributions.alpha[party]),
            "relative_stderr": rounded(contributions.stderr[party] / phi.abs()) if phi else None,
            "reward": rounded(rewards.values[party]),
            "limit": rounded(rewards.upper[party]),
        },
        "rewards": [
            {
                "beta": plain(chain.beta),
                "rows": len(chain.indices),
                "value_reached": rounded(chain.value),
                "reached": bool(chain.reached),
                "recommended": chain.beta == settlement.recommended[party],
            }
            for chain in settlement.drawn.values()
            if chain.party == party
        ],
        "method": {
            "valuation": "closeness to all data, negative squared MMD",
            "kernel": type(settlement.game.kernel).__name__,
            "features": type(settlement.features).__name__,
            "contributions": contributions.method,
            "sampling": "weighted sampling from the synthetic pool",
            "unit": unit(settlement),
            "cells": "" if settlement.schema is None else CELLS,
        },
        "incentives": _incentives(settlement, party),
        "audit": _audit(settlement, party),
        "versions": versions(),
        "settings_sha256": settings_sha256,
    }
    if disclose:
        content["disclosed"] = _disclosed(settlement, party, disclose)

    return content


def _form(source: Source) -> dict[str, Any]:
    """Return how the digest of a party's data is computed, if it is not that of a file."""

    if source.party_column:
        names = {"party_column": source.party_column, "party": source.party, "encoding": source.encoding}
        return {"digest_of": "rows", **names}
    return {"digest_of": "folder"} if source.suffix in (".png", ".npz") else {}


def _incentives(settlement: PartySettlement, party: int) -> list[dict[str, Any]]:
    """Describe R1 to R6, with the party's own slack where it has one."""

    r, rewards = float(settlement.rewards.values[party]), settlement.rewards
    own = {
        "R1": r,
        "R2": float(rewards.upper[party]) - r,
        "R4": r - float(settlement.game.party_values[party]),
    }
    return [
        {
            "name": name,
            "title": words.title,
            "statement": words.statement,
            "holds": settlement.incentives[name].holds,
            "own_slack": rounded(own[name]) if name in OWN_SLACK else None,
        }
        for name, words in INCENTIVES.items()
    ]


def _audit(settlement: PartySettlement, party: int) -> dict[str, Any]:
    """Return the audits of a party's rewards, without numbers of rows."""

    results = []
    for audit in settlement.audits:
        if audit.party != party:
            continue
        attacks = [
            {"name": attack.name} | {key: round(float(getattr(attack, key)), 3) for key in ATTACK}
            for attack in audit.attacks
        ]
        results.append(
            {"beta": plain(audit.beta), "strongest": audit.strongest, "attacks": attacks, "reason": audit.reason}
        )

    return {"threat_model": threat_model(unit(settlement)), "results": results}


def _disclosed(settlement: PartySettlement, party: int, disclose: Collection[str]) -> list[dict[str, Any]]:
    """Return what is disclosed of the parties, by number; without names, the others are sorted by what is disclosed."""

    contributions, game, rewards = settlement.contributions, settlement.game, settlement.rewards
    entries = []
    for i, name in enumerate(settlement.names):
        entry: dict[str, Any] = {"own": i == party}
        if "names" in disclose:
            entry["name"] = name
        if "contributions" in disclose:
            entry |= {"alpha": rounded(contributions.alpha[i]), "contribution": rounded(contributions.phi[i])}
        if "values" in disclose:
            entry["own_data"] = rounded(game.party_values[i])
        if "rewards" in disclose:
            entry["reward"] = rounded(rewards.values[i])
        if "sizes" in disclose:
            entry["rows_valued"] = len(settlement.tables[i])
        entries.append(entry)
    if "names" not in disclose:  # the order of the parties would name them
        entries.sort(key=lambda entry: [-x for x in entry.values()])

    return entries
