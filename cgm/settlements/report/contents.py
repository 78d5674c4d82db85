r"""What the report says of a settlement, as the template shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from cgm.records.settings import flatten
from cgm.settlements.report.words import INCENTIVES, STATES, beta_name, number, threat_model
from cgm.settlements.settlement import PartySettlement
from cgm.utils.plain import plain, versions

CLOSE = 2.0  # standard errors: two contributions that differ by less cannot be told apart


def describe(settlement: PartySettlement) -> dict[str, Any]:
    """Return everything that the report says in words and numbers.

    Arguments:
        settlement: The settlement.
    """

    rewards, game = settlement.rewards, settlement.game
    return {
        "parties": parties(settlement),
        "betas": [beta_name(beta) for beta in dict.fromkeys(chain.beta for chain in settlement.drawn.values())],
        "columns": 0 if settlement.schema is None else len(settlement.schema.columns),
        "unit": unit(settlement),
        "pool_rows": len(settlement.pool_table),
        "grand_value": game.grand_value,
        "v_star": rewards.details.get("v_star"),
        "rho": rewards.details.get("rho"),
        "precision": precision(settlement),
        "sensitivity": sensitivity(settlement),
        "incentives": incentives(settlement),
        "audits": audits(settlement),
        "threat_model": threat_model(unit(settlement)),
        "accuracies": accuracies(settlement),
        "unchecked": unchecked(settlement),
        "warnings": list(settlement.warnings),
        "settings": {name: shown(value) for name, value in flatten(plain(settlement.settings)).items()},
        "sources": [asdict(source) for source in settlement.sources],
        "versions": versions(),
        "seconds": dict(settlement.seconds),
    }


def unit(settlement: PartySettlement) -> str:
    """Return what the data consists of, `"rows"` or `"images"`."""

    return "rows" if settlement.schema is not None else "images"


def parties(settlement: PartySettlement) -> list[dict[str, Any]]:
    r"""Return the numbers of each party, with its rewards by $\beta$."""

    contributions, rewards = settlement.contributions, settlement.rewards
    found = []
    for i, name in enumerate(settlement.names):
        chains = {
            beta_name(chain.beta): {
                "rows": len(chain.indices),
                "value": chain.value,
                "reached": chain.reached,
                "recommended": chain.beta == settlement.recommended[i],
            }
            for chain in settlement.drawn.values()
            if chain.party == i
        }
        found.append(
            {
                "name": name,
                "rows": len(settlement.tables[i]),
                "held_out": len(settlement.held_out[i]) if len(settlement.held_out) else 0,
                "own": float(settlement.game.party_values[i]),
                "phi": float(contributions.phi[i]),
                "stderr": float(contributions.stderr[i]),
                "alpha": float(contributions.alpha[i]),
                "reward": float(rewards.values[i]),
                "limit": float(rewards.upper[i]),
                "recommended": beta_name(settlement.recommended[i]),
                "chains": chains,
            }
        )
    return found


def precision(settlement: PartySettlement) -> dict[str, Any]:
    """Return how exact the contributions are, and which neighbours in their order cannot be told apart."""

    contributions, names = settlement.contributions, settlement.names
    phi, errors = contributions.phi.tolist(), contributions.stderr.tolist()
    order = sorted(range(len(phi)), key=lambda i: -phi[i])
    close = [
        (names[i], names[j])
        for i, j in pairwise(order)
        if any(errors) and phi[i] - phi[j] < CLOSE * math.hypot(errors[i], errors[j])
    ]
    return {"method": contributions.method, "exact": not any(errors), "close": close}


def sensitivity(settlement: PartySettlement) -> list[dict[str, Any]]:
    r"""Return the range of each party's $\alpha$ for each of the other settings, and whether the order changes."""

    alpha, n = settlement.contributions.alpha.tolist(), len(settlement.names)
    found = []
    for name, runs in settlement.sensitivity.items():
        rows = np.array(runs, dtype=float).reshape(-1, n).tolist()
        ranges = [(min(run[i] for run in rows), max(run[i] for run in rows)) for i in range(n)]
        found.append(
            {
                "name": name,
                "runs": len(rows),
                "ranges": [
                    number(low, 3) if low == high else f"{number(low, 3)} to {number(high, 3)}" for low, high in ranges
                ],
                "change": max(abs(run[i] - alpha[i]) for run in rows for i in range(n)),
                "same_order": all(_order(run) == _order(alpha) for run in rows),
            }
        )
    return found


def _order(values: list[float]) -> list[int]:
    return sorted(range(len(values)), key=lambda i: -values[i])


def incentives(settlement: PartySettlement) -> list[dict[str, Any]]:
    """Return R1 to R6 in words, with their slack."""

    return [
        {
            "name": name,
            "title": words.title,
            "statement": words.statement,
            "state": STATES[settlement.incentives[name].holds],
            "slack": settlement.incentives[name].slack,
            "meaning": words.slack,
            "note": settlement.incentives[name].note,
        }
        for name, words in INCENTIVES.items()
    ]


def audits(settlement: PartySettlement) -> list[dict[str, Any]]:
    """Return the privacy audits, the one with the most successful attack first."""

    found = []
    for audit in settlement.audits:
        strongest = next((attack for attack in audit.attacks if attack.name == audit.strongest), None)
        found.append(
            {
                "name": settlement.names[audit.party],
                "beta": beta_name(audit.beta),
                "members": audit.members,
                "non_members": audit.non_members,
                "attack": strongest,
                "attacks": list(audit.attacks),
                "copies": audit.copies,
                "nearest_share": audit.nearest_share,
                "chance": audit.chance,
                "reason": audit.reason,
            }
        )
    return sorted(found, key=lambda audit: -(audit["attack"].auc if audit["attack"] else -1))


def accuracies(settlement: PartySettlement) -> list[dict[str, Any]]:
    """Return the accuracies of the downstream task."""

    return [
        {
            "name": settlement.names[entry.party],
            "beta": beta_name(entry.beta),
            "before": entry.accuracy_before,
            "after": entry.accuracy,
            "reason": entry.reason,
        }
        for entry in settlement.accuracies
    ]


def unchecked(settlement: PartySettlement) -> list[str]:
    """List what neither this report nor the settlement checked."""

    gaps = []
    if not settlement.audits:
        gaps.append("What rewards give away about data of other parties: no privacy audit was made.")
    else:
        gaps.append(
            "Attacks other than those of the privacy audit. It is an experiment with some attacks, not a proof, and "
            "synthetic data of this kind has no guarantee such as differential privacy."
        )
    if not settlement.accuracies:
        gaps.append("How much rewards improve a model that a party trains: no downstream task was evaluated.")
    if not settlement.sensitivity:
        gaps.append(
            "How much the contributions change with the seed and the length-scale: no other settings were tried."
        )
    unknown = [
        f"{name} ({words.title.lower()})"
        for name, words in INCENTIVES.items()
        if settlement.incentives[name].holds is None
    ]
    if unknown:
        gaps.append(f"The incentives {', '.join(unknown)}: see the reasons in their table.")
    gaps += [
        "Whether a party's data is true, its own, and permitted to be used. A party that adds invented or copied data "
        "is valued by it.",
        "Whether all data together represents the population that the parties are interested in: values are measured "
        "against the pooled data.",
        "Strict monotonicity (F4), the part of fairness that says that more data brings a larger reward: it compares "
        "two settlements.",
    ]
    return gaps


def shown(value: Any) -> str:
    """Return a setting as text."""

    if isinstance(value, Mapping | list):
        return str(plain(value))
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
