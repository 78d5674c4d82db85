r"""The certificate of a party: what it receives and why, without what would tell it about the others.

A certificate holds the party's own numbers. It leaves out, unless the mediator discloses it:

- the names, sizes, values, contributions and rewards of the others;
- the party's own $\phi_i$, since $\phi_i / \alpha_i$ is the contribution of another party. It has $\alpha_i$, which
  says how far it is from the largest contribution, but neither how large that is nor whose, and the relative error of
  sampled permutations;
- the standard error of $\alpha_i$ over rows, unless contributions are disclosed: a party that knows how much its own
  rows vary could compute from it about how many rows the party with the largest contribution has. The distance of
  $\phi_i$ to the largest of the others is never there: from it and $\alpha_i$ follows $\phi$ of another party;
- $v^*$ and $\rho$: from $r_i = \alpha_i^\rho v^*$, or $r_i = v_i + \alpha_i^\rho (v^* - v_i)$, either of them gives the
  other, and $v^*$ is the reward of another party. A party that guesses $\rho$ has the largest reward value, but not
  whose it is. The target and the share of the possible gain follow from the party's own $v(D_i)$, $r_i$ and
  $v(D_i \cup G)$ and the tolerance, which is a setting;
- rewards that the party does not receive, and their audits;
- the margins of R3, R5 and R6, which are differences to values of others;
- the number of all points $t$ and the numbers of rows that were attacked in the audit, which are sums of the others'
  sizes. Values have six significant digits. Rates of the audit are shares of these rows, and their intervals depend on
  how many there are: unless sizes are disclosed, rates are rounded to steps of 0.05, a sentence in place of intervals
  says whether they contain what guessing gives, and a reason does not say how many rows there are too few;
- the seed and all other settings: with the seed, who receives a reward can subtract the noise of a kernel density
  estimate from it, which leaves real rows of other parties. The certificate has the SHA-256 of the mediator's
  `settings.json` in their place. That file contains the SHA-256 of the synthetic pool, which a party does not know, so
  that settings cannot be found by trying.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import PureWindowsPath
from typing import Any

from cgm.settlements.view import (
    INCENTIVES,
    attack_in_words,
    guess_in_words,
    strongest_guesses,
    threat_model,
    values_in_words,
)
from cgm.utils.checks import check_choice
from cgm.utils.files import sha256

FORMAT, OLDER = "cgm certificate 2", "cgm certificate 1"  # the older one has another digest, and no settlement
DISCLOSED = {  # what may be disclosed of all parties, and its keys in a view
    "names": ["name"],
    "contributions": ["alpha", "alpha_stderr", "contribution"],
    "values": ["own_data"],
    "rewards": ["reward"],
    "sizes": ["rows_valued"],
    "levels": [],  # of columns, in rewards: nothing in certificates
}
SAMPLES = ("rewards", "audit")  # of what a party receives
RATES = ("auc", "tpr")
GUESSED = ("rate", "without", "held_out")
INTERVALS = ("auc_low", "auc_high", "tpr_low", "tpr_high")
STEP = 0.05  # of rates in certificates
FEW = "too few rows could be attacked"
CELLS = (
    "Text that begins with = + - @, a tab or a line break has a leading apostrophe in the files, so that spreadsheets "
    "do not run it as a formula; so has = + - @ behind a separator or a break inside a text. Numbers are as they are."
)
SEAL = "sha256"  # the key of a sealed mapping that has the digest of all others


def check_disclose(disclose: Collection[str]) -> None:
    """Check what a mediator wants to disclose.

    Raises:
        ValueError: If it is not a list of keys of `DISCLOSED`.
    """

    if isinstance(disclose, str):
        raise ValueError(f"disclose={disclose!r}: expected a list, for example [contributions]")
    for entry in disclose:
        check_choice("disclose", entry, DISCLOSED)


def contents(
    view: Mapping[str, Any],
    party: int,
    settings_sha256: str,
    disclose: Collection[str] = (),
    alternatives: bool = False,
    name: str = "",
) -> dict[str, Any]:
    r"""Return what the certificate of a party says, without the digests of its files.

    Arguments:
        view: The view of the settlement, see `describe`.
        party: The party, from 0.
        settings_sha256: The SHA-256 of the mediator's `settings.json`.
        disclose: What the party may know of all parties: any of `names`, `sizes`, `contributions`, `values`, `rewards`.
        alternatives: Whether the party also receives its rewards for the other $\beta$.
        name: The name of the settlement, by which a party tells it from others.

    Raises:
        ValueError: If the party does not exist, or `disclose` is not as described.
    """

    check_disclose(disclose)
    if not 0 <= party < len(view["parties"]):
        raise ValueError(f"party={party}: expected an integer from 0 to {len(view['parties']) - 1}")

    own = view["parties"][party]
    content = {
        "format": FORMAT,
        "settlement": {"name": name, "date": view["date"]},
        "party": own["name"],
        "parties": len(view["parties"]),
        "data": {
            "file": PureWindowsPath(own["file"]).name,  # its folder, with / or \\, is the mediator's
            **{key: own[key] for key in ("sha256", "rows_valued", "rows_held_out")},
            **form_of(own),
        },
        "value": {
            "own_data": rounded(own["own_data"]),
            "alpha": rounded(own["alpha"]),
            **_sampling_error(own),
            **({"alpha_stderr": rounded(own["alpha_stderr"])} if "contributions" in disclose else {}),
            "reward": rounded(own["reward"]),
            "target": rounded(own["target"]),
            "limit": rounded(own["limit"]),
        },
        "rewards": [
            {
                "beta": reward["beta"],
                "rows": reward["rows"],
                "value_reached": rounded(reward["value"]),
                "share_of_gain": rounded(reward["share_of_gain"]),
                "reached": reward["reached"],
                "recommended": reward["beta"] == own["recommended"],
            }
            for reward in view["sampling"]
            if reward["party"] == party and (alternatives or reward["beta"] == own["recommended"])
        ],
        "method": {
            "valuation": "closeness to all data, negative squared MMD",
            "values": values_in_words(_rounded_errors(view["approximation"]), view["unit"]),
            "samples": [text for key, text in view["samples"].items() if key in SAMPLES],
            "kernel": view["kernel"]["name"],
            "features": view["features"],
            "contributions": view["contributions"]["method"],
            "sampling": "weighted sampling from the synthetic pool",
            "unit": view["unit"],
            "cells": CELLS if view["unit"] == "rows" else "",
        },
        "left_out": [*view["dropped"], *([label] if (label := view["settings"].get("label_column")) else [])],
        "incentives": _incentives(view, own),
        "audit": _audit(view, party, "sizes" in disclose, alternatives),
        "versions": view["versions"],
        "settings_sha256": settings_sha256,
    }
    if any(DISCLOSED[name] for name in disclose):
        content["disclosed"] = _disclosed(view, party, disclose)

    return content


def _sampling_error(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the error of a contribution that was estimated from sampled coalitions; nothing if it is exact."""

    if not own["contribution"] or not own["contribution_stderr"]:
        return {}
    return {"relative_stderr": rounded(own["contribution_stderr"] / abs(own["contribution"]))}


def _rounded_errors(approximation: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return an approximation with errors of one digit: those of contributions depend on the data of all parties."""

    if approximation is None:
        return None
    return {key: _rounded_up(x) if isinstance(x, float) else x for key, x in approximation.items()}


def _rounded_up(x: float) -> float:
    """Round up to one digit."""

    if x <= 0:
        return x
    digit, exponent = f"{x:e}".split("e")
    return float(f"{math.ceil(float(digit))}e{exponent}")


def form_of(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a party's data was read, and how its digest is computed, if it is not that of a file."""

    if own["suffix"] in (".png", ".npz"):
        return {"digest_of": "folder"}
    form: dict[str, Any] = {"encoding": own["encoding"], "separator": own["separator"]} if own["encoding"] else {}
    if own["skip"]:
        form["skip"] = list(own["skip"].values())
    if own["party_column"]:
        form |= {"digest_of": "rows", "party_column": own["party_column"], "party": own["party"]}
    return form


def _incentives(view: Mapping[str, Any], own: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Describe R1 to R6 of reward values and targets, with the own slack of those that compare only own numbers."""

    def slack(name: str, value: float) -> float | None:
        own_slack = {"R1": value, "R2": own["limit"] - value, "R4": value - own["own_data"]}
        return rounded(own_slack.get(name))

    return [
        {
            "name": name,
            "title": words.title,
            "statement": words.statement,
            "holds": view["incentives"][name]["holds"],
            "own_slack": slack(name, own["reward"]),
            "target_holds": view["target_incentives"][name]["holds"],
            "own_target_slack": slack(name, own["target"]),
        }
        for name, words in INCENTIVES.items()
    ]


def _audit(view: Mapping[str, Any], party: int, sizes: bool, alternatives: bool) -> dict[str, Any]:
    """Return the audits of the rewards that a party receives, without what would give the others' sizes away."""

    def result(audit: Mapping[str, Any]) -> dict[str, Any]:
        attacks = [audited(attack, sizes) for attack in audit["attacks"]]
        strongest = next((attack for attack in attacks if attack["name"] == audit["strongest"]), None)
        return {
            "beta": audit["beta"],
            "strongest": audit["strongest"],
            "meaning": None if strongest is None else attack_in_words(strongest | shown(audit), view["unit"]),
            "attacks": attacks,
            "guesses": [guessed(guess, sizes) for guess in strongest_guesses(audit)],
            "reason": audit["reason"] if sizes or audit["reason"] is None else FEW,
        }

    def shown(audit: Mapping[str, Any]) -> dict[str, Any]:
        """Say whether the strongest attack is better than guessing, which its interval says exactly."""

        lows = (attack["auc_low"] for attack in audit["attacks"] if attack["name"] == audit["strongest"])
        return {} if sizes else {"better": next(lows) > 0.5}

    recommended = view["parties"][party]["recommended"]
    results = [
        result(audit)
        for audit in view["audits"]
        if audit["party"] == party and (alternatives or audit["beta"] == recommended)
    ]
    return {"threat_model": threat_model(view["unit"]), "results": results}


def audited(attack: Mapping[str, Any], sizes: bool) -> dict[str, Any]:
    """Return the numbers of an attack that a party may see.

    Arguments:
        attack: The attack, as a view has it.
        sizes: Whether the party may know how many rows the others have.
    """

    if sizes:
        return {"name": attack["name"]} | {key: round(attack[key], 3) for key in (*RATES, *INTERVALS)}
    return {"name": attack["name"]} | {key: coarse(attack[key]) for key in RATES}


def guessed(guess: Mapping[str, Any], sizes: bool) -> dict[str, Any]:
    """Return the numbers of an attack on cells that a party may see; arguments as of `audited`."""

    said: dict[str, Any] = {key: guess[key] for key in ("name", "column")}
    if sizes:
        said |= {key: round(guess[key], 3) for key in (*GUESSED, "excess_low", "excess_high")}
    else:
        said |= {key: coarse(guess[key]) for key in GUESSED}
    return said | {"meaning": guess_in_words(said | ({} if sizes else {"better": guess["excess_low"] > 0}))}


def coarse(rate: float) -> float:
    """Return a rate in steps of `STEP`."""

    return round(STEP * round(rate / STEP), 2)


def _disclosed(view: Mapping[str, Any], party: int, disclose: Collection[str]) -> list[dict[str, Any]]:
    """Return what is disclosed of the parties, by number; without names, the others are sorted by what is disclosed."""

    keys = [key for name, names in DISCLOSED.items() if name in disclose for key in names]
    entries = [
        {"own": i == party} | {key: rounded(other[key]) for key in keys} for i, other in enumerate(view["parties"])
    ]
    if "names" not in disclose:  # the order of the parties would name them
        entries.sort(key=lambda entry: [-(x or 0) for x in entry.values()])
    return entries


def rounded(x: Any) -> Any:
    """Round a number to six significant digits; integers, text and `None` stay as they are."""

    return float(f"{x:.6g}") if isinstance(x, float) else x


def canonical_json(content: Any) -> bytes:
    """Return the one JSON text of a value, of which older certificates have the digest: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: If a number is NaN or infinite.

    Example:
        >>> canonical_json({"b": [1, 2.5], "a": "ρ"}).decode()
        '{"a":"ρ","b":[1,2.5]}'
    """

    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def readable_json(content: Any) -> bytes:
    """Return the JSON text of a value for people: indented, in the order of its keys, UTF-8.

    Raises:
        ValueError: If a number is NaN or infinite.
    """

    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return (re.sub(r"[^ -~\n]", lambda match: _escaped(match[0]), text) + "\n").encode()


def _escaped(x: str) -> str:
    """Return a character as it stands in JSON, one that controls the direction of text or a terminal as its number."""

    return json.dumps(x)[1:-1] if unicodedata.category(x)[0] == "C" or x in "\u2028\u2029" else x


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Add the digest of a mapping's own content, the SHA-256 of its `readable_json`, under the key `sha256`.

    Other orders of the keys have other digests. A certificate of the older format has that of its canonical JSON.

    Arguments:
        content: The mapping; its keys are strings.
    """

    unsealed = {key: value for key, value in content.items() if key != SEAL}
    text = canonical_json(unsealed) if content.get("format") == OLDER else readable_json(unsealed)
    return unsealed | {SEAL: sha256(text)}
