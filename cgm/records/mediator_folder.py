"""The files that stay with the mediator: the result, the pool, the schema, the settings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import yaml

from cgm.records.digests import readable_json, sha256
from cgm.records.plain import plain, versions
from cgm.records.report.words import beta_name
from cgm.records.reward_files import pool_file
from cgm.records.settled import Settled
from cgm.records.tables import csv_text

RESULT, SETTINGS = "result.json", "settings.json"


def mediator_files(settlement: Settled) -> dict[str, bytes]:
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
                for chain in settlement.chains
                for row in chain.indices.tolist()
            ),
        ).encode(),
        **{file: yaml.safe_dump(x, sort_keys=False, allow_unicode=True).encode() for file, x in schema.items()},
    }


def settings_file(settlement: Settled) -> bytes:
    """Return `settings.json`: all settings, and the SHA-256 of the file of the pool.

    Certificates have the SHA-256 of this file. The pool makes it impossible to find the settings by trying.
    """

    return _settings(settlement, pool_file(settlement)[1])


def _settings(settlement: Settled, pool: bytes) -> bytes:
    return readable_json({"settings": plain(settlement.settings), "pool_sha256": sha256(pool)})


def _result(settlement: Settled) -> dict[str, Any]:
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
            "incentives": settlement.incentives,
            "sampling": [
                {
                    "party": chain.party,
                    "beta": chain.beta,
                    "rows": len(chain.indices),
                    "target": chain.target,
                    "value": chain.value,
                    "reached": chain.reached,
                }
                for chain in settlement.chains
            ],
            "sensitivity": settlement.sensitivity,
            "accuracies": list(settlement.accuracies),
            "audits": list(settlement.audits),
            "warnings": list(settlement.warnings),
            "seconds": settlement.seconds,
            "versions": versions(),
        }
    )
