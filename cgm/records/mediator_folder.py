"""The files that stay with the mediator: the result, the pool, the schema, the settings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import yaml

from cgm.records.digests import readable_json, sha256
from cgm.records.plain import plain, versions
from cgm.records.report.words import beta_name
from cgm.records.settled import SettledTables
from cgm.records.table_files import table_file
from cgm.records.tables import csv_text

RESULT, SETTINGS, POOL = "result.json", "settings.json", "pool.csv"


def mediator_files(settlement: SettledTables) -> dict[str, bytes]:
    """Return the files that stay with the mediator by name.

    `pool.csv` is the synthetic pool, and `rewards.csv` has the rows of it, from 0, that each reward consists of.

    Arguments:
        settlement: The settlement.
    """

    return {
        RESULT: readable_json(_result(settlement)),
        SETTINGS: settings_file(settlement),
        POOL: table_file(settlement.pool_table, settlement.schema.columns).content,
        "rewards.csv": csv_text(
            ("party", "beta", "pool_row"),
            (
                (str(chain.party), beta_name(chain.beta), str(row))
                for chain in settlement.chains
                for row in chain.indices.tolist()
            ),
        ).encode(),
        "schema.yaml": yaml.safe_dump(plain(settlement.schema.to_dict()), sort_keys=False, allow_unicode=True).encode(),
    }


def settings_file(settlement: SettledTables) -> bytes:
    """Return `settings.json`: all settings, and the SHA-256 of `pool.csv`.

    Certificates have the SHA-256 of this file. The pool makes it impossible to find the settings by trying.
    """

    pool = table_file(settlement.pool_table, settlement.schema.columns).content
    return readable_json({"settings": plain(settlement.settings), "pool_sha256": sha256(pool)})


def _result(settlement: SettledTables) -> dict[str, Any]:
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
